import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from ser_graph.audio import LogMel, LogMelSettings, fit_length
from ser_graph.audio.sound_shards import find_shards, read_shard
from ser_graph.errors import InputError
from ser_graph.upstream import load_shards, process_shards, shard_costs

SHORT = LogMelSettings(n_samples=16_000)
RATE = 16_000


def process(shards, out, upstream, **changes):
    how = {"features": SHORT, "seconds": 1.0, "device": "cpu", "progress": False}
    return process_shards(shards, out, upstream, **how | changes)


def test_clips_embeddings_and_spectrograms_belong_together(shards, tmp_path, upstream, make_clips):
    assert process(shards, tmp_path / "out", upstream) == 3
    loaded = load_shards(tmp_path / "out")
    assert [len(clips) for clips, _, _ in loaded] == [4, 4, 4]
    for shard, (clips, emb, x) in zip(find_shards(shards), loaded, strict=True):
        sounds = dict(read_shard(shard))
        for row, clip in enumerate(clips.itertuples()):
            wave = sounds[clip.recording][round(clip.start * RATE) : round(clip.end * RATE)]
            torch.testing.assert_close(x[row], LogMel(SHORT)(fit_length(wave, SHORT.n_samples)).half())
            soundfile.write(tmp_path / "clip.wav", wave.numpy(), RATE, subtype="FLOAT")
            table = pd.DataFrame(index=[str(tmp_path / "clip.wav")])
            alone = upstream.embed(table, root="/", seconds=1.0, device="cpu", progress=False)
            torch.testing.assert_close(emb[row], alone[0], atol=1e-4, rtol=1e-4)
    costs = shard_costs(tmp_path / "out")
    assert costs["hours"].sum() == pytest.approx(6 * 5 / 3600)
    assert (costs[["decode", "log_mel", "embed"]] > 0).all(axis=None)


def test_a_finished_shard_is_not_read_again(shards, tmp_path, upstream):
    process(shards, tmp_path / "out", upstream)
    (tmp_path / "out/1.tar/shard.json").unlink()  # as if it were not finished: only the mark counts
    shutil.rmtree(tmp_path / "out/1.tar")
    (shards / "0.tar").write_bytes(b"x" * (shards / "0.tar").stat().st_size)  # would be refused
    assert process(shards, tmp_path / "out", upstream) == 1
    assert process(shards, tmp_path / "out", upstream) == 0
    (shards / "0.tar").write_bytes(b"another shard of this name")
    with pytest.raises(InputError, match=r"0\.tar holds .*\(bytes: \d+ before, 26 now\); choose"):
        process(shards, tmp_path / "out", upstream)


def test_parquet_shards_give_the_same_recordings(shards, tmp_path, recording, wav):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    sounds = [{"bytes": wav(recording(seed)), "path": f"{seed}.wav"} for seed in range(40)]
    parquet.write_table(arrow.table({"audio": sounds}), tmp_path / "a.parquet")
    found = dict(read_shard(tmp_path / "a.parquet"))
    assert list(found) == [f"{seed}.wav" for seed in range(40)]
    np.testing.assert_array_equal(found["7.wav"].numpy(), recording(7))
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.parquet ends in the middle or is no Parquet file"):
        list(read_shard(tmp_path / "a.parquet"))
    parquet.write_table(arrow.table({"sound": [1]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet has no column audio; found sound"):
        list(read_shard(tmp_path / "b.parquet"))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_a_shard_that_ends_in_the_middle_is_named_and_the_others_are_finished(shards, tmp_path, upstream, share):
    whole = (shards / "1.tar").read_bytes()
    (shards / "1.tar").write_bytes(whole[: int(share * len(whole.rstrip(bytes(1))))])
    with pytest.raises(InputError, match=r"1\.tar ends in the middle") as caught:
        process(shards, tmp_path / "out", upstream)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tar")) == ["0.tar", "2.tar"]
    (shards / "1.tar").write_bytes(whole)
    assert process(shards, tmp_path / "out", upstream) == 1


def test_bad_input_is_one_line(tmp_path, upstream, wav, write_tar):
    with pytest.raises(
        InputError, match=r"^No shards in .*expected a folder with files that end in \.tar or \.parq"
    ):
        process(tmp_path, tmp_path / "out", upstream)
    write_tar(tmp_path / "text.tar", {"a.txt": b"no sound"})
    with pytest.raises(InputError, match=r"text\.tar has no recording"):
        process(tmp_path, tmp_path / "out", upstream)
    write_tar(tmp_path / "text.tar", {"a.wav": b"no sound"})
    with pytest.raises(InputError, match=r"text\.tar, recording a\.wav cannot be used \("):
        process(tmp_path, tmp_path / "out", upstream)
    write_tar(tmp_path / "text.tar", {"a.wav": wav(np.zeros(RATE, "float32"))})
    with pytest.raises(InputError, match=r"text\.tar has no speech"):
        process(tmp_path, tmp_path / "out", upstream)
    with pytest.raises(InputError, match=r"^No finished shard in "):
        load_shards(tmp_path / "out")


def test_two_runs_with_different_settings_do_not_mix(shards, tmp_path, upstream):
    process(shards, tmp_path / "out", upstream)
    with pytest.raises(
        InputError,
        match=r"0\.tar holds the result of other settings .*\(embedding\.layer: .*; choose another folder",
    ):
        process(shards, tmp_path / "out", upstream, layer=1)
    assert process(shards, tmp_path / "out", upstream, batch_size=2) == 0  # it does not change the result


WORKER = """
import sys, torch
from ser_graph.audio import LogMelSettings
from ser_graph.upstream import Upstream, process_shards
torch.set_num_threads(1)
how = {"features": LogMelSettings(n_samples=16_000), "seconds": 1.0, "device": "cpu", "progress": False}
print("begins", flush=True)
print(process_shards(sys.argv[1], sys.argv[2], Upstream.small(), **how))
"""


def worker(shards, out):
    return subprocess.Popen([sys.executable, "-c", WORKER, shards, out], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_more_processes_than_shards_do_each_shard_once(shards, tmp_path):
    workers = [worker(shards, tmp_path / "out") for _ in range(4)]
    done = [int(one.communicate()[0].split()[-1]) for one in workers]
    assert sum(done) == 3
    assert len(load_shards(tmp_path / "out")) == 3


@pytest.mark.slow
def test_a_killed_process_loses_only_its_shard(shards, tmp_path, upstream):
    for number in range(3, 40):
        shutil.copy(shards / f"{number % 3}.tar", shards / f"{number:02}.tar")
    killed = worker(shards, tmp_path / "out")
    while not list((tmp_path / "out").glob("*.tar/shard.json")):
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    finished = len(load_shards(tmp_path / "out"))
    assert finished < 40
    assert process(shards, tmp_path / "out", upstream) == 40 - finished
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.endswith(".part")]
