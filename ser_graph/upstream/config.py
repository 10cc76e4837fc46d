"""`config.json` and `preprocessor_config.json` of an upstream, checked before a model is made from them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from ser_graph.common.files import read_json
from ser_graph.common.settings import Record, read_record
from ser_graph.errors import InputError, shown

_MOST = 2**24  # any size or number; the largest in published speech models is 480,000
_MOST_LAYERS = 1000
_WAY_OUT = "fetch the model again"

_Size = Annotated[int | None, Field(ge=1, le=2**16)]


class _Part(Record):
    """Values by name, of which the library knows a few; the sizes of all are bounded."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _are_small(cls, values: Any) -> Any:
        for name, value in _numbers(values):
            most = _MOST_LAYERS if "layers" in name else _MOST
            if not -_MOST <= value <= most:
                raise InputError(f"Bad {name} {value}, expected at most {most:,}")
        return values


class UpstreamConfig(_Part):
    """The content of `config.json`: the architecture of a speech model."""

    model_type: str = Field(description="the name of an architecture")
    hidden_size: _Size = Field(None, description="a number from 1 to 65,536")
    intermediate_size: _Size = Field(None, description="a number from 1 to 65,536")
    d_model: _Size = Field(None, description="a number from 1 to 65,536")
    classifier_proj_size: _Size = Field(None, description="a number from 1 to 65,536")
    num_labels: int | None = Field(None, description="a number from 1 to 1,000", ge=1, le=1000)
    id2label: dict[str, str] | None = Field(None, description="up to 1,000 names by number", max_length=1000)


class ExtractorConfig(_Part):
    """The content of `preprocessor_config.json`: how a speech model hears."""

    sampling_rate: int | None = Field(None, description="a number", ge=1, le=10**6)
    feature_size: int | None = Field(None, description="a number from 1 to 10,000", ge=1, le=10_000)
    n_fft: _Size = Field(None, description="a number from 1 to 65,536")
    chunk_length: int | None = Field(None, description="seconds, up to 3,600", ge=1, le=3600)


KINDS: dict[str, type[Record]] = {"config.json": UpstreamConfig, "preprocessor_config.json": ExtractorConfig}


def check_config(folder: Path) -> None:
    """Refuse the folder of an upstream whose JSON no model can be made from; a missing file is not checked.

    Raises:
        InputError: a file is no JSON, or a value has a wrong type or size.
    """
    for name, kind in KINDS.items():
        if (folder / name).exists():
            read_record(kind, read_json(folder / name, _WAY_OUT), folder / name, _WAY_OUT)


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, int]]:
    """All whole numbers inside a value, with the names that hold them."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _numbers(one, shown(key).strip("'"))
    elif isinstance(value, list):
        for one in value:
            yield from _numbers(one, name)
    elif isinstance(value, int):
        yield name, value
