"""The graph of a run: its options from a recipe and from the command line, and its card."""

import json

import pytest
import torch

from ser_graph.analysis import graph_card
from ser_graph.common.settings import parse_changes
from ser_graph.corpora import originals
from ser_graph.errors import InputError
from ser_graph.experiment import prepare_graph, prepare_target
from ser_graph.experiment.recipe_files import load_recipe, make_recipe, recipe_values
from ser_graph.graph import GraphSettings, build_graph, load_graph, stage as stage_module
from ser_graph.upstream import Upstream

SMALLEST = {"name": "x", "target": {"corpus": "synthetic"}, "upstream": {"finetune": False}}


@pytest.fixture
def plain(toy_recipe):
    """A recipe without fine-tuning, with changes such as `graph={...}`."""

    def make(**changes):
        changes = {"graph": {"epsilon": "none", "n_neighbors": 6}, **changes}
        return toy_recipe(upstream={"model": "small", "finetune": False}, **changes)

    return make


def graph_of(recipe, out):
    target = prepare_target(recipe, out)
    return prepare_graph(recipe, Upstream.small(), target, out, progress=False)


def test_a_recipe_names_them_all():
    graph = {
        "epsilon": "coverage:0.8",
        "center": "speaker",
        "across": ["speaker", "sentence"],
        "mutual": True,
        "scope": "all",
    }
    training = {"transductive": True}
    recipe = make_recipe({**SMALLEST, "graph": graph, "students": {"training": training}})
    assert recipe.graph == GraphSettings(**graph)
    assert make_recipe(recipe_values(recipe)) == recipe
    changed = load_recipe("demo", parse_changes(["graph.center=corpus", "graph.epsilon=none"]))
    assert (changed.graph.center, changed.graph.epsilon) == ("corpus", None)
    assert recipe_values(changed)["graph"]["epsilon"] == "none"
    assert make_recipe(recipe_values(changed)) == changed


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({"epsilon": "coverage:8"}, "Bad epsilon 'coverage:8', expected a share"),
        ({"epsilon": "much"}, "Bad epsilon 'much'"),
        ({"epsilon": 2.0}, "Bad epsilon 2.0"),
        ({"centre": "speaker"}, "graph: Bad setting 'centre', expected one of .*'center'"),
        ({"across": "speaker"}, r"graph: Bad across 'speaker', expected a list"),
        ({"n_neighbors": 0}, "graph: Bad n_neighbors 0, expected a whole number, at least 1"),
        (6, "graph = 6"),
    ],
)
def test_mistakes_in_a_recipe_name_their_key(graph, message):
    with pytest.raises(InputError, match=message) as caught:
        make_recipe({**SMALLEST, "graph": graph})
    assert "\n" not in str(caught.value)


def test_a_run_builds_the_graph_that_the_library_builds(plain, tmp_path):
    graph = {"epsilon": "coverage:0.5", "center": "speaker", "across": ["speaker"], "mutual": True}
    recipe = plain(graph=graph)
    data = graph_of(recipe, tmp_path)
    same = build_graph(data.table, emb=data.emb, x=data.x, features=recipe.features, **graph)
    assert torch.equal(data.edge_index, same.edge_index)
    assert (data.meta.settings, data.meta.measured) == (same.meta.settings, same.meta.measured)
    speaker = data.speaker[data.edge_index]
    assert (speaker[0] != speaker[1]).all()


def test_a_graph_is_found_again_by_all_that_was_asked(plain, tmp_path, monkeypatch):
    recipe = plain()
    first = graph_of(recipe, tmp_path)
    monkeypatch.setattr(stage_module, "build_graph", None)
    assert torch.equal(graph_of(recipe, tmp_path).edge_index, first.edge_index)
    for options in ({"center": "corpus"}, {"mutual": True}, {"seed": 1}):
        other = plain(graph={"epsilon": "none", "n_neighbors": 6, **options})
        with pytest.raises(InputError, match="other settings"):
            graph_of(other, tmp_path)


def test_lent_clips_join_the_graph_of_a_run(corpora, plain, tmp_path):
    lent = [{"corpus": "synthetic", "root": str(corpora / "source")}]
    data = graph_of(plain(other=lent), tmp_path)
    from_source = torch.tensor((data.table["corpus"] == "synthetic-2").tolist())
    assert (int(from_source.sum()), data.num_nodes) == (48, 111)
    assert (data.y[from_source] == -1).all() and (data.y[~from_source] >= 0).all()
    assert not (from_source & ~data.train_mask).any()
    assert from_source[data.edge_index].any()
    card = graph_card(data, n_permutations=50)
    ends = data.y[data.edge_index]
    assert card["unlabelled"] == pytest.approx(float((ends < 0).any(0).double().mean()))


def test_the_command_builds_with_options_and_shows_the_card(call, corpora, tmp_path):
    graph = tmp_path / "graph"
    build = ("build", "synthetic", corpora / "target", "--upstream", "small", "--cache", tmp_path / "cache")
    options = ("--center", "speaker", "--set", 'across=["speaker", "sentence"]', "--set", "mutual=true")
    code, out, _ = call(*build, "--out", graph, "--epsilon", "coverage:0.3", *options)
    assert code == 0
    data = load_graph(graph)
    across = ("speaker", "sentence")
    wanted = GraphSettings(epsilon="coverage:0.3", center="speaker", across=across, mutual=True)
    assert data.meta.settings == wanted
    assert data.meta.measured.coverage >= 0.3
    said = graph_card(data)["text"]
    assert " ".join(out.split()).endswith(said)
    code, out, _ = call("stats", graph, "--json")
    assert json.loads(out)["card"]["text"] == said
    assert said in " ".join(call("stats", graph)[1].split())
    for wrong, word in [
        (("--epsilon", "coverage:3"), "Bad epsilon 'coverage:3'"),
        (("--center", "voice"), "Bad center 'voice'"),
        (("--epsilon", "much"), "Bad epsilon 'much'"),
        (("--set", 'across=["accent"]'), "Bad column in across 'accent'"),
        (("--set", "across=speaker"), "Bad across 'speaker', expected a list"),
        (("--set", "method=hnsw"), "Bad method 'hnsw'"),
        (("--set", "scale=true"), "Bad setting 'scale'"),
    ]:
        code, out, error = call(*build, "--out", tmp_path / "other", *wrong)
        lines = [line for line in error.replace("\r", "\n").splitlines() if line.startswith("Error")]
        assert code == 1 and len(lines) == 1 and word in lines[0] and "Traceback" not in error


def test_copies_join_the_graph_of_a_run(corpora, plain, tmp_path):
    """Of the target and of corpora that lend their clips; another number of them is another graph."""
    lent = [{"corpus": "synthetic", "root": str(corpora / "source")}]
    data = graph_of(plain(other=lent, copies=1), tmp_path / "copied")
    own = originals(data.table)
    assert (data.num_nodes, int(own.sum())) == (222, 111)
    assert data.table["corpus"][~own].value_counts().to_dict() == {"synthetic": 63, "synthetic-2": 48}
    assert data.meta.measured.n_clips == 111
    without = graph_of(plain(other=lent), tmp_path / "plain")
    assert torch.equal(data.edge_index, without.edge_index)
    torch.testing.assert_close(data.emb[:111], without.emb, atol=1e-4, rtol=1e-4)
    assert torch.equal(data.x[:111], without.x)
    assert (data.emb[111:] - data.emb[:111]).abs().amax(1).min() > 0
    assert (data.x[111:] - data.x[:111]).abs().amax((1, 2)).min() > 0.1
    assert len(list((tmp_path / "copied" / "target").glob("clips.csv"))) == 1
    assert "@" not in (tmp_path / "copied" / "target" / "clips.csv").read_text()  # copies are no files
    again = graph_of(plain(other=lent, copies=1), tmp_path / "copied")
    assert torch.equal(again.emb, data.emb)
    for number in (0, 2):
        with pytest.raises(InputError, match="graph holds the result of other settings or inputs"):
            graph_of(plain(other=lent, copies=number), tmp_path / "copied")
