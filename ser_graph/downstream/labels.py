"""The training clips of a student, and the clips whose labels it uses."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ser_graph.common.settings import with_settings
from ser_graph.corpora import originals
from ser_graph.downstream.settings import TrainingSettings
from ser_graph.errors import InputError, shorten
from ser_graph.graph import ClipGraph


def training_nodes(data: ClipGraph, protocol: str) -> Tensor:
    """[N] bool: the clips that a protocol trains on."""
    return data.train_mask | data.val_mask if protocol == "paper" else data.train_mask


@with_settings(TrainingSettings)
def labelled_nodes(data: ClipGraph, settings: TrainingSettings | None = None, **changes: Any) -> Tensor:
    """The training clips whose labels a student uses. A probe can thus use the same labels as a student.

    The function draws speakers and clips by name, with `label_seed`. The order of the rows does not matter. A graph
    with further unlabelled clips of other corpora has the same labelled clips.

    - `labelled_speakers` takes the first speakers of one random order of the speakers with a labelled training
      clip.
    - `label_fraction` takes this share of the clips of each emotion, rounded, at least one. It takes clips from the
      speakers of the emotion in turn, so that all speakers give equally many clips, as far as they have them. Every
      emotion begins with another speaker.

    Both choices are nested: 5 % of the labels contain the 2 %, three speakers contain the two. A copy (see
    `with_copies`) has a label if its original has one.

    Args:
        data: the graph of N clips.
        settings: settings of the training; the function uses `protocol` and the settings of labels.
        **changes: single settings by name, e.g. ``label_fraction=0.1``.

    Returns:
        [N] bool.

    Raises:
        InputError: a bad setting; no labelled training clip; more speakers than the graph has; or labelled speakers
            without clips of some emotion.
    """
    settings = (settings or TrainingSettings()).replace(**changes)
    training = training_nodes(data, settings.protocol) & (data.y >= 0)
    known = training & torch.from_numpy(originals(data.table))
    if not known.any():
        raise InputError("No labelled training clip; check the split and the emotions of the clip table")
    if settings.label_fraction == 1 and settings.labelled_speakers is None:
        return training
    clips = pd.DataFrame({"y": data.y.numpy(), "speaker": data.speaker.numpy(), "file": data.table.index})
    clips = clips[known.numpy()].sort_values("file")
    random = np.random.default_rng(settings.label_seed)
    # Draw both in any case, so that one choice does not change the other.
    speakers = random.permutation(np.unique(clips["speaker"]))
    clips["lot"] = random.permutation(len(clips))
    if settings.labelled_speakers is not None:
        clips = _of_speakers(clips, speakers, settings, data)
    if settings.label_fraction < 1:
        clips = _fraction(clips, speakers, settings.label_fraction)
    labelled = torch.zeros(data.num_nodes, dtype=torch.bool)
    labelled[torch.tensor(clips.index.to_numpy())] = True
    return _with_copies(data, labelled) & training


def _with_copies(data: ClipGraph, rows: Tensor) -> Tensor:
    """[N] bool: the same clips and all of their copies."""
    if "copy_of" not in data.table:
        return rows
    files = set(data.table.index[rows.numpy()])
    return rows | torch.from_numpy(data.table["copy_of"].isin(files).to_numpy(bool).copy())


def _of_speakers(
    clips: pd.DataFrame, speakers: np.ndarray, settings: TrainingSettings, data: ClipGraph
) -> pd.DataFrame:
    """The clips of the first speakers; clips of an unknown speaker (-1) belong to no speaker."""
    wanted, speakers = settings.labelled_speakers, speakers[speakers >= 0]
    if wanted is not None and wanted > len(speakers):
        raise InputError(
            f"Bad labelled_speakers {wanted}, expected at most {len(speakers)}, the number of training speakers "
            "with labels"
        )
    selected = clips[clips["speaker"].isin(speakers[:wanted])]
    missing = sorted({*clips["y"]} - {*selected["y"]})
    if missing:
        raise InputError(
            f"The {wanted} labelled speakers of label_seed {settings.label_seed} have no clip of "
            f"{shorten(data.emotions[code] for code in missing)}; take more speakers or another label_seed"
        )
    return selected


def _fraction(clips: pd.DataFrame, speakers: np.ndarray, fraction: float) -> pd.DataFrame:
    """The first clips of each emotion; the speakers take turns."""
    place = {code: number for number, code in enumerate(speakers)}
    emotion = clips["y"].rank(method="dense").astype(int)
    clips = clips.assign(turn=(clips["speaker"].map(place) - emotion) % len(speakers)).sort_values("lot")
    clips["round"] = clips.groupby(["y", "speaker"]).cumcount()
    clips = clips.sort_values(["y", "round", "turn"])
    total = clips.groupby("y")["y"].transform("size")
    wanted = np.floor(fraction * total + 0.5).clip(lower=1)
    return clips[clips.groupby("y").cumcount() < wanted]
