"""Hours of audio per hour and core from shards of recordings to embeddings and log-mels.

    python benchmarks/streams.py small|FOLDER|NAME --clips FOLDER [FOLDER ...] --hours 20 [--workers 2] [--layer 3]

The recordings are made of the clips of corpora: 20 clips one after the other with half a second of silence
between them, at speeds from 0.8 to 1.2, so that a clip comes several times in different copies. They are
written as FLAC into tar files of about half an hour. Each worker is a process of one thread. The audio passes
once: decode, cut at pauses, log-mel and embedding. `busy` is the share of the time of all workers in which they
computed.
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

_RATE = 16_000
_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}
_STEPS = ("decode", "cut", "log_mel", "embed")


def recordings(folders: list[Path]) -> Iterator[np.ndarray]:
    """Recordings without end: 20 clips each, at random speeds."""
    from ser_graph.audio import load_waveform

    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    rng = np.random.default_rng(0)
    while True:
        pieces = []
        for path in rng.choice(np.array(paths, dtype=object), 20):
            speed = int(rng.integers(80, 121)) / 100
            pieces += [load_waveform(path, _RATE, speed).numpy(), np.zeros(_RATE // 2, np.float32)]
        yield np.concatenate(pieces).clip(-1, 1)


def write_shards(folder: Path, folders: list[Path], hours: float) -> None:
    """Tar files of about half an hour."""
    source, written, number = recordings(folders), 0.0, 0
    while written < hours:
        with tarfile.open(folder / f"{number:05}.tar", "w") as archive:
            inside = 0.0
            while inside < min(0.5, hours - written):
                samples = next(source)
                content = io.BytesIO()
                soundfile.write(content, samples, _RATE, format="FLAC")
                info = tarfile.TarInfo(f"{number:05}-{inside:.4f}.flac")
                info.size = content.getbuffer().nbytes
                content.seek(0)
                archive.addfile(info, content)
                inside += len(samples) / _RATE / 3600
        written, number = written + inside, number + 1


def work(model: str, shards: Path, out: Path, layer: int, precision: str) -> None:
    """One worker; prints its processor seconds."""
    import torch

    from ser_graph.upstream import Upstream, process_shards

    torch.set_num_threads(1)
    upstream = Upstream.from_pretrained(model)
    start = time.process_time()
    process_shards(
        shards, out, upstream, layer=layer, precision=precision, seconds=6.0, device="cpu", progress=False
    )
    print(json.dumps(time.process_time() - start))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--clips", type=Path, nargs="+", required=True)
    parser.add_argument("--hours", type=float, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--layer", type=int, default=3)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        folders = arguments.child / "shards", arguments.child / "out"
        work(arguments.model, *folders, arguments.layer, arguments.precision)
        return
    from ser_graph.upstream import shard_costs

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "shards").mkdir()
        write_shards(folder / "shards", arguments.clips, arguments.hours)
        start = time.perf_counter()
        command = [sys.executable, __file__, arguments.model, "--child", name, "--layer", str(arguments.layer)]
        command += ["--precision", arguments.precision, "--clips", *map(str, arguments.clips)]
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(arguments.workers)]
        busy = sum(json.loads(worker.communicate()[0].splitlines()[-1]) for worker in workers)
        took = time.perf_counter() - start
        costs = shard_costs(folder / "out")
    hours = costs["hours"].sum()
    print(f"{hours:.1f} hours, {len(costs)} shards, {costs['clips'].sum():,} clips, {arguments.workers} workers")
    share = busy / took / arguments.workers
    print(f"{took:.0f} s: {hours / took * 3600:.0f} hours of audio per hour; busy {share:.0%}")
    for step in _STEPS:
        print(f"{step}: {hours / costs[step].sum() * 3600:,.0f} hours of audio per hour and core")


if __name__ == "__main__":
    main()
