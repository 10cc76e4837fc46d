"""The verdict of a run: which method helped, by how much, and what the graph says about it."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

import pandas as pd

from ser_graph.evaluation.study import (
    BASELINE,
    FEW_SPEAKERS,
    Setting,
    Study,
    compare,
    is_candidate,
    load_study,
    settings_in,
)
from ser_graph.evaluation.tables import mean_and_deviation

_LABELS_ALONE = "labels alone"


def verdict(run: str | Path, *, n_resamples: int = 2_000, seed: int = 0) -> str:
    """What the students of a finished run show, as plain text of at most 110 columns.

    Each method is compared with labels alone, on the same test clips, in the mean over the random seeds. A method
    *helps* if the 95 % interval of its difference is above zero (`bootstrap_difference`: whole speakers are drawn);
    the p-values are corrected for the number of methods (`holm`).

    Args:
        run: the run folder.
        n_resamples: number of bootstrap resamples.
        seed: random seed of the bootstrap.

    Returns:
        A table with one row per setting, a sentence for each method, and the first sentence of the graph card if
        a method uses the graph. Empty if the run has no method or no baseline to compare with.

    Raises:
        InputError: no finished run.
    """
    study = load_study([run])
    if len({is_candidate(setting.method) for setting in settings_in(study.settings)}) < 2:
        return ""
    found = compare(study, {}, all_settings=True, n_resamples=n_resamples, seed=seed).differences
    found = found[found["baseline"] == BASELINE]
    if not len(found):
        return ""
    names = _names(study)
    sentences = [_sentence(names[_setting(row)], row) for row in found.to_dict("records")]
    return "\n".join(
        [_title(study, found), "", _table(study, found, names), "", *sentences, *_on_graph(study, found)]
    )


def _title(study: Study, found: pd.DataFrame) -> str:
    conditions = [*study.caveats, *(f"{name}={value}" for name, value in study.shared.items())]
    n_speakers = int(found["speakers"].iloc[0])
    few = ": the intervals are coarse" if n_speakers < FEW_SPEAKERS else ""
    speakers = "one test speaker: no intervals" if n_speakers == 1 else f"{n_speakers} test speakers{few}"
    return f"Verdict ({', '.join([*conditions, speakers])})"


def _table(study: Study, found: pd.DataFrame, names: dict[Setting, str]) -> str:
    gains = {_setting(row): row for row in found.to_dict("records")}
    rows = []
    for setting, values in zip(settings_in(study.settings), study.settings.to_dict("records"), strict=True):
        gain: Mapping[Any, Any] = gains.get(setting, {})
        rows.append(
            {
                "method": names[setting],
                "seeds": values["test_seeds"],
                "UAR, dev": mean_and_deviation(values["dev_uar"], values["dev_uar_sd"]),
                "UAR, test": mean_and_deviation(values["test_uar"], values["test_uar_sd"]),
                "difference [95 %]": _points(gain) if gain else "",
                "p, Holm": f"{gain['p_holm']:.3f}" if gain and pd.notna(gain["p_holm"]) else "",
            }
        )
    return pd.DataFrame(rows).to_string(index=False)


def _setting(row: Mapping[Any, Any]) -> Setting:
    return Setting(*(row[name] for name in Setting._fields))


def _names(study: Study) -> dict[Setting, str]:
    settings = settings_in(study.settings)
    return {setting: _name(setting, settings) for setting in settings}


def _name(setting: Setting, settings: list[Setting]) -> str:
    """The method of a setting, and the values in which it differs from others of the same method."""
    alike = [one for one in settings if one.method == setting.method]
    fields = [name for name in ("alpha", "n_neighbors", "layer") if len({getattr(one, name) for one in alike}) > 1]
    words = [_LABELS_ALONE if setting.method == BASELINE else setting.method]
    words += [f"{name} {getattr(setting, name)}" for name in fields]
    return ", ".join(([setting.backbone] if len({one.backbone for one in settings}) > 1 else []) + words)


def _points(row: Mapping[Any, Any]) -> str:
    interval = "one speaker" if pd.isna(row["low"]) else f"{100 * row['low']:.1f}, {100 * row['high']:.1f}"
    return f"{100 * row['difference']:+.1f} [{interval}]"


def _sentence(name: str, row: Mapping[Any, Any]) -> str:
    points = f"{100 * row['difference']:+.1f} points of UAR"
    if pd.isna(row["low"]):
        return f"{name}: {points}; one test speaker cannot show whether it helps."
    bounds = f"95 %: {100 * row['low']:.1f} to {100 * row['high']:.1f}"
    if row["low"] > 0:
        return f"{name} helps: {points} ({bounds})."
    if row["high"] < 0:
        return f"{name} harms: {points} ({bounds})."
    return f"{name} shows no gain: {points} ({bounds}, which contains zero)."


def _on_graph(study: Study, found: pd.DataFrame) -> list[str]:
    """What the card says about the emotions in the graph, if a method uses its edges."""
    if not any({"nsl", "graph"} & set(method.split("+")) for method in found["method"]):
        return []
    first = study.runs[0]["graph"]["card"]["text"].split(". ")[0]
    return [fill(first.rstrip(".") + ".", 110)]
