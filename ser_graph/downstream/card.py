"""The model card of a student: what it is and how to load it, with the header that the Hugging Face Hub reads."""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ser_graph.audio.settings import SAMPLE_RATE
from ser_graph.corpora import ADAPTERS
from ser_graph.errors import one_line

if TYPE_CHECKING:
    from ser_graph.downstream.student import Student

CARD = "README.md"
_TAGS = ["speech-emotion-recognition", "emotion", "speech", "ser-graph", "on-device"]
_SHOWN = {"uar": "UAR (unweighted average recall)", "accuracy": "accuracy"}


def model_card(student: "Student", *, license: str | None = None, metrics: Mapping[str, Any] | None = None) -> str:
    """A model card in Markdown.

    The licence of the weights is named as the Hub does, e.g. ``"cc-by-nc-sa-4.0"``; without it, the card asks the
    reader to see the terms of the corpus. `metrics` are results on test clips, as `sg.evaluate` returns them;
    without them, the card has those on dev, if the training measured any.
    """
    measured, split = (metrics, "test") if metrics else (_dev_metrics(student), "dev")
    header = _header(student, license, measured, split)
    body = [_about(student), _loading(), _results(measured, split), _data(student, license), _limits(student)]
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in header.items()]  # JSON is YAML
    return "---\n" + "\n".join(lines) + "\n---\n\n" + "\n\n".join(filter(None, body)) + "\n"


def _header(student: "Student", license: str | None, measured: Mapping[str, Any], split: str) -> dict[str, Any]:
    adapter = ADAPTERS.get(str(student.info.get("corpus")))
    header: dict[str, Any] = {"license": license or "other"}
    if not license:
        header["license_name"] = "see-the-terms-of-the-corpus"
    if adapter and adapter.language:
        header["language"] = [adapter.language]
    header |= {
        "library_name": "ser-graph",
        "pipeline_tag": "audio-classification",
        "tags": _TAGS,
        "metrics": ["accuracy", "recall"],
    }
    if measured:
        header["model-index"] = [{"name": _name(student), "results": [_index_entry(student, measured, split)]}]
    return header


def _index_entry(student: "Student", measured: Mapping[str, Any], split: str) -> dict[str, Any]:
    """The results in the form of the Hub's model index; UAR is the macro average of recall."""
    corpus = _corpus(student)
    kinds = {"uar": ("recall", _SHOWN["uar"]), "accuracy": ("accuracy", "accuracy")}
    return {
        "task": {"type": "audio-classification", "name": "Speech emotion recognition"},
        "dataset": {"type": str(student.info.get("corpus") or "own"), "name": corpus, "split": split},
        "metrics": [
            {"type": kind, "name": title, "value": float(measured[key])}
            for key, (kind, title) in kinds.items()
            if measured.get(key) is not None
        ],
    }


def _about(student: "Student") -> str:
    settings = student.info.get("settings") or {}
    method = settings.get("method", "labels alone")
    seconds = student.features.n_samples / SAMPLE_RATE
    return (
        f"# {_name(student)}\n\nA small network that recognises emotions in speech: "
        f"{', '.join(map(_plain, student.emotions))}. It is a {student.info['backbone']} with {student.n_params:,} "
        f"parameters (width {student.width:g}), trained with ser-graph and `method={json.dumps(_plain(method))}`. "
        f"Its input are log-mel spectrograms of {seconds:.1f} s of mono speech at 16 kHz; ser-graph makes them."
    )


def _loading() -> str:
    return (
        "## Use\n\n```python\nimport ser_graph as sg\nfrom huggingface_hub import snapshot_download\n\n"
        'student = sg.load_student(snapshot_download("USER/MODEL"))  # the name of this model\n'
        'print(sg.predict(student, ["my.wav"]))\n'
        'sg.export(student, "student.onnx", int8=True)  # for a device\n```'
    )


def _results(measured: Mapping[str, Any], split: str) -> str:
    rows = [
        f"| {title} | {100 * measured[key]:.1f} %{_interval(measured, key)} |"
        for key, title in _SHOWN.items()
        if measured.get(key) is not None
    ]
    if not rows:
        return ""
    notes = {
        "dev": "The epoch was chosen on these dev clips, so these numbers are too good.",
        "test": _speakers(measured),
    }
    return (
        f"## Results on {split} clips\n\n| metric | value |\n|---|---|\n" + "\n".join(rows) + f"\n\n{notes[split]}"
    )


def _interval(measured: Mapping[str, Any], key: str) -> str:
    low, high = measured.get(f"{key}_low"), measured.get(f"{key}_high")
    return "" if low is None or high is None else f" ({100 * low:.1f} to {100 * high:.1f})"


def _speakers(measured: Mapping[str, Any]) -> str:
    clips, speakers = measured.get("n_test"), measured.get("n_test_speakers")
    return "" if clips is None else f"{clips:,} clips of {speakers} speakers; the intervals are over speakers."


def _data(student: "Student", license: str | None) -> str:
    adapter = ADAPTERS.get(str(student.info.get("corpus")))
    terms = f" ({adapter.terms}; {adapter.source})" if adapter else ""
    weights = (
        f"The licence of the weights is {license}."
        if license
        else ("The weights have no licence of their own: the terms of the corpus decide what you may do with them.")
    )
    return f"## Data and licence\n\nTrained on {_corpus(student)}{terms}. {weights}"


def _limits(student: "Student") -> str:
    teacher = (
        " It needs the embeddings of its teacher for every clip, so that it cannot run on a device."
        if student.needs_teacher
        else ""
    )
    return (
        "## Limits\n\nA label is the opinion of a listener or a stage direction, not a feeling. Do not use this "
        f"model to judge people. Test it on your own speakers and language first.{teacher}"
    )


def _name(student: "Student") -> str:
    return f"{student.info['backbone']} for emotions in {_corpus(student)}"


def _corpus(student: "Student") -> str:
    corpus = student.info.get("corpus")
    adapter = ADAPTERS.get(str(corpus))
    return adapter.title if adapter else _plain(corpus or "own clips")


def _plain(text: object) -> str:
    """Text of a user without the signs of Markdown and HTML."""
    return re.sub(r"[`|<>\[\]#*]", " ", one_line(text))


def _dev_metrics(student: "Student") -> dict[str, float]:
    """Accuracy and UAR on dev at the epoch that was kept."""
    kept = student.info.get("epoch")
    row: dict[str, float] = next((row for row in student.info.get("history", []) if row.get("epoch") == kept), {})
    return {key: row[f"dev_{key}"] for key in _SHOWN if row.get(f"dev_{key}") is not None}
