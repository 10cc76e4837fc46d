"""The Python and the commands of the pages run one after the other, on corpora and a model that are made here.

The made-up clips have the names of EMOVO and RAVDESS; the teacher is a folder with the name of a model of the hub.
Trainings are shortened. Other tests run the other pages: see tests/test_bridges.py, tests/test_examples.py,
tests/test_notebooks.py and tests/edge.
"""

import itertools
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser_graph.upstream import Upstream

ROOT = Path(__file__).parents[1]
RATE = 16_000
ITALIAN = ("dis", "gio", "neu", "pau", "rab", "sor", "tri")
SHORT = {"train": ["--epochs", "1", "--set", "epoch_steps=1"], "finetune": ["--epochs", "1"]}

pytestmark = pytest.mark.slow


def write_clip(path: Path, seed: int, emotion: int) -> None:
    """A third of a second of noise and of a tone that tells the emotion."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.05, RATE // 3)
    soundfile.write(path, noise + 0.2 * np.sin(np.arange(RATE // 3) * (0.1 + 0.05 * emotion)), RATE)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the corpora and the model that the pages name."""
    numbers = itertools.count()
    for speaker, (emotion, name) in itertools.product(("f1", "f2", "f3", "m1", "m2", "m3"), enumerate(ITALIAN)):
        for sentence in ("b1", "n2"):
            path = tmp_path / "data/emovo/raw" / speaker / f"{name}-{speaker}-{sentence}.wav"
            write_clip(path, next(numbers), emotion)
    for actor, emotion in itertools.product(range(1, 25), (3, 4, 5)):
        path = (
            tmp_path / "data/ravdess/raw" / f"Actor_{actor:02d}" / f"03-01-{emotion:02d}-01-01-01-{actor:02d}.wav"
        )
        write_clip(path, next(numbers), emotion)
    rows = []
    for speaker, emotion, take in itertools.product(range(8), (3, 4, 5), range(2)):
        file = f"clips/{speaker}{emotion}{take}.wav"
        write_clip(tmp_path / "data/mine" / file, next(numbers), emotion)
        rows.append(
            {"file": file, "emotion": {3: "happy", 4: "sad", 5: "angry"}[emotion], "speaker": f"s{speaker}"}
        )
    pd.DataFrame(rows).to_csv(tmp_path / "data/mine/labels.csv", index=False)
    upstream = Upstream.small()
    for part in (upstream.model, upstream.extractor):
        part.save_pretrained(tmp_path / "facebook" / "wav2vec2-base")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def shortened(snippet: str) -> str:
    """The same calls with fewer clips, smaller networks, and one epoch of few steps."""
    snippet = re.sub(r"(make_corpus\([^)]*)\)", r"\1, n_clips=84, n_speakers=6)", snippet)
    snippet = snippet.replace('backbone="cnn6"', 'backbone="cnn6", width=0.25')
    snippet = re.sub(r"epochs=\d+", "epochs=1", snippet)
    snippet = re.sub(r"finetune\((\w+)\)", r"finetune(\1, epochs=1)", snippet)
    once = "epoch_steps=1" if "epochs=" in snippet.partition("sg.train(")[2] else "epochs=1, epoch_steps=1"
    return snippet.replace("sg.train(data,", f"sg.train(data, {once},")


@pytest.mark.parametrize(
    ("page", "number", "shown"),
    [
        ("README.md", 0, "nsl {"),
        ("README.md", 1, "'uar'"),
        ("docs/few_labels.md", 0, "distil+regress {"),
        ("docs/audit.md", 0, ""),
    ],
)
@pytest.mark.filterwarnings("ignore")  # what made-up clips deserve
def test_the_python_of_a_page_runs(page, number, shown, place, capsys):
    names: dict[str, object] = {}
    exec(shortened(blocks(page, "python")[number]), names)
    assert shown in capsys.readouterr().out
    if "student" in names:
        assert names["student"].info["history"][-1]["epoch"] == 1
    if "audit" in names:
        assert (place / "audit.html").stat().st_size > 1000 and len(names["audit"].shortcuts)


@pytest.mark.filterwarnings("ignore")
def test_the_commands_of_the_readme_and_of_the_audit_run(place, call):
    lines = [
        line for block in blocks("README.md", "sh") + blocks("docs/audit.md", "sh") for line in block.splitlines()
    ]
    lines = [
        line for line in lines if line.startswith("ser-graph ") and "microphone" not in line and line[-1] != "\\"
    ]
    wanted = {"check", "finetune", "build", "stats", "inspect", "audit", "train", "evaluate", "models"}
    lines = [line for line in lines if line.split()[1] in wanted]
    later = [line for line in lines if "--init" in line]  # it needs a graph that a later line makes
    assert {line.split()[1] for line in lines} == wanted
    for line in [*(line for line in lines if line not in later), *later]:
        _, name, *arguments = shlex.split(line)
        if "--epochs" in arguments:
            at = arguments.index("--epochs")
            del arguments[at : at + 2]
        if name == "build":  # the embeddings of noise are not as similar as those of speech
            arguments = [*arguments, "--epsilon", "none"]
        if "--backbone" in arguments:
            arguments = [*arguments, "--width", "0.25"]
        code, _, said = call(name, *arguments, *SHORT.get(name, []))
        # audit ends with 1 where it finds something, and made-up clips are suspicious
        assert code == 0 or (name == "audit" and not said.startswith("Error")), f"{line}: {said}"
    assert {path.name for path in (place / "students").iterdir()} == {"nsl", "baseline", "mine"}
