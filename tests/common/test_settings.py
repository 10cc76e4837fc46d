import copy
import math
from dataclasses import FrozenInstanceError
from typing import Literal, get_args

import numpy as np
import pytest
from hypothesis import given, settings as examples, strategies as st
from pydantic import ValidationError

from ser_graph.common.settings import Role, Settings, names_of, setting, without_effect_on
from ser_graph.downstream import TrainingSettings
from ser_graph.downstream.settings import METHODS, METHODS_BESIDE, PAPER
from ser_graph.errors import InputError


class Cooking(Settings):
    """Numbers of each kind, a choice, and a default that follows another setting."""

    minutes: int = setting(10, "run", "how long", ge=1, lt=100)
    salt: float = setting(1.5, "method", "in grams", of=("boil",), gt=0)
    guests: int | None = setting(None, "condition", "None is nobody", ge=1)
    way: Literal["boil", "fry"] = setting("boil", "method", "how")
    lid: bool = setting(True, "run", "whether it is covered")
    dish: str = setting("soup", "method", "its name")


@pytest.mark.parametrize(
    ("given_values", "message"),
    [
        ({"minutes": 0}, "Bad minutes 0, expected a whole number, at least 1 and less than 100"),
        ({"minutes": 100}, "Bad minutes 100, expected a whole number, at least 1 and less than 100"),
        ({"minutes": 2.5}, "Bad minutes 2.5, expected a whole number, at least 1 and less than 100"),
        ({"minutes": "3"}, "Bad minutes '3', expected a whole number, at least 1 and less than 100"),
        ({"minutes": True}, "Bad minutes True, expected a whole number, at least 1 and less than 100"),
        ({"minutes": None}, "Bad minutes None, expected a whole number, at least 1 and less than 100"),
        ({"salt": 0}, "Bad salt 0, expected more than 0"),
        ({"salt": math.nan}, "Bad salt nan, expected more than 0"),
        ({"salt": math.inf}, "Bad salt inf, expected more than 0"),
        ({"salt": "much"}, "Bad salt 'much', expected more than 0"),
        ({"guests": 0}, "Bad guests 0, expected a whole number, at least 1, or None"),
        ({"guests": "two"}, "Bad guests 'two', expected a whole number, at least 1, or None"),
        ({"way": "bake"}, "Bad way 'bake', expected one of ['boil', 'fry']"),
        ({"way": ["fry"]}, "Bad way ['fry'], expected one of ['boil', 'fry']"),
        ({"lid": "yes"}, "Bad lid 'yes', expected a valid boolean"),
        ({"lid": 1}, "Bad lid 1, expected a valid boolean"),
        ({"dish": 3}, "Bad dish 3, expected a valid string"),
        (
            {"mintues": 3},
            "Bad setting 'mintues', expected one of ['dish', 'guests', 'lid', 'minutes', 'salt', 'way']; did you "
            "mean 'minutes'?",
        ),
        ({"salt": -1, "minutes": 0}, "Bad minutes 0, expected a whole number, at least 1 and less than 100"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(given_values, message):
    with pytest.raises(InputError) as caught:
        Cooking(**given_values)
    assert str(caught.value) == message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    with pytest.raises(InputError) as again:  # not only where they are made, but where they are changed
        Cooking().replace(**given_values)
    assert str(again.value) == message


def test_numbers_are_taken_as_they_are():
    made = Cooking(minutes=np.int64(7), salt=2, guests=np.int32(3))
    assert (made.minutes, made.salt, made.guests) == (7, 2.0, 3)
    assert [type(one) for one in (made.minutes, made.salt, made.guests)] == [int, float, int]
    assert Cooking(salt=np.float32(0.5)).salt == 0.5


def test_frozen_hashable_and_equal():
    made = Cooking(minutes=3)
    with pytest.raises((ValidationError, FrozenInstanceError, TypeError)):
        made.minutes = 4
    assert made.minutes == 3
    assert len({made, Cooking(minutes=3), Cooking(minutes=4)}) == 2
    assert copy.deepcopy(made) == made
    assert Cooking(**made.model_dump()) == made


@given(
    first=st.fixed_dictionaries({}, optional={"minutes": st.integers(1, 99), "salt": st.floats(0.1, 9)}),
    second=st.fixed_dictionaries({}, optional={"minutes": st.integers(1, 99), "lid": st.booleans()}),
)
@examples(max_examples=40, deadline=None)
def test_replacing_is_making_with_both(first, second):
    made = Cooking(**first)
    assert made.given == first
    assert made.replace(**second) == Cooking(**{**first, **second})
    assert made == Cooking(**first)


def test_parts_and_effects():
    assert names_of(Cooking, "run") == {"minutes", "lid"}
    assert names_of(Cooking, "condition") == {"guests"}
    assert without_effect_on(Cooking, "fry") == {"salt"}
    assert without_effect_on(Cooking, "boil") == set()


@pytest.mark.parametrize("name", TrainingSettings.model_fields)
def test_every_setting_of_a_training_says_what_it_is(name):
    field = TrainingSettings.model_fields[name]
    assert field.description
    assert field.json_schema_extra["role"] in get_args(Role)
    assert set(field.json_schema_extra["of"]) <= set(METHODS)
    assert getattr(TrainingSettings(), name) == field.default


def test_every_setting_plays_one_part():
    parts = [names_of(TrainingSettings, role) for role in get_args(Role)]
    assert set().union(*parts) == set(TrainingSettings.model_fields)
    assert sum(map(len, parts)) == len(TrainingSettings.model_fields)
    # What belongs to single methods is none of what a student shares with its baseline.
    single = without_effect_on(TrainingSettings, "baseline")
    assert single <= names_of(TrainingSettings, "method")
    assert "unlabelled_ratio" in single


@pytest.mark.parametrize("changes", [{"protocol": "paper"}, {"semantics": "official"}])
def test_the_papers_training_is_the_papers_in_everything(changes):
    made = TrainingSettings(**changes)
    assert {name: getattr(made, name) for name in PAPER} == PAPER
    assert PAPER == {
        "schedule": "paper",
        "epochs": 50,
        "epoch_steps": 1,
        "learning_rate": 1e-3,
        "augment": "none",
        "normalise": "corpus",
    }
    assert (made.batch_size, made.weight, made.method) == (16, 0.1, "nsl")
    own = TrainingSettings(**changes, epochs=3, normalise="speaker")
    assert (own.epochs, own.normalise, own.schedule) == (3, "speaker", "paper")
    assert made.given == changes


def test_defaults_of_the_paper_follow_the_protocol():
    """Both ways: what the protocol filled in was not asked for."""
    paper, clean = TrainingSettings(protocol="paper", seed=3), TrainingSettings(seed=3)
    assert clean.replace(protocol="paper") == paper
    assert paper.replace(protocol="clean") == clean
    assert paper.replace(epochs=7).replace(protocol="clean") == clean.replace(epochs=7)


def test_its_text_is_what_differs_from_the_defaults():
    assert repr(TrainingSettings()) == str(TrainingSettings()) == "TrainingSettings()"
    how = TrainingSettings(backbone="cnn6", alpha=0.2, epochs=30)  # 30 is the default
    assert str(how) == "TrainingSettings(backbone='cnn6', alpha=0.2)"
    assert eval(repr(how)) == how


@pytest.mark.parametrize("method", METHODS)
def test_the_weight_is_the_methods_own_or_alpha(method):
    assert TrainingSettings(method=method).weight == METHODS[method]
    beside = method != "baseline"
    assert TrainingSettings(method=method, alpha=0.3).weight == (0.3 if beside else 0)
    assert TrainingSettings(method=method).learns_from == (method if beside else None)
    nothing = TrainingSettings(method=method, alpha=0)
    assert (nothing.weight, nothing.learns_from, nothing.uses_graph, nothing.uses_unlabelled) == (
        0,
        None,
        False,
        False,
    )
    assert nothing.is_baseline
    assert TrainingSettings(method=method).is_baseline is not beside
    assert beside is (method in METHODS_BESIDE)


def test_who_uses_the_graph_and_who_unlabelled_clips():
    assert [one for one in METHODS if TrainingSettings(method=one).uses_graph] == ["nsl", "graph"]
    assert TrainingSettings(method="distil+nsl").uses_graph
    assert not TrainingSettings(method="distil+regress").uses_graph
    assert TrainingSettings(method="distil+regress", teacher="gnn").uses_graph
    assert not TrainingSettings(method="regress", teacher="gnn").uses_graph
    assert [one for one in METHODS if TrainingSettings(method=one).uses_unlabelled] == list(METHODS_BESIDE)
    assert not any(TrainingSettings(method=one, unlabelled_ratio=0).uses_unlabelled for one in METHODS)
    assert not TrainingSettings(same_label=True).uses_unlabelled
    assert TrainingSettings(same_label=True, method="graph").uses_unlabelled
    assert not TrainingSettings(transfer="add", alpha=0).is_baseline


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"backbone": "cnn7"},
            "Bad backbone 'cnn7', expected one of ['cnn6', 'mobilenet15', 'resnet9', 'vgg15']; did you mean "
            "'cnn6'?",
        ),
        ({"method": "nls"}, f"Bad method 'nls', expected one of {sorted(METHODS)}, or several joined by +"),
        (
            {"method": "nsl+baseline"},
            f"Bad method 'nsl+baseline', expected one of {sorted(METHODS)}, or several joined by +",
        ),
        (
            {"augment": "shift+tilt"},
            "Bad augment 'shift+tilt', expected none, or parts of shift+masks",
        ),
        (
            {"augment": "none+shift"},
            "Bad augment 'none+shift', expected none, or parts of shift+masks",
        ),
        ({"augment": ""}, "Bad augment '', expected none, or parts of shift+masks"),
        ({"transfer": "add"}, "transfer='add' is a baseline without a method; give alpha=0 too"),
        (
            {"semantics": "official", "strategy": "memory_bank"},
            "semantics='official' needs strategy 'forward', not 'memory_bank'; change one",
        ),
    ],
)
def test_what_does_not_fit_together(changes, message):
    with pytest.raises(InputError) as caught:
        TrainingSettings(**changes)
    assert str(caught.value) == message
