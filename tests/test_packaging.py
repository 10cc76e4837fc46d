"""What holds for the project as a whole: its dependencies, its one direction, its public names, its safety."""

import ast
import importlib
import inspect
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args, get_origin

import pytest
import setuptools
import yaml

import ser_graph
from ser_graph.common.settings import Settings
from ser_graph.experiment.grid import Students
from ser_graph.experiment.recipe import Recipe, UpstreamPart

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ser_graph"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

# The way of the data. A part may import itself, the parts of lines above its own, and what all may import.
LEVELS = (
    ("audio",),
    ("corpora",),
    ("upstream",),
    ("graph",),
    ("analysis", "downstream"),
    ("evaluation",),
    ("inspection", "edge"),
    ("experiment",),
    ("cli",),
    ("__main__",),
)
FOR_ALL = {"common", "errors"}
LEVEL_OF = {part: level for level, parts in enumerate(LEVELS) for part in parts}
WITHOUT_CODE = {"__init__"}  # the public names

MODULES = sorted(PACKAGE.rglob("*.py"))
SETTINGS: dict[str, type[Settings]] = {
    "EmbeddingSettings": ser_graph.EmbeddingSettings,
    "FinetuneSettings": ser_graph.FinetuneSettings,
    "GraphSettings": ser_graph.GraphSettings,
    "LogMelSettings": ser_graph.LogMelSettings,
    "TrainingSettings": ser_graph.TrainingSettings,
    "UpstreamPart": UpstreamPart,
}


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
    # The runtime is on no index yet: it is installed from its folder.
    others = [one for one in PROJECT["dependencies"] if not one.startswith("ser-graph-runtime")]
    assert section["pip"] == ["-e ./runtime", *others, "-e .[notebooks]"]


def test_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == PROJECT["version"]
    newest = re.search(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest and newest[1] == PROJECT["version"]


def test_no_link_of_the_package_needs_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package index shows the README alone; all its words stay."""
    assert "readme" in PROJECT["dynamic"]
    given: dict[str, str] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **values: given.update(values))
    runpy.run_path(str(ROOT / "setup.py"))
    shown = given["long_description"]
    links = re.compile(r"(!?)\[([^\]]*)\]\(([^)]+)\)")
    assert all(target.startswith(("http", "#")) for _, _, target in links.findall(shown))
    of_runtime = (ROOT / "runtime" / "README.md").read_text("utf-8")
    assert all(target.startswith(("http", "#")) for _, _, target in links.findall(of_runtime))
    written = (ROOT / "README.md").read_text("utf-8")
    assert len(links.findall(written)) > 10
    assert links.sub(lambda found: "" if found[1] else found[2], written) == links.sub(r"\2", shown)


def test_hosted_checks_are_those_of_a_fresh_machine() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    targets = set(re.findall(r"make (\w+)", (ROOT / ".ci" / "run").read_text("utf-8")))
    assert targets == {"test", "dist", "docs"}
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert targets <= set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    assert "twine check --strict build/dist/*" in makefile


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_issue_template_has_what_a_form_needs(path: Path) -> None:
    form = yaml.safe_load(path.read_text("utf-8"))
    assert form["name"] and form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) > 0
    assert all(field["attributes"]["label"] for field in fields)


DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
ROOMS = [ser_graph, *(getattr(ser_graph, name) for name in ser_graph.__all__ if (PACKAGE / name).is_dir())]
PUBLIC = [(room, name) for room in ROOMS for name in room.__all__]


@pytest.mark.parametrize(("room", "name"), PUBLIC, ids=lambda given: getattr(given, "__name__", given))
def test_public_name_is_documented(room: ModuleType, name: str) -> None:
    # ABCs and dataclasses inherit or invent docstrings; only one of its own says what a thing is for.
    thing = getattr(room, name)
    if name.isupper() or isinstance(thing, ModuleType):
        return
    doc = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    assert doc
    assert not doc.startswith(f"{name}("), "a dataclass without a docstring of its own"
    assert thing.__module__.startswith(("ser_graph.", "ser_graph_runtime."))


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
def test_dir_shows_what_is_public(room: ModuleType) -> None:
    assert dir(room) == room.__all__
    with pytest.raises(AttributeError, match="attribute tarin"):
        room.tarin  # noqa: B018


def test_nothing_has_the_name_of_its_module() -> None:
    """Where it did, ``from ser_graph.room import name`` would depend on what was imported before."""
    for path in MODULES:
        names = {node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, DEFINITIONS)}
        assert path.stem not in names, path


@pytest.mark.parametrize("room", ROOMS[1:], ids=lambda room: room.__name__)
def test_no_public_name_is_that_of_a_module_beside_it(room: ModuleType) -> None:
    modules = {path.stem for path in Path(str(room.__file__)).parent.iterdir()}
    assert not modules & set(room.__all__)


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
    for folder in ("ser_graph", "runtime", "tests", "examples", "notebooks", "benchmarks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".ipynb"}:
                text = path.read_text("utf-8")
                assert not [word for word in forbidden if word in text], path


def test_meta_is_not_indexed() -> None:
    """What a graph knows of its making are attributes that are checked, not texts that are looked up."""
    indexed = re.compile(r"\bmeta(\[|\.get\()")
    for folder in ("ser_graph", "examples", "benchmarks", "notebooks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".ipynb"}:
                assert not indexed.search(path.read_text("utf-8")), path


def test_command_is_installed() -> None:
    module, _, function = PROJECT["scripts"]["ser-graph"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def functions_of_settings() -> Iterator[tuple[str, ast.FunctionDef, set[str]]]:
    """Every function that takes settings as an object or makes one, and the names of its settings."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                mentioned = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} & SETTINGS.keys()
                names = {name for one in mentioned for name in SETTINGS[one].model_fields}
                if names:
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node, names


def test_a_setting_is_declared_once() -> None:
    """No function, and no command, has a default of its own for what a class of settings declares."""
    checked = 0
    for where, function, names in functions_of_settings():
        arguments = function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults = dict(zip([one.arg for one in positional][::-1], arguments.defaults[::-1], strict=False))
        keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        defaults |= {one.arg: value for one, value in keywords if value}
        for name in defaults.keys() & names:
            checked += 1
            default = defaults[name]
            assert isinstance(default, ast.Constant) and default.value is None, f"{where} gives {name} a default"
    assert checked > 10


# Parameters that have the name of a setting and another meaning, by function.
OTHER_MEANING = {
    "batch_size": {"predict_outputs", "count_statistics"},  # the result does not depend on it
    "n_neighbors": {"graph_report", "score_clips", "label_propagation", "NeighbourVote.__init__"},  # of any split
    "keep": {"Upstream.set_emotions"},  # the weights of a head
}


def defaults_beside_settings() -> Iterator[tuple[str, str, str, object]]:
    """File, function, name and default of every parameter that has the name of a setting and a default."""
    names = {name for one in SETTINGS.values() for name in one.model_fields}
    for path in MODULES:
        tree = ast.parse(path.read_text("utf-8"))
        owner = {
            item: f"{node.name}." for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for item in node.body
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                positional = [*node.args.posonlyargs, *node.args.args]
                given = [*zip(positional[::-1], node.args.defaults[::-1], strict=False)]
                given += [pair for pair in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if pair[1]]
                for parameter, default in given:
                    if parameter.arg in names and isinstance(default, ast.Constant):
                        yield path.name, f"{owner.get(node, '')}{node.name}", parameter.arg, default.value


def test_a_default_is_the_same_everywhere() -> None:
    """A function that takes a single value of the settings repeats the default of the settings, or has none."""
    checked = 0
    for file, function, name, default in defaults_beside_settings():
        if default is not None and function not in OTHER_MEANING.get(name, ()):
            ours = [one.model_fields[name].default for one in SETTINGS.values() if name in one.model_fields]
            assert default in ours, f"{file}: {function} has {name}={default!r}, the settings have {ours}"
            checked += 1
    assert checked > 10
    exceptions = {(name, function) for name, functions in OTHER_MEANING.items() for function in functions}
    assert exceptions <= {(name, function) for _, function, name, _ in defaults_beside_settings()}


def test_a_grid_without_lists_has_the_defaults_of_the_training() -> None:
    grid, training = Students(), ser_graph.TrainingSettings()
    for name in Students.model_fields.keys() & ser_graph.TrainingSettings.model_fields.keys() - {"method"}:
        assert getattr(grid, name) in ([], [getattr(training, name)]), name
    assert grid.method == ["baseline", training.method]
    assert Recipe.model_fields["protocol"].default == training.protocol


def test_the_choices_of_a_setting_are_listed_once() -> None:
    found = [
        frozenset(one.value for one in ast.walk(node.slice) if isinstance(one, ast.Constant))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal"
    ]
    fields = [field.annotation for one in SETTINGS.values() for field in one.model_fields.values()]
    choices = {frozenset(get_args(kind)) for kind in fields if get_origin(kind) is Literal}
    assert len(choices) > 10
    assert not [sorted(one) for one in choices if found.count(one) != 1]


def public_functions() -> Iterator[tuple[str, Callable[..., object]]]:
    """Every public function, and every public method and maker of a public class, by name."""
    for _, name in PUBLIC:
        thing = next(getattr(room, name) for room, known in PUBLIC if known == name)
        if inspect.isclass(thing):
            own = {key: one for key, one in vars(thing).items() if inspect.isfunction(one)}
            yield from ((f"{name}.{key}", one) for key, one in own.items() if key == "__init__" or key[0] != "_")
        elif inspect.isfunction(thing):
            yield name, thing


def test_an_editor_completes_the_settings_of_a_function() -> None:
    """The settings that a function takes by name, as ``**changes``, are in its signature and in its help."""
    shown = set()
    for name, function in public_functions():
        code = inspect.unwrap(function).__code__
        if code.co_flags & inspect.CO_VARKEYWORDS and "changes" in code.co_varnames:
            known = inspect.signature(function).parameters
            objects = [one for one in SETTINGS.values() if one.__name__ in str(inspect.get_annotations(function))]
            missing = {field for one in objects for field in one.model_fields} - known.keys()
            assert objects and not missing and "changes" not in known, f"{name} hides {missing}"
            shown.add(name)
    assert shown >= {"build_graph", "train", "EmotionGraph.__init__", "Upstream.finetune", "Upstream.embed"}


def test_settings_of_different_objects_differ_in_meaning() -> None:
    own = {
        name: one
        for name, one in SETTINGS.items()
        if not any(issubclass(other, one) and other is not one for other in SETTINGS.values())
    }
    meanings = [(field, str(of.description)) for one in own.values() for field, of in one.model_fields.items()]
    twice = {one for one in meanings if meanings.count(one) > 1}
    assert not twice
    assert all(meaning and meaning != "None" for _, meaning in meanings)


def test_every_class_of_settings_is_known_here() -> None:
    pattern = re.compile(r"^class (\w+)\((?:Settings|\w+Settings)\):", re.MULTILINE)
    found = {name for path in MODULES for name in pattern.findall(path.read_text("utf-8"))}
    assert found == SETTINGS.keys()


def test_build_graph_finds_each_setting_in_one_object() -> None:
    objects = [SETTINGS[name] for name in ("GraphSettings", "EmbeddingSettings", "LogMelSettings")]
    names = [name for one in objects for name in one.model_fields]
    assert len(names) == len(set(names))
