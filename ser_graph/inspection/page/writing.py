"""`ClipGraph` -> one HTML file that a browser opens without a server and without a network."""

import json
import re
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import pandas as pd
from bokeh.resources import Resources

from ser_graph.analysis import score_clips
from ser_graph.common.colors import UNKNOWN_COLOR
from ser_graph.common.files import atomic_file
from ser_graph.common.hashing import content_hash
from ser_graph.downstream import Student, predict_clips
from ser_graph.downstream.prediction import student_embeddings
from ser_graph.errors import InputError
from ser_graph.graph import ClipGraph
from ser_graph.graph.clip_graph import check_is_graph
from ser_graph.inspection.layout import graph_layout, second_layout
from ser_graph.inspection.page.audio import page_audio
from ser_graph.inspection.page.contents import (
    check_color_column,
    gradient,
    label_colors,
    page_columns,
    page_edges,
    page_rows,
    prediction_columns,
)
from ser_graph.inspection.page.drawing import page_maps
from ser_graph.inspection.page.spectrograms import spectrogram_sheets
from ser_graph.inspection.policy import source_hash

_SCRIPTS = (
    "state.js",
    "labels.js",
    "address.js",
    "drawing.js",
    "listening.js",
    "histograms.js",
    "panels.js",
    "main.js",
)


def write_page(data: ClipGraph, out: str | Path, **settings: Any) -> Path:
    """Write the page of a graph as a file; it replaces an older file.

    Args:
        data: the graph.
        out: the file, ``.html``.
        **settings: arguments of `page_html`.

    Returns:
        The file.
    """
    out = Path(out).expanduser()
    text = page_html(data, folder=out.parent, **settings)
    with atomic_file(out) as part:
        part.write_text(text, encoding="utf-8", newline="\n")  # the same bytes as in the hash
    return out


def page_html(
    data: ClipGraph,
    *,
    by: str = "emotion",
    predictions: pd.DataFrame | None = None,
    student: Student | None = None,
    ego: str | None = None,
    hops: int = 2,
    sample: int | None = None,
    audio: str | dict[str, Any] = "auto",
    root: str | Path | None = None,
    folder: str | Path = ".",
    seed: int = 0,
    progress: bool = True,
) -> str:
    """The page of a graph: a map of its clips. Choose a clip to see and hear it beside its neighbours.

    Args:
        data: the graph.
        by: the column that colours the clips at first.
        predictions: the predictions of a student for the clips, as `predict` returns them.
        student: a trained student: show its predictions, and a second map by its embeddings (`fc1`).
        ego: the file of a clip: show only this clip and the clips around it.
        hops: greatest distance from `ego`, in edges.
        sample: number of clips to show, drawn at random.
        audio: ``"embed"`` (MP3 inside the page), ``"reference"`` (the files of the corpus, which must not be
            moved), ``"none"``, or ``"auto"``: embed up to 1,000 clips, reference more clips, and no sound without
            the corpus. A dictionary is used like the result of `page_audio`.
        root: the corpus folder; by default the folder from which the graph was made.
        folder: the folder of the page; references are relative to it.
        seed: random seed of the layout and of the sample.
        progress: show progress bars.

    Returns:
        HTML. The page loads nothing, except referenced sound: its Content-Security-Policy forbids everything else.

    Raises:
        InputError: an unknown column, clip or way of audio, predictions for other clips, both predictions and a
            student, a student that does not fit the graph, or too many clips.
    """
    check_is_graph(data)
    data.check()
    if predictions is not None and student is not None:
        raise InputError("Both predictions and a student were given, expected one of them; a student predicts")
    rows = page_rows(data, ego, hops, sample, seed)
    table = data.table.iloc[rows]
    if student is not None:
        predictions = predict_clips(student, data)
    extra = score_clips(data).reindex(data.table.index).drop(columns="emotion")
    if predictions is not None:
        extra = pd.concat([prediction_columns(data, predictions), extra], axis=1)
    columns = page_columns(data, rows, extra)
    check_color_column(columns, by)
    if isinstance(audio, str):
        audio = page_audio(table, audio, root=root, folder=Path(folder), progress=progress)
    spectrograms = spectrogram_sheets(data, rows, progress)
    # Megabytes that the page needs only for a chosen clip: they come after the scripts, which do not wait for them.
    late = {"sheets": spectrograms.pop("sheets"), "sounds": audio["sources"]}
    maps = [graph_layout(data, seed=seed)]
    if student is not None:
        maps.append(second_layout(student_embeddings(student, data), maps[0], seed))
    maps = [xy[rows] for xy in maps]
    contents = {
        "title": data.meta.corpus or "clips",
        "by": by,
        "ego": ego,
        "files": [str(file) for file in table.index],
        "id": content_hash(data.clip[rows].numpy().tobytes())[:8],  # an address belongs to a page of the same clips
        "maps": [dict(zip("xy", np.round(xy.T.astype(float), 5).tolist(), strict=True)) for xy in maps],
        "columns": columns,
        "searched": [str(name) for name in data.table],
        "table": [str(name) for name in data.table if name not in extra],
        "label_colors": label_colors(data),
        "edges": page_edges(data, rows),
        "epsilon": data.meta.measured.epsilon,
        "scope": data.meta.settings.scope,
        "n_in_graph": data.num_nodes,
        "unknown_color": UNKNOWN_COLOR,
        "gradient": gradient(),
        "audio": {"kind": audio["kind"], "note": audio["note"]},
        "spectrograms": spectrograms,
    }
    return _html(contents, late, page_maps(*maps))


def _html(contents: dict[str, Any], late: dict[str, Any], plot: Any) -> str:
    bokeh = "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)
    script_text = "\n".join(_asset(name) for name in _SCRIPTS)
    scripts = [bokeh, f'(() => {{\n"use strict";\n{script_text}\n}})();']
    return Template(_asset("page.html")).substitute(
        title=escape(contents["title"]).encode("utf-8", "replace").decode(),
        # Only these two scripts may run; no text from a corpus can run as a script.
        hashes=" ".join(source_hash(script) for script in scripts),
        media="'self' file:" if contents["audio"]["kind"] == "reference" else "",
        style=_asset("page.css"),
        bokeh=scripts[0],
        script=scripts[1],
        contents=_json(contents),
        drawing=_json(plot),
        late=_json(late),
    )


def _json(content: Any) -> str:
    """JSON for the inside of an element: no text in the JSON can end the element.

    Bytes of a file name that are not UTF-8, which Python represents as surrogates, are written as escapes.
    """
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub("[<\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _asset(name: str) -> str:
    return resources.files("ser_graph.inspection.page").joinpath("assets", name).read_text("utf-8")
