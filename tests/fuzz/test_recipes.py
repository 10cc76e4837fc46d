"""Recipes with damaged values and damaged text."""

import math
import random
import tomllib

import pytest
import tomli_w

from ser_graph.errors import InputError
from ser_graph.experiment.recipe import Recipe
from ser_graph.experiment.recipe_files import load_recipe, recipe_values

MOST = 2**25  # bytes


@pytest.fixture(scope="module")
def values():
    return recipe_values(load_recipe("demo"))


def test_damaged_values(tmp_path, trials, mutated, values):
    rng, path = random.Random(0), tmp_path / "my.toml"
    for number in trials.numbers(400):
        try:
            text = tomli_w.dumps(without_none(mutated(rng, values))).encode("utf-8", "replace")
        except (TypeError, AttributeError):  # not a table at the top
            continue
        path.write_bytes(text)
        recipe = trials(number, lambda: load_recipe(path), most_bytes=MOST, naming=str(path))
        if recipe is not None:
            trials.expect(number, is_usable(recipe))


def test_damaged_text(tmp_path, trials, damaged, values):
    rng, path = random.Random(1), tmp_path / "my.toml"
    whole = tomli_w.dumps(values).encode()
    for number in trials.numbers(300):
        path.write_bytes(odd_number(rng, whole) if number % 2 else damaged(rng, whole))
        recipe = trials(number, lambda: load_recipe(path), most_bytes=MOST, naming=str(path))
        if recipe is not None:
            trials.expect(number, is_usable(recipe))


def odd_number(rng: random.Random, whole: bytes) -> bytes:
    """Another value in one line."""
    odd = [
        b"nan",
        b"-inf",
        b"-1",
        b"9" * 10_000,
        b"0x" + b"f" * 10_000,
        b"1e9",
        b"[" * 5_000,
        b"2030-01-01",
        b"'\xfc'",
    ]
    lines = whole.split(b"\n")
    place = rng.choice([number for number, line in enumerate(lines) if b" = " in line])
    lines[place] = lines[place].split(b" = ")[0] + b" = " + rng.choice(odd)
    return b"\n".join(lines)


def is_usable(recipe: Recipe) -> bool:
    """Whether the numbers can be used at all, and the recipe can be written and read again."""
    again = tomllib.loads(tomli_w.dumps(recipe_values(recipe)))
    return Recipe.model_validate(again) == recipe and all(map(is_number, numbers(again)))


def is_number(number: float) -> bool:
    return math.isfinite(number) and -(2**63) <= number < 2**63


def numbers(value):
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from numbers(one)
    elif isinstance(value, int | float):
        yield value


def without_none(value):
    if isinstance(value, dict):
        return {key: without_none(one) for key, one in value.items() if one is not None}
    return [without_none(one) for one in value if one is not None] if isinstance(value, list) else value


HEAD = 'name = "x"\nupstream.finetune = false\n[target]\ncorpus = "emovo"\nroot = "x"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "seed = -1", "target.seed = -1"),
        (HEAD + "fractions = [nan, 0.5, 0.5]", "target.fractions"),
        (HEAD + "fractions = [0.5, 0.7, 0.5]", "add up to 1"),
        (HEAD + "[embedding]\nseconds = nan", "Bad seconds nan"),
        (HEAD + "[embedding]\nseconds = 1e12", "Bad seconds 1000000000000.0"),
        (HEAD + "[features]\nfloor = nan", "Bad floor nan"),
        (HEAD + "[features]\nn_samples = 2_000_000_000", "Bad n_samples 2000000000"),
        (HEAD + "[students]\nseed = [-1]", "Bad seed -1"),
        (HEAD + f"[students]\nseed = [{'9' * 10_000}]", "a whole number has more than 63 bits"),
        (HEAD + f"[students]\nseed = [0x{'f' * 10_000}]", "a whole number has more than 63 bits"),
        (HEAD + f"[students]\nseed = {list(range(200_000))}", "make 400,000 students"),
        (HEAD + f"[students]\nseed = {list(range(500))}\nalpha = {list(range(1, 401))}", "students"),
        (HEAD + "[students]\nalpha = [nan]", "students.alpha"),
        (HEAD + "x = " + "[" * 50_000, "nested"),
    ],
)
def test_refused_at_once(tmp_path, trials, text, message):
    path = tmp_path / "my.toml"
    path.write_text(HEAD)
    trials("the start alone", lambda: load_recipe(path), most_bytes=MOST)
    path.write_text(text)
    trials(text[-40:], lambda: load_recipe(path), most_bytes=MOST, naming=str(path))
    with pytest.raises(InputError, match="") as caught:
        load_recipe(path)
    assert message in str(caught.value), str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_recipe_in_latin_1_says_how_to_save_it(tmp_path):
    (tmp_path / "my.toml").write_bytes('name = "Gefühle"'.encode("latin-1"))
    with pytest.raises(InputError, match=r"my\.toml is not UTF-8 \(byte 11\); save it as UTF-8$"):
        load_recipe(tmp_path / "my.toml")
