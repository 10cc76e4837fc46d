"""Centring: the mean that is taken off is off, nothing else is, and no clip out of scope has a say."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from ser_graph.audio.settings import LogMelSettings
from ser_graph.errors import InputError
from ser_graph.graph import build_graph
from ser_graph.graph.centring import centred

SHORT = LogMelSettings(n_samples=512, n_mels=2)


def table_of(speakers, split="train"):
    columns = {"emotion": "anger", "speaker": speakers, "gender": "male", "duration": 1.0, "split": split}
    return pd.DataFrame(columns, index=pd.Index([f"{row:02d}.wav" for row in range(len(speakers))], name="file"))


def noise(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def test_without_centring_they_are_the_embeddings_themselves():
    emb = noise(5, 3)
    assert centred(emb, table_of(["a"] * 5), "none") is emb


def test_centring_by_corpus_is_sklearns_scaler():
    emb = noise(20, 4) * torch.tensor([1.0, 5.0, 0.1, 1.0]) + 3
    expected = StandardScaler(with_std=False).fit_transform(emb.double().numpy())
    found = centred(emb, table_of(["a"] * 20), "corpus")
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6)


def test_centring_by_speaker_is_that_of_each_ones_own_clips():
    speakers = list("abcabcaabcbaabcabbcc")
    emb = noise(20, 4) + 5 * noise(3, 4, seed=1)[[ord(speaker) - ord("a") for speaker in speakers]]
    found = centred(emb, table_of(speakers), "speaker").numpy()
    for speaker in "abc":
        own = [row for row, name in enumerate(speakers) if name == speaker]
        expected = StandardScaler(with_std=False).fit_transform(emb[own].double().numpy())
        np.testing.assert_allclose(found[own], expected, rtol=1e-5, atol=1e-6)


def test_a_voice_that_is_added_to_all_clips_of_a_speaker_changes_nothing():
    table = table_of(["a"] * 6 + ["b"] * 6)
    emb, voice = noise(12, 4), torch.tensor([[7.0, -3.0, 0.0, 1.0]])
    moved = emb + torch.cat([torch.zeros(6, 1), torch.ones(6, 1)]) * voice
    torch.testing.assert_close(centred(moved, table, "speaker"), centred(emb, table, "speaker"), atol=1e-5, rtol=0)


@pytest.mark.parametrize("center", ["corpus", "speaker"])
def test_clips_out_of_scope_decide_nothing(center):
    table = table_of(list("aabbcc"), ["train"] * 4 + ["test"] * 2)
    how = {"x": torch.zeros(6, 1, 2), "features": SHORT, "epsilon": None, "center": center}
    emb = noise(6, 4)
    one = build_graph(table, emb=emb, **how)
    other = build_graph(table, emb=torch.cat([emb[:4], 100 * noise(2, 4, seed=5)]), **how)
    assert torch.equal(one.edge_index, other.edge_index)
    assert torch.equal(one.edge_weight, other.edge_weight)
    assert torch.equal(one.emb, emb)  # the graph keeps them as the upstream made them
    assert one.meta.settings.center == center


def test_labels_decide_nothing():
    emb = noise(12, 4)
    table = table_of(list("aabbccaabbcc"))
    other = table.assign(emotion=[str(row % 5) for row in range(12)])
    assert torch.equal(centred(emb, table, "speaker"), centred(emb, other, "speaker"))


def test_an_unknown_mean():
    with pytest.raises(InputError, match=r"Bad center 'speakers', expected one of \['corpus', 'none', 'speaker'\]"):
        centred(noise(3, 2), table_of(["a"] * 3), "speakers")


@pytest.mark.parametrize(
    ("speakers", "emb", "message"),
    [
        (["a", "a", None, "b"], noise(4, 2), r"the speaker of every clip: 1 have none \(02.wav\)"),
        (["a", "a", "c", "b"], noise(4, 2), "two clips of every speaker: b, c have one"),
        (["a", "a", "b", "b"], torch.ones(4, 2), "4 clips equal the mean .* 00.wav"),
    ],
)
def test_speakers_that_cannot_be_centred(speakers, emb, message):
    with pytest.raises(InputError, match=message) as caught:
        centred(emb, table_of(speakers), "speaker")
    assert "\n" not in str(caught.value)
