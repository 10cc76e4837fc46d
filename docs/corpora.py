"""The tables of corpora in data/README.md, from the adapters: run this file after a change of an adapter."""

from pathlib import Path

from ser_graph.corpora import ADAPTERS
from ser_graph.corpora.adapter import Adapter

README = Path(__file__).parents[1] / "data" / "README.md"
LANGUAGES = {
    "am": "Amharic",
    "ar": "Arabic",
    "bn": "Bangla",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "fa": "Persian",
    "fr": "French",
    "it": "Italian",
    "pl": "Polish",
    "pt": "Portuguese",
    "tr": "Turkish",
    "ur": "Urdu",
}


def known_by_name() -> str:
    """What each corpus contains, where it is, and its terms."""
    rows = ["| name | corpus | language | clips | speakers | source | terms |", "|---|---|---|---|---|---|---|"]
    for adapter in ADAPTERS.values():
        source = f"<{adapter.source}>" if adapter.source.startswith("http") else adapter.source
        cells = (f"`{adapter.name}`", adapter.title, language(adapter), clips(adapter), adapter.n_speakers, source)
        rows.append("| " + " | ".join([*cells, adapter.terms]) + " |")
    return "\n".join(rows)


def layouts() -> str:
    """The files of each corpus, its default split, and the emotions that it leaves out by default."""
    rows = ["| name | layout | default split | left out by default |", "|---|---|---|---|"]
    for adapter in ADAPTERS.values():
        layout = ", and ".join(f"`{part}`" for part in adapter.pattern.replace("|", ",").split(", and "))
        cells = (f"`{adapter.name}`", layout, adapter.usual_split, ", ".join(adapter.left_out))
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def language(adapter: Adapter) -> str:
    """E.g. ``English, acted``."""
    return ", ".join(filter(None, [LANGUAGES[adapter.language] if adapter.language else "", adapter.kind]))


def clips(adapter: Adapter) -> str:
    """The numbers of clips of all releases."""
    return " or ".join(f"{n:,}" for n in adapter.n_clips) or (
        "any" if adapter.name == "synthetic" else "see its page"
    )


def with_tables(text: str) -> str:
    """The text with new tables between its markers."""
    for name, table in (("known by name", known_by_name()), ("layouts", layouts())):
        before, start, rest = text.partition(f"<!-- {name}: from docs/corpora.py -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->\n")
        if not (start and end):
            raise ValueError(f"data/README.md has no place for the table {name!r}")
        text = f"{before}{start}\n{table}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text("utf-8")), "utf-8")
