"""Model + clips or recordings -> probabilities. For an exported model, torch is not imported."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
import pandas as pd

from ser_graph.common.csv_files import write_csv
from ser_graph.common.files import atomic_file
from ser_graph.common.progress import progress_bar
from ser_graph.common.warning import warn
from ser_graph.corpora.predictions import prediction_table
from ser_graph.edge.loading import load_model
from ser_graph.edge.models import Model
from ser_graph.edge.nearest import BATCH, clips_themselves, nearest_of_graph
from ser_graph.edge.onnx_student import OnnxStudent
from ser_graph.errors import InputError
from ser_graph.graph.compatibility import check_compatible
from ser_graph_runtime.answers import Answer, near_text
from ser_graph_runtime.arrays import repeat_to
from ser_graph_runtime.errors import ModelError
from ser_graph_runtime.nearest import Nearest
from ser_graph_runtime.recordings import files_by_name, recording_blocks
from ser_graph_runtime.sound import SoundError, read_mono
from ser_graph_runtime.streaming import cut, predict_windows, window_samples
from ser_graph_runtime.streams import is_array_with_rate, mono_stream

if TYPE_CHECKING:
    from ser_graph.downstream import Student
    from ser_graph.graph import ClipGraph

_ITSELF = "itself a training clip; others: "


def predict(
    model: "str | Path | Student | Model",
    source: "ClipGraph | pd.DataFrame | str | Path | Sequence[str | Path] | tuple[Any, int] | BinaryIO",
    split: str | None = None,
    *,
    root: str | Path | None = None,
    heard: int | None = None,
    one_voice: bool = False,
    rate: int | None = None,
    window: float | None = None,
    hop: float | None = None,
    graph: "str | Path | ClipGraph | None" = None,
    n_nearest: int = 3,
    threads: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Predict the emotions of clips or recordings.

    A student with ``normalise="speaker"`` uses statistics of the speaker (`voice`). In a clip table, it hears the
    clips of each speaker in the order of the table, and updates the statistics with each clip. A clip without a
    speaker starts from nothing. Each recording counts as one speaker: the statistics grow from window to window
    (see `predict_windows`) and start again with the next recording, unless `one_voice` is set. The student uses no
    labels.

    Args:
        model: a student, its folder, an exported ``.onnx`` file, or a model of the package, e.g. ``"ready:good"``.
        source: clips or recordings. Clips: a graph (the function uses its spectrograms) or a clip table (the
            function reads its files). Recordings: a sound file, a folder of sound files, a list of these, an array
            with its rate, ``(samples, rate)`` (see `as_mono`), or a stream that ends (see `listen`). A recording
            that is longer than a window is predicted window by window.
        split: clips only: the split to predict (``"train"``, ``"dev"``, ``"test"``).
        root: the corpus folder of a clip table; by default the folder from which it was loaded.
        heard: for a graph and a student with ``normalise="speaker"``: number of clips of each speaker that the
            student has heard before. None means all clips, 0 means an unknown voice.
        one_voice: all recordings are of one speaker: keep the statistics of the voice from file to file, in the
            order of the list, or of the names in a folder.
        rate: sampling rate in Hz of a stream of raw PCM.
        window: recordings only: length of a window in seconds. The maximum and the default are the input length of
            the model.
        hop: recordings only: seconds from the start of one window to the next; by default the length of a window.
            The last window ends with the recording.
        graph: recordings only: the graph of the training, or its folder. The table then names the labelled training
            clips that are most similar for the model, as an explanation. If a recording is itself one of these
            clips, the table says so and names the others.
        n_nearest: number of these clips.
        threads: CPU threads of an exported model.
        progress: show a progress bar.

    Returns:
        A table by file; an array is called ``array``, a stream ``stream``. Clips: `emotion` and `speaker` as given,
        `predicted`, and the probability of each emotion as ``p_anger`` and so on, float64 that sum to 1.
        Recordings: one row per window with `start` and `end` in seconds, `predicted`, `sure` (see `Answer`), the
        probabilities, and with a graph `itself` (whether the recording is a labelled training clip of the graph),
        ``near_1``, ``near_1_emotion``, ``near_1_similarity`` and so on.
        ``attrs["unreadable"]`` gives, for each unreadable file of a folder, the reason; the function warns about
        each.

    Raises:
        InputError: nothing to predict; no readable file; a graph that does not belong to the model; an argument for
            recordings together with clips, or the reverse; or `one_voice` for a student that does not normalise by
            speaker.
    """
    if isinstance(source, pd.DataFrame) or hasattr(source, "edge_index"):
        _refuse("recordings", one_voice=one_voice or None, rate=rate, window=window, hop=hop, graph=graph)
        return _predict_clips(model, cast("ClipGraph", source), split, root, heard, threads, progress)
    _refuse("a graph or a clip table", split=split, root=root, heard=heard)
    found = load_model(model, threads)
    if one_voice and not found.normalises_by_speaker:
        raise InputError(
            "one_voice (--one-voice) is for students that normalise by speaker, but this student predicts every "
            "window alone; leave it out, or train one with normalise='speaker'"
        )
    nearest = None if graph is None else nearest_of_graph(found, graph, k=n_nearest, progress=progress)
    recordings = _recordings(source, rate, found.features["sample_rate"])
    themselves: dict[str, str] = {}
    if nearest is not None and not _is_sound(source):
        themselves = clips_themselves(nearest, files_by_name(cast("str", source)))
    table = _predict_recordings(
        found, recordings, _is_one(source), window, hop, nearest, themselves, one_voice, progress
    )
    if nearest is not None:
        n_near = sum(str(column).startswith("near_") for column in table)
        table.insert(table.shape[1] - n_near, "itself", [name in themselves for name in table.index])
    return table


def _refuse(what: str, **given: object) -> None:
    """Refuse arguments that are only for `what`."""
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise InputError(f"{' and '.join(wrong)} can be given for {what} only; leave it out")


def _is_one(source: object) -> bool:
    """Whether the source is one recording, not a folder or a list."""
    if isinstance(source, str | Path):
        return not Path(source).expanduser().is_dir()
    return _is_sound(source)


def _is_sound(source: object) -> bool:
    """Whether the source is sound without a file: a stream, or an array with its rate."""
    return hasattr(source, "read") or is_array_with_rate(source)


def _recordings(source: Any, rate: int | None, sample_rate: int) -> dict[str, Callable[[], Iterator[np.ndarray]]]:
    """A function that opens each recording, by its name."""
    if _is_sound(source):
        name = "stream" if hasattr(source, "read") else "array"
        return {name: partial(mono_stream, source, rate, sample_rate)}
    if rate is not None:
        raise InputError("rate is for streams of raw PCM; a sound file contains its rate. Leave rate out")
    return {name: partial(recording_blocks, path, sample_rate) for name, path in files_by_name(source).items()}


def _predict_recordings(
    model: Model,
    recordings: dict[str, Callable[[], Iterator[np.ndarray]]],
    is_one: bool,
    window: float | None,
    hop: float | None,
    nearest: Nearest | None,
    themselves: Mapping[str, str],
    one_voice: bool,
    progress: bool,
) -> pd.DataFrame:
    length, step = window_samples(model, window, hop)
    predictions: dict[str, list[Answer]] = {}
    unreadable: dict[str, str] = {}
    voice: np.ndarray | None = None
    bar = progress_bar(desc=f"recordings ({len(recordings)})", unit="window", disable=not progress, delay=1)
    for name, blocks in recordings.items():
        windows = []
        others = nearest.without(themselves[name]) if nearest and name in themselves else nearest
        try:
            for window_and_voice in predict_windows(model, cut(blocks(), length, step), others, voice):
                windows.append(window_and_voice)
                bar.update()
            if not windows:
                raise InputError("It ended without a sample")
        except InputError as error:
            if is_one or isinstance(error, ModelError):
                raise
            unreadable[name] = str(error) if isinstance(error, SoundError) else f"{name}: {error}"
            warn(unreadable[name])
        else:
            predictions[name] = [prediction for prediction, _ in windows]
            if all(window.silent for window in predictions[name]):
                warn(f"{name} is silence; was the microphone switched on?")
            voice = windows[-1][1] if one_voice else voice
    bar.close()
    if not recordings:
        raise InputError("No recording to predict; give a sound file, a folder of sound files, or a list of them")
    if not predictions:
        raise InputError(f"None of the {len(recordings)} sound files can be read; see the warnings")
    table = windows_table(predictions)
    table.attrs["unreadable"] = unreadable
    return table


def windows_table(predictions: Mapping[str, Sequence[Answer]]) -> pd.DataFrame:
    """The windows of recordings, by name of the recording, as the table that `predict` returns."""
    rows = [{"file": name, **_row(window)} for name, windows in predictions.items() for window in windows]
    return pd.DataFrame(rows).set_index("file")


def _row(window: Answer) -> dict[str, Any]:
    row = {"start": round(window.start, 3), "end": round(window.end, 3), "predicted": window.emotion}
    row["sure"] = window.sure
    row |= {f"p_{emotion}": probability for emotion, probability in window.probabilities.items()}
    for place, (file, emotion, similarity) in enumerate(window.nearest, start=1):
        row |= {f"near_{place}": file, f"near_{place}_emotion": emotion, f"near_{place}_similarity": similarity}
    return row


def write_predictions(table: pd.DataFrame, out: str | Path) -> None:
    """Write a table of `predict` as CSV."""
    with atomic_file(out) as part:
        write_csv(_as_text(table), part)


def record(windows: Iterable[Answer], name: str, out: str | Path) -> Iterator[Answer]:
    """Yield the windows of a stream, and write each to a CSV at once, so that they outlast the program.

    The first window replaces an older file.
    """
    path = Path(out).expanduser()
    if path.is_dir():
        raise InputError(f"{out} is a folder, expected the name of a file")
    windows = iter(windows)
    first = list(islice(windows, 1))
    if not first:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        for n, window in enumerate(chain(first, windows)):
            write_csv(_as_text(windows_table({name: [window]})), file, header=n == 0)
            file.flush()
            yield window


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Times to the millisecond, even late ones; all other numbers to six digits."""
    formats = {"start": "{:.3f}", "end": "{:.3f}"}
    numbers = table.select_dtypes("number").columns
    return table.assign(**{name: table[name].map(formats.get(name, "{:.6g}").format) for name in numbers})


def format_predictions(table: pd.DataFrame) -> str:
    """A table of `predict` as text; one column names the nearest clips."""
    columns = [str(column) for column in table.columns]
    shown = table.drop(columns=[column for column in columns if column.startswith("near_")])
    if "sure" in shown:
        unsure = "unsure (" + shown["predicted"] + ")"
        shown["predicted"] = shown["predicted"].where(shown.pop("sure"), unsure)
    shown.columns = pd.Index([str(column).removeprefix("p_") for column in shown.columns])
    places = [column for column in columns if column.removeprefix("near_").isdigit()]
    if places:
        itself = shown.pop("itself") if "itself" in shown else pd.Series(False, shown.index)
        near = [
            ", ".join(
                near_text((row[at], row[f"{at}_emotion"], row[f"{at}_similarity"]))
                for at in places
                if pd.notna(row[at])  # the only clip of a graph has no others
            )
            for row in table.to_dict("records")
        ]
        shown["nearest"] = [f"{_ITSELF if own else ''}{clips}" for own, clips in zip(itself, near, strict=True)]
    return shown.to_string(float_format="{:.2f}".format)


def _predict_clips(
    model: "str | Path | Student | Model",
    clips: "ClipGraph | pd.DataFrame",
    split: str | None,
    root: str | Path | None,
    heard: int | None,
    threads: int,
    progress: bool,
) -> pd.DataFrame:
    if not isinstance(model, OnnxStudent) and Path(str(model)).suffix.lower() != ".onnx":
        from ser_graph.downstream import Student, load_student, predict_clips

        model = getattr(model, "student", model)  # of a `TorchStudent`
        model = model if isinstance(model, Student) else load_student(model)  # type: ignore[arg-type]
        if model.standardise.normalise != "speaker" or not isinstance(clips, pd.DataFrame):
            return predict_clips(model, clips, split, root=root, heard=heard, progress=progress)
    return _predict_by(load_model(model, threads), clips, split, root, heard, progress)


def _predict_by(
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
    selected = table.iloc[rows]
    if isinstance(clips, pd.DataFrame):
        probabilities = _predict_files(
            model, selected, root if root is not None else table.attrs.get("root"), progress
        )
    else:
        probabilities = _predict_graph(model, clips, rows, heard, progress)
    return prediction_table(selected, model.emotions, probabilities)


def _predict_files(model: Model, table: pd.DataFrame, root: str | Path | None, progress: bool) -> np.ndarray:
    """[N, K] probabilities of clips, cut or repeated as in training; the clips of a speaker in their order."""
    folder = Path(root or ".").expanduser()
    voices: dict[Any, np.ndarray | None] = {}
    predictions = []
    clips = list(zip(table.index, table["speaker"], table["speaker"].notna(), strict=True))
    for file, speaker, is_known in progress_bar(clips, "predicting", unit="file", disable=not progress, delay=1):
        sound = read_mono(folder / str(file), model.features["sample_rate"])
        waveform = repeat_to(sound, model.features["n_samples"])
        probabilities, _, after = model.hear(waveform[None], voices.get(speaker))
        predictions.append(probabilities)
        if is_known:
            voices[speaker] = after
    return np.concatenate(predictions).astype(float)


def _predict_graph(
    model: Model, data: "ClipGraph", rows: np.ndarray, heard: int | None, progress: bool
) -> np.ndarray:
    """[N, K] probabilities of clips from their stored spectrograms."""
    from ser_graph.downstream.prediction import known_voices

    check_compatible(data.meta, model.features, model.emotions)
    voices, spectrograms = known_voices(data, model.normalise, heard), data.x.numpy()
    predictions = []
    for start in progress_bar(
        range(0, len(rows), BATCH), desc="predicting", unit="batch", disable=not progress, delay=1
    ):
        part = rows[start : start + BATCH]
        known = None if voices is None else voices.table[voices.speaker[part]].numpy()
        predictions.append(model.of_spectrograms(spectrograms[part], known)[0])
    return np.concatenate(predictions).astype(float)
