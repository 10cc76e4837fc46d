"""Reports of runs made by hand, whose numbers are known."""

import json
import re
from math import sqrt

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from ser_graph.downstream import TrainingSettings
from ser_graph.downstream.settings import METHODS
from ser_graph.errors import InputError
from ser_graph.evaluation import write_report
from ser_graph.evaluation.study import (
    SETTING,
    Setting,
    candidates,
    choose_settings,
    compare,
    is_candidate,
    load_study,
)
from ser_graph.experiment.recipe_files import load_recipe, recipe_values

SELECTED = "test-selected, not a test result"
N_CLIPS, N_SPEAKERS = 40, 4  # of `make_run`

LENGTH = {"epochs": 50, "epoch_steps": 1, "batch_size": 16, "precision": "auto", "transductive": False}


def a_student(
    backbone="cnn6",
    alpha=0.1,
    n=6,
    layer="fc2",
    seed=0,
    transfer="none",
    *,
    method="nsl",
    dev=0.5,
    right=20,
    **further,
):
    kind = f"{method}-a{alpha}-n{n}-{layer}" if alpha else transfer
    return {
        "name": "-".join([backbone, kind, *(f"{key}={value}" for key, value in further.items()), f"seed{seed}"]),
        "backbone": backbone,
        "method": method if alpha else "baseline",
        "alpha": alpha,
        "n_neighbors": n,
        "layer": layer,
        "transfer": transfer,
        "seed": seed,
        "further": further,
        "training": LENGTH,
        "dev_accuracy": dev / 2,
        "dev_uar": dev,
        "accuracy": right / N_CLIPS,
        "uar": right / N_CLIPS,
        "right": right,
        "epoch": 2,
    }


def write(runs, out, **options):
    return write_report(runs, out, n_resamples=200, **options)


BASELINE = a_student(alpha=0.0, dev=0.4, right=20)
# Dev prefers alpha 0.1, test alpha 1.
GRID = [BASELINE, a_student(alpha=0.1, dev=0.8, right=25), a_student(alpha=1.0, dev=0.6, right=30)]


def rows_of(report, heading):
    """The last table below a heading of the Markdown, as dictionaries."""
    block = report.partition(f"## {heading}")[2].partition("\n## ")[0]
    lines = [line for line in block.splitlines() if line.startswith("|")]
    starts = [number - 1 for number, line in enumerate(lines) if set(line) <= set("| -")]
    header, _, *rows = [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines[starts[-1] :]]
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_dev_chooses_and_test_compares(make_run, tmp_path):
    report = write([make_run(GRID)], tmp_path / "out").read_text()
    assert "Chosen by dev" in report and "- cnn6: NSL, alpha 0.1, n 6, fc2" in report
    assert SELECTED not in report
    marked = {row["setting"]: row["chosen"] for row in rows_of(report, "All settings")}
    assert marked == {"baseline": "", "NSL, alpha 0.1, n 6, fc2": "chosen", "NSL, alpha 1, n 6, fc2": ""}
    (row,) = rows_of(report, "Chosen settings against baselines")
    # 20 and 25 of 40 right, five clips more and none less.
    assert (row["UAR, baseline"], row["UAR, chosen"], row["only one right"]) == ("50.0", "62.5", "0 / 5")
    assert float(row["McNemar p"]) == pytest.approx(2 * 0.5**5, abs=6e-4)
    z = (25 - 20) / 40 / sqrt(45 / 80 * 35 / 80 * 2 / 40)
    assert float(row["z"]) == pytest.approx(z, abs=6e-3)
    assert float(row["z-test p"]) == pytest.approx(stats.norm.sf(z), abs=6e-4)
    assert row["McNemar p"] == row["McNemar p, Holm"]  # a single comparison: nothing to correct


OF_ALL_METHODS = [
    BASELINE,
    a_student(alpha=0.0, transfer="add", dev=0.99, right=35),
    a_student(dev=0.6, right=24),
    a_student(method="regress", alpha=5.0, n=None, dev=0.5, right=30),
    a_student(method="regress", alpha=5.0, n=None, dev=0.8, right=26, center="none"),
    a_student(method="distil", alpha=1.0, n=None, dev=0.7, right=27),
    a_student(method="graph", alpha=1.0, n=None, dev=0.3, right=20),
    a_student(method="graph", alpha=1.0, n=3, dev=0.2, right=20),
]


def test_every_method_but_baselines_and_transfer_is_a_candidate(make_run, tmp_path):
    """What needs the teacher at inference is never one, however good."""
    of_vgg = [{**row, "backbone": "vgg15", "name": f"vgg15-{row['name']}"} for row in OF_ALL_METHODS]
    dev = {"baseline": 0.1, "nsl": 0.9}
    of_vgg = [{**row, "dev_uar": dev.get(row["method"], 0.2)} for row in of_vgg]
    run = make_run([*OF_ALL_METHODS, *of_vgg])
    study = load_study([run])
    assert all(is_candidate(name) for name in METHODS if name != "baseline")
    assert not any(map(is_candidate, ("baseline", "transfer (add)")))
    assert len(candidates(study)) == 2 * 6
    # Each backbone has the best of all methods.
    chosen = choose_settings(study)
    assert chosen == {
        "cnn6": Setting("cnn6", "regress", 5.0, 0, "center=none"),
        "vgg15": Setting("vgg15", "nsl", 0.1, 6, "fc2"),
    }
    assert (chosen["vgg15"].method, chosen["vgg15"].n_neighbors, chosen["vgg15"].layer) == ("nsl", 6, "fc2")
    differences, _ = compare(study, chosen, n_resamples=200)
    assert differences.groupby("backbone")["baseline"].apply(list).to_dict() == {
        name: ["baseline", "transfer (add)"] for name in ("cnn6", "vgg15")
    }
    assert differences["difference"].tolist() == pytest.approx([6 / 40, -9 / 40, 4 / 40, -11 / 40])
    report = write([run], tmp_path / "out").read_text()
    assert "- cnn6: regress, alpha 5, center=none\n- vgg15: NSL, alpha 0.1, n 6, fc2" in report
    assert [row["setting"] for row in rows_of(report, "All settings") if row["backbone"] == "cnn6"] == [
        "baseline",
        "transfer (add)",
        "distil, alpha 1",
        "graph, alpha 1, n all",
        "graph, alpha 1, n 3",
        "NSL, alpha 0.1, n 6, fc2",
        "regress, alpha 5",
        "regress, alpha 5, center=none",
    ]


def test_table_3_has_a_row_for_each_method_and_n(make_run, tmp_path):
    report = write([make_run(OF_ALL_METHODS)], tmp_path / "out").read_text()
    rows = [tuple(row.values())[:5] for row in rows_of(report, "Accuracy / UAR")]
    assert rows == [
        ("baseline", "-", "-", "-", "20.0 / 40.0"),
        ("transfer (add)", "-", "-", "-", "49.5 / 99.0"),
        ("distil", "-", "1", "-", "35.0 / 70.0"),
        ("graph", "all", "1", "-", "15.0 / 30.0"),
        ("graph", "3", "1", "-", "10.0 / 20.0"),
        ("NSL", "6", "0.1", "fc2", "30.0 / 60.0"),
        ("regress", "-", "5", "center=none", "40.0 / 80.0"),
    ]


def test_where_test_chooses_all_methods_are_counted(make_run, tmp_path):
    run = make_run([row for row in OF_ALL_METHODS if row["transfer"] == "none"])
    report = write([run], tmp_path / "out", choose="test").read_text()
    assert "- cnn6: regress, alpha 5\n" in report
    (row,) = rows_of(report, "Chosen settings against baselines")
    assert float(row["McNemar p, Holm"]) == pytest.approx(6 * 2 * 0.5**10, abs=6e-4)
    assert "corrected for all comparisons, 6 in the first table and 6 in the second" in report


def test_all_neighbours_are_a_setting_of_their_own(make_run, tmp_path):
    students = [BASELINE, a_student(n=None, dev=0.9, right=30), a_student(n=3, right=25)]
    report = write([make_run(students)], tmp_path / "out").read_text()
    assert "- cnn6: NSL, alpha 0.1, n all, fc2" in report
    assert (tmp_path / "out" / "sensitivity-cnn6.png").exists()


@pytest.mark.parametrize("speaker", ["NA", "None", "null", ""])
def test_a_speaker_may_have_any_name(make_run, tmp_path, speaker):
    results = []
    for name in ("s3", speaker):
        folder = make_run(GRID, name=f"run-{name}")
        for file in folder.rglob("predictions.csv"):
            table = pd.read_csv(file, index_col="file").replace({"speaker": {"s3": name}})
            table.to_csv(file)
        report = write([folder], tmp_path / f"out-{name}").read_text()
        results.append(rows_of(report, "Chosen settings against baselines"))
    assert results[0] == results[1] or speaker == ""


def test_the_correction_counts_every_backbone_and_seed(make_run):
    students = [
        a_student(backbone, alpha, seed=seed, right=right)
        for backbone, gain in (("cnn6", 6), ("vgg15", 8))
        for seed in (0, 1)
        for alpha, right in ((0.0, 10), (0.1, 10 + gain))
    ]
    study = load_study([make_run(students)])
    differences, tests = compare(study, choose_settings(study), n_resamples=200)
    assert len(tests) == 4 and len(differences) == 2
    smallest, largest = 2 * 0.5**8, 2 * 0.5**6
    corrected = tests.set_index(["backbone", "seed"])["mcnemar_p_holm"]
    assert corrected["vgg15"].tolist() == pytest.approx([4 * smallest] * 2)
    assert corrected["cnn6"].tolist() == pytest.approx([2 * largest] * 2)
    assert differences["difference"].tolist() == pytest.approx([6 / 40, 8 / 40])
    assert differences["sd"].tolist() == pytest.approx([0, 0])
    assert (differences["p_holm"] >= differences["p"]).all()


def test_what_test_chose_is_called_no_test_result_anywhere(make_run, tmp_path):
    report = write([make_run(GRID)], tmp_path / "out", choose="test").read_text()
    assert "Chosen by test" in report and "- cnn6: NSL, alpha 1, n 6, fc2" in report
    for heading in ("Accuracy / UAR", "All settings", "Chosen settings against"):
        block = report.partition(f"## {heading}")[2].partition("\n## ")[0]
        captions = re.findall(r"^(.+)\n\n\|", block, re.MULTILINE)
        assert captions and all(SELECTED in caption for caption in captions)
    for tex in (tmp_path / "out").glob("*.tex"):
        assert f"{SELECTED}}}" in tex.read_text(), tex.name
    for heading in ("Accuracy / UAR", "All settings"):
        columns = set(rows_of(report, heading)[0])
        assert any(SELECTED in column for column in columns)
        assert not any(column.endswith((" test", ", test")) for column in columns)
    (row,) = rows_of(report, "Chosen settings against baselines")
    # Both settings were looked at, so both count: the better one of two has twice its p.
    assert float(row["McNemar p, Holm"]) == pytest.approx(2 * 2 * 0.5**10, abs=6e-4)


def test_a_single_setting_is_not_chosen_by_anything(make_run, tmp_path):
    run = make_run(GRID[:2])
    report = write([run], tmp_path / "out", choose="test").read_text()
    assert "there was no choice" in report and SELECTED not in report
    paper = make_run(GRID[:2], "paper", "paper")
    assert "no numbers on dev" in write([paper], tmp_path / "out").read_text()


def test_dev_of_protocol_clean_stands_beside_test_of_protocol_paper(make_run, tmp_path):
    paper = make_run(
        [{**row, "right": row["right"] + 5, "uar": 0.9, "accuracy": 0.7} for row in GRID], "p", "paper"
    )
    clean = make_run(GRID, "c")
    reports = [write(runs, tmp_path / "out").read_text() for runs in ([clean, paper], [paper, clean])]
    rows = rows_of(reports[0], "Accuracy / UAR")
    assert rows == rows_of(reports[1], "Accuracy / UAR")
    assert [(row["method"], row["n"], row["alpha"], row["cnn6 dev"], row["cnn6 test"]) for row in rows] == [
        ("baseline", "-", "-", "20.0 / 40.0", "70.0 / 90.0"),
        ("NSL", "6", "0.1", "40.0 / 80.0", "70.0 / 90.0"),
    ]
    (row,) = rows_of(reports[0], "Chosen settings against baselines")
    assert (row["UAR, baseline"], row["UAR, chosen"]) == ("62.5", "75.0")  # of the predictions of protocol paper
    only_some = make_run([{**BASELINE, "right": 9}], "few", "paper")
    report = write([clean, only_some], tmp_path / "out").read_text()
    assert "No difference for cnn6: its chosen setting has no student of protocol paper" in report


def test_table_3_takes_the_best_setting_of_each_n_over_all_backbones(make_run, tmp_path):
    dev = {("cnn6", 3, 0.1): 0.5, ("cnn6", 3, 1.0): 0.4, ("cnn6", 6, 0.1): 0.1, ("cnn6", 6, 1.0): 0.3}
    dev |= {("vgg15", 3, 0.1): 0.4, ("vgg15", 3, 1.0): 0.8, ("vgg15", 6, 0.1): 0.3, ("vgg15", 6, 1.0): 0.2}
    students = [a_student(backbone, alpha, n, dev=value) for (backbone, n, alpha), value in dev.items()]
    for backbone in ("cnn6", "vgg15"):
        transfers = [a_student(backbone, 0.0, transfer=name, dev=0.2) for name in ("max", "add")]
        students += [a_student(backbone, 0.0, dev=0.2), *transfers]
    study_run = make_run(students)
    rows = rows_of(write([study_run], tmp_path / "out").read_text(), "Accuracy / UAR")
    assert [(row["method"], row["n"], row["alpha"]) for row in rows] == [
        ("baseline", "-", "-"),
        ("transfer (add)", "-", "-"),
        ("transfer (max)", "-", "-"),
        ("NSL", "3", "1"),  # means .45 and .6
        ("NSL", "6", "1"),  # means .2 and .25
    ]
    chosen = choose_settings(load_study([study_run]))
    assert [setting[2:4] for setting in chosen.values()] == [(0.1, 3), (1.0, 3)]
    against = {
        row["against"] for row in rows_of((tmp_path / "out" / "report.md").read_text(), "Chosen settings ag")
    }
    assert against == {"baseline", "transfer (add)", "transfer (max)"}


def test_seeds_are_averaged_with_their_deviation(make_run, tmp_path):
    right, dev = [22, 26, 30], [0.4, 0.6, 0.65]
    nsl = [a_student(seed=seed, dev=dev[seed], right=right[seed]) for seed in range(3)]
    run = make_run([a_student(alpha=0.0, seed=seed, dev=0.4, right=20) for seed in (1, 2)] + nsl)
    report = write([run], tmp_path / "out").read_text()
    row = rows_of(report, "All settings")[1]
    accuracy = 100 * np.array(right) / N_CLIPS
    assert row["UAR, test"] == f"{accuracy.mean():.1f} ± {accuracy.std(ddof=1):.1f}"
    assert row["UAR, dev"] == f"{100 * np.mean(dev):.1f} ± {100 * np.std(dev, ddof=1):.1f}"
    assert row["seeds (dev / test)"] == "3 / 3"
    assert [row["seed"] for row in rows_of(report, "Chosen settings against")] == ["1", "2"]  # those of both


def test_one_speaker_and_few_are_owned_up_to(make_run, tmp_path):
    report = write([make_run(GRID, n_speakers=1)], tmp_path / "out").read_text()
    assert "One test speaker: an interval is not possible." in report and "| one speaker | - | - | 1 |" in report
    report = write([make_run(GRID, "few")], tmp_path / "out").read_text()
    assert "Only 4 test speakers" in report
    report = write([make_run(GRID, "many", n_speakers=20)], tmp_path / "out").read_text()
    assert "coarse" not in report


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"transductive": True}, "transductive"),
        ({"shared_speakers": ["s1"]}, "speakers shared with training"),
        ({"synthetic": True}, "synthetic speech"),
    ],
)
def test_what_limits_a_result_stands_wherever_it_does(make_run, tmp_path, changes, words):
    run = make_run(GRID, **changes)
    report = write([run], tmp_path / "out").read_text()
    assert f"**Numbers on the test clips are: test ({words}).**" in report
    assert f"UAR, test ({words})" in rows_of(report, "All settings")[0]
    assert all(f"test ({words})" in tex.read_text() for tex in (tmp_path / "out").glob("*.tex"))
    report = write([run], tmp_path / "out", choose="test").read_text()
    assert f"{SELECTED} ({words})" in report


def test_like_is_compared_with_like(make_run, tmp_path):
    """Few labels are a condition, not a setting to choose; a student of another method is none of the baselines."""
    few = {"label_fraction": 0.1}
    students = [
        a_student(alpha=0.0, right=20, dev=0.9),
        a_student(alpha=0.1, right=24, dev=0.8),
        a_student(alpha=0.0, right=10, dev=0.1, **few),
        a_student(alpha=0.1, right=12, dev=0.2, **few),
        a_student(method="regress", alpha=5.0, right=16, dev=0.3, **few, center="none"),
    ]
    run = make_run(students)
    chosen = choose_settings(load_study([run]))
    assert chosen["cnn6"][1:3] == ("nsl", 0.1)
    assert chosen["cnn6, label_fraction=0.1"][1:] == ("regress", 5.0, 0, "center=none")
    report = write([run], tmp_path / "out").read_text()
    rows = rows_of(report, "Chosen settings against")
    values = [(row["UAR, baseline"], row["UAR, chosen"], row["only one right"]) for row in rows]
    assert values == [("50.0", "60.0", "0 / 4"), ("25.0", "40.0", "0 / 6")]
    assert (tmp_path / "out" / "confusion-cnn6-label_fraction=0.1.png").exists()


FIELDS = sorted(set(TrainingSettings.model_fields) - {"backbone", *SETTING, "seed", "transfer"})


@pytest.mark.parametrize("name", FIELDS)
def test_students_are_compared_only_where_their_conditions_agree(make_run, name):
    """Of every setting: two values are two baselines, or two settings of a method, or runs of their own."""
    plain = {0.0: a_student(alpha=0.0, right=20), 0.1: a_student(right=24, dev=0.4)}
    role = TrainingSettings.model_fields[name].json_schema_extra["role"]
    if role == "run":
        one, other = make_run(list(plain.values())), {**LENGTH, name: 7}
        two = make_run([{**a_student(alpha=1.0), "training": other}], "other")
        if name not in ("protocol", "precision", "transductive"):
            with pytest.raises(InputError, match=rf"differ in {name} of schedule cosine \({LENGTH[name]} and 7\)"):
                load_study([one, two])
        return
    changed = {0.1: a_student(right=26, dev=0.5, **{name: "x"})}
    if role == "condition":
        changed[0.0] = a_student(alpha=0.0, right=10, **{name: "x"})
    study = load_study([make_run([*plain.values(), *changed.values()])])
    chosen = choose_settings(study)
    found, _ = compare(study, chosen, n_resamples=200)
    differences = found.set_index("backbone")["difference"].to_dict()
    if role == "condition":
        assert differences == pytest.approx({"cnn6": 4 / 40, f"cnn6, {name}=x": 16 / 40})
    else:
        assert chosen == {"cnn6": ("cnn6", "nsl", 0.1, 6, f"fc2, {name}=x")}
        assert differences == pytest.approx({"cnn6": 6 / 40})


def test_conditions_of_all_students_are_said_once(make_run, tmp_path):
    paper = {"schedule": "paper", "keep": "best"}
    students = [a_student(alpha=0.0, **paper), a_student(**paper), a_student(alpha=1.0, **paper, distance="kl")]
    study = load_study([make_run(students)])
    assert study.shared == paper and set(study.students["backbone"]) == {"cnn6"}
    report = write([make_run(students, "again")], tmp_path / "out").read_text()
    assert (
        "All students are trained with keep=best, schedule=paper. Students trained on train. Dev chose the epoch."
        in report
    )
    mixed = write([make_run([*GRID, *students], "mixed")], tmp_path / "mixed").read_text()
    assert "All students are trained" not in mixed and "Where keep=best, dev chose the epoch." in mixed
    assert "dev chose" not in write([make_run(GRID, "last")], tmp_path / "last").read_text().lower()


def test_figures_and_tables_are_written(make_run, tmp_path):
    out = tmp_path / "deep" / "out"
    students = [BASELINE] + [
        a_student(alpha=alpha, n=n, layer=layer) for alpha in (0.1, 1) for n in (3, 6) for layer in ("fc1", "fc2")
    ]
    report = write([make_run(students)], out).read_text()
    names = {path.name for path in out.iterdir()}
    tables = {f"{name}.tex" for name in ("table3", "settings", "differences", "tests")}
    figures = {"sensitivity-cnn6.png", "confusion-cnn6.png"}
    assert names == {"report.md", "students.csv", *tables, *figures}
    for figure in figures:
        assert f"]({figure})" in report
        pixels = np.asarray(Image.open(out / figure).convert("L"))
        assert pixels.shape[0] > 400 and pixels.std() > 10
    stored = pd.read_csv(out / "students.csv")
    assert stored["uar"].tolist() == [row["uar"] for row in students]
    for tex in tables:
        text = (out / tex).read_text()
        assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
        body = text.partition(r"\toprule")[2].partition(r"\bottomrule")[0]
        assert len({line.count("&") for line in body.splitlines() if "&" in line}) == 1


def test_a_report_repeats(make_run, tmp_path):
    run = make_run(GRID)
    first = write([run], tmp_path / "a").read_text()
    assert write([run], tmp_path / "b").read_text() == first


def test_a_grid_of_baselines_is_a_table_only(make_run, tmp_path):
    report = write([make_run([BASELINE])], tmp_path / "out").read_text()
    assert "No student but baselines." in report and "Nothing to compare." in report
    assert not list((tmp_path / "out").glob("*.png"))


def test_runs_that_cannot_share_a_table_are_refused(make_run, tmp_path):
    run = make_run(GRID)
    cases = [
        ({"data_hash": "fedcba9876543210"}, r"differ in clips, labels.*01234567 and fedcba98.*upstream\.model="),
        (
            {"recipe": recipe_values(load_recipe("paper", {"graph.epsilon": 0.9}))},
            r"differ in graph\.epsilon \(0\.99",
        ),
        ({"recipe": recipe_values(load_recipe("paper", {"folds": 3}))}, r"differ in folds \(None and 3\)"),
        (
            {"recipe": {**recipe_values(load_recipe("paper")), "dev_speakers": 1}},
            r"differ in dev_speakers \(None and 1",
        ),
        ({"recipe": recipe_values(load_recipe("paper", {"features.n_mels": 40}))}, r"differ in features\.n_mels"),
    ]
    for number, (changes, words) in enumerate(cases):
        other = make_run(GRID, f"other{number}", "paper", **changes)
        with pytest.raises(InputError, match=words) as raised:
            write([run, other], tmp_path / "out")
        assert "\n" not in str(raised.value)
    scope = recipe_values(load_recipe("paper", {"protocol": "paper", "graph.scope": "train+dev"}))
    write([run, make_run(GRID, "fine", "paper", recipe=scope)], tmp_path / "out")


def test_mistakes_are_one_line(make_run, tmp_path):
    run, out = make_run(GRID), tmp_path / "out"
    paper = make_run(GRID, "paper", "paper")
    (tmp_path / "file").write_text("")
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    cases = [
        (([], out), {}, "No run to report"),
        (([unfinished], out), {}, "unfinished is not a finished run"),
        (([run, run], out), {}, "The same student twice"),
        (([make_run([*GRID, {**GRID[1], "name": "another"}], "twice")], out), {}, "twice.*another; give one"),
        (([run], tmp_path / "file"), {}, "is a file"),
        (([run], out), {"choose": "train"}, r"Bad split to choose by 'train', expected one of \['dev', 'test'\]"),
        (([run], out), {"metric": "f1"}, "Bad metric 'f1'"),
        (([paper], out), {}, "2 settings of cnn6 and no number on dev.*--choose test"),
    ]
    for arguments, options, words in cases:
        with pytest.raises(InputError, match=words) as raised:
            write(*arguments, **options)
        assert "\n" not in str(raised.value) and not out.exists()
    results = json.loads((run / "results.json").read_text())
    (run / "students" / results["students"][1]["name"] / "predictions.csv").unlink()
    with pytest.raises(InputError, match=r"No file .*predictions\.csv"):
        write([run], out)


def test_a_setting_that_test_chose_in_an_earlier_run_is_no_test_result(make_run, tmp_path):
    students = [a_student(alpha=0.0), a_student()]
    recipe = recipe_values(load_recipe("paper"))
    for split in ("dev", "test"):
        run = make_run(students, name=split, recipe={**recipe, "chosen_by": split})
        text = write_report([run], tmp_path / f"report-{split}", n_resamples=200).read_text()
        assert (SELECTED in text) == (split == "test")
