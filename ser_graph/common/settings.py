"""`Record` and `Settings`: frozen values that are checked when they are made; an error is one line."""

import inspect
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import fill, indent
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.fields import FieldInfo

from ser_graph.common.numbers import check_whole_numbers
from ser_graph.errors import InputError, bad_value, shorten, shown


def _different(names: list[str]) -> list[str]:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"The name {twice[0]!r} is there twice, expected different names")
    return names


Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"\S")]
"""A name in a stored file: some letters, not only blanks."""

Emotions = Annotated[list[Name], Field(max_length=1000), AfterValidator(_different)]
"""The classes of a model in a stored file."""

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R", bound="Record")
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
        values = {name: plain_value(one) for name, one in values.items()}
        for name, value in values.items():
            try:
                check_whole_numbers(value)
            except ValueError as error:
                raise InputError(f"Bad {name}: {error}") from None
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


def plain_value(value: Any) -> Any:
    """Numbers and texts of NumPy and torch as those of Python, also inside lists, tuples and dictionaries.

    Examples:
        >>> plain_value([np.int64(8), np.array(0.5), {"on": np.True_}])
        [8, 0.5, {'on': True}]
    """
    if isinstance(value, list | tuple):
        return type(value)(map(plain_value, value)) if type(value) in (list, tuple) else value
    if type(value) is dict:
        return {plain_value(name): plain_value(one) for name, one in value.items()}
    # A tensor is known by its methods: torch takes seconds to load.
    is_scalar = isinstance(value, np.generic) or (hasattr(value, "__array__") and getattr(value, "ndim", None) == 0)
    return value.item() if is_scalar else value


def read_record(kind: type[R], content: object, where: str | Path, way_out: str) -> R:
    """The record in a file's JSON, checked before anything is made from it; messages name `where` and the way out.

    Raises:
        InputError: a name is missing or unknown, or a value has a wrong type or size.
    """
    if not isinstance(content, dict):
        raise InputError(f"{where} holds a {type(content).__name__}, expected an object of JSON; {way_out}")
    try:
        record = kind(**content)
    except InputError as error:
        raise InputError(f"{where}: {error}; {way_out}") from None
    if missing := shorten(_missing_settings(record)):
        raise InputError(f"{where}: {missing} missing; {way_out}")
    return record


def _missing_settings(record: Record) -> Iterator[str]:
    """The names of settings that a file lacks; a default in their place could change what a model hears."""
    for name in type(record).model_fields:
        value = getattr(record, name)
        if name not in record.model_fields_set and (isinstance(record, Settings) or isinstance(value, Settings)):
            yield name
        if isinstance(value, Record):
            yield from (f"{name}.{inner}" for inner in _missing_settings(value))


class Settings(Record):
    """The base of all settings objects; each field is a `setting`.

    Its representation shows the values that differ from the defaults; `describe` lists all settings.

    Examples:
        >>> class Cooking(Settings):
        ...     minutes: int = setting(10, "run", "how long it boils")
        ...     salt: float = setting(0.5, "run", "teaspoons of salt")
        >>> Cooking(minutes=12)
        Cooking(minutes=12)
    """

    def asked(self) -> dict[str, Any]:
        """The values in the request of a stage, as JSON: all that may change the result (no role ``"cost"``)."""
        return self.model_dump(mode="json", exclude=names_of(type(self), "cost"))

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        for name, field in type(self).model_fields.items():
            if getattr(self, name) != field.default:
                yield name, getattr(self, name)

    def __str__(self) -> str:
        return repr(self)


def checked_by(settings: type[Settings]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A validator of values that stay a dictionary, for settings that a file repeats. It may lack some of them."""

    def check(values: dict[str, Any]) -> dict[str, Any]:
        settings(**values)
        return values

    return check


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
    return InputError(f"Bad {name} {shown(given)}, expected {range_of(field) or otherwise}")


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
        if (doc := inspect.getdoc(function)) is not None:
            lists = [f"{settings.__name__}:\n{indent(describe(settings), '    ')}\n" for settings in several]
            function.__doc__ = "\n\n".join([doc, *lists])
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
            changes[key.strip()] = parse_toml(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            changes[key.strip()] = value.strip()
        except ValueError as error:
            raise InputError(f"Bad setting {shown(assignment)} ({error}); give another value") from None
    return changes


def parse_toml(text: str) -> dict[str, Any]:
    """The values of a TOML text; `ValueError` for a text or a number that cannot be used."""
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # Python's limit of digits
        values = {"value": 2**63}
    check_whole_numbers(values)
    return values
