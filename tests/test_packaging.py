"""What holds for the project as a whole: its dependencies, its one direction, its public names, its safety."""

import ast
import importlib
import inspect
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import ser_graph

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ser_graph"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

# The way of the data. A part may import itself, the parts of lines above its own, and what all may import.
LEVELS = (
    ("audio",),
    ("corpora",),
    ("stored_graph",),
    ("upstream",),
    ("graph",),
    ("downstream",),
    ("evaluation",),
    ("inspection", "edge", "cross_validation"),
    ("recipe",),
    ("experiment",),
    ("cli",),
    ("__main__",),
)
FOR_ALL = {"belonging", "colors", "errors", "files", "devices", "memory", "processes", "settings"}
LEVEL_OF = {part: level for level, parts in enumerate(LEVELS) for part in parts}
WITHOUT_CODE = {"__init__", "recipes"}  # the table of public names, the TOML files

MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """The folder or single module directly below the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and part of every import of the package in a file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full"
            within = [node.module] if node.module != "ser_graph" else [f"ser_graph.{a.name}" for a in node.names]
            names = [name for name in within if name]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            assert "ser_graph" not in names, f"{path}:{node.lineno}: import from the module that has it"
        else:
            continue
        yield from ((node.lineno, name.split(".")[1]) for name in names if name.startswith("ser_graph."))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_backwards(path: Path) -> None:
    part = part_of(path)
    if part in WITHOUT_CODE:
        return
    assert part in LEVEL_OF or part in FOR_ALL, f"say in LEVELS where {part} stands on the way of the data"
    level = LEVEL_OF.get(part, -1)
    for line, other in imported_parts(path):
        backwards = other in FOR_ALL or other == part or LEVEL_OF.get(other, len(LEVELS)) < level
        assert backwards, f"{path.relative_to(ROOT)}:{line} imports {other}, which comes after or beside {part}"


def test_environment_yml_repeats_pyproject() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    *packages, section = conda
    assert packages == ["python=3.11", "pip"]
    assert "python=" + PROJECT["requires-python"].removeprefix(">=") == packages[0]
    assert section["pip"] == [*PROJECT["dependencies"], "-e .[notebooks]"]


@pytest.mark.parametrize("name", ser_graph.__all__)
def test_public_name_is_documented(name: str) -> None:
    # ABCs and dataclasses inherit or invent docstrings; only one of its own says what a thing is for.
    thing = getattr(ser_graph, name)
    doc = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    assert doc
    assert not doc.startswith(f"{name}("), "a dataclass without a docstring of its own"
    assert thing.__module__.startswith("ser_graph.")


def test_public_names_are_listed() -> None:
    assert set(ser_graph.__all__) <= set(dir(ser_graph))
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        ser_graph.tarin  # noqa: B018


@pytest.mark.parametrize("module", ["ser_graph", "ser_graph.cli"])
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print([name for name in ('torch', 'pandas') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_folder_of_code_is_packaged() -> None:
    for path in MODULES:
        assert (path.parent / "__init__.py").exists(), path


def test_modules_say_what_they_are_for() -> None:
    for path in MODULES:
        if path.stat().st_size:
            assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), path


def test_nothing_is_unpickled() -> None:
    forbidden = ("pickle" + ".load", "weights_only=" + "False")
    for folder in ("ser_graph", "tests", "examples", "notebooks", "benchmarks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".ipynb"}:
                text = path.read_text("utf-8")
                assert not [word for word in forbidden if word in text], path


def test_command_is_installed() -> None:
    module, _, function = PROJECT["scripts"]["ser-graph"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))
