"""The options of the graph from a recipe and from the command line, and the card where a run shows it."""

import json

import pytest
import torch

import ser_graph.experiment as experiment
from ser_graph.corpora.synthesis import make_corpus
from ser_graph.errors import InputError
from ser_graph.graph import EdgeRules, Space, build_graph, graph_card, load_graph
from ser_graph.recipe import load_recipe, make_recipe, parse_changes, recipe_values
from ser_graph.upstream import Upstream

SMALLEST = {"name": "x", "target": {"corpus": "synthetic"}, "upstream": {"finetune": False}}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    make_corpus(folder / "source", "source", n_clips=24, n_speakers=3)
    make_corpus(folder / "target", "target", n_clips=42, n_speakers=6)
    return folder


def toy_recipe(corpora, **changes):
    values = {
        "name": "toy",
        "target": {"corpus": "synthetic", "root": str(corpora / "target")},
        "upstream": {"model": "small", "finetune": False},
        "embedding": {"seconds": 0.5},
        "features": {"n_samples": 8192},
        "graph": {"epsilon": "none", "n_neighbors": 6},
        **changes,
    }
    return make_recipe(values)


def graph_of(recipe, out):
    target = experiment.prepare_target(recipe, out)
    return experiment.prepare_graph(recipe, Upstream.small(), target, out, progress=False)


def test_a_recipe_names_them_all():
    graph = {
        "epsilon": "coverage:0.8",
        "space": {"center": "speaker", "scale": True},
        "rules": {"across": ["speaker", "sentence"], "mutual": True, "weights": "agreement"},
    }
    recipe = make_recipe({**SMALLEST, "graph": graph})
    assert recipe.epsilon == "coverage:0.8"
    assert recipe.graph.space == Space(center="speaker", scale=True)
    assert recipe.graph.rules == EdgeRules(across=("speaker", "sentence"), mutual=True, weights="agreement")
    assert make_recipe(recipe_values(recipe)) == recipe
    changed = load_recipe("demo", parse_changes(["graph.space.center=corpus", "graph.epsilon=agreement"]))
    assert (changed.graph.space.center, changed.epsilon) == ("corpus", "agreement")


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({"epsilon": "coverage:8"}, "Bad epsilon 'coverage:8', expected a share"),
        ({"epsilon": "much"}, "Bad epsilon 'much'"),
        ({"epsilon": 2.0}, "Bad epsilon 2.0"),
        ({"space": {"centre": "speaker"}}, "unknown key 'graph.space.centre', expected one of .*'center'"),
        ({"space": {"scale": True}}, "scale=True needs center"),
        ({"rules": {"across": "speaker"}}, "graph.rules"),
    ],
)
def test_mistakes_in_a_recipe_name_their_key(graph, message):
    with pytest.raises(InputError, match=message) as caught:
        make_recipe({**SMALLEST, "graph": graph})
    assert "\n" not in str(caught.value)


def test_a_run_builds_the_graph_that_the_library_builds(corpora, tmp_path):
    space, rules = {"center": "speaker"}, {"across": ["speaker"], "mutual": True}
    graph = {"epsilon": "coverage:0.5", "n_neighbors": 6, "space": space, "rules": rules}
    data = graph_of(toy_recipe(corpora, graph=graph), tmp_path)
    same = build_graph(
        data.table, emb=data.emb, x=data.x, epsilon="coverage:0.5", features=toy_recipe(corpora).features,
        space=Space(**space), rules=EdgeRules(**rules),
    )  # fmt: skip
    assert torch.equal(data.edge_index, same.edge_index)
    assert data.meta["graph"] == same.meta["graph"]
    speaker = data.speaker[data.edge_index]
    assert (speaker[0] != speaker[1]).all()


def test_a_run_of_before_the_options_is_found_again(corpora, tmp_path, monkeypatch):
    plain = toy_recipe(corpora)
    first = graph_of(plain, tmp_path)
    older = {"epsilon": "none", "n_neighbors": 6, "scope": "protocol", "method": "auto", "seed": 0}
    assert experiment._asked_of(plain.graph, "space", "rules") == older
    monkeypatch.setattr(experiment, "build_graph", None)
    assert torch.equal(graph_of(plain, tmp_path).edge_index, first.edge_index)
    other = toy_recipe(corpora, graph={"epsilon": "none", "space": {"center": "corpus"}})
    with pytest.raises(InputError, match="other settings"):
        graph_of(other, tmp_path)


def test_lent_clips_join_the_graph_of_a_run(corpora, tmp_path):
    lent = [{"corpus": "synthetic", "root": str(corpora / "source")}]
    data = graph_of(toy_recipe(corpora, unlabelled=lent), tmp_path)
    from_source = torch.tensor((data.table["corpus"] == "synthetic-1").tolist())
    assert (int(from_source.sum()), data.num_nodes) == (24, 66)
    assert (data.y[from_source] == -1).all() and (data.y[~from_source] >= 0).all()
    assert not (from_source & ~data.train_mask).any()
    assert from_source[data.edge_index].any()
    card = graph_card(data, n_permutations=50)
    ends = data.y[data.edge_index]
    assert card["unlabelled"] == pytest.approx(float((ends < 0).any(0).double().mean()))


def test_the_command_builds_with_options_and_shows_the_card(call, corpora, tmp_path):
    graph = tmp_path / "graph"
    build = ("build", "synthetic", corpora / "target", "--upstream", "small", "--cache", tmp_path / "cache")
    options = ("--center", "speaker", "--scale", "--across", "speaker", "--across", "sentence", "--mutual")
    code, out, _ = call(*build, "--out", graph, "--epsilon", "coverage:0.3", *options, "--local-scaling")
    assert code == 0
    data = load_graph(graph)
    assert data.meta["graph"]["space"] == Space(center="speaker", scale=True).to_dict()
    rules = EdgeRules(across=("speaker", "sentence"), mutual=True, local_scaling=True)
    assert data.meta["graph"]["rules"] == rules.to_dict()
    assert data.meta["graph"]["coverage"] >= 0.3
    said = graph_card(data)["text"]
    assert " ".join(out.split()).endswith(said)
    code, out, _ = call("stats", graph, "--json")
    assert json.loads(out)["card"]["text"] == said
    assert said in " ".join(call("stats", graph)[1].split())
    for wrong, word in [
        (("--epsilon", "coverage:3"), "Bad epsilon 'coverage:3'"),
        (("--center", "voice"), "Bad center 'voice'"),
        (("--scale",), "scale=True needs center"),
        (("--posterior",), "fine-tune it first"),
        (("--across", "accent"), "Bad column in across 'accent'"),
        (("--weights", "trust"), "Bad weights 'trust'"),
    ]:
        code, out, error = call(*build, "--out", tmp_path / "other", *wrong)
        lines = [line for line in error.replace("\r", "\n").splitlines() if line.startswith("Error")]
        assert code == 1 and len(lines) == 1 and word in lines[0] and "Traceback" not in error
