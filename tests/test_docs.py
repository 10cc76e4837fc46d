"""The generated pages of the site are complete, and its links stay inside it."""

import importlib.util
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import typer

import ser_graph as sg
from ser_graph.cli import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    return loaded("generate")


@pytest.fixture
def conf(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [*sys.path])
    return loaded("conf")


def test_every_setting_has_a_row(generate: ModuleType) -> None:
    page = generate.settings_page()
    for settings in generate.SETTINGS:
        section = page.partition(f"## {settings.__name__}\n")[2].partition("\n## ")[0]
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        assert len(rows) == len(settings.model_fields)
        for name, field in settings.model_fields.items():
            assert f"| `{name}` | `{field.default!r}` | " in section
    assert "| `epochs` | `30` | passes over the labelled clips (a whole number, at least 1) |" in page


def test_every_key_of_a_recipe_has_a_meaning(generate: ModuleType) -> None:
    for part in generate.RECIPE.values():
        described = dict(generate.attributes(part))
        assert described.keys() == part.model_fields.keys()
        assert all(described.values())
    assert "| `seed` | `[0]` | random seeds. |" in generate.recipe_page()


def test_every_command_and_option_is_on_the_page(generate: ModuleType) -> None:
    page = generate.command_page()
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        section = page.partition(f"## `ser-graph {name}`\n")[2].partition("\n## ")[0]
        options = [one for parameter in command.params for one in parameter.opts if one.startswith("--")]
        assert section and all(f"`{option}" in section or f", {option}" in section for option in options)
    assert "..." not in page.partition("**Commands**")[2].partition("\n## ")[0]


def test_every_public_name_is_on_a_page(generate: ModuleType) -> None:
    for room in generate.ROOMS:
        page = generate.api_page(room)
        assert all(f".{name}\n" in page or f":: {name}\n" in page for name in getattr(sg, room).__all__)
    index = generate.api_index()
    assert all(f"`sg.{name}`" in index or name in generate.ROOMS for name in sg.__all__)


def test_links_of_the_repository_lead_to_pages(conf: ModuleType) -> None:
    def link(text: str, folder: Path = ROOT) -> str:
        return conf.with_links_of_the_site(text, folder)

    assert link("[sizes](docs/sizes.md#time)") == "[sizes](/sizes.md#time)"
    assert link("[docs/sizes.md](docs/sizes.md)") == "[](/sizes.md)"
    assert link("![demo](docs/figures/demo.png)") == "![demo](/figures/demo.png)"
    assert link("[an example](../examples/train_nsl.py)", DOCS) == "an example (`examples/train_nsl.py`)"
    notebook = "notebooks/04_on_the_device.ipynb"
    assert link("[next](04_on_the_device.ipynb)", ROOT / "notebooks") == f"[next](/generated/{notebook})"
    for same in ("[x](https://example.org/a.md)", "[x](#time)", "`a[0](1)`"):
        assert link(same) == same or "`" in same


def test_the_site_has_what_it_needs() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert {name.partition(">=")[0] for name in extras["docs"]} == {"sphinx", "myst-nb", "furo"}
    assert all(">=" in name for name in extras["docs"])
