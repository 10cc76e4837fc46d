"""The command line: every command by hand, and every user's mistake in one line."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser_graph.common.files import read_json, write_json
from ser_graph.corpora import load_corpus
from ser_graph.corpora.synthetic.making import make_corpus
from ser_graph.downstream import TrainingSettings
from ser_graph.graph import load_graph, save_graph
from ser_graph.upstream import Upstream, embedding as embedding_module


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus") / "target"
    make_corpus(root, "target", n_clips=63, n_speakers=9)
    return root


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    small = Upstream.small()
    small.info["untrained"] = []  # as after a fine-tuning: without the warning
    return small.save(tmp_path_factory.mktemp("models") / "small")


def settings_of(student):
    return json.loads((student / "model.json").read_text())["info"]["settings"]


def one_line(error):
    lines = [line for line in error.replace("\r", "\n").splitlines() if line.strip()]
    assert len(lines) == 1, error
    assert "Traceback" not in error
    return lines[0]


def test_version_is_that_of_the_package(call):
    import ser_graph

    code, out, _ = call("--version")
    assert (code, out) == (0, f"ser-graph {ser_graph.__version__}\n")
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    assert ser_graph.__version__ == project["version"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_error_of_the_output_names_it():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "ser_graph", "settings", "train"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, one_line(done.stderr)) == (1, "Error: No space left on device: standard output")


def test_check_as_text_and_json(call, corpus):
    code, out, _ = call("check", "synthetic", corpus)
    assert code == 0 and "63" in out
    code, out, _ = call("check", "synthetic", corpus, "--json")
    report = json.loads(out)
    assert code == 0 and report["clips"] == 63
    assert report["emotions"]["anger"] == 9 and report["speakers"] == 9


def test_check_ends_with_1_where_a_clip_is_broken(call, tmp_path):
    make_corpus(tmp_path / "broken", "target", n_clips=63, n_speakers=9)
    clip = sorted((tmp_path / "broken").rglob("*.wav"))[0]
    clip.write_bytes(clip.read_bytes()[:1000])
    for how in ((), ("--json",)):
        code, out, _ = call("check", "synthetic", tmp_path / "broken", *how)
        assert code == 1 and clip.name in out


def test_the_stages_one_by_one(call, corpus, upstream, tmp_path):
    graph, student, table = tmp_path / "graph", tmp_path / "student", tmp_path / "p.csv"
    build = ("build", "synthetic", corpus, "--upstream", upstream, "--out", graph, "--epsilon", "none")
    assert call(*build, "--n-neighbors", 3)[0] == 0
    code, out, _ = call("stats", graph, "--json")
    statistics = json.loads(out)["statistics"]
    assert code == 0 and statistics["n_clips"] == 63 and statistics["coverage"] == 1
    short = ("--epochs", 1, "--set", "epoch_steps=1")
    few = ("--set", "label_fraction=0.5", "--set", "augment=none")
    trained = call("train", graph, "--out", student, *short, "--method", "regress", "--alpha", 2, *few)
    assert trained[0] == 0 and "4,956,871" in trained[1]
    uar = json.loads((student / "model.json").read_text("utf-8"))["info"]["history"][0]["dev_uar"]
    assert f"epoch 1 of 1 kept, dev UAR {100 * uar:.1f} %" in trained[1]
    settings = settings_of(student)
    wanted = {
        "method": "regress",
        "alpha": 2,
        "epochs": 1,
        "epoch_steps": 1,
        "label_fraction": 0.5,
        "augment": "none",
    }
    assert settings == TrainingSettings(**wanted).model_dump()
    thin = ("--backbone", "mobilenet15", "--width", 0.25)
    trained = call("train", graph, "--out", tmp_path / "thin", *thin, *short)
    assert trained[0] == 0 and "45,735" in trained[1]
    # From there on, with neighbours: the paper's training, with the normalisation of the initial student.
    more = (*thin, *short, "--init", tmp_path / "thin", "--protocol", "paper", "--n-neighbors", 2)
    assert call("train", graph, "--out", tmp_path / "more", *more)[0] == 0
    paper = {"protocol": "paper", "n_neighbors": 2, "epochs": 1, "backbone": "mobilenet15", "width": 0.25}
    paper["normalise"] = "utterance"
    assert settings_of(tmp_path / "more") == TrainingSettings(**paper).model_dump()
    assert settings_of(tmp_path / "more")["schedule"] == "paper"
    shutil.rmtree(tmp_path / "thin")
    shutil.rmtree(tmp_path / "more")
    code, out, _ = call("evaluate", student, graph, "--json", "--predictions", table)
    assert code == 0 and 0 <= json.loads(out)["uar"] <= 1
    assert table.read_text().startswith("file,emotion,speaker,predicted,p_anger")
    page = tmp_path / "page.html"
    code, out, _ = call("inspect", graph, "--out", page, "--student", student, "--by", "outcome")
    assert code == 0 and f"{page.stat().st_size / 1e6:.1f} MB in {page}" in out
    contents = page_contents(page)
    assert contents["by"] == "outcome" and contents["audio"]["kind"] == "embed"
    (said,) = [column for column in contents["columns"] if column["name"] == "predicted"]
    said = dict(zip(contents["files"], [said["values"][code] for code in said["codes"]], strict=True))
    tested = pd.read_csv(table, index_col="file")["predicted"].to_dict()
    assert len(said) == 63 and 0 < len(tested) < 63 and tested.items() <= said.items()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph", "p.csv", "page.html", "student"]


def test_stats_as_text_and_json(call, toy_graph, tmp_path):
    graph = save_graph(toy_graph, tmp_path / "graph")
    code, out, _ = call("stats", graph, "--by", "speaker")
    assert code == 0 and "Clips of each speaker" in out and "Most suspicious clips" in out
    code, out, _ = call("stats", graph, "--by", "gender", "--json")
    report = json.loads(out)
    assert code == 0 and report["settings"]["by"] == "gender"
    assert [row["gender"] for row in report["subgraphs"]] == ["female", "male"]
    assert len(report["scores"]) == 120
    code, out, error = call("stats", graph, "--by", "accent")
    assert code == 1 and not out
    assert (
        one_line(error) == "Error: Bad column 'accent', expected one of ['emotion', 'gender', 'speaker', 'split']"
    )


def test_audit_of_a_table_and_of_a_graph(call, corpus, toy_graph, tmp_path):
    table, page = tmp_path / "clips.csv", tmp_path / "audit.html"
    clips = load_corpus("synthetic", corpus)
    clips.set_axis([str(corpus / file) for file in clips.index]).to_csv(table, index_label="file")
    code, out, error = call("audit", table, "--out", page)
    assert code == 0 and "63 clips, 9 speakers" in out and not error
    assert page.read_text().startswith("<!DOCTYPE html>") and (tmp_path / "audit.issues.csv").exists()
    assert call("audit", "synthetic", corpus, "--out", page)[1].startswith("synthetic: 63 clips")

    # A column that gives the label away: an error, which a pipeline may accept by its name.
    rows = pd.read_csv(table)
    rows.assign(take=rows["emotion"].str[:3]).to_csv(table, index=False)
    code, out, _ = call("audit", table, "--out", page)
    assert code == 1 and "ERROR  shortcut: take" in out
    code, out, _ = call("audit", table, "--out", page, "--accept", "shortcut: take", "--json")
    audited = json.loads(out)
    assert code == 0 and audited["issues"][0]["finding"] == "shortcut: take"
    assert audited["issues"][0]["file"] is None and audited["shortcuts"][0]["uar"] == 1

    graph = save_graph(toy_graph, tmp_path / "graph")
    code, out, _ = call("audit", graph, "--out", page)
    assert code == 0 and "toy: 120 clips" in out and "clips, same sound: not made: the sound files" in out
    code, out, error = call("audit", tmp_path, "--out", tmp_path / "none.html")
    assert code == 1 and not out and "neither the folder of a graph" in one_line(error)
    assert not (tmp_path / "none.html").exists()


def page_contents(page):
    start = '<script type="application/json" id="contents">'
    return json.loads(page.read_text("utf-8").partition(start)[2].partition("</script>")[0])


def test_what_is_around_a_clip_and_a_sample(call, toy_graph, tmp_path):
    graph, page = save_graph(toy_graph, tmp_path / "graph"), tmp_path / "pages" / "page.html"
    assert call("inspect", graph, "--out", page, "--ego", "s0/003.wav", "--hops", 1)[0] == 0
    around = page_contents(page)["files"]
    assert "s0/003.wav" in around and 1 < len(around) < 30
    samples = []
    for seed in (1, 1, 2):
        assert call("inspect", graph, "--out", page, "--sample", 30, "--seed", seed)[0] == 0
        samples.append(page_contents(page)["files"])
    assert samples[0] == samples[1] != samples[2] and len(samples[2]) == 30


def test_mistakes_in_inspecting_are_one_line(call, toy_graph, tmp_path):
    graph, page, empty = save_graph(toy_graph, tmp_path / "graph"), tmp_path / "page.html", tmp_path / "empty"
    empty.mkdir()
    cases = [
        ((empty,), "not a stored graph"),
        ((graph, "--ego", "s0/0000.wav"), "similar names are"),
        ((graph, "--by", "mood"), "Bad column 'mood'"),
        ((graph, "--audio", "loud"), "Bad way to get audio 'loud'"),
        ((graph, "--audio", "embed"), "root="),
        ((graph, "--ego", "s0/003.wav", "--sample", 3), "Both ego and sample"),
        ((graph, "--student", empty), "not a trained student"),
    ]
    for arguments, words in cases:
        code, _, error = call("inspect", *arguments, "--out", page)
        assert code == 1 and words in one_line(error), arguments
        assert not page.exists()


def test_finetune_and_embed(call, corpus, tmp_path):
    out = tmp_path / "tuned"
    tune = (
        "finetune",
        "synthetic",
        corpus,
        "--upstream",
        "small",
        "--out",
        out,
        "--epochs",
        1,
        "--set",
        "seconds=0.5",
    )
    code, text, _ = call(*tune)
    assert code == 0 and "test accuracy" in text
    code, text, _ = call("embed", "synthetic", corpus, "--upstream", out, "--out", tmp_path / "e.csv")
    assert code == 0 and "63 embeddings of 256 dimensions" in text
    assert len((tmp_path / "e.csv").read_text().splitlines()) == 64


def test_mistakes_are_one_line_and_not_zero(call, corpus, upstream, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    build = ("build", "synthetic", corpus, "--upstream", upstream, "--out", tmp_path / "g")
    cases = [
        (("check", "synthetic", tmp_path / "nowhere"), "nowhere"),
        (("check", "synthetic", empty), "empty"),
        (("check", "klingon", corpus), "klingon"),
        (("run", "nosuch", "--out", tmp_path / "r"), "nosuch"),
        (("run", "demo", "--out", tmp_path / "r", "--set", "graph.epsilonn=1"), "graph: Bad setting 'epsilonn'"),
        ((*build, "--epsilon", "high"), "high"),
        ((*build, "--epsilon", "0.99999999"), "leaves no edge"),
        ((*build, "--scope", "testing"), "testing"),
        (("train", empty, "--out", tmp_path / "s"), "not a stored graph"),
        (("train", empty, "--out", tmp_path / "s", "--set", "shedule=paper"), "'shedule'"),
        (("train", empty, "--out", tmp_path / "s", "--set", "unlabelled_ratio=much"), "unlabelled_ratio 'much'"),
        (("train", empty, "--out", tmp_path / "s", "--method", "regresion"), "Bad method 'regresion'"),
        (("train", empty, "--out", tmp_path / "s", "--init", empty, "--layer", "fc3"), "Bad layer 'fc3'"),
        (("train", empty, "--out", tmp_path / "s", "--init", empty), "not a trained student"),
        (("train", empty, "--out", tmp_path / "s", "--width", 9), "Bad width 9.0"),
        (("evaluate", empty, empty), "not a trained student"),
        (("run", "demo", "--out", tmp_path / "r", "--set", "students.gamma=[1]"), "students.gamma"),
        (("report", empty, "--out", tmp_path / "report"), "not a finished run"),
        (("report", tmp_path / "none", "--out", tmp_path / "report"), "not a finished run"),
        (("embed", "synthetic", corpus, "--upstream", empty, "--out", tmp_path / "e.csv"), "config.json"),
    ]
    for arguments, word in cases:
        code, _, error = call(*arguments)
        assert code == 1, arguments
        assert word in one_line(error), (arguments, error)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".g.embeddings", "empty"]


def test_embeddings_outlast_a_bad_epsilon(call, corpus, upstream, tmp_path, monkeypatch):
    build = ("build", "synthetic", corpus, "--upstream", upstream, "--out", tmp_path / "g")
    code, _, error = call(*build, "--epsilon", "0.99999999")
    assert code == 1 and "leaves no edge" in error and "embeddings are kept for the next call" in error
    proposed = re.search(r"try epsilon=(\S+) \((\d+) edges\)", one_line(error))
    assert proposed is not None
    monkeypatch.setattr(embedding_module, "_forward", lambda *_: pytest.fail("embeds again"))
    code, text, _ = call(*build, "--epsilon", proposed[1])
    assert code == 0 and re.search(rf"n_edges +{proposed[2]}\b", text)
    assert not (tmp_path / ".g.embeddings").exists()
    assert len(load_graph(tmp_path / "g").emb) == 63


def test_bad_clips_are_named_and_left_out_on_request(call, upstream, tmp_path):
    root = tmp_path / "target"
    table = make_corpus(root, "target", n_clips=63, n_speakers=9)
    soundfile.write(root / table.index[3], np.zeros(16_000), 16_000)
    (root / table.index[7]).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    build = ("build", "synthetic", root, "--upstream", upstream, "--out", tmp_path / "g", "--epsilon", "none")
    code, _, error = call(*build)
    assert code == 1 and "--skip-bad" in one_line(error) and "2 of 63" in error
    assert call(*build, "--skip-bad")[0] == 0
    assert json.loads(call("stats", tmp_path / "g", "--json")[1])["statistics"]["n_clips"] == 61


def test_help_is_fast_and_complete():
    """--help must not import torch: it is asked for often."""
    code = (
        "import sys; sys.argv = ['ser-graph', '--help']\n"
        "from ser_graph.cli import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'pandas' not in sys.modules\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for command in (
        "demo",
        "check",
        "run",
        "finetune",
        "embed",
        "build",
        "train",
        "evaluate",
        "export",
        "predict",
        "bench",
        "stats",
        "inspect",
        "report",
    ):
        assert f" {command} " in shown


def test_a_full_disk_is_one_line(call, corpus, upstream, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", str(tmp_path / "g"))

    monkeypatch.setattr("ser_graph.graph.stage.write_graph", full)
    code, _, error = call(
        "build", "synthetic", corpus, "--upstream", upstream, "--out", tmp_path / "g", "--epsilon", "none"
    )
    assert code == 1 and "No space left on device" in one_line(error)


@pytest.mark.parametrize(
    ("command", "name", "default"),
    [
        ("build", "epsilon", 0.99),
        ("build", "n_samples", 95_744),
        ("build", "layer", "projector"),
        ("finetune", "epochs", 20),
        ("train", "epochs", 30),
        ("embed", "seconds", 8.43),
    ],
)
def test_settings_are_listed_with_default_and_meaning(call, command, name, default):
    code, text, _ = call("settings", command)
    assert code == 0
    assert re.search(rf"^{name} = {default} +\w", text, re.MULTILINE)


def test_a_setting_given_twice_is_refused(call, tmp_path):
    code, _, text = call("train", tmp_path, "--out", tmp_path / "s", "--epochs", 3, "--set", "epochs=4")
    assert code == 1 and "epochs is given twice" in text


def test_build_takes_settings_of_the_embedding_and_of_the_spectrograms(call, corpus, upstream, tmp_path):
    build = ("build", "synthetic", corpus, "--upstream", upstream, "--out", tmp_path / "g", "--epsilon", "none")
    code, _, _ = call(*build, "--set", "n_samples=8192", "--set", "seconds=0.5", "--set", "layer=1")
    assert code == 0
    meta = json.loads((tmp_path / "g" / "meta.json").read_text())
    found = (meta["features"]["n_samples"], meta["embedding"]["seconds"], meta["embedding"]["layer"])
    assert found == (
        8192,
        0.5,
        1,
    )


def test_what_is_finished_is_not_done_again_and_nothing_else_passes_for_it(
    call, corpus, upstream, tmp_path, monkeypatch
):
    """The same command says the same; another setting, or another default of one not given, is refused."""
    graph, student = tmp_path / "graph", tmp_path / "student"
    build = ("build", "synthetic", corpus, "--upstream", upstream, "--out", graph, "--epsilon", "none")
    train = ("train", graph, "--out", student, "--backbone", "mobilenet15", "--width", 0.25, "--epochs", 1)
    train = (*train, "--set", "epoch_steps=1")
    said = [call(*command)[1] for command in (build, train)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph", "student"]
    for work in ("ser_graph.graph.build_graph", "ser_graph.downstream.train"):
        monkeypatch.setattr(work, lambda *_, **__: pytest.fail("done again"))
    for command, before in zip((build, train), said, strict=True):
        assert call(*command)[:2] == (0, before)
    mark = read_json(graph / "stage.json")
    mark["asked"]["embedding"]["seconds"] = 3.0  # as made when that was the default
    write_json(graph / "stage.json", mark)
    for command, words in (
        ((*build, "--n-neighbors", 3), "(graph.n_neighbors: 6 before, 3 now); choose another folder with --out"),
        (build, "(embedding.seconds: 3.0 before, 8.43 now)"),
        ((*train, "--seed", 1), "(settings.seed: 0 before, 1 now)"),
        ((*train, "--set", "epoch_steps=2"), "(settings.epoch_steps: 1 before, 2 now)"),
    ):
        code, _, error = call(*command)
        assert code == 1 and words in one_line(error)
