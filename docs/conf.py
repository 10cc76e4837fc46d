"""The documentation site, which ``make docs`` builds with Sphinx. `generate` writes the pages of the code."""

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS))

import generate  # noqa: E402

project = "ser_graph"
author = "The ser_graph developers"
release = metadata.version("ser-graph")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["figures", "confusions"]
html_theme = "furo"
html_title = f"ser_graph {release}"
html_theme_options = {"navigation_with_keys": False}
html_extra_path = ["generated/extra"]
html_show_sourcelink = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks are stored with their outputs
default_role = "code"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
python_maximum_signature_line_length = 100
napoleon_custom_sections = [("Attributes", "params_style")]

# Files of the repository that a page of the site shows, beside those of docs/ and notebooks/.
PAGES = {
    "README.md": "start.md",
    "runtime/README.md": "device.md",
    "data/README.md": "corpora.md",
    "CONTRIBUTING.md": "contributing.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#|/)([^)#\s]+)(#[^)\s]*)?\)")


def with_links_of_the_site(text: str, folder: Path) -> str:
    """A text whose relative links lead to pages of the site; a file that is no page becomes its path."""

    def link(found: re.Match[str]) -> str:
        image, words, target, anchor = found.groups()
        path = (folder / target).resolve().relative_to(ROOT).as_posix()
        page = PAGES.get(path)
        if page is None and path.startswith("notebooks/"):
            page = f"generated/{path}"
        if page is None and path.startswith("docs/") and (image or path.endswith(".md")):
            page = path.removeprefix("docs/")
        if not page:
            return f"{words} (`{path}`)"
        words = "" if words.endswith(".md") else words  # the title of the page instead of its file
        return f"{image}[{words}](/{page}{anchor or ''})"

    return LINK.sub(link, text)


def rewrite_page(app: Any, name: str, content: list[str]) -> None:
    """Rewrite the links of a page, see `with_links_of_the_site`."""
    if not name.startswith("generated/"):
        content[0] = with_links_of_the_site(content[0], DOCS)


def rewrite_included(app: Any, path: Path, parent: str, content: list[str]) -> None:
    """The same for a file that a page includes."""
    content[0] = with_links_of_the_site(content[0], (DOCS / path).parent)


def link_to_settings(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Replace the lists of settings at the end of a docstring, see `with_settings`, by links to their tables."""
    starts = [row for row, line in enumerate(lines) if re.fullmatch(r"\w+Settings:", line)]
    if starts:
        links = ", ".join(f":ref:`{lines[row][:-1]} <{lines[row][:-1]}-list>`" for row in starts)
        lines[starts[0] :] = [f"Settings that the function takes by name: {links}.", ""]


def setup(app: Any) -> None:
    """Write the generated pages, and follow the links of the repository."""
    generate.write_all(DOCS / "generated", with_links_of_the_site)
    app.connect("source-read", rewrite_page)
    app.connect("include-read", rewrite_included)
    app.connect("autodoc-process-docstring", link_to_settings, priority=400)  # before napoleon, at 500
