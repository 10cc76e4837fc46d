"""The benchmark of what the graph gains: what it chooses and counts, by hand, from made-up predictions."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ser_graph.common.files import write_json

PAPERS = "NSL (the paper's loss and graph)"
ARMS = ("baseline", PAPERS, "transfer, add")


@pytest.fixture(scope="module")
def gain(load_benchmark):
    """benchmarks/graph_gain.py as a module."""
    return load_benchmark("graph_gain")


def said(speaker, n_right):
    """Ten clips of each of two emotions; so many of each ten right."""
    clips = np.arange(20)
    emotion = np.where(clips < 10, "anger", "fear")
    other = np.where(emotion == "anger", "fear", "anger")
    table = {"emotion": emotion, "speaker": speaker, "predicted": np.where(clips % 10 < n_right, emotion, other)}
    return pd.DataFrame(table, index=pd.Index([f"{speaker}-{clip}.wav" for clip in clips], name="file"))


@pytest.fixture
def stored(gain, tmp_path):
    """Two folds: who is test of one is dev of the other. Right answers on dev and test, by arm and fold."""
    right = {
        "baseline": [{"dev": 7, "test": 5}, {"dev": 6, "test": 4}],
        PAPERS: [{"dev": 6, "test": 9}, {"dev": 8, "test": 3}],
        "transfer, add": [{"dev": 10, "test": 10}, {"dev": 10, "test": 10}],
    }
    for arm, folds in right.items():
        for seed in (0, 1):
            folder = gain.Cell(arm, "resnet9", 1.0, seed).folder(tmp_path)
            for fold, shares in enumerate(folds):
                (folder / f"fold-0{fold}").mkdir(parents=True)
                test, dev = said(f"s{fold}", shares["test"]), said(f"s{1 - fold}", shares["dev"])
                test.to_csv(folder / f"fold-0{fold}" / "predictions.csv")
                dev.to_csv(folder / f"fold-0{fold}" / "dev_predictions.csv")
            write_json(folder / "done.json", {})
    return tmp_path, right


def test_a_report_chooses_fold_by_fold_among_what_runs_on_a_device(gain, stored, monkeypatch):
    """The transfer baseline is best on dev, and needs the teacher."""
    out, _ = stored
    monkeypatch.setattr(gain, "teacher_tables", lambda *_: {"linear probe": said("s0", 10)})
    monkeypatch.setattr(gain, "graph_measures", lambda *_: {"homophily": 0.5, "coverage": 1.0})
    words = gain.report(SimpleNamespace(name="toy"), out, "resnet9", 1.0)
    assert words.endswith(f"Chosen on dev: baseline in 1 of 2 folds, {PAPERS} in 1 of 2 folds.")
    table = pd.read_csv(out / "table-resnet9-1.csv").set_index("arm")
    assert list(table.index) == [*ARMS, "chosen on dev", "teacher: linear probe"]
    assert table["uar"].tolist() == pytest.approx([0.45, 0.6, 1.0, 0.4, 1.0])
    assert table["dev"].tolist()[:3] == pytest.approx([0.65, 0.7, 1.0])
    assert table.loc[PAPERS, ["gap", "homophily"]].tolist() == pytest.approx([0.15 / 0.55, 0.5])
    assert table["homophily"].isna().sum() == 4
    assert gain.report(SimpleNamespace(name="toy"), out, "resnet9", 0.1) == "The baseline is not finished."


def test_counts_give_the_same_uar_as_predictions(gain, stored):
    out, right = stored
    counts = gain.confusions(["resnet9"], [1.0], out)
    assert counts["clips"].sum() == 3 * 2 * 2 * 2 * 20  # arms, seeds, folds, dev and test, clips
    counts["right"] = counts["clips"].where(counts["emotion"] == counts["predicted"], 0)
    cells = counts[counts["split"] == "test"].groupby(["arm", "seed", "emotion"])[["right", "clips"]].sum()
    found = (cells["right"] / cells["clips"]).groupby(["arm", "seed"]).mean()
    for arm, folds in right.items():
        assert found[arm, 0] == found[arm, 1] == pytest.approx(sum(fold["test"] for fold in folds) / 20)


def test_only_some_clips_are_counted(gain, stored):
    out, _ = stored
    names = pd.Index(["s0-1.wav", "s0-11.wav", "unheard.wav"])
    counts = gain.confusions(["resnet9"], [1.0], out, names)
    assert set(counts["speaker"]) == {"s0"}
    assert counts["clips"].sum() == 3 * 2 * 2 * 2  # arms, seeds, dev of one fold and test of the other, clips


def test_counts_of_new_cells_are_added(gain, stored, tmp_path):
    out, _ = stored
    found = gain.confusions(["resnet9"], [1.0], out)
    file = tmp_path / "counts.csv.xz"
    first = found[found["arm"] == "baseline"].assign(clips=7)
    gain.add_counts(first, file)
    gain.add_counts(found, file)
    both = pd.read_csv(file)
    assert (both.loc[both["arm"] == "baseline", "clips"] == 7).all()
    expected = found[found["arm"] != "baseline"]
    pd.testing.assert_frame_equal(
        both[both["arm"] != "baseline"].reset_index(drop=True), expected.reset_index(drop=True)
    )
    gain.add_counts(found, file)
    assert len(pd.read_csv(file)) == len(found)


def test_the_figure_shows_what_was_trained_at_each_share(gain, tmp_path):
    table = pd.DataFrame({"arm": [gain.BASELINE, gain.PROBE], "uar": [0.4, 0.7], "sd": [0.01, np.nan]})
    table.to_csv(tmp_path / "table-resnet9-0.25-0.1.csv", index=False)
    table.assign(uar=0.8).to_csv(tmp_path / "table-resnet9-0.25-1.csv", index=False)
    table.to_csv(tmp_path / "table-resnet9-1.csv", index=False)  # another width
    tables = gain.stored_tables(tmp_path, "resnet9:0.25")
    assert sorted(tables) == [0.1, 1.0]
    assert gain.rows_of(tables[1.0], gain.PROBE)[0]["uar"] == 0.8
    assert gain.rows_of(tables[1.0], PAPERS) == []
    gain.draw({"toy": tables}, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000
