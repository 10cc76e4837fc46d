"""Recipes as TOML: shipped recipes, files, changes of single keys, and error messages of one line."""

from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ser_graph.common.settings import parse_toml, plain_value
from ser_graph.errors import InputError, shown
from ser_graph.experiment.recipe import Corpus, Recipe


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("ser_graph.experiment.recipes")
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def load_recipe(name_or_file: str | Path, changes: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        name_or_file: the name of a shipped recipe, or a TOML file.
        changes: single settings by dotted key, e.g. ``{"upstream.model": "models/whisper"}``.

    Raises:
        InputError: no such recipe, broken TOML, or a wrong key or value; the message names the key.
    """
    text = _read(name_or_file)
    try:
        values = parse_toml(text)
    except ValueError as error:
        raise InputError(f"{name_or_file} is not valid TOML: {error}; correct it") from None
    for key, value in (changes or {}).items():
        _set(values, key, value)
    return make_recipe(values, str(name_or_file))


def make_recipe(values: dict[str, Any], where: str = "the recipe") -> Recipe:
    """Make a recipe from nested values; messages name `where`."""
    try:
        return Recipe.model_validate(plain_value(values))
    except ValidationError as error:
        raise InputError(f"{where}: {_first_error(error)}") from None
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """The values of a recipe for a TOML file, with all defaults."""
    return _without_none(recipe.model_dump(mode="json"))


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    """Values without None, which TOML cannot write. Settings write a None with a meaning as text before."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def _read(name_or_file: str | Path) -> str:
    path = Path(name_or_file).expanduser()
    if path.is_file():
        try:
            return path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    if str(name_or_file) in shipped_recipes():
        return (resources.files("ser_graph.experiment.recipes") / f"{name_or_file}.toml").read_text("utf-8")
    raise InputError(f"No recipe {str(name_or_file)!r}, expected a TOML file or one of {shipped_recipes()}")


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise InputError(f"Bad key {key!r}: {part!r} is a value, not a table")
    values[last] = value


def _first_error(error: ValidationError) -> str:
    """One line for the first error, with the key as written in the file."""
    first = error.errors()[0]
    # pydantic also names the type that it has tried, e.g. target.Corpus.seed
    key = ".".join(str(part) for part in first["loc"] if not str(part).startswith((Corpus.__name__, "list[")))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key {key!r}, expected one of {_keys_beside(first['loc'])}{more}"
    if first["type"] == "missing":
        return f"missing key {key!r}{more}"
    message = first["msg"].removeprefix("Value error, ")
    if isinstance(first["input"], dict):  # settings whose own message names the error
        return f"{key}: {message}{more}" if key else f"{message}{more}"
    return f"{key} = {shown(first['input'])}: {message}{more}" if key else f"{message}{more}"


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    part: Any = Corpus if location[0] in ("source", "target", "other") else Recipe
    for name in location[:-1] if part is Recipe else ():
        part = part.model_fields[name].annotation if hasattr(part, "model_fields") else part
    return sorted(part.model_fields)
