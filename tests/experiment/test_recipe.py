"""Recipes: what ships is valid, defaults are those of the library, and every mistake names its key."""

import tomllib
from itertools import product

import pytest
import tomli_w

from ser_graph.common.settings import names_of, parse_changes, without_effect_on
from ser_graph.downstream import TrainingSettings
from ser_graph.downstream.settings import METHODS, PAPER
from ser_graph.errors import InputError
from ser_graph.experiment.grid import essential, student_name
from ser_graph.experiment.recipe_files import load_recipe, make_recipe, recipe_values, shipped_recipes
from ser_graph.graph import GraphSettings

SMALLEST = {"name": "x", "target": {"corpus": "synthetic"}, "upstream": {"finetune": False}}


@pytest.mark.parametrize("protocol", ["clean", "paper"])
def test_recipe_and_python_train_with_the_same_defaults(protocol):
    """A recipe that says nothing trains what `train(data)` does, and its baseline; of every setting."""
    baseline, nsl = make_recipe({**SMALLEST, "protocol": protocol}).training_settings()
    in_python = TrainingSettings(protocol=protocol)
    for name in TrainingSettings.model_fields:
        assert getattr(nsl, name) == getattr(in_python, name), name
        assert name == "method" or getattr(baseline, name) == getattr(in_python, name), name
    assert (baseline.method, nsl.method) == ("baseline", "nsl")


@pytest.mark.parametrize("name", ["demo", "emovo", "nemo", "paper"])
def test_shipped_recipes_load(name):
    assert name in shipped_recipes()
    assert load_recipe(name).name == name


def test_paper_settings_of_real_recipes():
    recipe = load_recipe("emovo")
    assert recipe.upstream.model == "facebook/wav2vec2-base"
    assert (recipe.upstream.epochs, recipe.upstream.learning_rate, recipe.upstream.seconds) == (20, 3e-5, 4.0)
    assert (recipe.graph.epsilon, recipe.features.n_frames) == (0.99, 373)


@pytest.mark.parametrize("protocol", ["clean", "paper"])
def test_the_study_is_that_of_the_paper(protocol):
    recipe = load_recipe("paper", {"protocol": protocol})
    assert (recipe.source.corpus, recipe.target.corpus, recipe.target.emotions) == ("ravdess", "demos", "default")
    assert (recipe.graph.epsilon, recipe.graph.method) == (0.99, "nndescent")
    cells = recipe.training_settings()
    assert {cell.protocol for cell in cells} == {protocol}
    # Trained as the paper does, whatever is trained on; of the clean protocol dev chooses the epoch.
    for key, value in {
        **PAPER,
        "batch_size": 16,
        "keep": "best",
        "distance": "cosine",
        "reduction": "mean",
    }.items():
        assert {getattr(cell, key) for cell in cells} == {value}, key
    assert (PAPER["schedule"], PAPER["epochs"], PAPER["learning_rate"]) == ("paper", 50, 1e-3)
    # Figure 2: 18 settings; Table 3: beside them a base model and three transfers, for each of three networks.
    for backbone in ("vgg15", "resnet9", "cnn6"):
        own = [cell for cell in cells if (cell.backbone, cell.seed) == (backbone, 0)]
        nsl = [cell for cell in own if cell.learns_from == "nsl"]
        graph = {(cell.n_neighbors, cell.weight, cell.layer) for cell in nsl}
        assert graph == set(product((3, 6, 9), (0.01, 0.1, 1.0), ("fc1", "fc2")))
        assert sorted(cell.transfer for cell in own if cell not in nsl) == ["add", "avg", "max", "none"]
    names = [student_name(cell) for cell in cells]
    assert len(set(names)) == len(names) == 3 * 3 * (18 + 4)


def test_students_of_the_study_have_the_same_names_in_both_protocols():
    clean, paper = (load_recipe("paper", {"protocol": name}).training_settings() for name in ("clean", "paper"))
    assert [student_name(cell) for cell in clean] == [student_name(cell) for cell in paper]
    assert student_name(clean[0]) == "vgg15-baseline-schedule=paper-keep=best-seed0"


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
                "method": ["nsl", "baseline"],
                "layer": ["fc1", "fc2"],
                "backbone": ["cnn6", "resnet9"],
                "seed": [0, 1],
            },
        }
    )
    settings = recipe.training_settings()
    names = [student_name(one) for one in settings]
    assert len(set(names)) == len(names) == 2 * 2 * (1 + 2 * 2)
    assert [one.is_baseline for one in settings] == [True] * 4 + [False] * 16


def students(training=None, **lists):
    recipe = make_recipe({**SMALLEST, "students": {**lists, "training": training or {}}})
    return {student_name(one): one for one in recipe.training_settings()}


def test_each_method_is_a_student_of_its_own_weight_beside_one_baseline():
    found = students(method=list(METHODS), seed=[0, 1])
    assert set(found) == {f"resnet9-{method}-seed{seed}" for method in METHODS for seed in (0, 1)}
    assert all(one.weight == METHODS[one.method] and one.alpha is None for one in found.values())
    assert [one.is_baseline for one in found.values()] == [True] * 2 + [False] * 2 * (len(METHODS) - 1)


def test_weights_span_the_grid_of_all_methods():
    found = students(method=["baseline", "nsl", "regress"], alpha=[0.1, 5.0])
    assert {(one.method, one.weight) for one in found.values()} == {
        ("baseline", 0.0),
        *product(("nsl", "regress"), (0.1, 5.0)),
    }
    # A method's own weight is in no name, whether it is given or not.
    assert list(found) == [
        "resnet9-baseline-seed0",
        "resnet9-nsl-seed0",
        "resnet9-nsl-alpha=5-seed0",
        "resnet9-regress-alpha=0.1-seed0",
        "resnet9-regress-seed0",
    ]


@pytest.mark.parametrize(
    "lists",
    [
        {},
        {"alpha": [0.5, 0.0, 1.0]},
        {"alpha": [0.0, 1.0], "method": ["nsl", "regress"]},  # no weight is the baseline too
        {"n_neighbors": [3, 6], "layer": ["fc1", "fc2"]},
        {"method": ["nsl", "regress", "baseline", "graph"], "n_neighbors": [6]},
    ],
)
@pytest.mark.parametrize(
    "training",
    [{}, {"strategy": ["memory_bank", "forward"], "unlabelled_ratio": [2.0, 0.0], "center": ["none", "corpus"]}],
)
def test_the_baseline_is_trained_once_and_is_the_same_whatever_the_lists_are(lists, training):
    found = students(training, **lists)
    (baseline,) = [one for one in found.values() if one.is_baseline]
    assert baseline == TrainingSettings(method="baseline")
    assert next(iter(found)) == "resnet9-baseline-seed0"


def test_lists_in_training_span_the_grid():
    training = {"epochs": 3, "label_fraction": [0.05, 1.0], "center": ["speaker", "none"]}
    found = students({**training, "same_label": [False, True]}, method=["baseline", "nsl", "regress"])
    # same_label means something to the neighbour loss only, center to what the teacher's embeddings teach.
    assert len(found) == 2 * (1 + 2 + 2)
    assert list(found)[:2] == ["resnet9-baseline-label_fraction=0.05-seed0", "resnet9-baseline-seed0"]
    assert [one.is_baseline for one in found.values()] == [True] * 2 + [False] * 8
    assert {one.epochs for one in found.values()} == {3}
    one = found["resnet9-nsl-label_fraction=0.05-same_label-seed0"]
    assert (one.method, one.same_label, one.center, one.label_fraction) == ("nsl", True, "speaker", 0.05)
    one = found["resnet9-regress-center=none-seed0"]
    assert (one.method, one.same_label, one.center, one.label_fraction) == ("regress", False, "none", 1.0)


def test_widths_span_the_grid_and_width_1_keeps_its_name():
    found = students({"width": [1, 0.25]})
    assert list(found) == [
        "resnet9-baseline-seed0",
        "resnet9-baseline-width=0.25-seed0",
        "resnet9-nsl-seed0",
        "resnet9-nsl-width=0.25-seed0",
    ]
    assert [one.width for one in found.values()] == [1, 0.25, 1, 0.25]


def test_transfer_baselines_span_the_grid_too():
    found = students(
        {"label_fraction": [0.1, 1.0]}, transfer=["add", "max"], alpha=[0.0, 0.1], layer=["fc1", "fc2"]
    )
    assert len(found) == 2 * (1 + 2 + 2)
    one = found["resnet9-transfer-max-label_fraction=0.1-seed0"]
    assert (one.transfer, one.weight, one.is_baseline, one.learns_from) == ("max", 0.0, False, None)
    # Baselines first, then what needs the teacher, then what learns from it.
    kinds = [(one.is_baseline, one.transfer != "none", one.learns_from) for one in found.values()]
    assert kinds == [(True, False, None)] * 2 + [(False, True, None)] * 4 + [(False, False, "nsl")] * 4


OTHERS = {
    "backbone": "cnn6",
    "alpha": 0.5,
    "n_neighbors": 3,
    "layer": "fc1",
    "method": "distil",
    "distance": "kl",
    "reduction": "sum",
    "edge_weights": False,
    "learning_rate": 0.01,
    "schedule": "paper",
    "keep": "best",
    "augment": "masks",
    "seed": 1,
    "semantics": "official",
    "strategy": "memory_bank",
    "same_label": True,
    "teacher": "gnn",
    "other_labels": 3.0,
    "align": "emovo",
    "center": "none",
    "label_fraction": 0.1,
    "labelled_speakers": 2,
    "label_seed": 1,
    "unlabelled_ratio": 2.0,
    "normalise": "speaker",
    "transfer": "add",
    "width": 0.5,
}
OF_A_RUN = names_of(TrainingSettings, "run")
METHODS_OF = {name: field.json_schema_extra["of"] for name, field in TrainingSettings.model_fields.items()}


def test_every_setting_has_a_role():
    roles = {name: field.json_schema_extra["role"] for name, field in TrainingSettings.model_fields.items()}
    assert set(roles.values()) == {"condition", "method", "run"}
    assert set().union(*METHODS_OF.values()) <= set(METHODS) - {"baseline"}
    # What only some methods have is what they consist of; a baseline has all that is a condition.
    assert {roles[name] for name, methods in METHODS_OF.items() if methods} == {"method"}
    assert set(OTHERS) == set(roles) - (OF_A_RUN - {"seed"})


@pytest.mark.parametrize("name", sorted(OF_A_RUN - {"seed", "protocol"}))
def test_what_all_students_of_a_run_share_is_no_list(name):
    with pytest.raises(InputError, match=f"students.training.{name} cannot be a list"):
        students({name: [getattr(TrainingSettings(), name)] * 2})


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_every_setting_that_makes_a_difference_is_in_the_name(name):
    """Where it is one of a method that it makes a difference to."""
    method = (METHODS_OF[name] or ["nsl"])[0]
    if name == "transfer":
        method = "baseline"
    before = TrainingSettings(method=method, label_fraction=0.5)
    after = before.replace(**{name: OTHERS[name]})
    assert student_name(after) != student_name(before)
    assert essential(after) != essential(before)


@pytest.mark.parametrize("method", METHODS)
def test_a_setting_without_effect_is_not_in_the_name(method):
    before = TrainingSettings(method=method, label_fraction=0.5)
    hidden = without_effect_on(TrainingSettings, method) - {"semantics"}  # which also trains as the paper does
    assert hidden == {name for name, methods in METHODS_OF.items() if methods and method not in methods} - {
        "semantics"
    }
    for name in [*sorted(hidden), *(["alpha"] if method == "baseline" else [])]:
        after = before.replace(**{name: OTHERS[name]})
        assert student_name(after) == student_name(before), name
        assert essential(after) == essential(before), name


def test_no_weight_makes_a_baseline_of_every_method():
    kinds = [TrainingSettings(method=method, alpha=0.0, n_neighbors=3, layer="fc1") for method in METHODS]
    assert {student_name(one) for one in kinds} == {"resnet9-baseline-seed0"}
    assert {essential(one) for one in kinds} == {TrainingSettings(method="baseline")}


def test_the_baseline_of_the_papers_code_is_trained_as_it_is():
    """`semantics` makes no difference to a baseline but that its defaults are those of the paper."""
    baseline = essential(TrainingSettings(method="baseline", semantics="official"))
    assert {name: getattr(baseline, name) for name in PAPER} == PAPER
    assert baseline.semantics == "together"
    found = students({"semantics": ["together", "official"]})
    assert list(found) == [
        "resnet9-baseline-seed0",
        "resnet9-baseline-schedule=paper-seed0",
        "resnet9-nsl-seed0",
        "resnet9-nsl-schedule=paper-semantics=official-seed0",
    ]


def test_what_belongs_to_the_papers_schedule_is_in_no_name():
    assert student_name(TrainingSettings(**PAPER)) == "resnet9-nsl-schedule=paper-seed0"
    own = TrainingSettings(**{**PAPER, "normalise": "utterance"})
    assert student_name(own) == "resnet9-nsl-schedule=paper-normalise=utterance-seed0"


def test_scope_follows_the_protocol():
    assert make_recipe(SMALLEST).graph.scope == "train"
    assert make_recipe({**SMALLEST, "protocol": "paper"}).graph.scope == "train+dev"
    paper = make_recipe({**SMALLEST, "protocol": "paper", "graph": {"epsilon": 0.5}})
    assert paper.graph == GraphSettings(epsilon=0.5, scope="train+dev")
    assert make_recipe({**SMALLEST, "protocol": "paper", "graph": {"scope": "train"}}).graph.scope == "train"
    wide = {**SMALLEST, "graph": {"scope": "all"}}
    assert make_recipe({**wide, "students": {"training": {"transductive": True}}}).graph.scope == "all"
    assert make_recipe({**wide, "folds": 3}).graph.scope == "all"  # every fold builds its own
    for method in ("nsl", "graph"):
        with pytest.raises(InputError, match=r"graph.scope = 'all' joins training clips with clips of dev or test"):
            make_recipe({**wide, "students": {"method": [method]}})
    assert (
        make_recipe({**wide, "students": {"method": ["baseline", "regress"]}}).graph.scope == "all"
    )  # uses no edge
    assert all(
        one.protocol == "paper" for one in make_recipe({**SMALLEST, "protocol": "paper"}).training_settings()
    )


def test_training_settings_reach_the_students():
    baseline, nsl = students({"epochs": 3, "distance": "kl"}).values()
    assert (baseline.epochs, nsl.epochs, nsl.distance) == (3, 3, "kl")
    assert isinstance(baseline, TrainingSettings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"graph.epsilonn": 0.9}, ["graph: Bad setting 'epsilonn'", "'epsilon'"]),
        ({"graf.epsilon": 0.9}, ["graf", "'graph'"]),
        ({"features.n_mel": 64}, ["n_mel"]),
        ({"graph.n_neighbors": 0}, ["graph: Bad n_neighbors 0"]),
        ({"graph.epsilon": "high"}, ["graph: Bad epsilon 'high'"]),
        ({"target.corpus": "emov"}, ["emov", "emovo"]),
        ({"students.backbone": ["cnn7"]}, ["cnn7", "'cnn6'"]),
        ({"students.gamma": [1]}, ["students.gamma", "'alpha'"]),
        ({"students.transfer": ["sum"]}, ["students.transfer", "sum", "'add'"]),
        ({"students.method": ["nls"]}, ["Bad method 'nls'", "'nsl'", "'regress'"]),
        ({"students.method": []}, ["students.method"]),
        ({"students.alpha": [-1.0]}, ["Bad alpha -1", "at least 0"]),
        ({"students.training.protocol": "paper"}, ["students.training.protocol", "write protocol ="]),
        ({"students.training.epoch": 3}, ["epoch", "'epochs'"]),
        ({"students.training.width": [1, 5]}, ["Bad width 5", "at most 4"]),
        ({"students.training.epochs": "ten"}, ["epochs 'ten'", "at least 1"]),
        ({"students.training.same_label": "no"}, ["Bad same_label 'no'", "boolean"]),
        ({"students.training.learning_rate": 0}, ["learning_rate 0"]),
        ({"students.training.label_fractions": [0.1, 1]}, ["label_fractions", "'label_fraction'"]),
        ({"students.training.label_fraction": [0.1, 2]}, ["label_fraction 2"]),
        ({"students.training.label_fraction": []}, ["students.training.label_fraction is an empty list"]),
        ({"students.training.alpha": 1}, ["students.training.alpha", "write students.alpha = [...]"]),
        ({"students.n_neighbors": [9]}, ["students.n_neighbors", "9", "graph.n_neighbors"]),
        ({"protocol": "dirty"}, ["protocol", "dirty"]),
        ({"dev_speakers": 1}, ["dev_speakers needs folds"]),
        ({"folds": 3, "dev_speakers": 0}, ["dev_speakers", "0"]),
        ({"copies": -1}, ["copies = -1", "greater than or equal to 0"]),
        ({"copies": 11}, ["copies = 11", "less than or equal to 10"]),
        ({"copies": "some"}, ["copies = 'some'"]),
        ({"students.method": ["nsl+baseline"]}, ["Bad method 'nsl+baseline'", "several joined by +"]),
        ({"source.corpus": "ravdess", "source.rot": "x"}, ["source", "rot", "'root'"]),
        ({"other": [{"corpus": "ravdess", "rot": "x"}]}, ["other.0.rot", "'root'"]),
        ({"students.training.spec_augment": 0.1}, ["spec_augment", "'augment'"]),
        ({"students.training.augment": "shift+mask"}, ["Bad augment 'shift+mask'", "masks"]),
        ({"students.training.schedule": ["cosine", "linear"]}, ["Bad schedule 'linear'", "['cosine', 'paper']"]),
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


def test_copies_are_of_the_recipe_and_none_by_default():
    assert make_recipe(SMALLEST).copies == 0
    recipe = make_recipe({**SMALLEST, "copies": 2})
    assert recipe.copies == recipe_values(recipe)["copies"] == 2
    assert make_recipe(tomllib.loads(tomli_w.dumps(recipe_values(recipe)))) == recipe
    assert load_recipe("demo", parse_changes(["copies=1"])).copies == 1


def test_joined_methods_are_one_student_whatever_the_order_of_names():
    found = students(
        method=["regress+distil", "distil+regress", "distil+regress+distil", "baseline", "nsl+regress"]
    )
    assert list(found) == ["resnet9-baseline-seed0", "resnet9-distil+regress-seed0", "resnet9-nsl+regress-seed0"]
    assert [one.weight for one in found.values()] == [0, 1, 1]
    # What makes a difference to one of them makes one to all, and is in the name.
    found = students({"center": ["none"], "same_label": [True]}, method=["distil+regress", "nsl+regress"])
    assert list(found) == [
        "resnet9-distil+regress-center=none-seed0",
        "resnet9-nsl+regress-center=none-same_label-seed0",
    ]
    weighted = students(method=["distil+regress"], alpha=[1.0, 2.0, 0.0])
    assert list(weighted) == [
        "resnet9-baseline-seed0",
        "resnet9-distil+regress-seed0",
        "resnet9-distil+regress-alpha=2-seed0",
    ]
