"""`EmotionGraph`: the same graph as a PyG `InMemoryDataset`, for those who expect one."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch_geometric.data import InMemoryDataset

from ser_graph.audio.log_mel import LogMelSettings
from ser_graph.corpora import ADAPTERS, load_corpus
from ser_graph.errors import InputError, bad_value
from ser_graph.graph.building import build_graph
from ser_graph.graph.rules import EdgeRules
from ser_graph.graph.space import Space
from ser_graph.graph.storage import load_graph, save_graph
from ser_graph.stored_graph import FILES
from ser_graph.upstream import Upstream
from ser_graph.upstream.embedding import embed

_WHERE = "data/README.md says where each corpus is had from and how its folder looks"


_SETTINGS = {
    name: parameter.default
    for function in (build_graph, embed)
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.kind == parameter.KEYWORD_ONLY and name not in ("out", "emb", "x")
}
_SETTINGS["split"] = "default"
# Settings that another graph comes of; `method` says how it is searched, the others where and how fast.
_OF_THE_RESULT = frozenset(
    {"epsilon", "n_neighbors", "scope", "space", "rules", "seed", "shared_speakers", "features", "split"}
    | {"seconds", "layer", "precision"}
)


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
        """The parts of a stored graph."""
        return list(FILES)

    def download(self) -> None:
        """Make the synthetic corpus, or say where the corpus is had from."""
        raw = Path(self.raw_dir)
        if self._is_built() or any(raw.iterdir()):
            return
        if self.name != "synthetic":
            raise InputError(f"No clips in {raw}; put {ADAPTERS[self.name].title} there ({_WHERE})")
        from ser_graph.corpora.synthesis import make_corpus

        make_corpus(raw)

    def process(self) -> None:
        """Build the graph and store it."""
        if self._upstream is None:
            raise InputError(f"No graph in {self.processed_dir} yet; give the upstream to build it with")
        self._upstream = self._loaded(self._upstream)
        table = load_corpus(self.name, self.raw_dir, split=self._split)
        features = Path(self.root) / ".x.npy"
        data = build_graph(table, self._upstream, out=features, **self._settings)
        data.meta["split"] = _name_of(self._split)
        save_graph(data, self.processed_dir, x_file=features)

    @staticmethod
    def _loaded(upstream: Upstream | str | Path) -> Upstream:
        return upstream if isinstance(upstream, Upstream) else Upstream.from_pretrained(upstream)

    def _is_built(self) -> bool:
        return (Path(self.processed_dir) / "meta.json").exists()

    def _check_built_as_asked(self) -> None:
        meta = self._data.meta
        if self._upstream is not None and not self._is_named_so(meta["upstream"]):
            fingerprint = self._loaded(self._upstream).fingerprint()
            if fingerprint != meta["upstream"]["fingerprint"]:
                raise InputError(
                    f"The graph in {self.processed_dir} was built with another upstream; pass force_reload=True to "
                    "build it anew"
                )
        graph = {"space": Space().to_dict(), "rules": EdgeRules().to_dict(), **meta["graph"]}
        graph["epsilon"] = graph.get("epsilon_by", graph["epsilon"])
        built = {**graph, **meta["embedding"], "features": meta["features"]}
        built["split"] = meta.get("split", _name_of(self._split))  # graphs of before do not say it
        asked = {name: value for name, value in self._settings.items() if name in _OF_THE_RESULT}
        if callable(self._split):
            self._check_split()
        elif self._split != "default":
            asked["split"] = self._split
        if asked.get("features", "") is None:
            asked["features"] = LogMelSettings()
        for key, wanted in asked.items():
            found = built.get(key, _SETTINGS[key])
            wanted = wanted.to_dict() if isinstance(wanted, LogMelSettings | Space | EdgeRules) else wanted
            if found != wanted:
                raise InputError(
                    f"The graph in {self.processed_dir} was built with {key}={found!r}, not {wanted!r}; "
                    "pass force_reload=True to build it anew"
                )

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
