"""`EmotionGraph`: the same graph as a PyG `InMemoryDataset`, for those who expect one."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from torch_geometric.data import InMemoryDataset

from ser_graph.audio.log_mel import LogMelSettings
from ser_graph.common.stages import MARK, Stage, asked_of, plain, refuse_difference
from ser_graph.corpora import ADAPTERS, load_corpus
from ser_graph.corpora.table import asked_of_clips
from ser_graph.errors import InputError, bad_value
from ser_graph.graph.building import build_graph
from ser_graph.graph.rules import EdgeRules
from ser_graph.graph.space import Space
from ser_graph.graph.storage import FILES, load_graph, write_graph
from ser_graph.upstream import Upstream
from ser_graph.upstream.embedding import embed

_WHERE = "data/README.md says where each corpus is had from and how its folder looks"

_SETTINGS = {
    name: parameter.default
    for function in (build_graph, embed)
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.kind == parameter.KEYWORD_ONLY and name not in ("out", "emb", "x")
}
_WHERE_AND_HOW_FAST = frozenset({"root", "cache", "device", "batch_size", "n_jobs", "progress"})  # the same graph
_WAY_OUT = "pass force_reload=True to build it anew"


def graph_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of `build_graph` with all of their defaults, those that another graph comes of, as JSON values."""
    names = sorted(_SETTINGS.keys() - _WHERE_AND_HOW_FAST)
    return {name: _plain({**_SETTINGS, **settings}[name], name) for name in names}


def asked_of_graph(table: pd.DataFrame, upstream: Upstream, settings: dict[str, Any]) -> dict[str, Any]:
    """Everything that decides a graph, as JSON values."""
    columns = dict.fromkeys(["emotion", "speaker", "gender", "split", *settings.get("rules", EdgeRules()).across])
    return {
        "settings": graph_settings(settings),
        "upstream": upstream.fingerprint(),
        **asked_of_clips(table, list(columns)),
    }


def _plain(value: Any, name: str) -> Any:
    value = LogMelSettings() if name == "features" and value is None else value
    return value.to_dict() if isinstance(value, LogMelSettings | Space | EdgeRules) else value


def _name_of(split: Any) -> str | None:
    """What is noted of a split; functions have no names that tell them apart."""
    return split if split is None or isinstance(split, str) else "a function"


class EmotionGraph(InMemoryDataset):
    """The graph of a corpus as a PyG dataset of one `Data`: ``dataset[0]``.

    The clips are expected in ``root/raw``; the graph is built once and kept in ``root/processed``.

    Args:
        root: folder of the dataset, e.g. ``"data/emovo"``.
        name: name of the corpus, e.g. ``"emovo"``; by default the name of the folder. ``"synthetic"`` is made
            on the spot.
        upstream: the model that embeds the clips, or its name or folder; not needed once the graph is built.
        split: as in `load_corpus`.
        transform: as in PyG, applied on every access.
        force_reload: build the graph anew.
        **settings: settings of `build_graph`: `epsilon`, `n_neighbors`, `scope`, `method`, ...

    Raises:
        InputError: no clips in ``root/raw``, no upstream to build with, or a graph built with other settings.
    """

    def __init__(
        self,
        root: str | Path,
        name: str | None = None,
        upstream: Upstream | str | Path | None = None,
        *,
        split: Any = "default",
        transform: Callable[..., Any] | None = None,
        force_reload: bool = False,
        **settings: Any,
    ) -> None:
        self.name = name or Path(root).name
        if self.name not in ADAPTERS:
            raise bad_value("corpus", self.name, ADAPTERS)
        if unknown := set(settings) - _SETTINGS.keys():
            raise bad_value("setting of the graph", min(unknown), _SETTINGS)
        self._upstream, self._split, self._settings = upstream, split, settings
        super().__init__(str(root), transform, force_reload=force_reload, log=False)
        self.data, self.slices = load_graph(self.processed_dir), None
        self._check_built_as_asked()

    @property
    def raw_file_names(self) -> list[str]:
        """Not known beforehand: every corpus has its own."""
        return []

    @property
    def processed_file_names(self) -> list[str]:
        """The parts of a stored graph, and what it was asked for."""
        return [*FILES, MARK]

    def download(self) -> None:
        """Make the synthetic corpus, or say where the corpus is had from."""
        raw = Path(self.raw_dir)
        if self._is_built() or any(raw.iterdir()):
            return
        if self.name != "synthetic":
            raise InputError(f"No clips in {raw}; put {ADAPTERS[self.name].title} there ({_WHERE})")
        from ser_graph.corpora.synthetic.making import make_corpus

        make_corpus(raw)

    def process(self) -> None:
        """Build the graph and store it."""
        if self._upstream is None:
            raise InputError(f"No graph in {self.processed_dir} yet; give the upstream to build it with")
        self._upstream = self._loaded(self._upstream)
        table = load_corpus(self.name, self.raw_dir, split=self._split)
        asked = {**asked_of_graph(table, self._upstream, self._settings), "split": _name_of(self._split)}
        stage = Stage(self.processed_dir, asked, way_out=_WAY_OUT)
        with stage.work() as work:
            data = build_graph(table, self._upstream, out=work / "x.npy", **self._settings)
            with stage.write() as part:
                write_graph(data, part, x_file=work / "x.npy")

    @staticmethod
    def _loaded(upstream: Upstream | str | Path) -> Upstream:
        return upstream if isinstance(upstream, Upstream) else Upstream.from_pretrained(upstream)

    def _is_built(self) -> bool:
        return (Path(self.processed_dir) / MARK).exists()

    def _check_built_as_asked(self) -> None:
        meta = self._data.meta
        if self._upstream is not None and not self._is_named_so(meta["upstream"]):
            fingerprint = self._loaded(self._upstream).fingerprint()
            if fingerprint != meta["upstream"]["fingerprint"]:
                raise InputError(
                    f"The graph in {self.processed_dir} was built with another upstream; pass force_reload=True to "
                    "build it anew"
                )
        stored = asked_of(Path(self.processed_dir))
        before = {**stored["settings"], "split": stored["split"]}
        given = self._settings.keys() - _WHERE_AND_HOW_FAST
        now = {name: _plain(self._settings[name], name) for name in sorted(given)}
        if callable(self._split):
            self._check_split()
        elif self._split != "default":
            now["split"] = self._split
        refuse_difference(Path(self.processed_dir), {name: before[name] for name in now}, plain(now), _WAY_OUT)

    def _is_named_so(self, upstream: dict[str, Any]) -> bool:
        """Whether the upstream is known by its name, so that nothing has to be fetched to compare it."""
        asked = self._upstream
        if isinstance(asked, Upstream) or Path(str(asked)).expanduser().is_dir():
            return False
        return str(asked) == upstream.get("weights") and not upstream.get("finetuned")

    def _check_split(self) -> None:
        if not any(Path(self.raw_dir).iterdir()):
            return  # the clips are gone, and with them what the function could be asked about
        stored = self._data.table["split"]
        wanted = load_corpus(self.name, self.raw_dir, split=self._split)["split"].reindex(stored.index)
        if not wanted.astype(object).equals(stored.astype(object)):
            raise InputError(
                f"The graph in {self.processed_dir} was built with another split; pass force_reload=True to build "
                "it anew"
            )
