"""Shards of unlabelled speech in a run and on the command line, done by one process and by several."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch

from ser_graph.audio.clips import of_shards
from ser_graph.audio.settings import LogMelSettings
from ser_graph.errors import InputError
from ser_graph.experiment import run as run_recipe
from ser_graph.experiment.recipe_files import load_recipe, make_recipe, recipe_values
from ser_graph.experiment.shards import prepare_shards, without_single_clips
from ser_graph.experiment.workers import Cluster
from ser_graph.graph import load_graph
from ser_graph.upstream import EmbeddingSettings, load_shards, shard_table

SHORT, HOW = LogMelSettings(n_samples=8192), EmbeddingSettings(seconds=1.0)


def with_shards(toy_recipe, speech, **changes):
    return toy_recipe(other=[{"corpus": "shards", "root": str(speech)}], **changes)


@pytest.mark.slow
def test_a_run_with_shards(toy_recipe, speech, finished, tmp_path):
    """Their clips are in the graph and teach; nothing tests them; the run is skipped when it is finished."""
    recipe = with_shards(toy_recipe, speech, students__method=["baseline", "regress"], copies=1)
    run = tmp_path / "run"
    results = run_recipe(recipe, run, progress=False)
    data = load_graph(run / "graph")
    inside = torch.from_numpy(of_shards(data.table))
    clips = sum(len(clips) for clips, _, _ in load_shards(run / "shards"))
    assert (inside.sum(), data.num_nodes) == (clips, 2 * 63 + clips)  # a copy of each clip with a file
    assert (data.y[inside] == -1).all() and data.train_mask[inside].all()
    for shard, (own, emb, x) in zip(("0.tar", "1.tar", "2.tar"), load_shards(run / "shards"), strict=True):
        files = data.table.index[data.table["stored_in"] == str(run / "shards" / shard)]
        at = {file.rpartition(f"/{shard}/")[2]: data.node(file) for file in files}
        rows = [at.pop(f"{clip.recording}:{clip.start:.2f}") for clip in own.itertuples()]
        assert torch.equal(data.emb[rows], emb) and torch.equal(data.x[rows], x) and not at
    assert results["graph"]["n_clips"] == 63 + clips
    assert results["n_test"] == finished[1]["n_test"]
    assert run_recipe(recipe, run, progress=False)["students"] == results["students"]
    assert load_recipe(run / "recipe.toml").shards == recipe.shards


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target": {"corpus": "shards", "root": "x"}}, "shards have no labels; give them as"),
        ({"other": [{"corpus": "shards", "root": "x", "emotions": ["anger"]}]}, "emotions is not for shards"),
        ({"other": [{"corpus": "shards"}]}, "shards need a root"),
    ],
)
def test_shards_in_the_wrong_place_are_refused(toy_recipe, values, message):
    with pytest.raises(InputError, match=message):
        make_recipe({**recipe_values(toy_recipe()), **values})


def test_recordings_with_one_clip_have_no_mean(caplog):
    table = pd.DataFrame({"speaker": ["a", "b", "a"]})
    table.attrs["root"] = "here"
    kept = without_single_clips(table)
    assert kept["speaker"].tolist() == ["a", "a"] and kept.attrs["root"] == "here"
    assert "Leaving out 1 recordings of shards" in caplog.text


def prepare(speech, out, **how):
    return prepare_shards(speech, out, ("small", 0), HOW, SHORT, device="cpu", progress=False, **how)


def same_arrays(one, other):
    for (clips, emb, x), (clips_too, emb_too, x_too) in zip(load_shards(one), load_shards(other), strict=True):
        pd.testing.assert_frame_equal(clips, clips_too)
        assert torch.equal(emb, emb_too) and torch.equal(x, x_too)


@pytest.mark.slow
def test_several_processes_make_the_shards_of_one(speech, tmp_path):
    """More processes than shards: of joblib, and workers of submitit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = prepare(speech, tmp_path / "one")
    torch.set_num_threads(threads)
    for name, how in (("joblib", {}), ("submitit", {"cluster": Cluster("local", {"timeout_min": 10})})):
        if name == "submitit":
            pytest.importorskip("submitit")
        found = prepare(speech, tmp_path / name, jobs=4, **how)
        assert found.index.tolist() == expected.index.tolist()
        same_arrays(tmp_path / "one", tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bad_shard_is_named_and_the_others_are_finished(speech, tmp_path, jobs):
    folder = tmp_path / "speech"
    shutil.copytree(speech, folder)
    whole = (folder / "1.tar").read_bytes()
    (folder / "1.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"1\.tar ends in the middle"):
        prepare(folder, tmp_path / "out", jobs=jobs)
    assert [path.parent.name for path in sorted((tmp_path / "out").glob("*/shard.json"))] == ["0.tar", "2.tar"]
    (folder / "1.tar").write_bytes(whole)
    assert len(prepare(folder, tmp_path / "out", jobs=jobs)) > 0


@pytest.mark.slow
def test_two_commands_share_the_shards_and_one_is_killed(speech, call, tmp_path):
    """The other command waits for the shard that was held, does it, and goes on to a graph."""
    folder = tmp_path / "speech"
    folder.mkdir()
    for number in range(24):
        shutil.copy(speech / f"{number % 3}.tar", folder / f"{number:02}.tar")
    settings = ("--set", "seconds=1.0", "--set", "n_samples=8192", "--device", "cpu")
    options = ("shards", folder, "--upstream", "small", "--out", tmp_path / "out", *settings)
    command = [sys.executable, "-m", "ser_graph", *map(str, options)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    while not list((tmp_path / "out").glob("*/shard.json")):
        time.sleep(0.01)
    os.kill(both[0].pid, signal.SIGKILL)
    both[0].communicate()
    said, error = both[1].communicate(timeout=300)
    assert both[1].returncode == 0, error
    clips = len(shard_table(tmp_path / "out"))
    assert re.search(rf"^{clips} clips of 0\.\d hours in ", said, re.MULTILINE)
    assert len(load_shards(tmp_path / "out")) == 24
    assert not list((tmp_path / "out").glob("*.part"))


@pytest.mark.slow
def test_the_command_line_builds_a_graph_with_shards(corpora, speech, call, tmp_path):
    settings = ("--set", "seconds=1.0", "--set", "n_samples=8192", "--device", "cpu")
    code, said, _ = call("shards", speech, "--upstream", "small", "--out", tmp_path / "out", *settings)
    assert code == 0 and "clips of 0.0 hours" in said
    graph = ("build", "synthetic", corpora / "target", "--upstream", "small", "--epsilon", "none", *settings)
    code, _, error = call(*graph, "--shards", tmp_path / "out", "--out", tmp_path / "graph")
    assert code == 0, error
    data = load_graph(tmp_path / "graph")
    assert data.num_nodes == 63 + len(shard_table(tmp_path / "out"))
    code, _, error = call(*graph, "--layer", "0", "--shards", tmp_path / "out", "--out", tmp_path / "g")
    assert code == 1 and "(embedding.layer: " in error and "choose another folder" in error
    code, _, error = call("shards", tmp_path / "none", "--upstream", "small", "--out", tmp_path / "o")
    assert code == 1 and error.startswith("Error: No shards in ")
    code, _, error = call("shards", speech, "--upstream", "small", "--out", tmp_path / "o", "--layer", "99")
    assert code == 1 and "Bad layer 99" in error
