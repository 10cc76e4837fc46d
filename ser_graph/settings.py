"""`Settings`: frozen values that are checked when they are made, and say in one line what is wrong with them."""

from typing import Any, Literal, Self, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ser_graph.errors import InputError, bad_value

Role = Literal["condition", "method", "run"]
_LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


class Settings(BaseModel):
    """The base of all settings: frozen, no unknown names, no silent conversion.

    A wrong name or value raises `InputError`, one line that says what was given and what was expected.

    Examples:
        >>> from pydantic import Field
        >>> class Cooking(Settings):
        ...     minutes: int = Field(10, ge=1, description="how long")
        >>> Cooking(minutes=0)
        Traceback (most recent call last):
        ...
        ser_graph.errors.InputError: Bad minutes 0, expected a whole number, at least 1
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, strict=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        values = {name: one.item() if isinstance(one, np.generic) else one for name, one in values.items()}
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise complaint(type(self), error) from None
        # Not what a validator has filled in beside them.
        object.__setattr__(self, "__pydantic_fields_set__", set(values))

    def replace(self, **changes: Any) -> Self:
        """The same settings with some changed, checked anew."""
        return type(self)(**{**self.given, **changes})

    @property
    def given(self) -> dict[str, Any]:
        """The settings that were given by name, so that defaults which depend on others can follow a change."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def setting(default: Any, role: Role, description: str, of: tuple[str, ...] = (), **limits: Any) -> Any:
    """A field of `Settings` that says what part it plays.

    Args:
        default: its value where none is given.
        role: ``"condition"`` is what a student and its baseline share, ``"method"`` is what a method consists of,
            ``"run"`` is the same for all students of a run.
        description: its meaning and unit.
        of: the methods that it makes a difference to; all, where it is empty.
        **limits: of pydantic's `Field`, e.g. ``gt=0``.
    """
    return Field(default, description=description, json_schema_extra={"role": role, "of": list(of)}, **limits)


def names_of(settings: type[Settings], role: Role) -> set[str]:
    """The names of the settings that play a part."""
    return {name for name, field in settings.model_fields.items() if _extra(field)["role"] == role}


def without_effect_on(settings: type[Settings], method: str) -> set[str]:
    """The names of the settings that make no difference to a method, or to any of several joined by ``+``."""
    wanted = {name: _extra(field)["of"] for name, field in settings.model_fields.items()}
    return {name for name, those in wanted.items() if those and not set(those) & set(method.split("+"))}


def _extra(field: Any) -> dict[str, Any]:
    return {"role": "method", "of": [], **(field.json_schema_extra or {})}


def complaint(settings: type[BaseModel], error: ValidationError) -> InputError:
    """What is wrong with settings, in one line: the first thing that pydantic found."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return bad_value("setting", name, settings.model_fields)
    if first["type"] == "value_error":
        return InputError(str(first["ctx"]["error"]))
    field = settings.model_fields.get(name)
    if first["type"] == "literal_error" and field is not None:
        return bad_value(name, first["input"], get_args(field.annotation))
    return InputError(f"Bad {name} {first['input']!r}, expected {_expected(settings, name, first)}")


def _expected(settings: type[BaseModel], name: str, first: Any) -> str:
    """The range of a number, or else what pydantic says."""
    field = settings.model_fields.get(name)
    metadata = [] if field is None else field.metadata
    kind = "" if field is None else str(field.annotation)
    words = [
        f"{text} {getattr(part, key)}" for part in metadata for key, text in _LIMITS.items() if hasattr(part, key)
    ]
    if words:
        whole, none = "a whole number, " if "int" in kind else "", ", or None" if "None" in kind else ""
        return whole + " and ".join(words) + none
    return str(first["msg"]).removeprefix("Input should be ")
