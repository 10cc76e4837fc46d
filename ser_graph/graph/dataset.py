"""`EmotionGraph`: the same graph as a PyG `InMemoryDataset`, for those who expect one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch_geometric.data import InMemoryDataset

from ser_graph.audio.settings import LogMelSettings
from ser_graph.common.settings import changed, names_of
from ser_graph.corpora import ADAPTERS, load_corpus
from ser_graph.errors import InputError, bad_value
from ser_graph.graph.building import build_graph
from ser_graph.graph.settings import GraphSettings
from ser_graph.graph.storage import load_graph, save_graph
from ser_graph.graph.stored import FILES
from ser_graph.upstream import EmbeddingSettings, Upstream

_WHERE = "data/README.md says where each corpus is had from and how its folder looks"


def _name_of(split: Any) -> str | None:
    """What is noted of a split; functions have no names that tell them apart."""
    return split if split is None or isinstance(split, str) else "a function"


class EmotionGraph(InMemoryDataset):
    """The graph of a corpus as a PyG dataset of one `Data`: ``dataset[0]``.

    The class reads the clips from ``root/raw``, builds the graph once, and stores it in ``root/processed``.

    Args:
        root: folder of the dataset, e.g. ``"data/emovo"``.
        name: name of the corpus, e.g. ``"emovo"``; by default the name of the folder. For ``"synthetic"``, the
            class makes the clips.
        upstream: the model that embeds the clips, or its name or folder; needed only to build the graph.
        settings: as in `build_graph`. If the graph exists, the given settings must equal its settings.
        split: as in `load_corpus`.
        embedding: as in `build_graph`; likewise `features`, `shared_speakers`, `cache` and `progress`.
        shared_speakers: accept a speaker in two splits.
        cache: folder for embeddings.
        progress: show progress bars.
        transform: as in PyG, applied on every access.
        force_reload: build the graph again.
        **changes: single settings by name, as in `build_graph`: `epsilon`, `n_neighbors`, `layer`, ...

    Raises:
        InputError: no clips in ``root/raw``, no upstream to build with, or a graph built with other settings.
    """

    def __init__(
        self,
        root: str | Path,
        name: str | None = None,
        upstream: Upstream | str | Path | None = None,
        settings: GraphSettings | None = None,
        *,
        split: Any = "default",
        embedding: EmbeddingSettings | None = None,
        features: LogMelSettings | None = None,
        shared_speakers: bool = False,
        cache: str | Path | None = None,
        progress: bool = True,
        transform: Callable[..., Any] | None = None,
        force_reload: bool = False,
        **changes: Any,
    ) -> None:
        self.name = name or Path(root).name
        if self.name not in ADAPTERS:
            raise bad_value("corpus", self.name, ADAPTERS)
        self._upstream, self._split = upstream, split
        self._settings, self._embedding, self._features = changed(
            changes, settings or GraphSettings(), embedding or EmbeddingSettings(), features or LogMelSettings()
        )
        self._how: dict[str, Any] = {"shared_speakers": shared_speakers, "cache": cache, "progress": progress}
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
        from ser_graph.corpora.synthetic.making import make_corpus

        make_corpus(raw)

    def process(self) -> None:
        """Build the graph and store it."""
        if self._upstream is None:
            raise InputError(f"No graph in {self.processed_dir} yet; give the upstream to build it with")
        self._upstream = self._loaded(self._upstream)
        table = load_corpus(self.name, self.raw_dir, split=self._split)
        x_file, how = Path(self.root) / ".x.npy", {"embedding": self._embedding, "features": self._features}
        data = build_graph(table, self._upstream, self._settings, out=x_file, **how, **self._how)
        data.meta["split"] = _name_of(self._split)
        save_graph(data, self.processed_dir, x_file=x_file)

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
        built = (meta["graph"]["settings"], meta["embedding"], meta["features"])
        for asked, values in zip((self._settings, self._embedding, self._features), built, strict=True):
            stored = type(asked)(**values)
            for name in asked.given.keys() - names_of(type(asked), "cost"):
                self._check_same(name, getattr(stored, name), getattr(asked, name))
        if callable(self._split):
            self._check_split()
        elif self._split != "default":
            self._check_same("split", meta["split"], self._split)

    def _check_same(self, name: str, built: Any, asked: Any) -> None:
        if built != asked:
            raise InputError(
                f"The graph in {self.processed_dir} was built with {name}={built!r}, not {asked!r}; pass "
                "force_reload=True to build it anew"
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
