"""Clip tables with damaged text, other separators and odd cells."""

import csv
import io
import json
import random
import unicodedata

import pandas as pd
import pytest

from ser_graph.common.text import fault_of
from ser_graph.corpora import load_table, read_table, write_table

MOST = 2**24  # bytes; a table here has some hundred
FILES = ["a.wav", "b.wav", "é.wav", "-c.wav", "sub/d.WAV"]
ODD = [
    *(
        "",
        " ",
        "nan",
        "NA",
        " anna",
        "anna ",
        "Anna",
        "é",
        "e\u0301",
        "=1+1",
        "'=1+1",
        "-5",
        "+a",
        "@x",
        "\tx",
        "3.0",
    ),
    *(
        "a\nb",
        'say "hi"',
        "a,b",
        "a;b",
        "\x1b[31mred",
        "\x9b31mred",
        "\x1b]0;title\x07",
        "a\r\nb",
        "9" * 10_000,
        "\u202eabc",
        "x" * 5_000,
        "x" * 200_000,
        "\0",
        "../../etc",
        "/",
    ),
    *("angry", "HAPPY", " Sad ", "train", "Devel", "female", "W", "0 days 00:00:01", "1e999", "-1", "inf", "1,5"),
]
HEADER = ["file", "emotion", "speaker", "gender", "split", "duration", "note"]


@pytest.fixture
def folder(make_clips, tmp_path):
    return make_clips(*FILES, folder=tmp_path / "clips")


def rows_of(rng: random.Random) -> list[list[str]]:
    """A good table in which up to three cells are odd."""
    rows = [list(HEADER)] + [
        [file, "fear", f"s{n % 3}", "male", "train", "0.2", "x"] for n, file in enumerate(FILES)
    ]
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        rng.choice(rows)[rng.randrange(len(HEADER))] = rng.choice(ODD)
    return rows


def as_csv(rows: list[list[str]], separator: str) -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=separator, lineterminator="\n").writerows(rows)
    return file.getvalue()


def is_right(table: pd.DataFrame) -> bool:
    """Whether all text is clean and shown, and the labels are of the vocabulary."""
    text = table.select_dtypes(exclude="number").astype(object).to_numpy().ravel()
    clean = all(cell != cell or cell == unicodedata.normalize("NFC", cell).strip() != "" for cell in text)
    clean = clean and not any(fault_of(name) for name in [*text[text == text], *table.index, *table.columns])
    known = set(table["emotion"].dropna()) <= {"fear", "anger", "happiness", "sadness"}
    return clean and known and set(table["split"].dropna()) <= {"train", "dev"}


def check(trials, name, path, folder):
    table = trials(name, lambda: load_table(path, folder), most_bytes=MOST)
    if table is not None:
        trials.expect(name, is_right(table))
        write_table(table, folder / "stored.csv")
        trials.expect(name, read_table(folder / "stored.csv").equals(table))


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_odd_cells(folder, trials, kind):
    rng, path = random.Random(kind), folder / f"clips.{kind}"
    for number in trials.numbers(300):
        separator = rng.choice("\t" if kind == "tsv" else ",,;\t|")
        path.write_text(as_csv(rows_of(rng), separator), rng.choice(["utf-8", "utf-8", "utf-8-sig"]))
        check(trials, f"{number} {separator!r}", path, folder)


def test_damaged_text(folder, trials, damaged):
    rng, path = random.Random(1), folder / "clips.csv"
    for number in trials.numbers(300):
        path.write_bytes(damaged(rng, as_csv(rows_of(rng), rng.choice(",;")).encode()))
        check(trials, number, path, folder)


def test_jsonl(folder, trials, mutated, damaged):
    rng, path = random.Random(2), folder / "clips.jsonl"
    for number in trials.numbers(300):
        header, *rows = rows_of(rng)
        records = mutated(rng, [dict(zip(header, row, strict=True)) for row in rows])
        records = records if isinstance(records, list) else [records]
        content = "\n".join(map(json.dumps, records)).encode()
        content = damaged(rng, content) if rng.random() < 0.2 and content else content
        content = content + b"\n" + b"[" * 50_000 if rng.random() < 0.05 else content
        path.write_bytes(content)
        check(trials, f"{number} {content[:100]!r}", path, folder)


def test_frames(folder, trials, mutated):
    """Frames of Python objects, as in a notebook."""
    rng = random.Random(3)
    for number in trials.numbers(300):
        header, *rows = rows_of(rng)
        records = mutated(rng, [dict(zip(header, row, strict=True)) for row in rows])
        try:
            frame = pd.DataFrame(records)
        except Exception:  # not a frame, so not an input
            continue
        frame = (
            frame.set_index("file", drop=rng.random() < 0.5) if "file" in frame and rng.random() < 0.3 else frame
        )
        table = trials(number, lambda frame=frame: load_table(frame, folder), most_bytes=MOST)
        if table is not None:
            trials.expect(number, is_right(table))
