"""The Python and the commands of the pages run one after the other, on corpora and a model that are made here.

The made-up clips have the names of EMOVO and RAVDESS; the teacher is a folder with the name of a model of the hub.
Trainings are shortened. Other tests run the other pages: see tests/test_bridges.py, tests/test_examples.py,
tests/test_notebooks.py and tests/edge.
"""

import contextlib
import itertools
import re
import shlex
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import typer

from ser_graph.cli import app
from ser_graph.edge.onnxruntime_web import runtime_files
from ser_graph.errors import InputError
from ser_graph.upstream import Upstream

ROOT = Path(__file__).parents[1]
RATE = 16_000
ITALIAN = ("dis", "gio", "neu", "pau", "rab", "sor", "tri")
RUN = (
    "students.seed=[0]",
    "students.backbone=['resnet9']",
    "students.training.width=0.125",
    "students.training.epochs=1",
    "students.training.epoch_steps=1",
    "upstream.epochs=1",
    "graph.epsilon='none'",
    "features.n_samples=8000",
    "embedding.layer=1",  # the model has two
)
SHORT = {
    "train": ["--epochs", "1", "--set", "epoch_steps=1"],
    "finetune": ["--epochs", "1"],
    "run": [part for change in RUN for part in ("--set", change)],
}
PAPER = (
    "target.corpus=emovo",
    "target.split=speaker-independent",
    "target.root=data/emovo/raw",
    "students.alpha=[0.0, 0.1]",
    "students.n_neighbors=[3]",
    "students.layer=['fc2']",
    "students.transfer=[]",
)
COMMANDS = typer.main.get_command(app)
# Run by other tests: the demo by tests/experiment/test_demo.py; a microphone and LiteRT are not at hand everywhere.
ELSEWHERE = ("ser-graph demo", "--microphone", "--format litert")

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
    mine = pd.DataFrame(rows)
    mine.to_csv(tmp_path / "data/mine/labels.csv", index=False)
    tested = mine["speaker"].isin(["s6", "s7"])
    mine = mine.assign(emotion=mine["emotion"].where(tested), split=tested.map({False: "train", True: "test"}))
    mine.to_csv(tmp_path / "data/mine/tested.csv", index=False)
    upstream = Upstream.small()
    for part in (upstream.model, upstream.extractor):
        part.save_pretrained(tmp_path / "facebook" / "wav2vec2-base")
    (tmp_path / "corpora").symlink_to("data")  # ~/corpora/ravdess, as some commands say
    (tmp_path / "recordings").symlink_to("data/emovo/raw/f1")
    write_clip(tmp_path / "my.wav", next(numbers), 0)
    loud = np.random.default_rng(next(numbers)).normal(0, 0.1, 2 * RATE)
    soundfile.write(tmp_path / "recording.wav", np.concatenate([loud, np.zeros(RATE), loud]), RATE)
    (tmp_path / "speech").mkdir()
    with tarfile.open(tmp_path / "speech" / "0.tar", "w") as shard:
        shard.add(tmp_path / "recording.wav", "0.wav")
    (recipe,) = (block for block in blocks("README.md", "toml") if 'name = "mine"' in block)
    (tmp_path / "my.toml").write_text(recipe, "utf-8")
    with contextlib.suppress(InputError):  # onnxruntime-web is not at hand everywhere
        (tmp_path / "package").symlink_to(runtime_files()[0].parents[1])
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def shortened(snippet: str) -> str:
    """The same calls with fewer clips, smaller networks, and one epoch of few steps."""
    snippet = re.sub(r"(make_corpus\([^)]*)\)", r"\1, n_clips=84, n_speakers=6)", snippet)
    snippet = snippet.replace("models/ravdess", "facebook/wav2vec2-base").replace("layer=3", "layer=1")
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
        ("docs/few_labels.md", 1, "predicted"),
        ("docs/audit.md", 0, ""),
        ("docs/scale.md", 0, ""),
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


def commands(*pages: str) -> list[str]:
    """The commands `ser-graph ...` of the shell blocks, each once, in their order; those of torchrun alone."""
    given = [
        line
        for page in pages
        for block in blocks(page, "sh")
        for line in re.sub(r"\\\n\s*", "", block).splitlines()
    ]
    plain = [re.sub(r"^torchrun .* -m ser_graph ", "ser-graph ", line) for line in given]
    lines = [
        line for line in plain if line.startswith("ser-graph ") and not any(part in line for part in ELSEWHERE)
    ]
    later = [line for line in lines if "--init" in line]  # needs a graph that a later line makes
    return list(dict.fromkeys([line for line in lines if line not in later] + later))


def arguments_of(line: str) -> list[str]:
    """The command with fewer clips, smaller networks and shorter trainings."""
    _, name, *arguments = shlex.split(line)
    dropped = {"--epochs"}
    if "paper" in arguments and name == "run":
        dropped.add("--jobs")  # other tests start processes, which take longer than these students
    for option in dropped.intersection(arguments):
        at = arguments.index(option)
        del arguments[at : at + 2]
    if "--layer" in arguments:  # the model has two
        arguments += ["--layer", "1"]
    if name == "build":  # the embeddings of noise are not as similar as those of speech
        arguments += ["--epsilon", "none"]
    if "--backbone" in arguments:
        arguments += ["--width", "0.25"]
    if "paper" in arguments and name == "run":  # one setting of each loss, on a corpus of 84 clips
        arguments += [part for change in PAPER for part in ("--set", change)]
    return [name, *arguments, *SHORT.get(name, [])]


@pytest.mark.filterwarnings("ignore")
def test_the_commands_of_the_pages_run(place, call):
    lines = commands("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
    assert {line.split()[1] for line in lines} == set(COMMANDS.commands) - {"demo", "embed", "settings"}
    if not (place / "package").exists():
        lines = [line for line in lines if "--format web" not in line]
    for line in lines:
        code, _, said = call(*arguments_of(line))
        # audit ends with 1 where it finds something, and made-up clips are suspicious
        assert code == 0 or (" audit " in line and not said.startswith("Error")), f"{line}: {said}"
    assert {path.name for path in (place / "students").iterdir()} == {"nsl", "baseline", "mine", "small", "sharded"}
    made = ("heard.csv", "student.onnx", "reports/paper/report.md", "runs/best/results.json")
    for name in made:
        assert (place / name).stat().st_size > 100, name
