"""Model + clips or recordings -> probabilities. An exported model is asked without importing torch."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ser_graph.belonging import check_belongs
from ser_graph.edge.models import Model, load_model
from ser_graph.edge.nearest import BATCH, Nearest
from ser_graph.edge.onnx_student import OnnxStudent
from ser_graph.edge.recordings import sound_files
from ser_graph.edge.streaming import Heard, cut, hear, window_samples
from ser_graph.errors import InputError
from ser_graph.files import atomic_file
from ser_graph.sound import mono_blocks, read_mono, repeat_to

if TYPE_CHECKING:
    from ser_graph.downstream import Student
    from ser_graph.graph import ClipGraph


def predict(
    model: "str | Path | Student | Model",
    clips: "str | Path | ClipGraph | pd.DataFrame",
    split: str | None = None,
    *,
    root: str | Path | None = None,
    window: float | None = None,
    hop: float | None = None,
    graph: "str | Path | ClipGraph | None" = None,
    n_nearest: int = 3,
    threads: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """What a model says of clips or recordings.

    Args:
        model: a student, its folder, or an exported ``.onnx`` file.
        clips: a graph, whose spectrograms are used; a clip table, whose files are read; or recordings: a sound
            file, or a folder with some. A recording longer than a window is heard window by window.
        split: of a graph or table, only the clips of this split (``"train"``, ``"dev"``, ``"test"``).
        root: the corpus folder of a clip table, by default the one that it was loaded from.
        window: of recordings, length of a window in seconds: at most, and by default, what the model hears at once.
        hop: of recordings, seconds from one window to the next, by default a window. The last window ends with
            the recording.
        graph: of recordings, the graph that the model was trained on, or its folder: its labelled training clips
            that sound most alike to the model are named, as the "why".
        n_nearest: so many of them.
        threads: CPU threads of an exported model.
        progress: show a progress bar.

    Returns:
        A table by file. Of a graph or table: `emotion` and `speaker` as given, `predicted`, and the probability
        of each emotion as ``p_anger`` and so on, float64 that sum to 1. Of recordings: a row a window, `start`
        and `end` in seconds, `predicted`, the probabilities, and with a graph ``near_1``, ``near_1_emotion``,
        ``near_1_similarity`` and so on. ``attrs["unreadable"]`` says by file what is wrong with those files of a
        folder that cannot be read; each is warned of.

    Raises:
        InputError: nothing to predict, no file that can be read, or a graph that does not belong to the model.
    """
    if isinstance(clips, str | Path):
        found = load_model(model, threads)
        nearest = None if graph is None else Nearest(found, graph, k=n_nearest, progress=progress)
        return _predict_recordings(found, Path(clips).expanduser(), window, hop, nearest, progress)
    if not isinstance(model, OnnxStudent) and Path(str(model)).suffix != ".onnx":
        from ser_graph.downstream import Student, load_student
        from ser_graph.downstream import predict as predict_by_torch

        student = model if isinstance(model, Student) else load_student(model)  # type: ignore[arg-type]
        return predict_by_torch(student, clips, split, root=root, progress=progress)
    return _predict_clips(load_model(model, threads), clips, split, root, progress)


def _predict_recordings(
    model: Model, source: Path, window: float | None, hop: float | None, nearest: Nearest | None, progress: bool
) -> pd.DataFrame:
    length, step = window_samples(model, window, hop)
    folder = source if source.is_dir() else source.parent
    heard: dict[str, list[Heard]] = {}
    unreadable: dict[str, str] = {}
    files = sound_files(source)
    bar = tqdm(desc=f"recordings ({len(files)})", unit="window", disable=not progress, delay=1)
    for path in files:
        name = path.relative_to(folder).as_posix()
        windows = []
        try:
            for start, samples in cut(mono_blocks(path, model.features["sample_rate"]), length, step):
                windows.append(hear(model, samples, start, nearest))
                bar.update()
        except InputError as error:
            if not source.is_dir():
                raise
            unreadable[name] = str(error) if str(path) in str(error) else f"{path}: {error}"
            warnings.warn(unreadable[name], stacklevel=3)
        else:
            heard[name] = windows
    bar.close()
    if not heard:
        raise InputError(f"None of the {len(files)} sound files in {source} can be read; see the warnings")
    table = heard_table(heard)
    table.attrs["unreadable"] = unreadable
    return table


def heard_table(heard: Mapping[str, Sequence[Heard]]) -> pd.DataFrame:
    """Windows by the name of what was heard, as the table that `predict` returns."""
    rows = [{"file": name, **_row(window)} for name, windows in heard.items() for window in windows]
    return pd.DataFrame(rows).set_index("file")


def _row(heard: Heard) -> dict[str, Any]:
    row = {"start": round(heard.start, 3), "end": round(heard.end, 3), "predicted": heard.predicted}
    row |= {f"p_{emotion}": probability for emotion, probability in heard.probabilities.items()}
    for place, (file, emotion, similarity) in enumerate(heard.nearest, start=1):
        row |= {f"near_{place}": file, f"near_{place}_emotion": emotion, f"near_{place}_similarity": similarity}
    return row


def write_predictions(table: pd.DataFrame, out: str | Path) -> None:
    """Write such a table as CSV."""
    with atomic_file(out) as part:
        _as_text(table).to_csv(part)


def record(windows: Iterable[Heard], name: str, out: str | Path) -> Iterator[Heard]:
    """Pass windows of a stream on, each written to a CSV at once: what was heard outlasts the program.

    A file that is there is replaced when the first window has been heard.
    """
    path = Path(out).expanduser()
    if path.is_dir():
        raise InputError(f"{out} is a folder, expected the name of a file")
    windows = iter(windows)
    heard = list(islice(windows, 1))
    if not heard:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        for n, window in enumerate(chain(heard, windows)):
            _as_text(heard_table({name: [window]})).to_csv(file, header=n == 0)
            file.flush()
            yield window


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Times to the millisecond, however late; all else to six digits."""
    formats = {"start": "{:.3f}", "end": "{:.3f}"}
    numbers = table.select_dtypes("number").columns
    return table.assign(**{name: table[name].map(formats.get(name, "{:.6g}").format) for name in numbers})


def format_predictions(table: pd.DataFrame) -> str:
    """Such a table as text; the nearest clips stand in one column."""
    columns = [str(column) for column in table.columns]
    shown = table.drop(columns=[column for column in columns if column.startswith("near_")])
    shown.columns = pd.Index([str(column).removeprefix("p_") for column in shown.columns])
    places = [column for column in columns if column.removeprefix("near_").isdigit()]
    if places:
        shown["nearest"] = [
            ", ".join(f"{row[at]} ({row[f'{at}_emotion']} {row[f'{at}_similarity']:.2f})" for at in places)
            for row in table.to_dict("records")
        ]
    return shown.to_string(float_format="{:.2f}".format)


def _predict_clips(
    model: Model, clips: "ClipGraph | pd.DataFrame", split: str | None, root: str | Path | None, progress: bool
) -> pd.DataFrame:
    table = clips if isinstance(clips, pd.DataFrame) else clips.table
    rows = np.arange(len(table)) if split is None else np.flatnonzero(table["split"] == split)
    if not len(rows):
        raise InputError(f"No clip to predict{'' if split is None else f' in the split {split!r}'}")
    chosen = table.iloc[rows]
    if isinstance(clips, pd.DataFrame):
        folder = Path(root if root is not None else table.attrs.get("root", ".")).expanduser()
        paths = tqdm([folder / str(file) for file in chosen.index], unit="file", disable=not progress, delay=1)
        said = [_ask(model, read_mono(path, model.features["sample_rate"])) for path in paths]
    else:
        check_belongs(clips.meta, model.features, model.emotions)
        spectrograms, starts = clips.x.numpy(), range(0, len(rows), BATCH)
        blocks = tqdm(starts, desc="clips", disable=not progress, delay=1)
        said = [model.of_spectrograms(spectrograms[rows[start : start + BATCH]])[0] for start in blocks]
    probabilities = np.concatenate(said).astype(float)
    predictions = chosen[["emotion", "speaker"]].copy()
    predictions["predicted"] = [model.emotions[code] for code in probabilities.argmax(1)]
    for code, emotion in enumerate(model.emotions):
        predictions[f"p_{emotion}"] = probabilities[:, code]
    return predictions


def _ask(model: Model, waveform: np.ndarray) -> np.ndarray:
    """[1, K] probabilities of one clip, cut or repeated as in training."""
    return model(repeat_to(waveform, model.features["n_samples"])[None])[0]
