"""Settings chosen fold by fold, in runs made by hand whose numbers are known."""

import numpy as np
import pandas as pd
import pytest

from ser_graph.common.files import write_json
from ser_graph.evaluation import write_report
from ser_graph.evaluation.folds import compare_fold_choices, fold_choices
from ser_graph.evaluation.study import load_study
from ser_graph.experiment.recipe_files import load_recipe, recipe_values

N_FOLDS, PER_FOLD = 3, 10  # a speaker a fold, whose clips are dev of the fold before


def said(right):
    """Of each fold's clips the first `right[fold]` right; all anger, so that UAR is accuracy."""
    rows = [
        {"emotion": "anger", "speaker": f"s{fold}", "predicted": "anger" if clip < n else "fear", "fold": fold}
        for fold, n in enumerate(right)
        for clip in range(PER_FOLD)
    ]
    files = [f"{row['speaker']}-{clip % PER_FOLD}.wav" for clip, row in enumerate(rows)]
    return pd.DataFrame(rows, index=pd.Index(files, name="file"))


@pytest.fixture
def run(tmp_path):
    """Baseline, and two alphas of which each is better on the dev of other folds; a second seed of the baseline."""
    right = {
        (0.0, 0): ([1, 1, 1], [4, 4, 4]),
        (0.0, 1): ([1, 1, 1], [0, 0, 0]),
        (0.1, 0): ([9, 2, 9], [6, 0, 7]),  # dev, test of each fold
        (1.0, 0): ([2, 9, 2], [10, 5, 10]),
    }
    students = []
    for (alpha, seed), (dev, test) in right.items():
        name = f"alpha{alpha}-seed{seed}"
        folder = tmp_path / "run" / "students" / name
        folder.mkdir(parents=True)
        said(test).to_csv(folder / "predictions.csv")
        # The clips of dev are those of the next fold's speaker.
        shifted = said(dev)
        shifted["speaker"] = [f"s{(fold + 1) % N_FOLDS}" for fold in shifted["fold"]]
        shifted.to_csv(folder / "dev_predictions.csv")
        uar = {"uar": np.mean(test) / PER_FOLD, "dev_uar": np.mean(dev) / PER_FOLD}
        uar |= {"accuracy": uar["uar"], "dev_accuracy": uar["dev_uar"], "epoch": [1, 1, 1]}
        own = {"backbone": "cnn6", "method": "nsl" if alpha else "baseline", "alpha": alpha, "n_neighbors": 6}
        own |= {"layer": "fc2", "transfer": "none", "seed": seed, "further": {}}
        own |= {"training": {"epochs": 50, "epoch_steps": 1, "batch_size": 16}}
        students.append({"name": name, **own, **uar})
    results = {
        "name": "by hand",
        "title": "by hand",
        "synthetic": False,
        "protocol": "clean",
        "transductive": False,
        "shared_speakers": [],
        "students": students,
        "n_test": N_FOLDS * PER_FOLD,
        "n_test_speakers": N_FOLDS,
        "data_hash": "0123456789abcdef",
        "recipe": {**recipe_values(load_recipe("paper")), "folds": N_FOLDS},
    }
    write_json(tmp_path / "run" / "results.json", results)
    return tmp_path / "run"


def test_each_fold_is_judged_by_the_setting_that_its_own_dev_chose(run):
    study = load_study([run])
    (choices,) = fold_choices(study).values()
    assert [setting[2] for setting in choices] == [0.1, 1.0, 0.1]
    (row,) = compare_fold_choices(study).to_dict("records")
    assert row["seeds"] == 1  # the second seed of the baseline has no partner
    assert row["value"] == pytest.approx((6 + 5 + 7) / 30)
    assert row["baseline_value"] == pytest.approx(4 / 10)
    assert row["difference"] == pytest.approx(6 / 10 - 4 / 10)
    assert (row["low"], row["high"]) == (pytest.approx(0.1), pytest.approx(0.3))  # folds gain .2, .1 and .3
    assert row["p"] == 2.0 ** (1 - N_FOLDS)


def test_the_report_shows_it_and_only_where_there_are_folds(run, tmp_path):
    text = write_report([run], tmp_path / "report", n_resamples=200).read_text()
    assert "## Chosen fold by fold" in text
    assert "NSL, alpha 0.1, n 6, fc2 (2 folds); NSL, alpha 1, n 6, fc2 (1 folds)" in text
    assert "| 40.0 | 60.0 | +20.0 |" in text
    assert (tmp_path / "report" / "folds.tex").exists()


def test_without_folds_or_dev_nothing_is_chosen(run):
    study = load_study([run])
    study.runs[0]["recipe"]["folds"] = None
    assert fold_choices(study) == {}
    assert compare_fold_choices(study).empty
