"""`Record` and `Settings`: frozen values that are checked when they are made; an error is one line."""

import inspect
import tomllib
from collections.abc import Callable
from textwrap import fill, indent
from typing import Any, Literal, Self, TypeVar, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from ser_graph.errors import InputError, bad_value

F = TypeVar("F", bound=Callable[..., Any])
Role = Literal["condition", "method", "run", "cost"]
_LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


class Record(BaseModel):
    """Values under fixed names: frozen, no unknown names, no silent conversion.

    A wrong name or value raises `InputError`, one line that says what was given and what was expected.

    Examples:
        >>> from pydantic import Field
        >>> class Meal(Record):
        ...     guests: int = Field(10, ge=1, description="how many ate")
        >>> Meal(guests=0)
        Traceback (most recent call last):
        ...
        ser_graph_runtime.errors.InputError: Bad guests 0, expected a whole number, at least 1
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, strict=True, allow_inf_nan=False)

    def __init__(self, /, **values: Any) -> None:
        values = {name: one.item() if isinstance(one, np.generic) else one for name, one in values.items()}
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise first_error(type(self), error) from None
        # Only the given values, not the values that a validator has filled in.
        object.__setattr__(self, "__pydantic_fields_set__", set(values))

    def replace(self, **changes: Any) -> Self:
        """A copy with some values changed; all values are checked again."""
        return type(self)(**{**self.given, **changes})

    @property
    def given(self) -> dict[str, Any]:
        """The values that were given by name. The others are defaults, which may depend on them."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Settings(Record):
    """The base of all settings objects; each field is a `setting`."""


def setting(default: Any, role: Role, description: str, of: tuple[str, ...] = (), **limits: Any) -> Any:
    """A field of `Settings` with its role.

    Args:
        default: the default value.
        role: ``"condition"``: a student and its baseline share the value; ``"method"``: it is a part of the method;
            ``"run"``: it is the same for all students of a run; ``"cost"``: it changes time and memory, not the
            result.
        description: meaning and unit.
        of: the methods that depend on the setting; empty: all methods.
        **limits: limits of pydantic's `Field`, e.g. ``gt=0``.
    """
    return Field(default, description=description, json_schema_extra={"role": role, "of": list(of)}, **limits)


def names_of(settings: type[Settings], role: Role) -> set[str]:
    """The names of the settings with a role."""
    return {name for name, field in settings.model_fields.items() if _extra(field)["role"] == role}


def without_effect_on(settings: type[Settings], method: str) -> set[str]:
    """The names of the settings on which a method, or each of several methods joined by ``+``, does not depend."""
    wanted = {name: _extra(field)["of"] for name, field in settings.model_fields.items()}
    return {name for name, methods in wanted.items() if methods and not set(methods) & set(method.split("+"))}


def _extra(field: Any) -> dict[str, Any]:
    return {"role": "method", "of": [], **(field.json_schema_extra or {})}


def first_error(record: type[Record], error: ValidationError) -> InputError:
    """The first error that pydantic found, in one line."""
    first = error.errors()[0]
    if first["type"] == "value_error":
        return InputError(str(first["ctx"]["error"]))
    name = str(first["loc"][0])  # later parts name a place in a list, or one of several types
    if first["type"] == "extra_forbidden":
        return bad_value("setting" if issubclass(record, Settings) else "field", name, record.model_fields)
    given, field = first["input"], record.model_fields[name]
    if first["type"] == "missing":
        return InputError(f"No {name}, expected {field.description}")
    if first["type"] == "literal_error" and len(first["loc"]) == 1 and "None" not in str(field.annotation):
        return bad_value(name, given, get_args(field.annotation))
    of_several_types = len(first["loc"]) > 1 or "|" in str(field.annotation)
    otherwise = field.description if of_several_types else str(first["msg"]).removeprefix("Input should be ")
    return InputError(f"Bad {name} {_cut(repr(given))}, expected {range_of(field) or otherwise}")


def _cut(text: str, most: int = 200) -> str:
    """A text of one line; a long text loses its end."""
    return text if len(text) <= most else f"{text[:most]}..."


def range_of(field: FieldInfo) -> str:
    """The range of a number in words; empty if the field has no range."""
    words = [
        f"{text} {getattr(part, key)}"
        for part in field.metadata
        for key, text in _LIMITS.items()
        if hasattr(part, key)
    ]
    if not words:
        return ""
    kind = str(field.annotation)
    whole, none = "a whole number, " if "int" in kind else "", ", or None" if "None" in kind else ""
    return whole + " and ".join(words) + none


def describe(settings: type[Settings]) -> str:
    """Every setting in one or two lines: name, default, meaning and range.

    Examples:
        >>> class Cooking(Settings):
        ...     minutes: int = setting(10, "run", "how long it boils", ge=1)
        >>> print(describe(Cooking))
        minutes = 10  how long it boils (a whole number, at least 1)
    """
    names = {name: f"{name} = {field.default}" for name, field in settings.model_fields.items()}
    width = max(map(len, names.values()))
    lines = []
    for name, field in settings.model_fields.items():
        meaning = f"{field.description} ({range_of(field)})" if range_of(field) else str(field.description)
        lines.append(fill(f"{names[name]:<{width}}  {meaning}", 110, subsequent_indent=" " * (width + 2)))
    return "\n".join(lines)


def changed(changes: dict[str, Any], *several: Settings) -> tuple[Any, ...]:
    """Several settings objects with single values changed by name. Each name belongs to one of the objects.

    Raises:
        InputError: no object has a setting of that name.
    """
    known = [name for one in several for name in type(one).model_fields]
    if unknown := sorted(changes.keys() - set(known)):
        raise bad_value("setting", unknown[0], known)
    parts = [{name: changes[name] for name in type(one).model_fields if name in changes} for one in several]
    return tuple(one.replace(**part) for one, part in zip(several, parts, strict=True))


def with_settings(*several: type[Settings]) -> Callable[[F], F]:
    """Show the settings that a function takes as ``**changes`` in its signature and its help.

    Editors and notebooks can then complete the settings, which are declared in one place only.
    """

    def show(function: F) -> F:
        signature = inspect.signature(function)
        given = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.annotation)
            for settings in several
            for name, one in settings.model_fields.items()
            if name not in signature.parameters
        ]
        function.__signature__ = signature.replace(parameters=[*given, *added])  # type: ignore[attr-defined]
        lists = [f"{settings.__name__}:\n{indent(describe(settings), '    ')}\n" for settings in several]
        function.__doc__ = "\n\n".join([str(inspect.getdoc(function)), *lists])
        return function

    return show


def parse_changes(assignments: list[str]) -> dict[str, Any]:
    """``["graph.epsilon=0.9", "upstream.model=small"]`` -> values: TOML if possible, else text.

    Examples:
        >>> parse_changes(["graph.epsilon=0.9", "students.seed=[0, 1]", "upstream.model=small"])
        {'graph.epsilon': 0.9, 'students.seed': [0, 1], 'upstream.model': 'small'}
    """
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise InputError(f"Bad setting {assignment!r}, expected KEY=VALUE, e.g. graph.epsilon=0.9")
        try:
            changes[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            changes[key.strip()] = value.strip()
    return changes
