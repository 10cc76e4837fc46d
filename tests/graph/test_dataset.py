import functools
import shutil

import pytest
import torch
from torch_geometric.data import InMemoryDataset

from ser_graph.audio.settings import LogMelSettings
from ser_graph.corpora import speaker_split
from ser_graph.corpora.synthetic import making
from ser_graph.errors import InputError
from ser_graph.graph import ClipGraph, EmotionGraph, GraphSettings, stage as stage_module
from ser_graph.upstream import EmbeddingSettings, Upstream

SETTINGS = {
    "features": LogMelSettings(n_samples=8192),
    "epsilon": None,
    "n_neighbors": 3,
    "seconds": 0.6,
    "progress": False,
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The root of a dataset of 42 made-up clips."""
    root = tmp_path_factory.mktemp("data") / "synthetic"
    with pytest.MonkeyPatch.context() as patch:
        few = functools.partial(making.make_corpus, n_clips=42, n_speakers=6)
        patch.setattr(making, "make_corpus", few)
        EmotionGraph(root, upstream=Upstream.small(), **SETTINGS)
    return root


@pytest.fixture
def never_builds(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("built anew")

    monkeypatch.setattr(stage_module, "build_graph", refuse)


@pytest.mark.filterwarnings("error", "ignore:No layer of this upstream is trained")
def test_a_pyg_dataset_of_one_graph(built, never_builds):
    dataset = EmotionGraph(built, **SETTINGS)  # no upstream: there is nothing to embed
    assert isinstance(dataset, InMemoryDataset)
    assert len(dataset) == 1
    data = dataset[0]
    assert isinstance(data, ClipGraph)
    assert data.validate()
    assert (data.num_nodes, data.x.shape[1:]) == (42, (31, 64))
    assert data.table.index.is_unique
    assert len(data.table) == 42
    assert dataset.num_classes == data.y.max() + 1
    assert torch.equal(next(iter(dataset)).edge_index, data.edge_index)
    assert data.meta.embedding == EmbeddingSettings(seconds=0.6)
    assert len(list((built / "raw").rglob("*.wav"))) == 42


def test_a_built_graph_needs_no_settings(built, never_builds):
    assert EmotionGraph(built)[0].meta.settings.n_neighbors == 3
    assert EmotionGraph(built, upstream="small", layer="projector")[0].num_nodes == 42
    seen = EmotionGraph(str(built), "synthetic", transform=lambda data: data.num_nodes)
    assert seen[0] == 42


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epsilon": 0.5}, r"graph.epsilon: 'none' before, 0.5 now\); pass force_reload=True"),
        ({"n_neighbors": 6}, "n_neighbors: 3 before, 6 now"),
        ({"scope": "all"}, "scope: 'train' before, 'all' now"),
        ({"features": LogMelSettings()}, "features.n_samples: 8192 before, 95744 now"),
        (
            {"settings": GraphSettings(n_neighbors=3, epsilon=None, mutual=True)},
            "graph.mutual: False before, True now",
        ),
        ({"seconds": 2.0}, "seconds: 0.6 before, 2.0 now"),
        ({"layer": 1}, "layer: 'projector' before, 1 now"),
        ({"split": "speaker-independent"}, "split: 'default' before, 'speaker-independent' now"),
        ({"upstream": Upstream.small(seed=7)}, "was built with another upstream; pass force_reload=True"),
        ({"upstream": "/nowhere"}, "No upstream '/nowhere'"),
        ({"n_neighbours": 3}, "Bad setting 'n_neighbours', expected one of"),
    ],
)
def test_other_settings_are_refused(built, never_builds, changes, message):
    with pytest.raises(InputError, match=message):
        EmotionGraph(built, **changes)


def test_a_split_by_a_function_is_compared_by_what_it_says(built, tmp_path):
    root = shutil.copytree(built, tmp_path / "synthetic")
    by = {seed: functools.partial(speaker_split, seed=seed) for seed in (1, 2)}
    EmotionGraph(root, upstream=Upstream.small(), split=by[1], force_reload=True, **SETTINGS)
    assert EmotionGraph(root, split=by[1])[0].num_nodes == 42
    with pytest.raises(InputError, match="was built with another split; pass force_reload=True"):
        EmotionGraph(root, split=by[2])
    shutil.rmtree(root / "raw")
    assert EmotionGraph(root, split=by[2])[0].num_nodes == 42  # nothing to ask it about


def test_a_name_is_not_loaded_to_be_compared(built, never_builds, monkeypatch):
    monkeypatch.setattr(Upstream, "from_pretrained", lambda *_: pytest.fail("loaded"))
    assert EmotionGraph(built, upstream="small")[0].num_nodes == 42


def test_force_reload_builds_anew(built, tmp_path):
    root = shutil.copytree(built, tmp_path / "synthetic")
    with pytest.raises(InputError, match="give the upstream that embeds the clips"):
        EmotionGraph(root, force_reload=True)
    dataset = EmotionGraph(root, upstream=Upstream.small(), force_reload=True, **{**SETTINGS, "n_neighbors": 2})
    assert dataset[0].meta.settings.n_neighbors == 2
    assert dataset[0].degrees().max() == 2
    assert not (root / ".x.npy").exists()
    assert EmotionGraph(root)[0].meta.settings.n_neighbors == 2


def test_no_clips_and_unknown_names(tmp_path):
    with pytest.raises(InputError, match=r"No clips in .*emovo.raw; put .* there \(data/README.md lists the"):
        EmotionGraph(tmp_path / "emovo", upstream="unused")
    with pytest.raises(InputError, match=r"Bad corpus 'iemocap2', expected one of \["):
        EmotionGraph(tmp_path / "iemocap2")
    with pytest.raises(InputError, match=r"Bad corpus 'mine', expected one of \["):
        EmotionGraph(tmp_path / "emovo", "mine")
    assert not (tmp_path / "iemocap2").exists()


def test_nothing_to_build_with(tmp_path):
    (tmp_path / "emovo" / "raw").mkdir(parents=True)
    (tmp_path / "emovo" / "raw" / "clip.wav").write_bytes(b"")
    with pytest.raises(InputError, match="give the upstream that embeds the clips"):
        EmotionGraph(tmp_path / "emovo")
