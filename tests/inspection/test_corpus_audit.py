import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser_graph.corpora import load_table, with_copies
from ser_graph.errors import InputError
from ser_graph.graph import build_graph, save_graph
from ser_graph.inspection import audit, format_audit
from ser_graph.inspection.corpus_audit import load_source

NAMES = ["anger", "fear", "happiness"]


@pytest.fixture
def corpus(tmp_path):
    """90 clips of 6 speakers, two for each split; the given faults, and no others."""
    root = tmp_path / "corpus"
    root.mkdir()

    def make(
        *, loudness: tuple[float, ...] = (1, 1, 1), twice: dict[int, int] | None = None, silent: int | None = None
    ) -> pd.DataFrame:
        rng = np.random.default_rng(0)
        rows = []
        for clip in range(90):
            speaker, emotion = clip // 15, NAMES[clip % 3]
            sound = 0.1 * rng.normal(size=int(rng.uniform(3000, 5000))).clip(-3, 3)
            sound[: int(rng.uniform(400, 1200))] = 0
            sound *= loudness[clip % 3]
            soundfile.write(root / f"{clip:02}.wav", sound * (clip != silent), 16_000)
            split = ["train", "dev", "test"][speaker // 2]
            sentence = f"t{clip // 3 % 5}"
            rows.append((f"{clip:02}.wav", emotion, f"s{speaker}", "female", split, sentence))
        for first, other in (twice or {}).items():
            (root / f"{other:02}.wav").write_bytes((root / f"{first:02}.wav").read_bytes())
        columns = ["file", "emotion", "speaker", "gender", "split", "sentence"]
        pd.DataFrame(rows, columns=columns).to_csv(root / "labels.csv", index=False)
        return load_table(root / "labels.csv", labels="keep")

    return make


def names(made) -> dict[str, str]:
    return {one.name: one.severity for one in made.findings}


NORMAL = {"sentences in two splits": "note"}


def test_a_corpus_without_faults(corpus) -> None:
    made = audit(corpus(), progress=False)
    assert names(made) == NORMAL
    assert not made.errors() and repr(made) == "Audit('table': 0 errors, 0 warnings, 1 note)"
    assert made.counts["clips"] == 90 and made.counts["speakers"] == 6 and made.counts["emotions"] == 3
    assert set(made.shortcuts.index) == {"speaker", "sentence", "duration", "level", "silence"}
    made_or_not = {name: not result.startswith("not made") for name, result in made.checks.items()}
    assert made_or_not == {
        "clips": True,
        "splits": True,
        "balance and gaps": True,
        "shortcuts": True,
        "same sound": True,
        "near duplicates": False,
        "suspicious labels": False,
        "voices": False,
        "edges between splits": False,
    }


def test_each_fault_is_found(corpus) -> None:
    made = audit(corpus(loudness=(3, 1, 0.3), twice={0: 61, 33: 36, 3: 4}, silent=80), progress=False)
    assert names(made) == {
        "unusable clips": "error",
        "same sound in two splits": "error",
        "same sound with two labels": "error",
        "shortcut: level": "error",
        "same sound": "warning",
        **NORMAL,
    }
    assert made.errors(["unusable clips", "shortcut: level", "same sound"]) == [
        "same sound in two splits",
        "same sound with two labels",
    ]
    issues = made.issues
    order = {"error": 0, "warning": 1, "note": 2}
    assert issues["severity"].map(order).is_monotonic_increasing
    by_finding = issues.set_index("finding")
    assert by_finding.loc["same sound in two splits", ["file", "other"]].tolist() == ["00.wav", "61.wav"]
    assert by_finding.loc["same sound with two labels", ["file", "other"]].tolist() == ["03.wav", "04.wav"]
    assert by_finding.loc["same sound", ["file", "other"]].tolist() == ["33.wav", "36.wav"]
    assert by_finding.loc["unusable clips", "file"] == "80.wav"
    assert by_finding.loc["shortcut: level", "file"] is None and issues["advice"].str.len().min() > 10


def test_the_recording_gives_the_label_away(corpus, tmp_path) -> None:
    """Fearful clips come from another source: their sampling rate, channels and encoding differ."""
    table = corpus()
    for file in table.index[table["emotion"] == "fear"]:
        sound, _ = soundfile.read(tmp_path / "corpus" / file)
        soundfile.write(tmp_path / "corpus" / file, np.stack([sound, sound], 1), 24_000, "PCM_24")
    made = audit(table, progress=False)
    assert {"shortcut: rate", "shortcut: channels", "shortcut: codec"} <= set(made.errors())
    (codec,) = [one for one in made.findings if one.name == "shortcut: codec"]
    assert codec.evidence.loc["WAV PCM_24"].to_dict() == {"anger": 0, "fear": 30, "happiness": 0}


def test_a_column_of_the_user_keeps_its_name(corpus) -> None:
    table = corpus(loudness=(3, 1, 0.3)).assign(level=lambda one: "HI")
    table["rate"] = table["emotion"].map({"anger": "fast", "fear": "slow", "happiness": "slow"})
    made = audit(table, progress=False)
    assert names(made)["shortcut: rate"] == "error" and names(made)["shortcut: measured level"] == "error"


def test_without_the_sound(corpus, tmp_path) -> None:
    table = corpus()
    table.attrs["root"] = str(tmp_path / "nowhere")
    made = audit(table, progress=False)
    assert made.checks["clips"].startswith("not made: the sound files are not at hand")
    assert set(made.shortcuts.index) == {"speaker", "sentence", "duration"}  # durations are in the table
    assert len(audit(table, root=tmp_path / "corpus", progress=False).shortcuts) == 5
    with pytest.raises(InputError, match=r"No clip of the table is in .*nowhere, e\.g\. 00\.wav"):
        audit(table, root=tmp_path / "nowhere", progress=False)


def test_copies_do_not_count(corpus) -> None:
    table = corpus(loudness=(3, 1, 0.3))
    made, copied = audit(table, progress=False), audit(with_copies(table, 1), progress=False)
    assert copied.counts == made.counts
    pd.testing.assert_frame_equal(copied.issues, made.issues)


def test_a_graph(toy_graph, relabel) -> None:
    """Its sound is not at hand; the wrong labels, and the copy of a clip in another split, are found."""
    relabel(toy_graph, slice(40, 42), (toy_graph.y[40:42] + 1) % 3)
    emb, x = toy_graph.emb.clone(), toy_graph.x.clone()
    emb[100], x[100] = emb[10], x[10]
    table = toy_graph.table
    data = build_graph(table, emb=emb, x=x, epsilon=None, n_neighbors=4, features=toy_graph.meta.features)
    made = audit(data, progress=False)
    found = {one.name: one for one in made.findings}
    assert {name: one.severity for name, one in found.items()} == {
        "similar sound in two splits": "error",
        "suspicious labels": "warning",
    }
    assert set(found["suspicious labels"].clips["file"]) == {"s2/040.wav", "s2/041.wav"}
    pair = found["similar sound in two splits"].clips[["file", "other"]].values.tolist()
    assert pair == [["s0/010.wav", "s6/100.wav"]]
    assert not made.checks["voices"].startswith("not made")


def test_a_copied_file_is_one_finding_of_a_graph(corpus, toy_graph) -> None:
    """The same samples are also near duplicates; they are named once."""
    table = corpus(twice={0: 61})
    emb, x = toy_graph.emb[:90].clone(), toy_graph.x[:90].clone()
    emb[61], x[61] = emb[0], x[0]
    data = build_graph(table, emb=emb, x=x, epsilon=None, n_neighbors=4, features=toy_graph.meta.features)
    made = audit(data, progress=False)
    assert [name for name in names(made) if "sound" in name] == ["same sound in two splits"]


HOSTILE = {
    "emotion": ["<script>alert(1)</script>", "b&b"],
    "speaker": ['"><img src=x onerror=alert(2)>', "</article><h1>"],
    "note": ["\x1b[31m", "\u202e"],
    "sentence": ["=1+1", "' onload='alert(3)"],
}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, list]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data) -> None:
        self.text += data


@pytest.fixture
def hostile_page(tmp_path):
    """The page and the table of a corpus whose names are attacks, with a finding of every kind of cell."""
    n = 120
    table = pd.DataFrame(
        {name: [values[clip % 2] for clip in range(n)] for name, values in HOSTILE.items()},
        index=pd.Index([f"<b>{clip}.wav" for clip in range(n)], name="file"),
    )
    for place in range(n):
        soundfile.write(tmp_path / table.index[place], np.full(3200, place // 2 / 100 + 0.01), 16_000)
    table = table.assign(split=["train", "test"] * (n // 2), gender=None, duration=0.2)
    table.attrs = {"root": str(tmp_path), "corpus": "<i>corpus"}
    made = audit(table, out=tmp_path / "page.html", progress=False)
    assert {"shortcut: sentence", "classes missing in a split", "unusable clips"} <= set(names(made))
    return made, tmp_path / "page.html"


def test_names_of_a_corpus_are_text(hostile_page) -> None:
    made, page = hostile_page
    html = page.read_text("utf-8")
    parsed = Tags()
    parsed.feed(html)
    used = {tag for tag, _ in parsed.tags}
    assert not used & {"script", "img", "i", "iframe", "link", "object"}
    attributes = {name for _, attrs in parsed.tags for name, _ in attrs}
    assert not any(name.startswith("on") for name in attributes)
    assert len(re.findall("<h1", html)) == 1 and "\x1b" not in html and "\u202e" not in html
    for name, values in HOSTILE.items():
        assert name == "note" or all(value in parsed.text for value in values)
    assert "default-src 'none'" in html
    assert "\x1b" not in format_audit(made)


def test_the_table_of_issues_is_safe_in_a_spreadsheet(hostile_page) -> None:
    made, page = hostile_page
    stored = pd.read_csv(page.with_suffix(".issues.csv"))
    assert list(stored.columns) == ["severity", "finding", "file", "other", "score", "detail", "advice"]
    assert len(stored) == len(made.issues) > 100


def test_the_page_names_everything(corpus, tmp_path) -> None:
    made = audit(corpus(loudness=(3, 1, 0.3), twice={0: 61}), out=tmp_path / "a" / "page.html", progress=False)
    parsed = Tags()
    parsed.feed((tmp_path / "a" / "page.html").read_text("utf-8"))
    for one in made.findings:
        assert all(text in parsed.text for text in (one.name, one.what, one.meaning, one.advice))
    assert all(name in parsed.text and result in parsed.text for name, result in made.checks.items())
    assert all(f"{value:.1%}" in parsed.text for value in made.shortcuts["uar"])
    targets = {dict(attrs).get("id") for _, attrs in parsed.tags}
    links = {dict(attrs)["href"] for tag, attrs in parsed.tags if tag == "a"}
    assert len(links) == len(made.findings) and all(link[0] == "#" and link[1:] in targets for link in links)


def test_in_a_browser(hostile_page, launch_browser) -> None:
    """The style is applied in spite of the policy, nothing is refused, and no part is wider than a phone."""
    _, page = hostile_page
    browser = launch_browser()
    try:
        tab = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
        said: list[str] = []
        tab.on("console", lambda message: said.append(message.text))
        tab.on("dialog", lambda dialog: said.append(dialog.message))
        tab.goto(page.as_uri())
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        assert said == []
    finally:
        browser.close()


def test_text(corpus) -> None:
    text = format_audit(audit(corpus(loudness=(3, 1, 0.3), twice={0: 61}), progress=False))
    assert "2 errors, 0 warnings, 1 note" in text
    assert "ERROR  same sound in two splits" in text and "00.wav = 61.wav: the same sound" in text
    assert "near duplicates, suspicious labels, voices, edges between splits: not made: needs a graph" in " ".join(
        text.split()
    )
    assert max(map(len, text.splitlines())) <= 110


def test_wrong_input(corpus, tmp_path) -> None:
    with pytest.raises(InputError, match="Bad source of type str, expected a graph"):
        audit("graphs/mine")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="read it with load_table"):
        audit(pd.DataFrame({"file": ["a.wav"], "emotion": ["joy"]}))
    with pytest.raises(InputError, match="The table has no clip"):
        audit(corpus().iloc[:0])


def test_the_table_of_the_clips_is_never_replaced(corpus, tmp_path) -> None:
    table, labels = corpus(), tmp_path / "corpus" / "labels.csv"
    before = labels.read_bytes()
    with pytest.raises(InputError, match=r"expected a name that ends in \.html, e\.g\. .*labels\.html"):
        audit(table, out=labels, progress=False)
    audit(table, out=labels.with_suffix(".html"), progress=False)
    assert labels.read_bytes() == before and (tmp_path / "corpus" / "labels.issues.csv").exists()


def test_sources(corpus, toy_graph, tmp_path) -> None:
    table = corpus()
    path = tmp_path / "corpus" / "labels.csv"
    assert load_source(str(path)).index.tolist() == table.index.tolist()
    assert load_source("table", path).attrs["corpus"] == "corpus/labels.csv"
    assert load_source(str(save_graph(toy_graph, tmp_path / "graph"))).num_nodes == 120
    with pytest.raises(InputError, match="neither the folder of a graph"):
        load_source(str(tmp_path))
    with pytest.raises(InputError, match="Bad corpus 'mine'"):
        load_source("mine", tmp_path)
    rows = pd.read_csv(path)
    rows.drop(columns="split").to_csv(path, index=False)
    assert set(load_source(str(path))["split"]) == {"train", "dev", "test"}  # by speaker
    rows.drop(columns=["split", "speaker"]).to_csv(path, index=False)
    made = audit(load_source(str(path)), progress=False)
    assert made.checks["splits"] == "not made: no clip has a split"
    assert names(made) == {"unknown speakers": "warning"}


@pytest.mark.slow
def test_ased(real_corpus) -> None:
    """Words and lengths give its emotions away; four recordings are there twice."""
    made = audit(load_source(str(real_corpus("ased") / "labels.csv")), n_permutations=100, progress=False)
    assert made.errors() == ["shortcut: sentence", "shortcut: duration"]
    (same,) = [one for one in made.findings if one.name == "same sound"]
    assert len(same.clips) == 4


def test_emovo(real_corpus) -> None:
    made = audit(load_source("emovo", real_corpus("emovo")), n_permutations=100, progress=False)
    assert names(made) == NORMAL
