"""A trained student -> a folder that a browser opens: a page that listens. Nothing leaves the browser."""

import shutil
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ser_graph.common.colors import value_colors
from ser_graph.common.extras import optional_package
from ser_graph.common.files import atomic_folder, check_replaceable, write_json
from ser_graph.common.provenance import environment
from ser_graph.downstream import Student, load_student
from ser_graph.edge import onnxruntime_web
from ser_graph.edge.exporting import check_suffix, export
from ser_graph.edge.nearest import nearest_of_graph
from ser_graph.edge.onnx_student import OnnxStudent
from ser_graph.edge.web_clips import write_clips, write_sounds
from ser_graph.errors import InputError
from ser_graph.graph.stored import read_stored_graph
from ser_graph_runtime.onnx_model import SPECTROGRAM

if TYPE_CHECKING:
    from ser_graph.graph import ClipGraph

MARK = "ser-graph-page.json"
MODEL = "model.onnx"
_MOST_CLIPS = 200


def export_page(
    model: Student | str | Path,
    out: str | Path,
    *,
    onnxruntime_web_folder: str | Path | None = None,
    graph: "str | Path | ClipGraph | None" = None,
    sounds: bool = False,
    **settings: Any,
) -> Path:
    """Write a student as a folder for any web server. Its page hears a microphone or a file, in the browser alone.

    The page shows waveform, log-mel spectrogram, probabilities over time, and how long the model computes. It makes
    the same windows as `predict` and gives the same probabilities. Its Content-Security-Policy forbids to load or
    to send anything beyond the folder.

    Args:
        model: the student, or its folder.
        out: the folder; it replaces an older page.
        onnxruntime_web_folder: the unpacked npm package onnxruntime-web; see `runtime_files`.
        graph: the graph of the training, or its folder: the page then names the labelled training clips that are
            most similar for the model. It contains up to 200 clips: their names, emotions and `fc1`.
        sounds: the page also contains the sound of these clips (MP3), to be played. Ask the people who speak first.
        **settings: arguments of `export`: `int8`, `clips`, `n_clips`, `seed`, `temperature`, `threshold`,
            `progress`, and `about`, whose title and licence the page shows.

    Returns:
        The folder.

    Raises:
        InputError: as in `export`, `runtime_files` and `nearest_of_graph`; `sounds` without a graph; or `out` holds
            other things.
    """
    if sounds and graph is None:
        raise InputError("sounds (--sounds) are those of the clips of a graph; give the graph too (--graph)")
    check_suffix(out, "web")
    check_replaceable(out, MARK)
    student = model if isinstance(model, Student) else load_student(model)
    runtime = onnxruntime_web.runtime_files(onnxruntime_web_folder)
    out = Path(out).expanduser()
    with atomic_folder(out, MARK) as part:
        path = export(model, part / MODEL, **settings)
        model_of_page, progress = OnnxStudent(path), settings.get("progress", True)
        if graph is not None:
            clips = nearest_of_graph(model_of_page, graph, n_clips=_MOST_CLIPS, progress=progress)
            write_clips(part, clips, sounds=sounds)
            if sounds:
                table = _table(graph).loc[clips.files]
                write_sounds(part, table, model_of_page.features["sample_rate"], progress=progress)
        _show_spectrogram(path)
        for file in runtime:
            shutil.copyfile(file, part / _name(file))
        for asset in resources.files("ser_graph.edge").joinpath("web").iterdir():
            (part / asset.name).write_bytes(asset.read_bytes())
        about = {
            "title": model_of_page.title or _title(student),
            "licence": model_of_page.licence or "not stated",
            "clips": graph is not None,
            "colors": value_colors("emotion", student.emotions),
            "onnxruntime_web": onnxruntime_web.VERSION,
            "ser_graph": environment()["packages"]["ser-graph"],
        }
        write_json(part / MARK, about)
    return out


def _table(graph: "str | Path | ClipGraph") -> pd.DataFrame:
    return read_stored_graph(graph).table if isinstance(graph, str | Path) else graph.table


def _title(student: Student) -> str:
    corpus = student.info.get("corpus")
    return f"{student.info['backbone']}{f' on {corpus}' if corpus else ''}"


def _name(file: Path) -> str:
    """The licences are those of onnxruntime, not of the page."""
    return file.name if file.name in onnxruntime_web.FILES else f"onnxruntime-{file.name}"


def _show_spectrogram(path: Path) -> None:
    """Make the log-mel spectrogram of an exported student an output, which the page draws."""
    onnx = optional_package("onnx")
    model = onnx.load(path)
    (value,) = [one for one in model.graph.value_info if one.name == SPECTROGRAM]
    model.graph.output.append(value)
    onnx.save(model, path)
