"""The table of predictions, alike for students, exported models, probes and teachers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def prediction_table(clips: pd.DataFrame, emotions: Sequence[str], probabilities: np.ndarray) -> pd.DataFrame:
    """Predictions of clips, one row per clip.

    Args:
        clips: clip table of M clips; a missing column `emotion` or `speaker` counts as unknown.
        emotions: the K classes in code order.
        probabilities: [M, K] float64.

    Returns:
        `emotion` and `speaker` of the clips, `predicted`, and ``p_anger`` and so on.
    """
    table = clips.reindex(columns=["emotion", "speaker"]).copy()
    table["predicted"] = [emotions[code] for code in probabilities.argmax(1)]
    for code, emotion in enumerate(emotions):
        table[f"p_{emotion}"] = probabilities[:, code]
    return table
