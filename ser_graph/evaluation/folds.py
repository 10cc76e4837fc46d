"""Runs that leave out speakers in turn: choose a setting for each fold on the dev clips of this fold alone.

Over all folds, every speaker is in dev once and in test once. If one setting is chosen on the dev clips of all
folds, the speakers that test it have also chosen it, although with other students. Here the dev speakers of a fold
choose the setting for its test speakers, and the test speakers have no influence on it.
"""

from typing import Any

import numpy as np
import pandas as pd

from ser_graph.evaluation.metrics import point_scores
from ser_graph.evaluation.significance import bootstrap_difference
from ser_graph.evaluation.study import Setting, Study, is_candidate, settings_in


def fold_choices(study: Study, metric: str = "uar") -> dict[str, list[Setting]]:
    """For each backbone, the setting of each fold with the best mean over seeds on dev of this fold.

    Returns:
        By backbone, one setting for each fold; empty if the run does not leave out speakers in turn, or has no dev.
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
    """Compare the students of the settings chosen fold by fold with the baseline of their backbone.

    Returns:
        One row per backbone, for seeds that the baseline and all chosen settings have: `backbone`, `choices` (one
        setting for each fold), `seeds`, `baseline_value`, `value`, `difference`, `low`, `high`, `p`, `speakers`.
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
                    "baseline_value": float(np.mean([point_scores(table)[metric] for table in before])),
                    "value": float(np.mean([point_scores(table)[metric] for table in after])),
                    "difference": found.difference,
                    "low": found.low,
                    "high": found.high,
                    "p": found.p_value,
                    "speakers": found.n_speakers,
                }
            )
    return pd.DataFrame(rows)


def _dev(study: Study, setting: Setting, metric: str) -> list[float]:
    """The metric on the dev clips of each fold, as the mean over seeds."""
    tables = [study.predictions(setting, seed, "dev").groupby("fold") for seed in study.seeds(setting)]
    return np.mean([[point_scores(part)[metric] for _, part in table] for table in tables], axis=0).tolist()


def _composed(study: Study, choices: list[Setting], seed: int) -> pd.DataFrame:
    """The predictions for the test clips of each fold, by the student of the setting chosen for this fold."""
    predictions = {setting: study.predictions(setting, seed) for setting in choices}
    return pd.concat([predictions[setting].query("fold == @fold") for fold, setting in enumerate(choices)])
