"""Stored runs -> one table of students, the chosen setting, and its tests against the baseline."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ser_graph.common.files import read_json
from ser_graph.common.settings import names_of, without_effect_on
from ser_graph.downstream import TrainingSettings
from ser_graph.errors import InputError, bad_value
from ser_graph.evaluation.metrics import point_scores, read_predictions
from ser_graph.evaluation.significance import (
    METRICS,
    bootstrap_difference,
    holm,
    mcnemar,
    two_proportion_z,
)

BASELINE, NSL = "baseline", "nsl"
TEST_SELECTED = "test-selected, not a test result"
FEW_SPEAKERS = 10
_LENGTH = ("epochs", "epoch_steps", "batch_size")  # length of a training, equal for all students of a schedule


class Setting(NamedTuple):
    """The differences between students other than the seed, in words; see `Study.students`."""

    backbone: str
    method: str
    alpha: float
    n_neighbors: float
    layer: str


SETTING = list(Setting._fields)


class Comparison(NamedTuple):
    """Result of `compare`. Both tables have the columns of `SETTING`, `baseline` and `chosen`.

    Their columns `..._holm` are corrected over the rows.

    Attributes:
        differences: one row per setting and baseline, as means over seeds: `seeds`, `difference`, `sd` (over
            seeds), `low`, `high`, `p`, `p_holm`, `speakers`.
        tests: one row per seed: `baseline_value`, `value`, `only_baseline`, `only_candidate`, `mcnemar_p`,
            `mcnemar_p_holm`, `z`, `z_p`, `z_p_holm`.
    """

    differences: pd.DataFrame
    tests: pd.DataFrame


@dataclass(frozen=True)
class Study:
    """Students of one or more runs on the same data.

    With runs of both protocols, numbers on dev come from the students of protocol clean (trained on train), and
    numbers on test from those of protocol paper (trained on train + dev).

    Attributes:
        runs: the content of each `results.json`, with its `folder`.
        students: one row per student: `folder`, `protocol`, `name`, the columns of `SETTING`, `seed`,
            `dev_accuracy`, `dev_uar` (NaN in protocol paper), and the metrics on test. `backbone` also contains the
            conditions of the training of a student and its baselines (``"cnn6, label_fraction=0.1"``), `layer` the
            other settings of its method. `n_neighbors` is 0 if the method uses all neighbours or none.
        shared: the conditions that all students share and that are not the default.
    """

    runs: list[dict[str, Any]]
    students: pd.DataFrame
    shared: dict[str, Any]

    @property
    def dev_students(self) -> pd.DataFrame:
        """The students that give the numbers on dev."""
        return self.students[self.students["protocol"] == "clean"]

    @property
    def test_students(self) -> pd.DataFrame:
        """The students that give the numbers on test."""
        return self.students[self.students["protocol"] == self.test_protocol]

    @property
    def test_protocol(self) -> str:
        """The protocol of the students that give the numbers on test."""
        return "paper" if "paper" in set(self.students["protocol"]) else "clean"

    @property
    def caveats(self) -> list[str]:
        """Warnings that belong to every number on test, a few words each."""
        found = {
            "transductive": any(run["transductive"] for run in self.runs),
            "speakers shared with training": any(run["shared_speakers"] for run in self.runs),
            "synthetic speech": any(run["synthetic"] for run in self.runs),
        }
        return [name for name, holds in found.items() if holds]

    @cached_property
    def settings(self) -> pd.DataFrame:
        """Mean and deviation over seeds, one row per setting, baselines first; the index is `SETTING`.

        Columns: `dev_accuracy`, `dev_uar`, `test_accuracy`, `test_uar`, each with its `..._sd` (NaN for one
        seed), `dev_seeds` and `test_seeds`.
        """
        parts = []
        for split, rows in (("dev", self.dev_students), ("test", self.test_students)):
            groups = rows.groupby(SETTING)
            prefix = "dev_" if split == "dev" else ""
            for metric in METRICS:
                values = groups[f"{prefix}{metric}"]
                parts += [values.mean().rename(f"{split}_{metric}"), values.std().rename(f"{split}_{metric}_sd")]
            parts.append(groups[f"{prefix}uar"].count().rename(f"{split}_seeds"))
        table = pd.concat(parts, axis=1)
        table[["dev_seeds", "test_seeds"]] = table[["dev_seeds", "test_seeds"]].fillna(0).astype(int)
        return table.sort_index(key=_baselines_first)

    def predictions(self, setting: Setting, seed: int, split: str = "test") -> pd.DataFrame:
        """The predictions of the student of a setting and a seed for the clips of dev or test."""
        students = self.test_students if split == "test" else self.dev_students
        folder = students.set_index([*SETTING, "seed"])["folder"].to_dict()[*setting, seed]
        file = Path(folder) / ("predictions.csv" if split == "test" else "dev_predictions.csv")
        if not file.exists():
            raise InputError(f"No file {file}; run the recipe again to write it")
        return read_predictions(file)

    def seeds(self, setting: Setting) -> list[int]:
        """The seeds of a setting, among the students that give the numbers on test."""
        rows = self.test_students.set_index(SETTING)["seed"]
        return sorted(rows[rows.index == setting].tolist())


def load_study(runs: Sequence[str | Path]) -> Study:
    """Read the numbers of stored runs.

    Raises:
        InputError: a folder without a finished run; runs with different data or training; or the same student in
            two runs.
    """
    if not runs:
        raise InputError("No run to report, expected at least one run folder")
    loaded = [_load(Path(run).expanduser()) for run in runs]
    for other in loaded[1:]:
        _check_alike(loaded[0], other)
    shared = _shared_conditions([student for run in loaded for student in run["students"]])
    students = pd.DataFrame([row for run in loaded for row in _students(run, set(shared))])
    identity = ["protocol", *SETTING, "seed"]
    twice = students[students.duplicated(identity)]
    if len(twice):
        same = (students[identity] == twice[identity].iloc[0]).all(axis=1)
        both = students.loc[same, "folder"]
        raise InputError(f"The same student twice: {' and '.join(map(str, both))}; give one of the runs only")
    return Study(loaded, students, shared)


def choose_settings(study: Study, choose: str = "dev", metric: str = "uar") -> dict[str, Setting]:
    """For each backbone, the setting of any method with the best mean over seeds on a split.

    Args:
        study: the runs.
        choose: ``"dev"``, or ``"test"``, as the paper did; numbers on test are then no test results.
        metric: ``"uar"`` or ``"accuracy"``.

    Raises:
        InputError: a bad name, or several settings and no number on dev to choose by.
    """
    if choose not in ("dev", "test"):
        raise bad_value("split to choose by", choose, ["dev", "test"])
    if metric not in METRICS:
        raise bad_value("metric", metric, METRICS)
    chosen: dict[str, Setting] = {}
    for backbone, rows in candidates(study).groupby("backbone"):
        values = rows[f"{choose}_{metric}"]
        if len(rows) > 1 and values.isna().all():
            raise InputError(
                f"{len(rows)} settings of {backbone} and no number on {choose} to choose by: protocol paper "
                "trains on dev; add a run of protocol clean, or give --choose test, which gives no test result"
            )
        chosen[str(backbone)] = settings_in(rows)[int(values.fillna(-1).to_numpy().argmax())]
    return chosen


def is_test_selected(study: Study, choose: str) -> bool:
    """Whether test chose a setting, here or in an earlier run that the recipe names.

    If no backbone has more than one setting, test did not choose here.
    """
    if any(run["recipe"].get("chosen_by") == "test" for run in study.runs):
        return True
    return choose == "test" and bool((candidates(study).groupby("backbone").size() > 1).any())


def compare(
    study: Study,
    chosen: dict[str, Setting],
    metric: str = "uar",
    *,
    all_settings: bool = False,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare chosen students with the baselines of their backbone, on the same seeds and test clips.

    Args:
        study: the runs.
        chosen: result of `choose_settings`; may be empty with `all_settings`.
        metric: ``"uar"`` or ``"accuracy"``; McNemar's test always counts correct clips.
        all_settings: compare all settings. Use it if test chose among them: then the correction must count all.
        n_resamples: number of bootstrap resamples.
        seed: random seed of the bootstrap.

    """
    differences, tests = [], []
    settings = settings_in(candidates(study)) if all_settings else list(chosen.values())
    for setting in settings:
        for baseline in settings_in(study.settings):
            if baseline.backbone != setting.backbone or is_candidate(baseline.method):
                continue
            seeds = sorted({*study.seeds(setting)} & {*study.seeds(baseline)})
            if not seeds:
                continue
            names = {
                **setting._asdict(),
                "baseline": baseline.method,
                "chosen": chosen.get(setting.backbone) == setting,
            }
            pairs = [(study.predictions(baseline, one), study.predictions(setting, one)) for one in seeds]
            rows = [{**names, "seed": one, **_test(*pair, metric)} for one, pair in zip(seeds, pairs, strict=True)]
            tests += rows
            before, after = ([pair[side] for pair in pairs] for side in (0, 1))
            found = bootstrap_difference(before, after, metric, n_resamples=n_resamples, seed=seed)
            differences.append(
                {
                    **names,
                    "seeds": len(seeds),
                    "difference": found.difference,
                    "sd": pd.Series([row["value"] - row["baseline_value"] for row in rows]).std(),
                    "low": found.low,
                    "high": found.high,
                    "p": found.p_value,
                    "speakers": found.n_speakers,
                }
            )
    tables = Comparison(pd.DataFrame(differences), pd.DataFrame(tests))
    for table, columns in zip(tables, (["p"], ["mcnemar_p", "z_p"]), strict=True):
        for column in columns if len(table) else []:
            table[f"{column}_holm"] = holm(table[column].to_numpy())
    return tables


def _test(baseline: pd.DataFrame, candidate: pd.DataFrame, metric: str) -> dict[str, Any]:
    """One pair of students: their values, and the two tests that assume independent clips."""
    n = int(baseline["emotion"].notna().sum())
    before, after = (point_scores(table)[metric] for table in (baseline, candidate))
    counts, z_test = mcnemar(baseline, candidate), two_proportion_z(before * n, n, after * n, n)
    return {
        "n_test": n,
        "baseline_value": before,
        "value": after,
        "only_baseline": counts.only_a,
        "only_candidate": counts.only_b,
        "mcnemar_p": counts.p_value,
        "z": z_test.z,
        "z_p": z_test.p_value,
    }


def is_candidate(method: str) -> bool:
    """Whether a method is compared with the baselines; transfer is a baseline."""
    return method != BASELINE and not method.startswith("transfer")


def _baselines_first(level: pd.Index) -> pd.Index:
    return level.map(lambda name: f"{is_candidate(name)} {name}") if level.name == "method" else level


def settings_in(table: pd.DataFrame) -> list[Setting]:
    """The index of a table like `Study.settings`, in its order."""
    return [Setting(*key) for key in table.index]


def candidates(study: Study) -> pd.DataFrame:
    """The rows of `Study.settings` that are not baselines."""
    return study.settings[[is_candidate(setting.method) for setting in settings_in(study.settings)]]


def _load(folder: Path) -> dict[str, Any]:
    if not (folder / "results.json").exists():
        raise InputError(
            f"{folder} is not a finished run; expected results.json in it. `ser-graph run` makes a run, and "
            "resumes an interrupted run"
        )
    return {**read_json(folder / "results.json"), "folder": folder}


def _check_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Refuse to compare runs with different clips or different training."""
    if one["data_hash"] != other["data_hash"]:
        raise InputError(
            f"{one['folder']} and {other['folder']} differ in clips, labels, splits or embeddings (data hashes "
            f"{one['data_hash'][:8]} and {other['data_hash'][:8]}) and cannot share a table; report each alone, or "
            f"run one again with --set upstream.model={one['folder']}/upstream --set upstream.finetune=false"
        )
    made, made_other = _made_with(one), _made_with(other)
    for key in made:
        if key in made_other and made[key] != made_other[key]:
            raise InputError(
                f"{one['folder']} and {other['folder']} differ in {key} ({made[key]!r} and {made_other[key]!r}) "
                "and cannot share a table; report each alone"
            )


def _made_with(run: dict[str, Any]) -> dict[str, Any]:
    """The settings that all students of a run share, so that only `SETTING` differs within a table."""
    recipe = run["recipe"]
    lengths = {
        f"{name} of schedule {student['further'].get('schedule', 'cosine')}": student["training"][name]
        for student in run["students"]
        for name in _LENGTH
    }
    return {
        **{key: recipe.get(key) for key in ("folds", "dev_speakers")},
        **{f"features.{key}": value for key, value in recipe["features"].items()},
        **{f"graph.{key}": value for key, value in recipe["graph"].items() if key not in ("n_neighbors", "scope")},
        **lengths,
    }


def _shared_conditions(students: list[dict[str, Any]]) -> dict[str, Any]:
    """The conditions that all students share and that are not the default, if they also concern baselines."""
    common = set.intersection(*(set(student["further"].items()) for student in students))
    return {name: value for name, value in sorted(common) if name in names_of(TrainingSettings, "condition")}


def _students(run: dict[str, Any], shared: set[str]) -> list[dict[str, Any]]:
    """One row per student of a run; conditions that all students share are left out."""
    of_baselines, rows = names_of(TrainingSettings, "condition"), []
    for student in run["students"]:
        folder = run["folder"] / "students" / student["name"]
        further, transfer = student["further"], student["transfer"]
        conditions = [f"{key}={value}" for key, value in further.items() if key in of_baselines - shared]
        terms = [f"{key}={value}" for key, value in further.items() if key not in of_baselines]
        unused = without_effect_on(TrainingSettings, student["method"])
        method = student["method"] if transfer == "none" else f"transfer ({transfer})"
        layer = ", ".join([*([] if "layer" in unused else [student["layer"]]), *terms]) or "-"
        n_neighbors = 0 if "n_neighbors" in unused else student["n_neighbors"] or 0
        backbone = ", ".join([student["backbone"], *conditions])
        shown = {"backbone": backbone, "method": method, "n_neighbors": n_neighbors, "layer": layer}
        rows.append({"folder": folder, "protocol": run["protocol"], **student, **shown})
    return [{"dev_accuracy": math.nan, "dev_uar": math.nan, **row} for row in rows]
