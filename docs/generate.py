"""The pages of the site that come from the code: settings, recipes, command line, API, notebooks, a live page."""

import inspect
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import typer
from pydantic import BaseModel
from typer.cli import get_docs_for_click

import ser_graph as sg
from ser_graph.cli import app
from ser_graph.common.settings import Settings, range_of
from ser_graph.experiment.grid import Students
from ser_graph.experiment.recipe import Corpus, Recipe, UpstreamPart

ROOT = Path(__file__).parents[1]
SETTINGS: dict[type[Settings], str] = {
    sg.TrainingSettings: "`ser-graph train`, `sg.train`; in a recipe `[students.training]`",
    sg.GraphSettings: "`ser-graph build`, `sg.build_graph`; in a recipe `[graph]`",
    sg.EmbeddingSettings: "`ser-graph build` and `embed`, `sg.build_graph`; in a recipe `[embedding]`",
    sg.LogMelSettings: "`ser-graph build`, `sg.build_graph`; in a recipe `[features]`",
    sg.FinetuneSettings: "`ser-graph finetune`, `Upstream.finetune`; in a recipe `[upstream]`",
}
RECIPE: dict[str, type[BaseModel]] = {
    "The top of the file": Recipe,
    "[source], [target], [other]": Corpus,
    "[students]": Students,
}
ROOMS = [name for name in sg.__all__ if isinstance(getattr(sg, name), ModuleType)]


def write_all(folder: Path, with_links: Callable[[str, Path], str]) -> None:
    """Write all generated pages into a folder.

    Args:
        folder: the folder; its content is replaced, but for the live page.
        with_links: gives a text of a file in a folder the links of the site.
    """
    pages = {"settings.md": settings_page(), "recipe_keys.md": recipe_page(), "command_line.md": command_page()}
    pages |= {"api/index.md": api_index(), **{f"api/{room}.rst": api_page(room) for room in ROOMS}}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        pages[f"notebooks/{path.name}"] = notebook(path, with_links)
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:  # Sphinx reads again what is newer
            path.write_text(text, "utf-8")
    live = folder / "extra" / "graph.html"
    if not live.exists():
        write_live_page(live)


def settings_page() -> str:
    """All settings objects as tables."""
    parts = [
        "(all-settings)=\n# Settings\n\nEach setting has one default, and the same name in Python, on the command "
        "line (`--set NAME=VALUE`) and in a recipe. `ser-graph settings train` prints the same lists."
    ]
    for settings, where in SETTINGS.items():
        rows = [
            (f"`{name}`", f"`{field.default!r}`", f"{field.description}{_range(settings, name)}")
            for name, field in settings.model_fields.items()
        ]
        title = f"({settings.__name__}-list)=\n## {settings.__name__}"
        parts.append(f"{title}\n\nUsed by {where}.\n\n{table(('setting', 'default', 'meaning'), rows)}")
    return "\n\n".join(parts) + "\n"


def _range(settings: type[Settings], name: str) -> str:
    text = range_of(settings.model_fields[name])
    return f" ({text})" if text else ""


def recipe_page() -> str:
    """The keys of a recipe: those of the class docstrings, and the settings of the upstream."""
    parts = [
        "(recipe-keys)=\n# Keys of a recipe\n\nA recipe is a TOML file. The keys `embedding`, `features`, `graph` "
        "and `students.training` are tables of [settings](#all-settings). `--set KEY=VALUE` changes a key, e.g. "
        "`--set graph.epsilon=0.9`. The `recipe.toml` of a run lists all keys with their values."
    ]
    for title, part in RECIPE.items():
        rows = [(f"`{name}`", default_of(part, name), text) for name, text in attributes(part)]
        parts.append(f"## {title}\n\n{table(('key', 'default', 'meaning'), rows)}")
    own = [name for name in UpstreamPart.model_fields if name not in sg.FinetuneSettings.model_fields]
    rows = [
        (f"`{name}`", default_of(UpstreamPart, name), str(UpstreamPart.model_fields[name].description))
        for name in own
    ]
    parts.append(f"## [upstream]\n\n{table(('key', 'default', 'meaning'), rows)}")
    parts.append("The other keys are those of [FinetuneSettings](#FinetuneSettings-list).")
    return "\n\n".join(parts) + "\n"


def attributes(part: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Name and meaning of each attribute in the docstring of a class."""
    _, _, section = str(inspect.getdoc(part)).partition("Attributes:\n")
    for entry in re.split(r"\n    (?=\w)", f"\n{section.rstrip()}")[1:]:
        name, _, meaning = entry.partition(":")
        yield name, " ".join(meaning.split()).replace("``", "`")


def default_of(part: type[BaseModel], name: str) -> str:
    """The default of a key as code; a table of settings has those of its settings."""
    field = part.model_fields[name]
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    return "a table" if isinstance(default, BaseModel) else f"`{default!r}`"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def command_page() -> str:
    """The help of all commands."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="ser-graph")
    for name, one in command.commands.items():  # the list at the top cuts the sentences
        summary = str(one.help).partition("\n")[0]
        text = re.sub(
            rf"^\* `{name}`: .*",
            lambda _, name=name, summary=summary: f"* `{name}`: {summary}",
            text,
            count=1,
            flags=re.M,
        )
    return "(command-line)=\n# The command line\n" + text.partition("\n")[2]


def api_index() -> str:
    """The names of the top level, and the list of the rooms."""
    names = [
        (f"`sg.{name}`", f"[{room_of(name)}](#api-{room_of(name)})") for name in sg.__all__ if name not in ROOMS
    ]
    names = [(name, room) for name, room in names if "errors" not in room]
    about = (
        "(api)=\n# Python\n\n`import ser_graph as sg` gives the names of the first table. All other names are in "
        "the rooms, e.g. `sg.analysis.leakage`. A room is loaded when you first use it. A mistake of the user "
        "raises `sg.InputError`, a `ValueError` of one line."
    )
    rooms = "\n".join(f"{room}" for room in ROOMS)
    return f"{about}\n\n{table(('name', 'room'), names)}\n\n:::{{toctree}}\n:caption: Rooms\n\n{rooms}\n:::\n"


def room_of(name: str) -> str:
    """The room that a name of the top level comes from."""
    return str(getattr(sg, name).__module__).split(".")[1]


def api_page(room: str) -> str:
    """Every public name of a room, for autodoc."""
    module = getattr(sg, room)
    about = str(inspect.getdoc(module)).partition("\n\n")[0]
    parts = [f".. _api-{room}:\n\n{room}\n{'=' * len(room)}\n\n.. py:module:: ser_graph.{room}\n\n{about}"]
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing):
            # scikit-learn adds set_score_request to classifiers; its docstring links into scikit-learn's own site
            members = "\n   :members:\n   :exclude-members: set_fit_request, set_score_request"
            options = "" if issubclass(thing, BaseModel) else members
            parts.append(f".. autoclass:: ser_graph.{room}.{name}{options}")
        elif callable(thing):
            parts.append(f".. autofunction:: ser_graph.{room}.{name}")
        else:
            parts.append(f".. py:data:: {name}\n\n   {kind_of(thing)}")
    return "\n\n".join(parts) + "\n"


def kind_of(thing: object) -> str:
    """A constant in short: its entries."""
    entries = ", ".join(f"``{entry}``" for entry in thing) if isinstance(thing, dict | tuple | list) else ""
    return f"A {type(thing).__name__}: {entries}."


def notebook(path: Path, with_links: Callable[[str, Path], str]) -> str:
    """A notebook with its stored outputs; links of its text lead to pages of the site."""
    content = json.loads(path.read_text("utf-8"))
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = with_links("".join(cell["source"]), path.parent)
    return json.dumps(content, ensure_ascii=False, indent=1)


def write_live_page(out: Path) -> None:
    """The page of a small graph of synthetic speech, with its sound."""
    speech = out.parents[1] / "speech"
    try:
        source = sg.make_corpus(speech / "source", "source", n_clips=192, n_speakers=8)
        target = sg.make_corpus(speech / "target", "target", n_clips=126, n_speakers=6)
        features = sg.LogMelSettings(n_samples=32_000)
        upstream = sg.Upstream.small().finetune(
            source, epochs=8, learning_rate=1e-3, batch_size=32, seconds=2.0, freeze_feature_encoder=False
        )
        data = sg.build_graph(
            target, upstream, epsilon=None, n_neighbors=3, scope="all", features=features, seconds=2.0
        )
        out.parent.mkdir(parents=True, exist_ok=True)
        sg.write_page(data, out, audio="embed")
    finally:
        shutil.rmtree(speech, ignore_errors=True)
