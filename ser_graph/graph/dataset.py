"""`EmotionGraph`: the graph of a corpus as a PyG `InMemoryDataset`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch_geometric.data import InMemoryDataset

from ser_graph.audio.settings import LogMelSettings
from ser_graph.common.settings import changed, with_settings
from ser_graph.common.stages import MARK, Stage, asked_of, plain, refuse_difference
from ser_graph.corpora import ADAPTERS, load_corpus
from ser_graph.errors import InputError, bad_value
from ser_graph.graph.building import asked_of_graph
from ser_graph.graph.meta import UpstreamMeta
from ser_graph.graph.settings import GraphSettings
from ser_graph.graph.stage import build_stage
from ser_graph.graph.storage import load_graph
from ser_graph.graph.stored import FILES
from ser_graph.upstream import EmbeddingSettings, Upstream

_WHERE = "data/README.md lists the source and the folder layout of each corpus"
_WAY_OUT = "pass force_reload=True to build it again"


def _name_of(split: Any) -> str | None:
    """The stored name of a split; functions have no unique names."""
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

    @with_settings(GraphSettings, EmbeddingSettings, LogMelSettings)
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
        wholes = {"graph": settings, "embedding": embedding, "features": features}
        self._whole = {part for part, one in wholes.items() if one is not None}  # all of their fields are compared
        self._settings, self._embedding, self._features = changed(
            changes, settings or GraphSettings(), embedding or EmbeddingSettings(), features or LogMelSettings()
        )
        self._how: dict[str, Any] = {"shared_speakers": shared_speakers, "cache": cache, "progress": progress}
        super().__init__(str(root), transform, force_reload=force_reload, log=False)
        self.data, self.slices = load_graph(self.processed_dir), None
        self._check_built_as_requested()

    @property
    def raw_file_names(self) -> list[str]:
        """Unknown in advance, because every corpus has other files."""
        return []

    @property
    def processed_file_names(self) -> list[str]:
        """The files of a stored graph, and the request of its stage."""
        return [*FILES, MARK]

    def download(self) -> None:
        """Make the synthetic corpus, or refuse and name the source of the corpus."""
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
            raise InputError(f"No graph in {self.processed_dir} yet; give the upstream that embeds the clips")
        self._upstream = self._loaded(self._upstream)
        table = load_corpus(self.name, self.raw_dir, split=self._split)
        how = {"embedding": self._embedding, "features": self._features}
        how["shared_speakers"] = self._how["shared_speakers"]
        asked = {**asked_of_graph(table, self._upstream, self._settings, **how), "split": _name_of(self._split)}
        stage = Stage(self.processed_dir, asked, way_out=_WAY_OUT)
        how = {"embedding": self._embedding, "features": self._features, **self._how}
        build_stage(stage, table, self._upstream, self._settings, anew=True, **how)

    @staticmethod
    def _loaded(upstream: Upstream | str | Path) -> Upstream:
        return upstream if isinstance(upstream, Upstream) else Upstream.from_pretrained(upstream)

    def _is_built(self) -> bool:
        return (Path(self.processed_dir) / MARK).exists()

    def _check_built_as_requested(self) -> None:
        meta = self._data.meta
        if self._upstream is not None and not self._is_same_upstream(meta.upstream):
            fingerprint = self._loaded(self._upstream).fingerprint()
            if meta.upstream is None or fingerprint != meta.upstream.fingerprint:
                raise InputError(
                    f"The graph in {self.processed_dir} was built with another upstream; pass force_reload=True to "
                    "build it again"
                )
        stored = asked_of(Path(self.processed_dir))
        objects = {"graph": self._settings, "embedding": self._embedding, "features": self._features}
        before: dict[str, Any] = {}
        now: dict[str, Any] = {}
        for part, one in objects.items():
            asked = one.asked()
            given = asked.keys() if part in self._whole else asked.keys() & one.given.keys()
            now |= {f"{part}.{name}": asked[name] for name in given}
            before |= {f"{part}.{name}": stored[part][name] for name in given}
        if callable(self._split):
            self._check_split()
        elif self._split != "default":
            before["split"], now["split"] = stored["split"], self._split
        refuse_difference(Path(self.processed_dir), before, plain(now), _WAY_OUT)

    def _is_same_upstream(self, upstream: UpstreamMeta | None) -> bool:
        """Whether the name shows that the upstream is the same, so that no download is needed to compare it."""
        requested = self._upstream
        if upstream is None or isinstance(requested, Upstream) or Path(str(requested)).expanduser().is_dir():
            return False
        return str(requested) == upstream.weights and not upstream.finetuned

    def _check_split(self) -> None:
        if not any(Path(self.raw_dir).iterdir()):
            return  # the clips were deleted: the function cannot be applied to them
        stored = self._data.table["split"]
        wanted = load_corpus(self.name, self.raw_dir, split=self._split)["split"].reindex(stored.index)
        if not wanted.astype(object).equals(stored.astype(object)):
            raise InputError(
                f"The graph in {self.processed_dir} was built with another split; pass force_reload=True to build "
                "it again"
            )
