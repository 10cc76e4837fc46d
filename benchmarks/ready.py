"""Make a ready student from a run of the recipe `ready`: the file for devices, the weights for training, its card.

    python benchmarks/ready.py runs/ready --student STUDENT --name good --unseen ASED=data/ased/labels.csv

Every number of the card is measured here: with the int8 file, on the sound of clips of speakers that the student
has not heard.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import ser_graph as sg
from ser_graph.common.files import atomic_file, write_json
from ser_graph.downstream import Student, load_student, predict_clips
from ser_graph.edge.exporting import export
from ser_graph.evaluation.calibration import (
    abstention,
    choose_threshold,
    expected_calibration_error,
    fit_temperature,
    with_temperature,
)
from ser_graph.evaluation.metrics import bootstrap, uar

ROOT = Path(__file__).parents[1]
FILES = ROOT / "runtime" / "ser_graph_runtime" / "ready"
WEIGHTS = ROOT / "ser_graph" / "downstream" / "ready"
CONFUSIONS = ROOT / "docs" / "confusions"
TEXT = Path(__file__).with_name("ready_card.md").read_text("utf-8")

CORPORA = {  # language, terms, citation
    "ravdess": ("English", "CC BY-NC-SA 4.0", "Livingstone and Russo 2018"),
    "emovo": ("Italian", "non-commercial, with acknowledgment", "Costantini et al. 2014"),
    "nemo": ("Polish", "CC BY-NC-SA 4.0", "Christop 2024"),
    "emodb": ("German", "CC0", "Burkhardt et al. 2005"),
}
ABOUT = {
    "licence": "CC BY-NC-SA 4.0, not for commercial use",
    "attribution": "Trained on " + ", ".join(f"{name} ({cited})" for name, (_, _, cited) in CORPORA.items()),
}
UNSURE = 0.2  # share of dev clips that get the answer "unsure"
VOICES = (
    "It normalises by the voice, which it knows better with every clip. UAR in % by the number of clips of a",
    "speaker that it has heard before, without labels (float32):",
    "",
    "| clips heard | dev | test |",
    "|---|---|---|",
)
FEW = 5  # speakers: with fewer, an interval over speakers says nothing


def unseen_clips(given: list[str]) -> list[pd.DataFrame]:
    """The clip tables of corpora that the student has not heard at all."""
    tables = []
    for one in given:
        name, _, root = one.partition("=")
        tables.append(sg.load_corpus("table", root).assign(corpus=name))
    return tables


def heard_by(model: Path, table: pd.DataFrame, emotions: list[str]) -> pd.DataFrame:
    """The predictions of a file for clips of its emotions, each clip alone: the voice is unknown."""
    clips = table[table["emotion"].isin(emotions)]
    alone = clips.assign(speaker=pd.Series(np.nan, clips.index, dtype=object))
    return sg.predict(model, alone).assign(**clips[["speaker", "gender", "corpus"]])


def score(predictions: pd.DataFrame) -> dict[str, Any]:
    """UAR with a 95 % interval: over speakers, or over clips where speakers are few."""
    n_speakers = predictions["speaker"].nunique()
    over = "speakers" if n_speakers >= FEW else "clips"
    drawn = predictions if over == "speakers" else predictions.assign(speaker=predictions.index)
    value = uar(predictions["emotion"], predictions["predicted"])
    return {
        "clips": len(predictions),
        "speakers": int(n_speakers),
        "uar": value,
        **bootstrap(drawn)["uar"],
        "over": over,
        "chance": 1 / predictions["emotion"].nunique(),
    }


def scores(predictions: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per corpus, and one per gender in each corpus."""
    rows = []
    for corpus, part in predictions.groupby("corpus", sort=False):
        rows.append({"corpus": corpus, "gender": "all", **score(part)})
        rows += [{"corpus": corpus, "gender": gender, **score(of)} for gender, of in part.groupby("gender")]
    return rows


def certainty(predictions: pd.DataFrame, temperature: float, threshold: float) -> dict[str, Any]:
    """Calibration error before and after, and what the threshold costs and gains."""
    answered = abstention(predictions, threshold)
    return {
        "ece_before": expected_calibration_error(with_temperature(predictions, 1 / temperature)),
        "ece": expected_calibration_error(predictions),
        "accuracy": float((predictions["emotion"] == predictions["predicted"]).mean()),
        "unsure": answered["abstentions"],
        "accuracy_of_sure": answered["accuracy"],
    }


def by_voice(student: Student, data: sg.ClipGraph) -> list[dict[str, Any]]:
    """UAR of dev and test by the number of clips of a speaker that the student has heard before."""
    rows = []
    for heard in (0, 1, 3, 10, None):
        found = {split: predict_clips(student, data, split, heard=heard) for split in ("dev", "test")}
        scored = {split: uar(table["emotion"], table["predicted"]) for split, table in found.items()}
        rows.append({"heard": "all" if heard is None else heard, **scored})
    return rows


def counts(predictions: pd.DataFrame) -> pd.DataFrame:
    """How often each emotion was predicted for each speaker's clips of each emotion."""
    columns = ["corpus", "speaker", "gender", "emotion", "predicted"]
    return predictions.value_counts(columns, sort=False, dropna=False).sort_index().reset_index(name="clips")


def ship(run: Path, student: Student, name: str, unseen: list[str]) -> dict[str, Any]:
    """Write file, weights, counts and card of a ready student; returns what the card says."""
    data = sg.load_graph(run / "graph")
    dev = predict_clips(student, data, "dev", heard=0 if student.standardise.normalise == "speaker" else None)
    temperature = fit_temperature(dev)
    threshold = choose_threshold(with_temperature(dev, temperature), abstentions=UNSURE)
    about = {**ABOUT, "title": f"{name}: five emotions in speech"}
    settings = student.info["settings"]  # in the card, not in the file: it takes a hundredth of a small one
    student.info = {key: student.info[key] for key in ("backbone", "corpus", "data_hash")}
    file = export(
        student,
        FILES / f"{name}.onnx",
        int8=True,
        clips=data,
        temperature=round(temperature, 3),
        threshold=round(threshold, 3),
        about=about,
    )
    student.info["settings"] = settings
    student.save(WEIGHTS / name)
    tested = data.table[data.table["split"] == "test"]
    tested.attrs = data.table.attrs
    heard = pd.concat([heard_by(file, table, student.emotions) for table in [tested, *unseen_clips(unseen)]])
    with atomic_file(CONFUSIONS / f"ready-{name}.csv.xz") as part:
        counts(heard).to_csv(part, index=False, compression="xz")
    seen = heard["corpus"].isin(CORPORA)
    card = {
        "name": name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "bytes": file.stat().st_size,
        "n_params": student.n_params,
        "emotions": student.emotions,
        "temperature": round(temperature, 3),
        "threshold": round(threshold, 3),
        **about,
        "training": settings,
        "test_speakers": sorted(tested["speaker"].unique()),
        "clips": pd.crosstab(data.table["corpus"], data.table["split"]).to_dict("index"),
        "scores": [{"corpus": "all four", "gender": "all", **score(heard[seen])}, *scores(heard)],
        "certainty": {
            "of the four corpora": certainty(heard[seen], temperature, threshold),
            **{corpus: certainty(part, temperature, threshold) for corpus, part in heard[~seen].groupby("corpus")},
        },
    }
    if student.standardise.normalise == "speaker":
        card["voices"] = by_voice(student, data)
    write_json(FILES / f"{name}.json", card)
    with atomic_file(FILES / f"{name}.md") as part:
        part.write_text(as_text(card), "utf-8")
    return card


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def as_text(card: dict[str, Any]) -> str:
    """The model card in Markdown."""
    training = card["training"]
    rows = [
        f"| {row['corpus']} | {row['gender']} | {row['speakers']} | {row['clips']:,} | **{percent(row['uar'])}** | "
        f"{percent(row['uar_low'])} to {percent(row['uar_high'])} ({row['over']}) | {percent(row['chance'])} |"
        for row in card["scores"]
    ]
    known = [
        f"| {row['heard']} | {percent(row['dev'])} | {percent(row['test'])} |" for row in card.get("voices", ())
    ]
    sure = [
        f"| {where} | {one['ece_before']:.3f} | {one['ece']:.3f} | {percent(one['accuracy'])} | "
        f"{percent(one['unsure'])} | {percent(one['accuracy_of_sure'])} |"
        for where, one in card["certainty"].items()
    ]
    corpora = [
        f"| {corpus} | {language} | {terms} | {cited} | "
        + " | ".join(f"{int(card['clips'][corpus].get(split, 0)):,}" for split in ("train", "dev", "test"))
        + " |"
        for corpus, (language, terms, cited) in CORPORA.items()
    ]
    return TEXT.format(
        **{name: card[name] for name in ("name", "n_params", "licence", "attribution", "sha256")},
        **{name: card[name] for name in ("temperature", "threshold")},
        emotions=", ".join(card["emotions"]),
        kb=card["bytes"] / 1000,
        epochs=training["epochs"],
        width=training["width"],
        method=training["method"],
        normalise=training["normalise"],
        corpora="\n".join(corpora),
        rows="\n".join(rows),
        sure="\n".join(sure),
        voices="\n".join(["", *VOICES, *known, ""]) if known else "",
        test_speakers=", ".join(card["test_speakers"]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run of the recipe ready")
    parser.add_argument("--student", required=True, help="name of its student")
    parser.add_argument("--name", required=True, help="good or small")
    parser.add_argument("--unseen", nargs="*", default=[], metavar="NAME=TABLE", help="corpora to test on only")
    given = parser.parse_args()
    student = load_student(given.run / "students" / given.student)
    card = ship(given.run, student, given.name, given.unseen)
    print(json.dumps(card["scores"], indent=1))


if __name__ == "__main__":
    main()
