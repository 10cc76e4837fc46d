"""The report of a study: stored runs -> Markdown, LaTeX and PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ser_graph.common.csv_files import write_csv
from ser_graph.common.files import atomic_file
from ser_graph.common.settings import without_effect_on
from ser_graph.downstream import TrainingSettings
from ser_graph.errors import InputError
from ser_graph.evaluation.figures import plot_confusion_matrix, plot_sensitivity
from ser_graph.evaluation.folds import compare_fold_choices
from ser_graph.evaluation.metrics import confusion_matrix
from ser_graph.evaluation.study import (
    FEW_SPEAKERS,
    NSL,
    SETTING,
    TEST_SELECTED,
    Setting,
    Study,
    candidates,
    choose_settings,
    compare,
    is_candidate,
    is_test_selected,
    load_study,
    settings_in,
)
from ser_graph.evaluation.tables import latex_table, markdown_table, mean_and_deviation

_NAMES = {"uar": "UAR", "accuracy": "accuracy"}


def write_report(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    choose: str = "dev",
    metric: str = "uar",
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Path:
    """Write tables, figures and significance tests of one or more stored runs of a recipe.

    The runs must use the same data. A run of protocol clean has dev and test numbers. If a run of protocol paper is
    given too, the test numbers come from that run, as in the paper's Table 3: dev from students trained on train,
    test from students trained on train and dev.

    Args:
        runs: run folders, see `ser_graph.run`.
        out: folder for `report.md`, `students.csv`, a `.tex` for each table and a `.png` for each figure. Files
            with these names are replaced.
        choose: the split that chooses a setting: ``"dev"``, or ``"test"`` as in the paper. With ``"test"``, the
            report calls the numbers on test test-selected, and not test results.
        metric: the metric that chooses a setting and that the tables compare: ``"uar"`` or ``"accuracy"``.
        n_resamples: number of bootstrap resamples.
        seed: random seed of the bootstrap.

    Returns:
        The path of `report.md`.

    Raises:
        InputError: no finished run; runs with different data; or no number to choose a setting by.
    """
    out = Path(out).expanduser()
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file, expected a folder for the report")
    study = load_study(runs)
    chosen = choose_settings(study, choose, metric)
    selected = is_test_selected(study, choose)
    test = _test_name(study, selected)
    differences, tests = compare(study, chosen, metric, all_settings=selected, n_resamples=n_resamples, seed=seed)
    figures = {
        **{f"sensitivity-{_slug(name)}": _sensitivity(study, name, metric, test) for name in chosen},
        **{f"confusion-{_slug(name)}": _confusion(study, name, setting, test) for name, setting in chosen.items()},
    }
    by_fold = compare_fold_choices(study, metric, n_resamples=n_resamples, seed=seed)
    tables = {
        "table3": (_table3(study, choose, metric, test), f"Accuracy / UAR in %, dev and {test}"),
        "settings": (
            _settings(study, chosen, test),
            f"All settings, in %: mean ± deviation over seeds, dev and {test}",
        ),
        "differences": (
            _differences(differences),
            f"Chosen settings against baselines, {_NAMES[metric]} in percentage points, {test}",
        ),
        "tests": (
            _tests(tests, metric),
            f"Chosen students against baselines one by one, {_NAMES[metric]} in %, {test}",
        ),
    }
    if len(by_fold):
        tables["folds"] = (
            _by_fold(by_fold, metric),
            f"Settings chosen fold by fold, on the fold's own dev speakers, against the baseline, in %, {test}",
        )
    for name, (table, caption) in tables.items():
        _write(out / f"{name}.tex", latex_table(table, caption, f"tab:{name}") + "\n")
    drawn = []
    for name, figure in figures.items():
        if figure is not None:
            with atomic_file(out / f"{name}.png") as part:
                figure.savefig(part, format="png")
            drawn.append(name)
    with atomic_file(out / "students.csv") as part:
        write_csv(study.students, part, index=False)
    text = {name: f"{caption}.\n\n{markdown_table(table)}" for name, (table, caption) in tables.items()}
    n_compared = {"differences": len(differences), "tests": len(tests)}
    _write(out / "report.md", _markdown(study, chosen, choose, metric, test, text, drawn, n_compared))
    return out / "report.md"


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as part:
        part.write_text(text, "utf-8")


def _test_name(study: Study, selected: bool) -> str:
    """The name of the numbers on the test clips in the report, with the warnings that belong to them."""
    caveats = f" ({', '.join(study.caveats)})" if study.caveats else ""
    return (TEST_SELECTED if selected else "test") + caveats


def _table3(study: Study, choose: str, metric: str, test: str) -> pd.DataFrame:
    """The paper's Table 3: baselines, and for each method and n the best alpha and layer over all backbones."""
    settings = study.settings
    column = f"{choose}_{metric}"
    means: dict[Any, float] = settings.groupby(SETTING[1:], sort=False)[column].mean().fillna(-1).to_dict()
    rows = [key for key in means if not is_candidate(key[0])]
    groups: dict[Any, list[Any]] = {}
    for key in means:
        if is_candidate(key[0]):
            groups.setdefault((key[0], key[2]), []).append(key)
    rows += [max(groups[group], key=means.__getitem__) for group in sorted(groups)]
    table, values = [], settings.to_dict("index")
    for method, alpha, n, layer in rows:
        row = {
            "method": _method(method),
            "n": _neighbours(method, n) or "-",
            "alpha": f"{alpha:g}" if is_candidate(method) else "-",
            "layer": layer,
        }
        for backbone in dict.fromkeys(settings.index.get_level_values("backbone")):
            student = values.get((backbone, method, alpha, n, layer))
            row[f"{backbone} dev"] = _both(student, "dev")
            row[f"{backbone} {test}"] = _both(student, "test")
        table.append(row)
    return pd.DataFrame(table)


def _settings(study: Study, chosen: dict[str, Setting], test: str) -> pd.DataFrame:
    rows = []
    for setting, values in zip(settings_in(study.settings), study.settings.to_dict("records"), strict=True):
        columns = {"backbone": setting.backbone, "setting": _words(setting)}
        for split, name in (("dev", "dev"), ("test", test)):
            for metric, word in _NAMES.items():
                columns[f"{word}, {name}"] = mean_and_deviation(
                    values[f"{split}_{metric}"], values[f"{split}_{metric}_sd"]
                )
        columns["seeds (dev / test)"] = f"{values['dev_seeds']:.0f} / {values['test_seeds']:.0f}"
        columns["chosen"] = "chosen" if setting in chosen.values() else ""
        rows.append(columns)
    return pd.DataFrame(rows)


def _differences(table: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {
            "backbone": row["backbone"],
            "setting": _words(Setting(*(row[key] for key in SETTING))),
            "against": row["baseline"],
            "seeds": row["seeds"],
            "difference": mean_and_deviation(row["difference"], row["sd"]),
            "95 %, speakers drawn": "one speaker"
            if pd.isna(row["low"])
            else f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}",
            "p": _p(row["p"]),
            "p, Holm": _p(row["p_holm"]),
            "speakers": row["speakers"],
        }
        for row in _rows_of_chosen(table)
    ]
    return pd.DataFrame(rows, columns=None if rows else ["backbone", "setting", "against", "difference", "p"])


def _by_fold(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    word = _NAMES[metric]
    return pd.DataFrame(
        [
            {
                "backbone": row["backbone"],
                "chosen": "; ".join(
                    f"{_words(setting)} ({row['choices'].count(setting)} folds)"
                    for setting in dict.fromkeys(row["choices"])
                ),
                "seeds": row["seeds"],
                f"{word}, baseline": f"{100 * row['baseline_value']:.1f}",
                f"{word}, chosen": f"{100 * row['value']:.1f}",
                "difference": f"{100 * row['difference']:+.1f}",
                "95 %, speakers drawn": f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}",
                "p": _p(row["p"]),
                "speakers": row["speakers"],
            }
            for row in table.to_dict("records")
        ]
    )


def _tests(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    word = _NAMES[metric]
    rows = [
        {
            "backbone": row["backbone"],
            "against": row["baseline"],
            "seed": row["seed"],
            f"{word}, baseline": f"{100 * row['baseline_value']:.1f}",
            f"{word}, chosen": f"{100 * row['value']:.1f}",
            "only one right": f"{row['only_baseline']} / {row['only_candidate']}",
            "McNemar p": _p(row["mcnemar_p"]),
            "McNemar p, Holm": _p(row["mcnemar_p_holm"]),
            "z": f"{row['z']:.2f}",
            "z-test p": _p(row["z_p"]),
            "z-test p, Holm": _p(row["z_p_holm"]),
        }
        for row in _rows_of_chosen(table)
    ]
    return pd.DataFrame(rows, columns=None if rows else ["backbone", "against", "seed", "McNemar p", "z-test p"])


def _rows_of_chosen(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table[table["chosen"]].to_dict("records") if len(table) else []


def _sensitivity(study: Study, backbone: str, metric: str, test: str) -> Figure | None:
    """The paper's Figure 2 for the neighbour loss: a row per split, a column per layer; None for one setting."""
    settings = study.settings.loc[backbone].reset_index()
    nsl = settings[settings["method"] == NSL]
    splits = [split for split in ("dev", "test") if nsl[f"{split}_{metric}"].notna().any()]
    layers = sorted(set(nsl["layer"]))
    if len(nsl) < 2 or not splits:
        return None
    figure = Figure(figsize=(4.2 * len(layers), 3.2 * len(splits) + 0.4), layout="constrained", dpi=150)
    grid = figure.subplots(len(splits), len(layers), squeeze=False, sharey="row")
    for split, axes in zip(splits, grid, strict=True):
        baseline = settings.loc[settings["method"] == "baseline", f"{split}_{metric}"]
        for layer, ax in zip(layers, axes, strict=True):
            values = nsl[nsl["layer"] == layer].rename(
                columns={f"{split}_{metric}": "mean", f"{split}_{metric}_sd": "sd"}
            )
            name = "dev" if split == "dev" else test
            plot_sensitivity(values, ax, baseline.iloc[0] if len(baseline) else None, f"{layer}, {name}")
        axes[0].set_ylabel(_NAMES[metric])
    figure.suptitle(backbone)
    return figure


def _confusion(study: Study, backbone: str, setting: Setting, test: str) -> Figure | None:
    """The paper's Figure 3, beside that of the baseline; clips of all seeds together."""
    keys = settings_in(study.settings)
    rows = [key for key in keys if key.backbone == backbone and key.method == "baseline"] + [setting]
    predictions = {key: [study.predictions(key, seed) for seed in study.seeds(key)] for key in rows}
    predictions = {key: tables for key, tables in predictions.items() if tables}
    if not predictions:
        return None
    figure = Figure(figsize=(5.6 * len(predictions), 5.2), layout="constrained", dpi=150)
    axes = figure.subplots(1, len(predictions), squeeze=False)[0]
    for (key, tables), ax in zip(predictions.items(), axes, strict=True):
        seeds = f"{len(tables)} seed{'s' if len(tables) > 1 else ''}"
        plot_confusion_matrix(confusion_matrix(pd.concat(tables)), ax, f"{_words(key)}, {seeds}")
    figure.suptitle(f"{backbone}, {test}")
    return figure


def _markdown(
    study: Study,
    chosen: dict[str, Setting],
    choose: str,
    metric: str,
    test: str,
    tables: dict[str, str],
    drawn: list[str],
    n_compared: dict[str, int],
) -> str:
    runs = pd.DataFrame(
        [
            {
                "run": run["folder"],
                "title": run["title"],
                "protocol": run["protocol"],
                "students": len(run["students"]),
                "test clips": f"{run['n_test']:,}",
                "test speakers": run["n_test_speakers"],
                "data": run["data_hash"][:8],
            }
            for run in study.runs
        ]
    )
    choices = [f"- {name}: {_words(setting)}" for name, setting in chosen.items()]
    parts = [
        f"# Report: {', '.join(dict.fromkeys(run['name'] for run in study.runs))}",
        *[f"**{warning}**" for warning in _warnings(study, test)],
        "## Runs",
        markdown_table(runs),
        _how_trained(study),
        "## Chosen settings",
        "\n".join([f"{_how_chosen(study, choose, metric)}\n", *choices])
        if choices
        else "No student but baselines.",
        "## Accuracy / UAR (the paper's Table 3)",
        tables["table3"],
        _TABLE3_NOTE,
        "## All settings",
        tables["settings"],
        "## Chosen settings against baselines",
        tables["differences"] if chosen else "Nothing to compare.",
        tables["tests"] if chosen else "",
        _TESTS_NOTE.format(**n_compared) if n_compared["tests"] else "",
        f"## Chosen fold by fold\n\n{tables['folds']}" if "folds" in tables else "",
        *[f"No difference for {name}: {why}." for name, why in _not_compared(study, chosen).items()],
        "## Figures",
        *[f"![{name}]({name}.png)" for name in drawn],
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_TABLE3_NOTE = (
    "For each method and n, the table shows the alpha and layer with the best mean over backbones and seeds on the "
    "split that chooses. The dev number is that of the epoch kept. UAR is the mean recall over the classes. The "
    "published table averages recalls within batches of 16, which gives about 9 % less: to compare with it, use "
    "`uar_batchwise` of `students.csv`. Transfer baselines need the upstream for every clip and cannot run on a "
    "device."
)
_TESTS_NOTE = (
    "Difference: the mean over seeds, ± the deviation over seeds. The interval and its two-sided p draw whole "
    "speakers, the same for both students; they do not include the variation over seeds. McNemar's exact test "
    "(two-sided) and the paper's pooled z-test (one-tailed, with the metric as a share of the clips) assume that "
    "clips are independent, but clips of a speaker are not. The z-test also assumes that the results of the two "
    "students are independent. Holm: corrected for all comparisons, {differences} in the first table and {tests} "
    "in the second."
)


def _warnings(study: Study, test: str) -> list[str]:
    warnings = []
    if test != "test":
        warnings.append(f"Numbers on the test clips are: {test}.")
    n_speakers = min(run["n_test_speakers"] for run in study.runs)
    if n_speakers == 1:
        warnings.append("One test speaker: an interval is not possible.")
    elif n_speakers < FEW_SPEAKERS:
        warnings.append(f"Only {n_speakers} test speakers: intervals and p-values that draw speakers are coarse.")
    return warnings


def _how_trained(study: Study) -> str:
    lines = [f"All students are trained with {_listed(study.shared)}." if study.shared else ""]
    if set(study.students["protocol"]) == {"clean", "paper"}:
        lines.append("Dev: students trained on train. Test: students trained on train + dev (protocol paper).")
    elif study.test_protocol == "paper":
        lines.append("Students trained on train + dev (protocol paper): there are no numbers on dev.")
    else:
        lines.append("Students trained on train.")
    by_dev = [row.get("keep") == "best" for row in study.dev_students["further"]]
    if any(by_dev):
        lines.append("Dev chose the epoch." if all(by_dev) else "Where keep=best, dev chose the epoch.")
    return " ".join(line for line in lines if line)


def _listed(values: dict[str, Any]) -> str:
    """Settings in the form of students' names."""
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _how_chosen(study: Study, choose: str, metric: str) -> str:
    most = candidates(study).groupby("backbone").size().max()
    if most == 1:
        return "Each backbone has only one setting beside its baselines: there was no choice."
    rule = f"the best mean {_NAMES[metric]} over seeds on {choose}, among up to {most} settings of a backbone"
    return f"Chosen by {choose}: {rule}." + (f" All numbers below are {TEST_SELECTED}." if choose == "test" else "")


def _not_compared(study: Study, chosen: dict[str, Setting]) -> dict[str, str]:
    missing = {}
    for backbone, setting in chosen.items():
        baselines = [
            key for key in settings_in(study.settings) if key.backbone == backbone and not is_candidate(key.method)
        ]
        if not study.seeds(setting):
            missing[backbone] = f"its chosen setting has no student of protocol {study.test_protocol}"
        elif not any({*study.seeds(setting)} & {*study.seeds(key)} for key in baselines):
            missing[backbone] = "no baseline of the same seed"
    return missing


def _slug(backbone: str) -> str:
    return backbone.replace(", ", "-")


def _words(setting: Setting) -> str:
    """A setting in words, without its backbone."""
    _, method, alpha, n, layer = setting
    if not is_candidate(method):
        return method
    neighbours = _neighbours(method, n)
    parts = [_method(method), f"alpha {alpha:g}", f"n {neighbours}" if neighbours else "", layer]
    return ", ".join(part for part in parts if part not in ("", "-"))


def _method(method: str) -> str:
    """The name of a method in words."""
    return "NSL" if method == NSL else method


def _neighbours(method: str, n: float) -> str:
    """The number of neighbours that a method uses, in words; empty if it uses none."""
    if "n_neighbors" in without_effect_on(TrainingSettings, method):
        return ""
    return f"{n:g}" if n else "all"


def _both(values: dict[Any, Any] | None, split: str) -> str:
    if values is None or pd.isna(values[f"{split}_uar"]):
        return "-"
    return " / ".join(
        mean_and_deviation(values[f"{split}_{metric}"], values[f"{split}_{metric}_sd"])
        for metric in ("accuracy", "uar")
    )


def _p(value: float) -> str:
    if pd.isna(value):
        return "-"
    return f"{value:.1g}" if value < 0.001 else f"{value:.3f}"
