"""Leave one speaker out: split, graph, standardisation and student made anew for each, every clip predicted once.

A corpus of few speakers has a test split of one or two: which ones decides the number. Here everyone is tested
on, by a student that never heard them. Embeddings and spectrograms look at no split and are taken from the graph
as they are; the upstream behind them must not have been fine-tuned on these speakers.

With a folder, each speaker's fold is stored as it is finished:

    fold-00/fold.json, predictions.csv      who was held out, and what was said of their clips
    .fold-00.pt                             the training that is under way, removed at its end
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ser_graph.audio.log_mel import LogMelSettings
from ser_graph.corpora import leave_one_speaker_out
from ser_graph.downstream import TrainingSettings, predict, train
from ser_graph.errors import InputError, bad_value, shorten
from ser_graph.evaluation import evaluate, uar
from ser_graph.files import atomic_folder, content_hash, read_json, write_json
from ser_graph.graph import ClipGraph, build_graph
from ser_graph.graph.building import data_hash
from ser_graph.graph.rules import EdgeRules
from ser_graph.graph.space import Space
from ser_graph.upstream import Upstream


class CrossValidation(NamedTuple):
    """What leaving each speaker out in turn found.

    Attributes:
        predictions: every clip once, as `predict` gives it, in the order of the clip table.
        folds: a row a speaker held out, indexed by `speaker`: `dev_speaker` (None in the paper's protocol),
            `n_train`, `n_test` clips, `n_edges`, `coverage` of the graph, the `epoch` kept, and the `uar` of the
            speaker (None where no emotion is known).
        metrics: `evaluate` of all predictions together; `needs_teacher` and `transductive` say what a device or a
            reader must know.
    """

    predictions: pd.DataFrame
    folds: pd.DataFrame
    metrics: dict[str, Any]


def cross_validate(
    data: ClipGraph,
    settings: TrainingSettings | None = None,
    *,
    out: str | Path | None = None,
    upstream: Upstream | None = None,
    device: str | None = None,
    progress: bool = True,
    **changes: Any,
) -> CrossValidation:
    """Train a student for each speaker, on the others, and ask it for that speaker's clips.

    Protocol *clean* holds out the next speaker too, as dev, to choose the epoch on; protocol *paper* trains on all
    others and keeps the last epoch. Each fold's graph is built anew, with the settings of `data`, among the clips
    that are trained on; its split is not looked at.

    Args:
        data: a graph of clips that all have a speaker: its clip table, embeddings, spectrograms and settings.
        settings: how to train.
        out: a folder in which finished folds are stored: a call that was interrupted goes on there, and ends
            with the same predictions.
        upstream: the model that made the embeddings, where the graph's space needs it.
        device: e.g. ``"cpu"``; by default the GPU where there is one.
        progress: show progress bars.
        **changes: single settings by name, e.g. ``backbone="cnn6", alpha=0``.

    Raises:
        InputError: a clip without a speaker, too few speakers, an emotion that only the speakers held out have,
            a bad setting, or a folder that holds other folds.
    """
    for name in changes:
        if name not in TrainingSettings.__dataclass_fields__:
            raise bad_value("training setting", name, TrainingSettings.__dataclass_fields__)
    settings = replace(settings or TrainingSettings(), **changes)
    folds = list(_folds(data, settings))
    for fold in folds:
        _check_emotions(fold)
    graph = _graph_settings(data, settings)
    done = []
    for fold in folds:
        make = partial(_made, fold, data, graph, settings, upstream, device=device, progress=progress)
        if out is None:
            done.append(make())
        else:
            asked = content_hash(settings.changes, graph, data_hash(fold.table, data.emb))
            done.append(_stored(Path(out).expanduser() / f"fold-{fold.number:02d}", asked, make))
    predictions = pd.concat([said for said, _ in done]).loc[data.table.index]
    rows = [{**row, "uar": _uar(said)} for said, row in done]
    flags = {"needs_teacher": settings.transfer != "none", "transductive": graph["scope"] == "all"}
    return CrossValidation(predictions, pd.DataFrame(rows).set_index("speaker"), {**evaluate(predictions), **flags})


@dataclass(frozen=True)
class _Fold:
    """A speaker held out: the number of the fold, and the clip table with its split."""

    number: int
    speaker: str
    table: pd.DataFrame

    @property
    def dev_speaker(self) -> str | None:
        dev = self.table.loc[self.table["split"] == "dev", "speaker"]
        return str(dev.iloc[0]) if len(dev) else None


def _folds(data: ClipGraph, settings: TrainingSettings) -> Iterator[_Fold]:
    splits = leave_one_speaker_out(data.table, dev=settings.protocol == "clean")
    for number, (speaker, table) in enumerate(splits):
        yield _Fold(number, str(speaker), table)


def _check_emotions(fold: _Fold) -> None:
    emotion = fold.table["emotion"]
    missing = sorted(set(emotion.dropna()) - set(emotion[fold.table["split"] == "train"].dropna()))
    if missing:
        beside = f" and {fold.dev_speaker} (dev)" if fold.dev_speaker is not None else ""
        raise InputError(
            f"Without the speaker {fold.speaker}{beside} no clip of {shorten(missing)} is left to train on; leave "
            "out that emotion, or load more speakers"
        )


def _stored(
    folder: Path, asked: str, make: Callable[..., tuple[pd.DataFrame, dict[str, Any]]]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A fold's predictions and its row: made and stored, or read where an earlier call has stored them."""
    checkpoint = folder.with_name(f".{folder.name}.pt")
    if not (folder / "fold.json").exists():
        said, row = make(checkpoint=checkpoint)
        with atomic_folder(folder) as part:
            said.to_csv(part / "predictions.csv")
            write_json(part / "fold.json", {"asked": asked, **row})
        checkpoint.unlink(missing_ok=True)
    row = read_json(folder / "fold.json")
    if row.pop("asked", None) != asked:
        raise InputError(
            f"{folder} holds a fold of other settings or clips; choose another folder as out, or delete this one"
        )
    return _read_predictions(folder / "predictions.csv"), row


def _made(
    fold: _Fold,
    data: ClipGraph,
    graph: dict[str, Any],
    settings: TrainingSettings,
    upstream: Upstream | None,
    **how: Any,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    built = build_graph(fold.table, upstream, emb=data.emb, x=data.x, **graph)
    student = train(built, settings, **how)
    said = predict(student, built, "test")
    row = {
        "speaker": fold.speaker,
        "dev_speaker": fold.dev_speaker,
        "n_train": student.info["n_train"],
        "n_test": len(said),
        "n_edges": built.meta["graph"]["n_edges"],
        "coverage": built.meta["graph"]["coverage"],
        "epoch": student.info["epoch"],
    }
    return said, row


def _graph_settings(data: ClipGraph, settings: TrainingSettings) -> dict[str, Any]:
    """How `data` was built, as arguments of `build_graph`, but for the scope, which is what is trained on."""
    made = data.meta["graph"]
    scope = "train+dev" if settings.protocol == "paper" else "train"
    return {
        "epsilon": made.get("epsilon_by", made["epsilon"]),
        "space": Space(**made.get("space", {})),
        "rules": EdgeRules(**made.get("rules", {})),
        **{name: made[name] for name in ("n_neighbors", "method", "seed", "n_jobs")},
        "scope": "all" if settings.transductive and made["scope"] == "all" else scope,
        "features": LogMelSettings(**data.meta["features"]),
    }


def _read_predictions(path: Path) -> pd.DataFrame:
    """What `to_csv` wrote, to the last bit; an emotion may be called null."""
    rows = pd.read_csv(path, index_col="file", dtype=str, keep_default_na=False, na_values=[""])
    shares = [str(name) for name in rows if str(name).startswith("p_")]
    return rows.astype(dict.fromkeys(shares, float))


def _uar(predictions: pd.DataFrame) -> float | None:
    known = predictions[predictions["emotion"].notna()]
    return uar(known["emotion"], known["predicted"]) if len(known) else None
