"""Recipes: what ships is valid, defaults are those of the library, and every mistake names its key."""

import inspect
import tomllib
from dataclasses import fields, replace
from itertools import product

import pytest
import tomli_w

from ser_graph import recipe as module
from ser_graph.downstream import TrainingSettings
from ser_graph.errors import InputError
from ser_graph.graph import build_graph
from ser_graph.recipe import (
    load_recipe,
    make_recipe,
    parse_changes,
    recipe_values,
    shipped_recipes,
    student_name,
)
from ser_graph.upstream.embedding import embed
from ser_graph.upstream.finetuning import finetune

SMALLEST = {"name": "x", "target": {"corpus": "synthetic"}, "upstream": {"finetune": False}}


def defaults_of(function):
    return {name: value.default for name, value in inspect.signature(function).parameters.items()}


@pytest.mark.parametrize(
    ("part", "function", "only_recipe"),
    [
        (module.UpstreamPart, finetune, {"model", "finetune"}),
        (module.EmbeddingPart, embed, set()),
        (module.GraphPart, build_graph, {"scope"}),
    ],
)
def test_recipe_defaults_are_the_functions_defaults(part, function, only_recipe):
    expected = defaults_of(function)
    for name, field in part.model_fields.items():
        if name not in only_recipe:
            assert field.default == expected[name], name


@pytest.mark.parametrize("name", ["demo", "emovo", "nemo", "paper"])
def test_shipped_recipes_load(name):
    assert name in shipped_recipes()
    assert load_recipe(name).name == name


def test_paper_settings_of_real_recipes():
    recipe = load_recipe("emovo")
    assert recipe.upstream.model == "facebook/wav2vec2-base"
    assert (recipe.upstream.epochs, recipe.upstream.learning_rate, recipe.upstream.seconds) == (20, 3e-5, 4.0)
    assert (recipe.epsilon, recipe.features.n_frames) == (0.99, 373)


@pytest.mark.parametrize("protocol", ["clean", "paper"])
def test_the_study_is_that_of_the_paper(protocol):
    recipe = load_recipe("paper", {"protocol": protocol})
    assert (recipe.source.corpus, recipe.target.corpus, recipe.target.emotions) == ("ravdess", "demos", "default")
    assert (recipe.epsilon, recipe.graph.method) == (0.99, "nndescent")
    cells = recipe.training_settings()
    assert {cell.protocol for cell in cells} == {protocol}
    defaults = TrainingSettings()
    for key in ("epochs", "batch_size", "learning_rate", "decay", "decay_every", "distance", "reduction"):
        assert {getattr(cell, key) for cell in cells} == {getattr(defaults, key)}, key
    # Figure 2: 18 settings; Table 3: beside them a base model and three transfers, for each of three networks.
    for backbone in ("vgg15", "resnet9", "cnn6"):
        own = [cell for cell in cells if (cell.backbone, cell.seed) == (backbone, 0)]
        graph = {(cell.n_neighbors, cell.alpha, cell.layer) for cell in own if cell.alpha > 0}
        assert graph == set(product((3, 6, 9), (0.01, 0.1, 1.0), ("fc1", "fc2")))
        assert sorted(cell.transfer for cell in own if cell.alpha == 0) == ["add", "avg", "max", "none"]
    names = [student_name(cell) for cell in cells]
    assert len(set(names)) == len(names) == 3 * 3 * (18 + 4)


def test_written_recipe_reads_back_as_the_same():
    for name in shipped_recipes():
        recipe = load_recipe(name)
        assert make_recipe(tomllib.loads(tomli_w.dumps(recipe_values(recipe)))) == recipe


def test_a_baseline_is_trained_once_for_all_neighbours_and_layers():
    recipe = make_recipe(
        {
            **SMALLEST,
            "graph": {"n_neighbors": 9},
            "students": {
                "alpha": [0.1, 0.0],
                "n_neighbors": [3, 9],
                "layer": ["fc1", "fc2"],
                "backbone": ["cnn6", "resnet9"],
                "seed": [0, 1],
            },
        }
    )
    settings = recipe.training_settings()
    names = [student_name(one) for one in settings]
    assert len(set(names)) == len(names) == 2 * 2 * (1 + 2 * 2)
    assert [one.alpha for one in settings[:4]] == [0.0] * 4


def students(**training):
    recipe = make_recipe({**SMALLEST, "students": {"alpha": [0.0, 0.1], "training": training}})
    return {student_name(one): one for one in recipe.training_settings()}


def test_lists_in_training_span_the_grid():
    found = students(epochs=3, label_fraction=[0.05, 1.0], regression=[0, 5], same_label=[False, True])
    # same_label means something to a student with alpha only.
    assert len(found) == 2 * 2 * (1 + 2)
    assert list(found)[:2] == ["resnet9-baseline-label_fraction=0.05-seed0", "resnet9-baseline-seed0"]
    assert [one.is_baseline for one in found.values()] == [True] * 2 + [False] * 10
    assert {one.epochs for one in found.values()} == {3}
    one = found["resnet9-nsl-a0.1-n6-fc2-same_label-regression=5-label_fraction=0.05-seed0"]
    assert (one.alpha, one.same_label, one.regression, one.label_fraction) == (0.1, True, 5, 0.05)


def test_widths_span_the_grid_and_width_1_keeps_its_name():
    found = make_recipe({**SMALLEST, "students": {"training": {"width": [1, 0.25]}}}).training_settings()
    assert [student_name(one) for one in found] == [
        "resnet9-baseline-seed0",
        "resnet9-baseline-width=0.25-seed0",
        "resnet9-nsl-a0.1-n6-fc2-seed0",
        "resnet9-nsl-a0.1-n6-fc2-width=0.25-seed0",
    ]
    assert [one.width for one in found] == [1, 0.25, 1, 0.25]


def test_transfer_baselines_span_the_grid_too():
    values = {"transfer": ["add", "max"], "alpha": [0.0, 0.1], "training": {"label_fraction": [0.1, 1.0]}}
    names = [student_name(one) for one in make_recipe({**SMALLEST, "students": values}).training_settings()]
    assert len(set(names)) == len(names) == 2 * (1 + 1 + 2)
    assert "resnet9-transfer-max-label_fraction=0.1-seed0" in names


OTHERS = {
    "backbone": "cnn6",
    "alpha": 0.5,
    "n_neighbors": 3,
    "layer": "fc1",
    "distance": "kl",
    "reduction": "sum",
    "edge_weights": False,
    "learning_rate": 0.01,
    "decay": 0.5,
    "decay_every": 2,
    "seed": 1,
    "semantics": "official",
    "strategy": "bank",
    "alpha_schedule": "linear",
    "same_label": True,
    "similarity": 2.0,
    "regression": 2.0,
    "posteriors": 2.0,
    "temperature": 2.0,
    "teacher_center": "speaker",
    "label_fraction": 0.1,
    "labelled_speakers": 2,
    "label_seed": 1,
    "unlabelled_ratio": 2.0,
    "normalise": "utterance",
    "spec_augment": 0.1,
    "gain": 3.0,
    "speed": 0.1,
    "transfer": "add",
    "width": 0.5,
}


@pytest.mark.parametrize("name", [field.name for field in fields(TrainingSettings)])
def test_every_setting_that_makes_a_difference_is_in_the_name(name):
    """Beside all the terms of the loss, every setting makes one."""
    if name in module._UNNAMED:
        with pytest.raises(InputError, match=f"students.training.{name} cannot be a list"):
            students(**{name: [getattr(TrainingSettings(), name)] * 2})
        return
    busy = TrainingSettings(similarity=1, posteriors=1, label_fraction=0.5)
    if name != "transfer":  # which does not go with it
        busy = replace(busy, regression=1)
    assert student_name(replace(busy, **{name: OTHERS[name]})) != student_name(busy)


@pytest.mark.parametrize(
    "name", ["n_neighbors", "layer", "distance", "semantics", "strategy", "same_label", "teacher_center"]
)
def test_a_setting_without_effect_is_not_in_the_name(name):
    baseline = TrainingSettings(alpha=0)
    assert student_name(replace(baseline, **{name: OTHERS[name]})) == student_name(baseline)


def test_scope_follows_the_protocol():
    assert make_recipe(SMALLEST).scope == "train"
    assert make_recipe({**SMALLEST, "protocol": "paper"}).scope == "train+dev"
    wide = {**SMALLEST, "graph": {"scope": "all"}}
    assert make_recipe({**wide, "students": {"training": {"transductive": True}}}).scope == "all"
    assert make_recipe({**wide, "folds": 3}).scope == "all"  # every fold builds its own
    with pytest.raises(InputError, match=r"graph.scope = 'all' joins training clips to those of dev or test"):
        make_recipe(wide)
    assert all(
        one.protocol == "paper" for one in make_recipe({**SMALLEST, "protocol": "paper"}).training_settings()
    )


def test_training_settings_reach_the_students():
    recipe = make_recipe({**SMALLEST, "students": {"training": {"epochs": 3, "distance": "kl"}}})
    assert {(one.epochs, one.distance) for one in recipe.training_settings()} == {(3, "kl")}
    assert isinstance(recipe.training_settings()[0], TrainingSettings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"graph.epsilonn": 0.9}, ["graph.epsilonn", "'epsilon'"]),
        ({"graf.epsilon": 0.9}, ["graf", "'graph'"]),
        ({"features.n_mel": 64}, ["n_mel"]),
        ({"graph.n_neighbors": 0}, ["graph.n_neighbors", "0"]),
        ({"graph.epsilon": "high"}, ["graph.epsilon", "high"]),
        ({"target.corpus": "emov"}, ["emov", "emovo"]),
        ({"students.backbone": ["cnn7"]}, ["cnn7", "'cnn6'"]),
        ({"students.gamma": [1]}, ["students.gamma", "'alpha'"]),
        ({"students.transfer": ["sum"]}, ["students.transfer", "sum", "'add'"]),
        ({"students.training.epoch": 3}, ["epoch", "'epochs'"]),
        ({"students.training.width": [1, 5]}, ["Bad width 5", "at most 4"]),
        ({"students.training.epochs": "ten"}, ["epochs 'ten'", "at least 1"]),
        ({"students.training.same_label": "no"}, ["same_label 'no'", "[False, True]"]),
        ({"students.training.learning_rate": 0}, ["learning_rate 0"]),
        ({"students.training.label_fractions": [0.1, 1]}, ["label_fractions", "'label_fraction'"]),
        ({"students.training.label_fraction": [0.1, 2]}, ["label_fraction 2"]),
        ({"students.training.label_fraction": []}, ["students.training.label_fraction is an empty list"]),
        ({"students.training.alpha": 1}, ["students.training.alpha", "write students.alpha = [...]"]),
        ({"students.n_neighbors": [9]}, ["students.n_neighbors", "9", "graph.n_neighbors"]),
        ({"protocol": "dirty"}, ["protocol", "dirty"]),
        ({"source.corpus": "ravdess", "source.rot": "x"}, ["source", "rot", "'root'"]),
        ({"unlabelled": [{"corpus": "ravdess", "rot": "x"}]}, ["unlabelled.0.rot", "'root'"]),
        ({"students.training.spec_augment": "abc"}, ["Bad spec_augment 'abc'"]),
        ({"students.training.label_seed": -1}, ["Bad label_seed -1"]),
        ({"upstream.finetune": True}, ["source"]),
    ],
)
def test_mistakes_name_the_key_in_one_line(tmp_path, changes, words):
    file = tmp_path / "mine.toml"
    file.write_text(tomli_w.dumps(SMALLEST))
    with pytest.raises(InputError) as raised:
        load_recipe(file, changes)
    message = str(raised.value)
    assert "\n" not in message
    for word in [*words, "mine.toml"]:
        assert word in message


def test_unreadable_recipes(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("name = [")
    with pytest.raises(InputError, match=r"broken\.toml is not valid TOML"):
        load_recipe(broken)
    with pytest.raises(InputError, match=r"No recipe 'paper2'.*'demo'"):
        load_recipe("paper2")


def test_changes_without_a_value_are_refused():
    with pytest.raises(InputError, match="KEY=VALUE"):
        parse_changes(["graph.epsilon"])
