"""Runs in which speakers are left out in turn: a setting chosen anew for each fold, on that fold's dev alone.

Over all folds every speaker is in dev once and in test once. A setting that is chosen on the dev of all folds has
been chosen by the very speakers that it is tested on, if by other students. Here the dev speakers of a fold choose
the setting for its test speakers, who have no part in it.
"""

from typing import Any

import numpy as np
import pandas as pd

from ser_graph.evaluation.metrics import scores, speaker_confusions
from ser_graph.evaluation.significance import bootstrap_difference
from ser_graph.evaluation.study import Setting, Study, is_candidate, settings_in


def fold_choices(study: Study, metric: str = "uar") -> dict[str, list[Setting]]:
    """For each backbone, the setting of each fold that is best on the fold's dev, in the mean over seeds.

    Returns:
        By backbone, a setting for each fold; empty where speakers were not left out in turn, or there is no dev.
    """
    if study.test_protocol != "clean" or any(run["recipe"].get("folds") is None for run in study.runs):
        return {}
    rivals: dict[str, list[Setting]] = {}
    for setting in settings_in(study.settings):
        if is_candidate(setting.method):
            rivals.setdefault(setting.backbone, []).append(setting)
    return {
        backbone: [settings[best] for best in np.argmax([_dev(study, one, metric) for one in settings], axis=0)]
        for backbone, settings in rivals.items()
    }


def compare_fold_choices(
    study: Study, metric: str = "uar", *, n_resamples: int = 10_000, seed: int = 0
) -> pd.DataFrame:
    """Students of the settings chosen fold by fold against the baseline of their backbone.

    Returns:
        A row a backbone, for seeds that the baseline and all chosen settings have: `backbone`, `choices` (a setting
        for each fold), `seeds`, `baseline_value`, `value`, `difference`, `low`, `high`, `p`, `speakers`.
    """
    rows: list[dict[str, Any]] = []
    for backbone, choices in fold_choices(study, metric).items():
        baselines = [key for key in settings_in(study.settings) if key[:2] == (backbone, "baseline")]
        for baseline in baselines:
            seeds = sorted(set.intersection(*(set(study.seeds(key)) for key in [baseline, *choices])))
            if not seeds:
                continue
            before = [study.predictions(baseline, one) for one in seeds]
            after = [_composed(study, choices, one) for one in seeds]
            found = bootstrap_difference(before, after, metric, n_resamples=n_resamples, seed=seed)
            rows.append(
                {
                    "backbone": backbone,
                    "choices": choices,
                    "seeds": len(seeds),
                    "baseline_value": float(np.mean([_value(table, metric) for table in before])),
                    "value": float(np.mean([_value(table, metric) for table in after])),
                    "difference": found.difference,
                    "low": found.low,
                    "high": found.high,
                    "p": found.p_value,
                    "speakers": found.n_speakers,
                }
            )
    return pd.DataFrame(rows)


def _dev(study: Study, setting: Setting, metric: str) -> list[float]:
    """The metric on the dev clips of each fold, in the mean over seeds."""
    tables = [study.predictions(setting, seed, "dev").groupby("fold") for seed in study.seeds(setting)]
    return np.mean([[_value(part, metric) for _, part in table] for table in tables], axis=0).tolist()


def _composed(study: Study, choices: list[Setting], seed: int) -> pd.DataFrame:
    """Each fold's test clips, as its own setting says."""
    predictions = {setting: study.predictions(setting, seed) for setting in choices}
    return pd.concat([predictions[setting].query("fold == @fold") for fold, setting in enumerate(choices)])


def _value(predictions: pd.DataFrame, metric: str) -> float:
    known = predictions[predictions["emotion"].notna()]
    return float(scores(speaker_confusions(known).sum(0))[metric])
