"""Joint tables, and that a graph of one holds the target's own edges and brings no label along."""

import numpy as np
import pandas as pd
import pytest
import torch

from ser_graph.audio.clips import clip_paths
from ser_graph.audio.settings import LogMelSettings
from ser_graph.corpora import check_split, join_corpora, load_corpus
from ser_graph.corpora.joining import OTHER_EMOTION
from ser_graph.errors import InputError
from ser_graph.graph import build_graph
from ser_graph.graph.clip_graph import TENSORS

EMOTIONS = ["anger", "fear", "joy"]


def corpus(name, n, split="train", root="/corpora", emotions=EMOTIONS, speakers=3):
    rows = {
        "emotion": [emotions[row % len(emotions)] for row in range(n)],
        "speaker": [str(row % speakers) for row in range(n)],
        "gender": "female",
        "duration": 1.0,
        "split": split,
        "sentence": "1",
    }
    table = pd.DataFrame(rows, index=pd.Index([f"{row:02d}.wav" for row in range(n)], name="file"))
    table.attrs = {"corpus": name, "root": f"{root}/{name}", "unparsed": [], "skipped": {}}
    return table


def build(table, emb, **how):
    how = {"epsilon": 0.2, "n_neighbors": 99, "features": LogMelSettings(n_samples=512, n_mels=2), **how}
    return build_graph(table, emb=emb, x=torch.zeros(len(table), 1, 2), **how)


def noise(n, seed):
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))


def test_columns_of_a_joint_table():
    target = corpus("b", 6, ["train"] * 3 + ["dev", "test", "test"], speakers=6)
    joined = join_corpora([target, corpus("a", 4, "test", emotions=["guilt"]), corpus("c", 2, root="/other")])
    assert joined["corpus"].value_counts().to_dict() == {"b": 6, "a": 4, "c": 2}
    own = joined[joined["corpus"] == "b"]
    assert own["emotion"].tolist() == target["emotion"].tolist()
    assert own["split"].tolist() == target["split"].tolist()
    assert own["speaker"].tolist() == [f"b/{row}" for row in range(6)]
    others = joined[joined["corpus"] != "b"]
    assert others["emotion"].isna().all()
    assert others[OTHER_EMOTION].dropna().tolist() == ["anger", "fear"]  # b shows no guilt
    assert own[OTHER_EMOTION].isna().all()
    assert OTHER_EMOTION not in join_corpora([target, corpus("a", 4, emotions=["guilt"])])
    assert set(others["split"]) == {"train"}
    assert joined["sentence"].value_counts().to_dict() == {"b/1": 6, "a/1": 4, "c/1": 2}
    assert joined.index.is_monotonic_increasing and joined.index.is_unique
    assert joined.attrs["corpus"] == "b+a+c"
    assert joined.attrs["root"] == "/" and "other/c/00.wav" in joined.index
    check_split(joined)


def test_files_start_from_the_common_folder(make_clips, tmp_path):
    make_clips("one/x/00.wav", "one/x/01.wav", "two/00.wav")
    one, two = corpus("x", 2), corpus("two", 1)
    one.attrs["root"], two.attrs["root"] = str(tmp_path / "one" / "x"), str(tmp_path / "two")
    joined = join_corpora([one, two])
    assert joined.attrs["root"] == str(tmp_path)
    assert all(path.exists() for path in clip_paths(joined))
    assert join_corpora([one]).index.tolist() == ["00.wav", "01.wav"]


def test_the_edges_among_the_targets_clips_are_its_own():
    target, source = corpus("target", 12), corpus("source", 9)
    joined = join_corpora([target, source])
    emb = {"target": noise(12, 0), "source": noise(9, 1)}
    alone = build(target, emb["target"])
    both = build(joined, torch.cat([emb[name] for name in ("source", "target")]))
    files = both.table.index

    def named(data, edges, prefix=""):
        return {(prefix + data.table.index[a], prefix + data.table.index[b]) for a, b in edges.T.tolist()}

    within = torch.tensor((both.table["corpus"] == "target").tolist())[both.edge_index].all(dim=0)
    assert named(both, both.edge_index[:, within]) == named(alone, alone.edge_index, "target/")
    assert both.edge_index.shape[1] > alone.edge_index.shape[1]  # and the lent clips are neighbours too
    assert (both.y >= 0).tolist() == [file.startswith("target/") for file in files]
    assert both.emotions == EMOTIONS


def test_no_label_of_a_lent_clip_is_left():
    target, emb = corpus("target", 6), noise(12, 0)
    one = build(join_corpora([target, corpus("source", 6)]), emb)
    other = build(join_corpora([target, corpus("source", 6, emotions=["guilt", "joy"])]), emb)
    assert all(torch.equal(one[name], other[name]) for name in TENSORS)
    assert one.emotions == other.emotions
    assert one.meta.data_hash != other.meta.data_hash  # because a probe may learn from them
    assert not torch.equal(one.other_y, other.other_y)


def test_several_may_be_labelled():
    joined = join_corpora([corpus("a", 3), corpus("b", 3, "dev"), corpus("c", 3)], labelled=["a", "b"])
    assert joined.groupby("corpus")["emotion"].count().to_dict() == {"a": 3, "b": 3, "c": 0}
    assert joined.groupby("corpus")["split"].first().to_dict() == {"a": "train", "b": "dev", "c": "train"}


def test_tables_are_left_as_they_are():
    target, source = corpus("a", 3), corpus("b", 3)
    before = [target.copy(), source.copy()]
    join_corpora([target, source])
    pd.testing.assert_frame_equal(target, before[0])
    pd.testing.assert_frame_equal(source, before[1])


def test_synthetic_corpora_load_and_join(tmp_path):
    from ser_graph.corpora.synthetic.making import make_corpus

    tables = []
    for name in ("source", "target"):
        make_corpus(tmp_path / name, name, n_clips=21, n_speakers=3)
        tables.append(load_corpus("synthetic", tmp_path / name))
    tables[0].attrs["corpus"] = "spoken"
    joined = join_corpora(tables[::-1])
    assert len(joined) == 42 and joined.attrs["corpus"] == "synthetic+spoken"
    assert list(joined.columns[:6]) == ["emotion", "speaker", "gender", "duration", "split", "corpus"]
    assert all(path.exists() for path in clip_paths(joined))
    assert joined["duration"].notna().all()


@pytest.mark.parametrize(
    ("tables", "labelled", "message"),
    [
        ([], None, "No clip table to join"),
        ([corpus("a", 2), corpus("a", 2)], None, "Two tables have the corpus name 'a'"),
        ([corpus("a", 2), corpus("b", 2)], ["c"], r"Bad corpus in labelled 'c', expected one of \['a', 'b'\]"),
        ([corpus("a", 2), corpus("b", 3, emotions=["calm"])], ["a", "b"], "b has emotions .* lacks: calm; load it"),
        (
            [corpus("a", 2).set_axis(["b/0", "b/1"]), corpus("b", 2).set_axis(["0", "1"])],
            None,
            "2 clips are in two",
        ),
    ],
)
def test_tables_that_do_not_join(tables, labelled, message):
    if "2 clips" in message:
        tables[0].attrs["root"], tables[1].attrs["root"] = "/corpora", "/corpora/b"
    with pytest.raises(InputError, match=message) as caught:
        join_corpora(tables, labelled)
    assert "\n" not in str(caught.value)


def test_a_table_without_a_folder_is_refused():
    table = corpus("a", 2)
    del table.attrs["root"]
    with pytest.raises(InputError, match=r"set table.attrs\['root'\]"):
        join_corpora([corpus("b", 2), table])


def test_missing_speakers_stay_missing():
    table = corpus("a", 2)
    table["speaker"] = np.nan
    assert join_corpora([corpus("b", 2), table])["speaker"].isna().sum() == 2
