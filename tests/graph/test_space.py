"""The space of the search: what is taken out is out, nothing else is, and no clip out of scope has a say."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import pdist, squareform
from sklearn.covariance import LedoitWolf
from sklearn.preprocessing import StandardScaler

from ser_graph.audio.settings import LogMelSettings
from ser_graph.errors import InputError
from ser_graph.graph import Space, build_graph
from ser_graph.graph.neighbours import unit_rows
from ser_graph.graph.space import transform
from ser_graph.upstream import Upstream

SHORT = LogMelSettings(n_samples=512, n_mels=2)


def table_of(speakers, split="train"):
    columns = {"emotion": "anger", "speaker": speakers, "gender": "male", "duration": 1.0, "split": split}
    return pd.DataFrame(columns, index=pd.Index([f"{row:02d}.wav" for row in range(len(speakers))], name="file"))


def noise(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def upstream():
    small = Upstream.small()
    small.set_emotions(["anger", "fear", "joy"], seed=1)
    return small


def test_the_plain_space_is_the_embeddings_themselves():
    emb = noise(5, 3)
    assert transform(emb, table_of(["a"] * 5), Space()) is emb


@pytest.mark.parametrize("scale", [False, True])
def test_centring_by_corpus_is_sklearns_scaler(scale):
    emb = noise(20, 4) * torch.tensor([1.0, 5.0, 0.1, 1.0]) + 3
    expected = StandardScaler(with_std=scale).fit_transform(emb.double().numpy())
    found = transform(emb, table_of(["a"] * 20), Space(center="corpus", scale=scale))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", [False, True])
def test_centring_by_speaker_is_that_of_each_ones_own_clips(scale):
    speakers = list("abcabcaabcbaabcabbcc")
    emb = noise(20, 4) + 5 * noise(3, 4, seed=1)[[ord(speaker) - ord("a") for speaker in speakers]]
    found = transform(emb, table_of(speakers), Space(center="speaker", scale=scale)).numpy()
    for speaker in "abc":
        own = [row for row, name in enumerate(speakers) if name == speaker]
        expected = StandardScaler(with_std=scale).fit_transform(emb[own].double().numpy())
        np.testing.assert_allclose(found[own], expected, rtol=1e-5, atol=1e-6)


def test_a_voice_that_is_added_to_all_clips_of_a_speaker_changes_nothing():
    speakers = ["a"] * 6 + ["b"] * 6
    emb, voice = noise(12, 4), torch.tensor([[7.0, -3.0, 0.0, 1.0]])
    moved = emb + torch.cat([torch.zeros(6, 1), torch.ones(6, 1)]) * voice
    space = Space(center="speaker")
    torch.testing.assert_close(
        transform(moved, table_of(speakers), space), transform(emb, table_of(speakers), space), atol=1e-5, rtol=0
    )


def test_a_constant_dimension_stays_nothing_when_scaled():
    emb = torch.cat([noise(9, 2), torch.full((9, 1), 0.1)], dim=1)
    found = transform(emb, table_of(["a"] * 9), Space(center="corpus", scale=True))
    assert (found[:, 2] == 0).all()
    assert torch.isfinite(found).all()


def test_whitened_distances_are_mahalanobis():
    emb = noise(60, 3) @ torch.tensor([[3.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 0.0, 0.5]]) + 4
    found = transform(emb, table_of(["a"] * 60), Space(whiten=True))
    rows = emb.double().numpy()
    expected = pdist(rows, "mahalanobis", VI=LedoitWolf().fit(rows).precision_)
    np.testing.assert_allclose(pdist(found.double().numpy()), expected, rtol=1e-5)
    np.testing.assert_allclose(found.mean(dim=0).numpy(), 0, atol=1e-5)


def test_whitening_does_not_depend_on_the_axes():
    emb = noise(30, 5) * torch.arange(1.0, 6)
    turn = torch.linalg.qr(noise(5, 5, seed=1)).Q
    one, other = (unit_rows(transform(e, table_of(["a"] * 30), Space(whiten=True))) for e in (emb, emb @ turn))
    torch.testing.assert_close(one @ one.T, other @ other.T, atol=1e-4, rtol=0)


def test_there_may_be_fewer_clips_than_dimensions():
    found = transform(noise(6, 40), table_of(["a"] * 6), Space(whiten=True))
    assert torch.isfinite(found).all()


def test_posterior_similarity_is_one_minus_squared_hellinger(upstream):
    emb = noise(8, upstream.dim) * 3
    found = transform(emb, table_of(["a"] * 8), Space(posterior=True), upstream)
    assert found.shape == (8, 3)
    with torch.no_grad():
        p = upstream.model.classifier(emb).softmax(1).double().numpy()
    hellinger = squareform(pdist(np.sqrt(p))) / np.sqrt(2)
    similarity = unit_rows(found).double() @ unit_rows(found).double().T
    np.testing.assert_allclose(similarity.numpy(), 1 - hellinger**2, atol=1e-6)


@pytest.mark.parametrize("center", ["corpus", "speaker"])
def test_clips_out_of_scope_decide_nothing(center):
    table = table_of(list("aabbcc"), ["train"] * 4 + ["test"] * 2)
    how = {"x": torch.zeros(6, 1, 2), "features": SHORT, "epsilon": None, "space": Space(center=center)}
    emb = noise(6, 4)
    one = build_graph(table, emb=emb, **how)
    other = build_graph(table, emb=torch.cat([emb[:4], 100 * noise(2, 4, seed=5)]), **how)
    assert torch.equal(one.edge_index, other.edge_index)
    assert torch.equal(one.edge_weight, other.edge_weight)
    assert torch.equal(one.emb, emb)  # the graph keeps them as the upstream made them
    assert one.meta["graph"]["space"] == {"center": center, "scale": False, "whiten": False, "posterior": False}


def test_labels_decide_nothing():
    emb = noise(12, 4)
    table = table_of(list("aabbccaabbcc"))
    space = Space(center="speaker", scale=True)
    other = table.assign(emotion=[str(row % 5) for row in range(12)])
    assert torch.equal(transform(emb, table, space), transform(emb, other, space))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"center": "speakers"}, r"Bad center 'speakers', expected one of \['corpus', 'none', 'speaker'\]"),
        ({"scale": True}, "scale=True needs center"),
        ({"posterior": True, "whiten": True}, "posterior=True goes with neither"),
        ({"posterior": True, "center": "corpus", "scale": True}, "posterior=True goes with neither"),
    ],
)
def test_bad_spaces(given, message):
    with pytest.raises(InputError, match=message):
        Space(**given)


@pytest.mark.parametrize(
    ("speakers", "emb", "message"),
    [
        (["a", "a", None, "b"], noise(4, 2), r"the speaker of every clip: 1 have none \(02.wav\)"),
        (["a", "a", "c", "b"], noise(4, 2), "two clips of every speaker: b, c have one"),
        (["a", "a", "b", "b"], torch.ones(4, 2), "4 clips are exactly the mean .* 00.wav"),
    ],
)
def test_speakers_that_cannot_be_centred(speakers, emb, message):
    with pytest.raises(InputError, match=message) as caught:
        transform(emb, table_of(speakers), Space(center="speaker"))
    assert "\n" not in str(caught.value)


def test_the_posterior_needs_a_head_that_has_learnt(upstream):
    table, space = table_of(["a"] * 3), Space(posterior=True)
    with pytest.raises(InputError, match="give it as upstream="):
        transform(noise(3, upstream.dim), table, space)
    with pytest.raises(InputError, match="fine-tune it first"):
        transform(noise(3, upstream.dim), table, space, Upstream.small())
    with pytest.raises(InputError, match=f"emb has 7 dimensions, expected {upstream.dim}"):
        transform(noise(3, 7), table, space, upstream)
