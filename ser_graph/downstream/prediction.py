"""Student + spectrograms -> probabilities, one row per clip."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ser_graph.audio.features import log_mels
from ser_graph.audio.mapped import read_rows
from ser_graph.audio.standardise import Voices, speaker_voices
from ser_graph.common.devices import Precision, autocast
from ser_graph.common.distributed import ALONE, Processes
from ser_graph.common.progress import progress_bar
from ser_graph.corpora.predictions import prediction_table
from ser_graph.downstream.backbones import Output
from ser_graph.downstream.student import Student
from ser_graph.downstream.transfer import check_transfer
from ser_graph.errors import InputError
from ser_graph.graph import ClipGraph
from ser_graph.graph.compatibility import check_compatible

_PART = 1024  # clips whose spectrograms are in memory at the same time, if they are made from files


@torch.inference_mode()
def predict_outputs(
    student: Student,
    x: Tensor,
    rows: Tensor | None = None,
    *,
    emb: Tensor | None = None,
    voices: Voices | None = None,
    batch_size: int = 64,
    precision: Precision = "float32",
) -> Output:
    """Outputs `fc1` [M, F] and `fc2` [M, n_classes], float32 on the CPU, for some clips [M] (None: all), in blocks.

    The student is put into evaluation mode. The embeddings `emb` [N, 256] are only for a student that needs the
    teacher, the voices only for one that normalises by speaker. The result does not depend on `batch_size`.
    """
    device = student.standardise.mean.device
    rows = torch.arange(len(x)) if rows is None else rows
    student.eval()
    parts = [Output(torch.empty(0, student.backbone.fc1.out_features), torch.empty(0, len(student.emotions)))]
    for start in range(0, len(rows), batch_size):
        block = rows[start : start + batch_size]
        beside = emb[block].to(device) if student.needs_teacher and emb is not None else None
        with autocast(device, precision):
            voice = None if voices is None else voices.of(block).to(device)
            output = student(read_rows(x, block).to(device), beside, voice)
            parts.append(Output(output.fc1.float().cpu(), output.fc2.float().cpu()))
    return Output(*(torch.cat(part) for part in zip(*parts, strict=True)))


def student_embeddings(student: Student, data: ClipGraph) -> Tensor:
    """[N, F] float32: every clip of a graph in the space of a student, the output of its layer `fc1`.

    Raises:
        InputError: a graph with other spectrograms or emotions than the student's, or of another teacher.
    """
    _check_fits(student, data)
    voices = known_voices(data, student.standardise.normalise)
    return predict_outputs(student, data.x, emb=data.emb, voices=voices).fc1


def known_voices(
    data: ClipGraph, normalise: str, heard: int | None = None, *, group: Processes = ALONE
) -> Voices | None:
    """Statistics of each speaker's clips if a student normalises by speaker, else None; see `Standardise`.

    The labels are not used. With `heard`, the statistics use this many clips of each speaker, drawn by file name;
    None means all clips, including the clips to predict. Each process of the group reads its share of the clips.
    """
    if normalise != "speaker":
        return None
    rows = torch.arange(len(data.y))
    if heard is not None:  # in random order: sorted file names may follow the emotions
        order = np.argsort(data.table.index.to_numpy(str))[np.random.default_rng(0).permutation(len(rows))]
        count = pd.Series(data.speaker.numpy()[order]).groupby(data.speaker.numpy()[order]).cumcount()
        rows = torch.from_numpy(np.sort(order[count.to_numpy() < heard]))
    return Voices(speaker_voices(data.x, data.speaker, rows, group=group), data.speaker)


def predict_clips(
    student: Student,
    clips: ClipGraph | pd.DataFrame,
    split: str | None = None,
    *,
    root: str | Path | None = None,
    heard: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Predict the emotions of clips with a student in torch; `ser_graph.predict` takes other models too.

    Args:
        student: the model.
        clips: a graph (the function uses its spectrograms) or a clip table (the function reads its files).
        split: the split to predict (``"train"``, ``"dev"``, ``"test"``); None means all clips.
        root: the corpus folder of a clip table; by default the folder from which it was loaded.
        heard: for a graph and a student with ``normalise="speaker"``: number of clips of each speaker that the
            student has heard before. None means all clips, 0 means an unknown voice. The student uses no labels.
        progress: show a progress bar while files are read.

    Returns:
        A table by file: `emotion` and `speaker` as in the clip table, `predicted`, and the probability of each
        emotion as ``p_anger`` and so on, float64 that sum to 1.

    Raises:
        InputError: no clip in that split; a graph with other spectrograms or emotions than the student's; a clip
            table for a student that needs the teacher's embeddings, which only a graph contains; or a graph whose
            tensors do not agree, see `ClipGraph.check`.
    """
    if isinstance(clips, ClipGraph):
        clips.check()
    table = clips.table if isinstance(clips, ClipGraph) else clips
    selected = pd.Series(True, index=table.index) if split is None else table["split"] == split
    if not selected.any():
        raise InputError(f"No clip to predict{'' if split is None else f' in the split {split!r}'}")
    rows = torch.tensor(selected.to_numpy(bool)).nonzero()[:, 0]
    if isinstance(clips, ClipGraph):
        _check_fits(student, clips)
        voices = known_voices(clips, student.standardise.normalise, heard)
        logits = predict_outputs(student, clips.x, rows, emb=clips.emb, voices=voices).logits
    elif student.needs_teacher:
        raise InputError(
            f"This student needs the teacher at inference (transfer={student.transfer!r}): give a graph, which "
            "holds the teacher's embeddings, instead of a clip table"
        )
    else:
        logits = _predict_files(student, table[selected], root, progress)
    return prediction_table(table[selected.to_numpy()], student.emotions, logits.double().softmax(1).numpy())


def _predict_files(student: Student, table: pd.DataFrame, root: str | Path | None, progress: bool) -> Tensor:
    """Logits of clips from their files, in parts: the spectrograms of all clips would fill the memory."""
    logits = []
    with progress_bar(total=len(table), desc="predicting", unit="clip", disable=not progress, delay=1) as bar:
        for start in range(0, len(table), _PART):
            part = table.iloc[start : start + _PART]
            logits.append(
                predict_outputs(student, log_mels(part, student.features, root=root, progress=False)).logits
            )
            bar.update(len(part))
    return torch.cat(logits)


def _check_fits(student: Student, data: ClipGraph) -> None:
    check_compatible(data.meta, student.features.model_dump(), student.emotions)
    if student.needs_teacher:
        _check_teacher(student, data)


def _check_teacher(student: Student, data: ClipGraph) -> None:
    check_transfer(student.transfer, data.emb, student.width)
    expected, given = student.info.get("teacher"), data.meta.upstream
    if expected and given and expected != given.fingerprint:
        raise InputError(
            f"The embeddings of the graph come from another upstream than in the training of the student "
            f"(transfer={student.transfer!r}); build the graph with the upstream of the training"
        )
