"""Clips of shards beside clips with files: in one table, one graph and one file of spectrograms."""

import shutil

import pandas as pd
import pytest
import torch

from ser_graph.audio import LogMelSettings, log_mels
from ser_graph.corpora import join_corpora, load_corpus, with_copies
from ser_graph.corpora.table import asked_of_clips
from ser_graph.errors import InputError
from ser_graph.graph import build_graph
from ser_graph.upstream import EmbeddingSettings, Upstream, load_shards, process_shards, shard_table
from ser_graph.upstream.shard_clips import embed_clips, spectrograms

SHORT = LogMelSettings(n_samples=16_000)
HOW = EmbeddingSettings(seconds=1.0)


@pytest.fixture
def processed(shards, tmp_path, upstream):
    process_shards(
        shards, tmp_path / "speech", upstream, embedding=HOW, features=SHORT, device="cpu", progress=False
    )
    return tmp_path / "speech"


@pytest.fixture
def labelled(make_clips, tmp_path):
    folder = make_clips(*(f"{number}.wav" for number in range(6)), folder=tmp_path / "labelled")
    rows = {
        "file": [f"{number}.wav" for number in range(6)],
        "emotion": ["joy", "anger"] * 3,
        "speaker": list("aabbcc"),
    }
    pd.DataFrame({**rows, "split": ["train"] * 2 + ["dev"] * 2 + ["test"] * 2}).to_csv(
        folder / "t.csv", index=False
    )
    return load_corpus("table", folder / "t.csv")


def test_shards_are_a_corpus_without_labels(processed):
    table = shard_table(processed)
    assert table.index[5] == "1.tar/1a.wav:2.90"
    assert table["emotion"].isna().all() and set(table["split"]) == {"train"}
    assert table["speaker"].tolist()[:4] == ["0.tar/0a.wav"] * 2 + ["0.tar/0b.wav"] * 2
    clips, _, _ = load_shards(processed)[1]
    assert table["duration"].iloc[5] == pytest.approx(clips["end"][1] - clips["start"][1])
    with pytest.raises(InputError, match=r"^No finished shard in "):
        shard_table(processed / "0.tar")


@pytest.mark.parametrize("mapped", [False, True])
def test_a_joint_graph_has_the_arrays_of_the_shards_and_of_the_files(
    processed, labelled, upstream, tmp_path, mapped
):
    joined = join_corpora([labelled, shard_table(processed)])
    assert joined.attrs["root"] == str(tmp_path)
    data = build_graph(
        joined,
        upstream,
        embedding=HOW,
        features=SHORT,
        epsilon=None,
        out=tmp_path / "x.npy" if mapped else None,
        device="cpu",
        progress=False,
    )
    own = [data.node(f"labelled/{file}") for file in labelled.index]
    torch.testing.assert_close(data.x[own], log_mels(labelled, SHORT, progress=False))
    torch.testing.assert_close(data.emb[own], upstream.embed(labelled, HOW, device="cpu", progress=False))
    for shard, (clips, emb, x) in zip(("0.tar", "1.tar", "2.tar"), load_shards(processed), strict=True):
        names = [f"speech/{shard}/{clip.recording}:{clip.start:.2f}" for clip in clips.itertuples()]
        rows = [data.node(name) for name in names]
        assert torch.equal(data.x[rows], x) and torch.equal(data.emb[rows], emb)
    assert int((data.y >= 0).sum()) == 6 and int(data.train_mask.sum()) == 14
    assert sorted(path.name for path in tmp_path.glob("*.npy")) == (["x.npy"] if mapped else [])


def test_any_rows_in_any_order(processed, upstream):
    table = shard_table(processed).sample(frac=0.5, random_state=1)
    whole = shard_table(processed)
    rows = [whole.index.get_loc(file) for file in table.index]
    emb = embed_clips(table, upstream, HOW, features=SHORT)
    assert torch.equal(emb, torch.cat([emb for _, emb, _ in load_shards(processed)])[rows])
    assert torch.equal(spectrograms(table, SHORT), torch.cat([x for _, _, x in load_shards(processed)])[rows])


def test_clips_of_shards_have_no_copies(processed, labelled):
    joined = join_corpora([labelled, shard_table(processed)])
    copied = with_copies(joined, 1)
    assert len(copied) == len(joined) + len(labelled)
    assert copied[copied["copy_of"].notna()]["stored_in"].isna().all()


def test_the_request_of_a_stage_sees_other_embeddings(processed):
    table = shard_table(processed)
    before = asked_of_clips(table, ["emotion"])
    assert asked_of_clips(table, ["emotion"]) == before
    (processed / "1.tar" / "emb.npy").write_bytes((processed / "0.tar" / "emb.npy").read_bytes())
    after = asked_of_clips(table, ["emotion"])
    assert after["clips"] == before["clips"] and after["contents"] != before["contents"]


def test_what_does_not_fit_is_refused(processed, upstream, tmp_path):
    table = shard_table(processed)
    with pytest.raises(InputError, match=r"0\.tar holds the result of other .*\(upstream: "):
        embed_clips(table, Upstream.small(seed=1), HOW, features=SHORT)
    with pytest.raises(InputError, match=r"\(embedding\.seconds: 1\.0 before, 2\.0 now\)"):
        embed_clips(table, upstream, HOW.replace(seconds=2.0), features=SHORT)
    with pytest.raises(InputError, match=r"\(features\.n_samples: "):
        embed_clips(table, upstream, HOW, features=LogMelSettings(n_samples=8192))
    other = table.rename(index={"1.tar/1a.wav:2.90": "1.tar/1a.wav:9.99"})
    with pytest.raises(InputError, match=r"The clip 1\.tar/1a\.wav:9\.99 is not in the shard .*1\.tar"):
        embed_clips(other, upstream, HOW, features=SHORT)
    shutil.move(processed, tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"^No finished shard in .*speech; run process_shards first"):
        embed_clips(table, upstream, HOW, features=SHORT)
    assert not processed.exists()
