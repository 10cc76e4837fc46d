"""Leave speakers out: split, graph, standardisation and student are new in each fold; each clip is predicted once.

If a corpus has few speakers, its test split has one or two, and the choice of these speakers decides the result.
Here every speaker is tested, by a student that was not trained on this speaker. Embeddings and spectrograms do not
depend on a split and come from the graph unchanged. The upstream behind them must not be fine-tuned on labels of
these speakers.

With a folder, each finished fold is stored:

    fold-00/fold.json, predictions.csv      the left-out speakers, and the predictions for their clips
    fold-00/dev_predictions.csv             the predictions for dev clips, if dev is not used for training
    fold-00/stage.json                      the settings and inputs of the fold
    .fold-00.work/                          the training that is not finished; removed at its end
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ser_graph.common.csv_files import write_csv
from ser_graph.common.distributed import processes
from ser_graph.common.files import read_json, write_json
from ser_graph.common.processes import is_first
from ser_graph.common.settings import with_settings
from ser_graph.common.stages import Stage
from ser_graph.corpora import leave_speakers_out
from ser_graph.downstream import TrainingSettings, predict_clips, train
from ser_graph.downstream.training import asked_of_data
from ser_graph.errors import InputError, shorten
from ser_graph.evaluation import evaluate, uar
from ser_graph.evaluation.metrics import read_predictions
from ser_graph.graph import ClipGraph, build_graph
from ser_graph.graph.building import data_hash
from ser_graph.graph.clip_graph import check_is_graph
from ser_graph.graph.settings import GraphSettings

_ROW = "fold.json"
_FILES = {"test": "predictions.csv", "dev": "dev_predictions.csv"}


class CrossValidation(NamedTuple):
    """The result of leaving out speakers in turn.

    Attributes:
        predictions: the predictions for every left-out clip, as `predict` returns them, in the order of the clip
            table, with the number of the `fold`.
        folds: one row per fold, indexed by `speakers` (the left-out speakers, joined by a space): `dev_speakers`
            (None in the paper's protocol), `n_train`, `n_test` (clips), `n_edges`, `coverage` of the graph,
            `n_params` of the student, the `epoch` kept, and the `uar` on test (None if no emotion is known).
        metrics: `evaluate` of all predictions together. `needs_teacher`: the student needs the teacher at
            inference. `transductive`: test clips were in the graph.
        dev_predictions: the predictions for every dev clip, by the student of its fold; None in the paper's
            protocol.
    """

    predictions: pd.DataFrame
    folds: pd.DataFrame
    metrics: dict[str, Any]
    dev_predictions: pd.DataFrame | None


@with_settings(TrainingSettings)
def cross_validate(
    data: ClipGraph,
    settings: TrainingSettings | None = None,
    *,
    n_folds: int | None = None,
    n_dev: int | None = None,
    out: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
    **changes: Any,
) -> CrossValidation:
    """Leave out each group of speakers in turn: train a student on the other speakers and test it on this group.

    Protocol *clean* also leaves out the next group, as dev. Protocol *paper* trains on all other speakers. Each
    fold has a new graph of its training clips, with the settings of `data`. The split of `data` is ignored. Clips
    of speakers without any label, such as those of other corpora in a joint graph, are training clips in every
    fold.

    Args:
        data: a graph in which every clip has a speaker: its clip table, embeddings, spectrograms and settings.
        settings: how to train.
        n_folds: number of groups, see `leave_speakers_out`; None leaves out one speaker at a time.
        n_dev: number of speakers of the next group that are dev; the others train. None means the whole group.
        out: a folder for finished folds. After an interruption, the same call continues and returns the same
            predictions.
        device: e.g. ``"cpu"``; by default the GPU if there is one.
        progress: show progress bars.
        **changes: single settings by name, e.g. ``backbone="cnn6", alpha=0``.

    Returns:
        The predictions for every clip, and their metrics.

    Raises:
        InputError: a clip without a speaker; too few speakers; an emotion that only left-out speakers have; a bad
            setting; or a folder that has other folds or is held by another process.
    """
    settings = (settings or TrainingSettings()).replace(**changes)
    folds, graph = _checked_folds(data, settings, n_folds, n_dev), _graph_settings(data, settings)
    how: dict[str, Any] = {"device": device, "progress": progress}
    if out is None:
        done = [_made(fold, data, graph, settings, **how) for fold in folds]
    else:
        shared = _asked_of_all(data, settings)
        done = [_stored(_finished(fold, data, graph, settings, shared, Path(out), **how)) for fold in folds]
    predictions = _in_order([said["test"] for said, _ in done], data)
    dev_predictions = _in_order([said["dev"] for said, _ in done], data) if "dev" in done[0][0] else None
    rows = pd.DataFrame([{**row, "uar": _uar(said["test"])} for said, row in done]).set_index("speakers")
    flags = {"needs_teacher": settings.transfer != "none", "transductive": graph.scope == "all"}
    return CrossValidation(predictions, rows, {**evaluate(predictions), **flags}, dev_predictions)


def prepare_fold(
    data: ClipGraph,
    settings: TrainingSettings,
    number: int,
    out: Path,
    *,
    n_folds: int | None = None,
    n_dev: int | None = None,
    device: str | None = None,
) -> None:
    """Train, test and store one fold, unless it is finished; `cross_validate` with the same `out` then finds it."""
    fold = _checked_folds(data, settings, n_folds, n_dev)[number]
    shared = _asked_of_all(data, settings)
    graph = _graph_settings(data, settings)
    _finished(fold, data, graph, settings, shared, out, device=device, progress=False)


def fold_folders(data: ClipGraph, settings: TrainingSettings, n_folds: int | None, out: Path) -> list[Path]:
    """The folder in `out` of each fold; a finished fold has a `stage.json` there."""
    splits = leave_speakers_out(data.table, n_folds, dev=settings.protocol == "clean")
    return [_folder(out, number) for number, _ in enumerate(splits)]


def _folder(out: Path, number: int) -> Path:
    return out / f"fold-{number:02d}"


@dataclass(frozen=True)
class _Fold:
    """A fold: its number, and the clip table with the split that leaves its speakers out."""

    number: int
    table: pd.DataFrame

    def speakers(self, split: str) -> str | None:
        """The speakers of a split, joined by a space."""
        names = self.table.loc[self.table["split"] == split, "speaker"].unique()
        return " ".join(sorted(names)) if len(names) else None


def _checked_folds(
    data: ClipGraph, settings: TrainingSettings, n_folds: int | None, n_dev: int | None
) -> list[_Fold]:
    check_is_graph(data)
    data.check()
    splits = leave_speakers_out(data.table, n_folds, dev=settings.protocol == "clean", n_dev=n_dev)
    folds = [_Fold(number, table) for number, (_, table) in enumerate(splits)]
    for fold in folds:
        _check_emotions(fold)
    return folds


def _asked_of_all(data: ClipGraph, settings: TrainingSettings) -> dict[str, Any]:
    """The part of the request that all folds share."""
    return {"settings": settings.asked(), **asked_of_data(data)}


def _finished(
    fold: _Fold,
    data: ClipGraph,
    graph: GraphSettings,
    settings: TrainingSettings,
    shared: dict[str, Any],
    out: Path,
    **how: Any,
) -> Path:
    """The folder of a fold, which is trained first unless it is finished."""
    asked = {**shared, "data": data_hash(fold.table, data.emb), "graph": graph.asked()}
    way_out = "choose another folder as out, or delete this one"
    stage = Stage(_folder(out, fold.number), asked, way_out=way_out)
    group = processes()
    if not group.of_first(stage.is_finished()):
        with stage.work() as work:
            made = _made(fold, data, graph, settings, checkpoint=work, **how)
            if is_first():
                _store(stage, *made)
        group.wait()
    return stage.folder


def _in_order(parts: list[pd.DataFrame], data: ClipGraph) -> pd.DataFrame:
    said = pd.concat([part.assign(fold=number) for number, part in enumerate(parts)])
    return said.loc[data.table.index[data.table.index.isin(said.index)]]


def _check_emotions(fold: _Fold) -> None:
    emotion = fold.table["emotion"]
    missing = sorted(set(emotion.dropna()) - set(emotion[fold.table["split"] == "train"].dropna()))
    if missing:
        dev = fold.speakers("dev")
        beside = "" if dev is None else f" and {dev} (dev)"
        raise InputError(
            f"Without the speaker {fold.speakers('test')}{beside} no clip of {shorten(missing)} is left to "
            "train on; leave out this emotion, or load more speakers"
        )


def _store(stage: Stage, said: dict[str, pd.DataFrame], row: dict[str, Any]) -> None:
    with stage.write() as part:
        for split, table in said.items():
            write_csv(table, part / _FILES[split])
        write_json(part / _ROW, row)


def _stored(folder: Path) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """A fold's predictions and its row."""
    files = {split: folder / name for split, name in _FILES.items() if (folder / name).exists()}
    return {split: read_predictions(file) for split, file in files.items()}, read_json(folder / _ROW)


def _made(
    fold: _Fold,
    data: ClipGraph,
    graph: GraphSettings,
    settings: TrainingSettings,
    **how: Any,
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    built = build_graph(fold.table, settings=graph, emb=data.emb, x=data.x, features=data.meta.features)
    student = train(built, settings, **how)
    splits = ("test", "dev") if settings.protocol == "clean" else ("test",)
    said = {split: predict_clips(student, built, split) for split in splits}
    row = {
        "speakers": fold.speakers("test"),
        "dev_speakers": fold.speakers("dev"),
        "n_train": student.info["n_train"],
        "n_test": len(said["test"]),
        "n_edges": built.meta.measured.n_edges,
        "coverage": built.meta.measured.coverage,
        "n_params": student.n_params,
        "epoch": student.info["epoch"],
    }
    return said, row


def _graph_settings(data: ClipGraph, settings: TrainingSettings) -> GraphSettings:
    """The settings with which `data` was built; the scope is that of the training clips."""
    made = data.meta.settings
    if settings.transductive and made.scope == "all":
        return made
    return made.replace(scope="train+dev" if settings.protocol == "paper" else "train")


def _uar(predictions: pd.DataFrame) -> float | None:
    known = predictions[predictions["emotion"].notna()]
    return uar(known["emotion"], known["predicted"]) if len(known) else None
