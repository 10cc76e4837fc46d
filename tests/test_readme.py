"""Everything that the documents tell a user to type exists: commands, options, names, arguments, recipes."""

import ast
import importlib.util
import inspect
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import typer

import ser_graph
from ser_graph.cli import app
from ser_graph.common.settings import parse_changes
from ser_graph.edge.nearest import write_nearest
from ser_graph.experiment.recipe_files import load_recipe, make_recipe, shipped_recipes
from ser_graph_runtime import Recogniser
from ser_graph_runtime.nearest import Nearest
from ser_graph_runtime.onnx_model import OnnxModel

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "runtime" / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
DOCUMENTS += [ROOT / "data" / "README.md", *sorted((ROOT / "notebooks").glob("*.ipynb"))]
RUN_ELSEWHERE = {"bridges.md"}  # tests/test_bridges.py runs its snippets
COMMANDS = typer.main.get_command(app)

# The methods that the documents call.
METHODS: dict[str, Callable[..., Any]] = {
    "finetune": ser_graph.Upstream.finetune,
    "embed": ser_graph.Upstream.embed,
    "from_pretrained": ser_graph.Upstream.from_pretrained,
    "small": ser_graph.Upstream.small,
    "save": ser_graph.Student.save,
    "stream": Recogniser.stream,
    "file": Recogniser.file,
    "files": Recogniser.files,
}


def text_of(document: Path) -> str:
    """A document as it is read; of a notebook, what stands between the code."""
    text = document.read_text("utf-8")
    if document.suffix != ".ipynb":
        return text
    return "\n".join(
        "".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"
    )


def blocks(language: str) -> list[str]:
    """Code blocks of the documents in a language."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    documents = [document for document in DOCUMENTS if document.name not in RUN_ELSEWHERE]
    return [block for document in documents for block in pattern.findall(text_of(document))]


def commands() -> list[str]:
    """Every `ser-graph ...` of the documents that begins a line; one that goes on with a backslash is joined."""
    texts = [re.sub(r"\\\n\s*", "", text_of(document)) for document in DOCUMENTS]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    return sorted({line for line in lines if line.startswith("ser-graph ")})


@pytest.mark.parametrize("line", commands())
def test_command_parses(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    assert name in COMMANDS.commands
    context = COMMANDS.commands[name].make_context(name, list(arguments))
    if name != "run":
        return
    recipe, settings = context.params["recipe"], context.params["settings"] or ()
    if not recipe.endswith(".toml"):  # one of the user's own
        load_recipe(recipe, parse_changes(list(settings)))


def test_commands_are_found() -> None:
    """All commands are shown or named somewhere, and none is named that does not exist."""
    text = "".join(document.read_text("utf-8") for document in DOCUMENTS)
    named = set(re.findall(r"ser-graph ([a-z]+)", text))
    assert named == set(COMMANDS.commands)


@pytest.mark.parametrize("block", blocks("python"))
def test_python_uses_what_exists(block: str) -> None:
    for call in (node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)):
        if not isinstance(call.func, ast.Attribute):
            continue
        name = call.func.attr
        if isinstance(call.func.value, ast.Name) and call.func.value.id == "sg":
            assert name in ser_graph.__all__
            taker = getattr(ser_graph, name)
        else:
            assert name in METHODS, f"say in METHODS whose method {name} is"
            taker = METHODS[name]
        known = inspect.signature(taker).parameters
        for keyword in call.keywords:
            assert keyword.arg in known, f"{name}() takes no {keyword.arg}"


def test_python_names_exist() -> None:
    for block in blocks("python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sg":
                assert node.attr in ser_graph.__all__


def mentioned_names() -> list[str]:
    """Every `sg.name`, `sg.room.name` and `sg.Class.method` of the documents, the code of notebooks included."""
    texts = [document.read_text("utf-8") for document in DOCUMENTS]
    return sorted({name for text in texts for name in re.findall(r"\bsg\.([A-Za-z_]+(?:\.[A-Za-z_]+)*)", text)})


@pytest.mark.parametrize("name", mentioned_names())
def test_mentioned_name_is_public(name: str) -> None:
    thing: Any = ser_graph
    for part in name.split("."):
        assert part in getattr(thing, "__all__", dir(thing))
        thing = getattr(thing, part)


@pytest.mark.parametrize("block", blocks("toml"))
def test_recipe_is_valid(block: str) -> None:
    assert len(make_recipe(tomllib.loads(block)).training_settings()) == 9


def test_the_python_of_the_runtime_runs(tmp_path, monkeypatch, capsys):
    """With the stored example of an exported student, and with sound and labelled clips made up here."""
    shutil.copy(ROOT / "tests" / "formats" / "student.onnx", tmp_path / "student.onnx")
    samples, rate = np.random.default_rng(0).uniform(-0.3, 0.3, 8_000), 16_000
    (tmp_path / "recordings").mkdir()
    for name in ("my.wav", "recordings/a.wav"):
        soundfile.write(tmp_path / name, samples, rate)
    monkeypatch.chdir(tmp_path)
    _, fc1 = OnnxModel("student.onnx")(samples[None, :2048].astype(np.float32))
    write_nearest(Nearest(["clip.wav"], ["fear"], fc1), Path("student.onnx"), Path("student.nearest.npz"))
    names = {"samples": samples, "rate": rate, "chunks": np.split(samples, 4)}
    text = (ROOT / "runtime" / "README.md").read_text("utf-8").replace("hop=1.0", "hop=0.1")  # a short example
    snippets = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 3
    for snippet in snippets:
        exec(snippet, names)
    printed = capsys.readouterr().out
    assert "a.wav 0.00-0.50 s: " in printed and "[('clip.wav', 'fear', " in printed


def test_first_commands_are_demo_and_test() -> None:
    first, *_ = blocks("sh")
    assert first == "make demo\nmake test\n"
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert {"demo", "test"} <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def test_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for link in re.findall(r"(?<!!)\[[^\]]*\]\(([^)#]+)\)", document.read_text("utf-8")):
            if not link.startswith("http"):
                assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_shipped_recipes_are_named() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert all(f"`{name}`" in text for name in shipped_recipes())


def test_corpora_are_described() -> None:
    from ser_graph.corpora import ADAPTERS

    spec = importlib.util.spec_from_file_location("corpora_tables", ROOT / "docs" / "corpora.py")
    assert spec and spec.loader
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    text = (ROOT / "data" / "README.md").read_text("utf-8")
    assert tables.with_tables(text) == text, "run python docs/corpora.py"
    assert all(f"| `{name}` | " in text for name in ADAPTERS)
    known = len(ADAPTERS) - 1  # without the synthetic speech
    for document in ("README.md", "CHANGELOG.md"):
        assert f"{known} corpora by name" in (ROOT / document).read_text("utf-8")
