"""The script for SLURM, where `srun` and `scontrol` are replaced by what they do on a cluster of two machines."""

import contextlib
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "examples" / "slurm" / "recipe.sh"
# What srun does on each machine, here twice on this one: it drops its options and starts the rest. At the end, a
# torchrun waits for the others; once, one of them waited its whole five minutes although all processes had ended.
# A torchrun that has no process left is ended; one whose process hangs is not.
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
"$@" & one=$!
"$@" & two=$!
wait -n $one $two || exit 1
end_if_idle() { [[ -n $(cat /proc/$1/task/$1/children) ]] || kill $1; }
(sleep 30; end_if_idle $one; end_if_idle $two) > /dev/null 2>&1 & later=$!
wait $one; first=$?
wait $two; second=$?
kill $later
[[ $first =~ ^(0|143)$ && $second =~ ^(0|143)$ ]]
"""


def test_the_script_is_bash() -> None:
    assert subprocess.run(["bash", "-n", str(SCRIPT)], check=False).returncode == 0
    said = subprocess.run(["bash", str(SCRIPT), "a.toml"], capture_output=True, text=True, check=False)
    assert said.returncode != 0 and "give a run folder" in said.stderr


def free_port() -> int:
    """A free port below those that the system gives to connections: nobody takes it before torchrun does."""
    for port in random.sample(range(20_000, 30_000), 100):
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("localhost", port))
            return port
    raise AssertionError("no free port")


@pytest.mark.slow
def test_two_machines_run_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "scontrol").write_text("#!/bin/bash\necho localhost\necho other\n")
    (tmp_path / "python").write_text(f'#!/bin/bash\nexec {sys.executable} "$@"\n')
    for name in ("srun", "scontrol", "python"):
        (tmp_path / name).chmod(0o755)
    port = free_port()
    cluster = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NNODES": "2", "SLURM_JOB_ID": "7", "PORT": str(port)}
    quick = ["training.epochs=1", "training.epoch_steps=1", "method=['baseline']", "seed=[0]"]
    sizes = ["target.make={preset='target', n_clips=63, n_speakers=9}", "source.make={n_clips=24, n_speakers=3}"]
    changes = [*(f"students.{one}" for one in quick), *sizes, "upstream.epochs=1", "upstream.model=small"]
    command = ["bash", str(SCRIPT), "demo", str(tmp_path / "run")]
    done = subprocess.run(
        [*command, *(part for change in changes for part in ("--set", change))],
        env={**os.environ, **cluster, "PATH": f"{tmp_path}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Run folder") == 1
    assert (tmp_path / "run" / "results.json").exists()
