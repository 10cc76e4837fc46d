"""Model + clips or recordings -> probabilities. An exported model is asked without importing torch."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ser_graph.audio.sound import mono_blocks, read_mono, repeat_to
from ser_graph.common.files import atomic_file
from ser_graph.edge.models import Model, load_model
from ser_graph.edge.nearest import BATCH, Nearest
from ser_graph.edge.onnx_student import OnnxStudent
from ser_graph.edge.recordings import named_files
from ser_graph.edge.streaming import Heard, cut, hear_windows, window_samples
from ser_graph.errors import InputError
from ser_graph.graph.belonging import check_belongs

if TYPE_CHECKING:
    from ser_graph.downstream import Student
    from ser_graph.graph import ClipGraph


def predict(
    model: "str | Path | Student | Model",
    clips: "str | Path | Sequence[str | Path] | ClipGraph | pd.DataFrame",
    split: str | None = None,
    *,
    root: str | Path | None = None,
    heard: int | None = None,
    one_voice: bool = False,
    window: float | None = None,
    hop: float | None = None,
    graph: "str | Path | ClipGraph | None" = None,
    n_nearest: int = 3,
    threads: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """What a model says of clips or recordings.

    A student that normalises by speaker hears each speaker's clips of a table one after another, in the table's
    order: each with what was heard of the speaker before, and one without a speaker by itself. No label is looked
    at. A recording is of one voice, of which it knows more from window to window, see `hear_windows`; with the next
    recording it begins anew, but for `one_voice`.

    Args:
        model: a student, its folder, or an exported ``.onnx`` file.
        clips: a graph, whose spectrograms are used; a clip table, whose files are read; or recordings: a sound
            file, a folder with some, or a list of such. A recording longer than a window is heard window by window.
        split: of a graph or table, only the clips of this split (``"train"``, ``"dev"``, ``"test"``).
        root: the corpus folder of a clip table, by default the one that it was loaded from.
        heard: of a graph and a student that normalises by speaker, the clips of each speaker that it has heard
            before; None is all of them, 0 is an unknown voice.
        one_voice: all recordings are of one speaker: what was heard of the voice is kept from file to file, in the
            order of a list, or of the names in a folder.
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
        InputError: nothing to predict, no file that can be read, a graph that does not belong to the model, or
            `one_voice` for a student that does not normalise by speaker, or for clips whose speakers are known.
    """
    if isinstance(clips, str | Path | Sequence):
        found = load_model(model, threads)
        if one_voice and not found.hears_voices:
            raise InputError(
                "one_voice (--one-voice) is for students that normalise by speaker, this one hears every window by "
                "itself; leave it out, or train one with normalise='speaker'"
            )
        nearest = None if graph is None else Nearest(found, graph, k=n_nearest, progress=progress)
        return _predict_recordings(found, clips, window, hop, nearest, one_voice, progress)
    if one_voice:
        raise InputError("one_voice is for recordings; a graph or a clip table says who speaks: leave it out")
    if not isinstance(model, OnnxStudent) and Path(str(model)).suffix != ".onnx":
        from ser_graph.downstream import Student, load_student, predict as predict_by_torch

        model = getattr(model, "student", model)  # that of a `TorchStudent`
        model = model if isinstance(model, Student) else load_student(model)  # type: ignore[arg-type]
        if model.standardise.normalise != "speaker" or not isinstance(clips, pd.DataFrame):
            return predict_by_torch(model, clips, split, root=root, heard=heard, progress=progress)
    return _predict_clips(load_model(model, threads), clips, split, root, heard, progress)


def _predict_recordings(
    model: Model,
    source: str | Path | Sequence[str | Path],
    window: float | None,
    hop: float | None,
    nearest: Nearest | None,
    one_voice: bool,
    progress: bool,
) -> pd.DataFrame:
    length, step = window_samples(model, window, hop)
    files = named_files(source)
    alone = isinstance(source, str | Path) and not Path(source).expanduser().is_dir()
    heard: dict[str, list[Heard]] = {}
    unreadable: dict[str, str] = {}
    voice: np.ndarray | None = None
    bar = tqdm(desc=f"recordings ({len(files)})", unit="window", disable=not progress, delay=1)
    for name, path in files.items():
        said = []
        blocks = mono_blocks(path, model.features["sample_rate"])
        try:
            for one in hear_windows(model, cut(blocks, length, step), nearest, voice):
                said.append(one)
                bar.update()
        except InputError as error:
            if alone:
                raise
            unreadable[name] = str(error) if str(path) in str(error) else f"{path}: {error}"
            warnings.warn(unreadable[name], stacklevel=3)
        else:
            heard[name] = [window_heard for window_heard, _ in said]
            voice = said[-1][1] if one_voice and said else voice
    bar.close()
    if not files:
        raise InputError("No recording to predict; give a sound file, a folder with some, or a list of such")
    if not heard:
        raise InputError(f"None of the {len(files)} sound files can be read; see the warnings")
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
    model: Model,
    clips: "ClipGraph | pd.DataFrame",
    split: str | None,
    root: str | Path | None,
    heard: int | None,
    progress: bool,
) -> pd.DataFrame:
    table = clips if isinstance(clips, pd.DataFrame) else clips.table
    rows = np.arange(len(table)) if split is None else np.flatnonzero(table["split"] == split)
    if not len(rows):
        raise InputError(f"No clip to predict{'' if split is None else f' in the split {split!r}'}")
    chosen = table.iloc[rows]
    if isinstance(clips, pd.DataFrame):
        probabilities = _ask_files(model, chosen, root if root is not None else table.attrs.get("root"), progress)
    else:
        probabilities = _ask_graph(model, clips, rows, heard, progress)
    predictions = chosen[["emotion", "speaker"]].copy()
    predictions["predicted"] = [model.emotions[code] for code in probabilities.argmax(1)]
    for code, emotion in enumerate(model.emotions):
        predictions[f"p_{emotion}"] = probabilities[:, code]
    return predictions


def _ask_files(model: Model, table: pd.DataFrame, root: str | Path | None, progress: bool) -> np.ndarray:
    """[N, K] probabilities of clips, cut or repeated as in training; each speaker's one after another."""
    folder = Path(root or ".").expanduser()
    voices: dict[Any, np.ndarray | None] = {}
    said = []
    clips = list(zip(table.index, table["speaker"], table["speaker"].notna(), strict=True))
    for file, speaker, is_known in tqdm(clips, unit="file", disable=not progress, delay=1):
        sound = read_mono(folder / str(file), model.features["sample_rate"])
        waveform = repeat_to(sound, model.features["n_samples"])
        probabilities, _, after = model.hear(waveform[None], voices.get(speaker))
        said.append(probabilities)
        if is_known:
            voices[speaker] = after
    return np.concatenate(said).astype(float)


def _ask_graph(model: Model, data: "ClipGraph", rows: np.ndarray, heard: int | None, progress: bool) -> np.ndarray:
    """[N, K] probabilities of clips by their stored spectrograms."""
    from ser_graph.downstream.prediction import known_voices

    check_belongs(data.meta, model.features, model.emotions)
    voices, spectrograms = known_voices(data, model.normalise, heard), data.x.numpy()
    said = []
    for start in tqdm(range(0, len(rows), BATCH), desc="clips", disable=not progress, delay=1):
        part = rows[start : start + BATCH]
        known = None if voices is None else voices.table[voices.speaker[part]].numpy()
        said.append(model.of_spectrograms(spectrograms[part], known)[0])
    return np.concatenate(said).astype(float)
