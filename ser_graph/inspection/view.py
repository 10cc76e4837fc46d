"""The page in a notebook: the same view, connected to Python."""

from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from ser_graph.audio.clips import clip_paths, clip_speeds
from ser_graph.errors import InputError, bad_value
from ser_graph.graph import ClipGraph
from ser_graph.graph.clip_graph import check_is_graph
from ser_graph.inspection.page import page_html
from ser_graph.inspection.page.audio import EMBED_UP_TO, encode_clip
from ser_graph.inspection.page.contents import page_rows

_AUDIO = ("auto", "embed", "none")  # a frame in a notebook cannot open the files of the corpus
_LIVE = {"kind": "live", "note": "Sound comes from the notebook as long as its kernel runs.", "sources": None}
_TOO_MANY = {
    "kind": "none",
    "note": "No sound: so many clips need anywidget (pip install anywidget).",
    "sources": None,
}


def inspect(
    data: ClipGraph,
    *,
    audio: str = "auto",
    root: str | Path | None = None,
    height: int = 700,
    ego: str | None = None,
    hops: int = 2,
    sample: int | None = None,
    seed: int = 0,
    **settings: Any,
) -> "View":
    """Look at a graph and listen to it in a notebook: click a clip, hear it, move to its neighbours.

    Args:
        data: the graph.
        audio: ``"embed"``, ``"none"``, or ``"auto"``: the view fetches each clip from the kernel when you play it;
            without anywidget, the view embeds up to 1,000 clips.
        root: the corpus folder; by default the folder from which the graph was made.
        height: height in pixels.
        ego: the file of a clip: show only this clip and the clips around it.
        hops: greatest distance from `ego`, in edges.
        sample: number of clips to show, drawn at random.
        seed: random seed of the layout and of the sample.
        **settings: further arguments of `page_html`, e.g. `by` or `predictions`.

    Returns:
        The view; the last line of a cell shows it. `View.selection` is the clip table of the selected clips.

    Raises:
        InputError: as in `page_html`.
    """
    if audio not in _AUDIO:
        raise bad_value("way to get audio in a notebook", audio, _AUDIO)
    check_is_graph(data)
    rows = page_rows(data, ego, hops, sample, seed)
    table = data.table.iloc[rows]
    make_widget = _widget_maker()
    paths = _paths(table, root)
    sound: str | dict[str, Any] = audio
    if audio == "auto" and paths is not None:
        sound = _LIVE if make_widget else "embed" if len(paths) <= EMBED_UP_TO else _TOO_MANY
    html = page_html(data, audio=sound, root=root, ego=ego, hops=hops, sample=sample, seed=seed, **settings)
    widget = make_widget(html, height, paths, clip_speeds(table)) if make_widget else None
    return View(html, table, height, widget)


class View:
    """A graph shown in a notebook.

    Attributes:
        table: the clips shown, in the order of the view.
        widget: the anywidget that shows the clips; None without anywidget: the view then sends nothing back to
            Python.
    """

    def __init__(self, html: str, table: pd.DataFrame, height: int, widget: Any) -> None:
        self._html, self.table, self._height, self.widget = html, table, height, widget

    def __repr__(self) -> str:
        return f"View of {len(self.table):,} clips"

    @property
    def selection(self) -> pd.DataFrame:
        """The clips that are selected in the view, as rows of the clip table."""
        return self.table.iloc[self._connected().selection]

    @property
    def chosen(self) -> str | None:
        """The file of the chosen clip in the view."""
        clip = self._connected().chosen
        return None if clip is None else str(self.table.index[clip])

    def choose(self, file: str) -> None:
        """Choose a clip, like a click on it.

        Raises:
            InputError: the clip is not in the view, or the view has no widget.
        """
        if file not in self.table.index:
            raise InputError(f"No clip {file!r} in the view, which shows {len(self.table):,} clips of the graph")
        self._connected().send({"ser_graph": "choose", "clip": self.table.index.tolist().index(file)})

    def _connected(self) -> Any:
        if self.widget is None:
            raise InputError("The view cannot answer without anywidget; install it: pip install anywidget")
        return self.widget

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        if self.widget is not None:
            return self.widget._repr_mimebundle_(**kwargs)
        rights = 'sandbox="allow-scripts allow-downloads"'
        style = f"width:100%;height:{self._height}px;border:0"
        frame = f'<iframe title="The graph" {rights} style="{style}" srcdoc="{escape(self._html)}"></iframe>'
        return {"text/html": frame, "text/plain": repr(self)}


def _paths(table: pd.DataFrame, root: str | Path | None) -> list[Path] | None:
    try:
        return clip_paths(table, root)
    except InputError:
        return None


def _widget_maker() -> Any:
    """The function that makes the widget; None without anywidget."""
    try:
        import anywidget
        import traitlets
    except ImportError:
        return None

    class GraphWidget(anywidget.AnyWidget):
        # The page is in a frame without rights: it can only run, save a file, and send messages.
        _esm = Path(__file__).with_name("page") / "assets" / "widget.js"
        html = traitlets.Unicode().tag(sync=True)
        height = traitlets.Int().tag(sync=True)
        selection = traitlets.List(traitlets.Int()).tag(sync=True)
        chosen = traitlets.Int(None, allow_none=True).tag(sync=True)

    def make(html: str, height: int, paths: list[Path] | None, speeds: list[float]) -> Any:
        widget = GraphWidget(html=html, height=height)

        def answer(_: Any, content: Any, __: Any) -> None:
            clip = content.get("clip") if isinstance(content, dict) else None
            if paths is not None and isinstance(clip, int) and 0 <= clip < len(paths):
                address = encode_clip(paths[clip], speeds[clip])
                widget.send({"ser_graph": "audio", "clip": clip, "address": address})

        widget.on_msg(answer)
        return widget

    return make
