"""The table of predictions, alike for students, exported models, probes and teachers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def prediction_table(clips: pd.DataFrame, emotions: Sequence[str], probabilities: np.ndarray) -> pd.DataFrame:
    """Predictions of M clips of a clip table, a row per clip, from probabilities [M, K] in code order.

    The columns are `emotion` and `speaker` of the clips (missing if unknown), `predicted`, and ``p_anger`` and so
    on.
    """
    table = clips.reindex(columns=["emotion", "speaker"]).copy()
    table["predicted"] = [emotions[code] for code in probabilities.argmax(1)]
    for code, emotion in enumerate(emotions):
        table[f"p_{emotion}"] = probabilities[:, code]
    return table
