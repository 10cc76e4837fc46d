"""Folders of students with a damaged `model.json` or damaged weights."""

import json
import random
import resource
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from ser_graph.downstream import load_student

MOST = 2**24  # bytes; model.json has 2,000 and the weights 42,000
MOST_RSS = 2**18  # kilobytes that all trials together may add: torch's memory is not counted as Python's


@pytest.fixture
def folder(formats, tmp_path):
    load_student(formats / "student")  # imports do not count
    return shutil.copytree(formats / "student", tmp_path / "student")


def logits(student):
    features = student.features
    with torch.inference_mode():
        return student(torch.zeros(1, features.n_frames, features.n_mels)).logits


def test_model_json(folder, trials, mutated_json):
    rng, path = random.Random(0), folder / "model.json"
    stored = json.loads(path.read_text("utf-8"))
    expected = logits(load_student(folder))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in trials.numbers(400):
        path.write_bytes(content := mutated_json(rng, stored))
        student = trials(
            f"{number} {content[:80]!r}", lambda: load_student(folder), most_bytes=MOST, naming=str(folder)
        )
        if student is not None:
            trials.expect(number, all(isinstance(one, str) for one in student.emotions))
            trials.expect(number, len(set(student.emotions)) == len(student.emotions) == 2)
            if student.features.n_samples == 2048 == stored["features"]["n_samples"] and student.transfer == "none":
                found = logits(student)
                same = student.standardise.normalise == stored["normalise"] and found.shape == expected.shape
                trials.expect(number, not same or student.features.hop_length != 256 or found.isfinite().all())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_RSS


def test_weights(folder, trials, damaged):
    rng, path = random.Random(1), folder / "model.safetensors"
    whole, tensors = path.read_bytes(), load_file(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in trials.numbers(200):
        if number % 2:
            head = 8 + int.from_bytes(whole[:8], "little")
            path.write_bytes(
                damaged(rng, whole[:head]) + whole[head:] if rng.random() < 0.7 else damaged(rng, whole)
            )
        else:
            save_file(changed(rng, tensors), path)
        student = trials(number, lambda: load_student(folder), most_bytes=MOST, naming=str(folder))
        if student is not None:
            trials.expect(number, all(one.isfinite().all() for one in student.state_dict().values()))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_RSS


def changed(rng, tensors):
    tensors = dict(tensors)
    name = rng.choice(sorted(tensors))
    value = tensors[name]
    match rng.randrange(6):
        case 0:
            del tensors[name]
        case 1:
            tensors[name] = torch.zeros(*value.shape, 2)
        case 2:
            tensors[f"{name}_"] = value.clone()
        case 3:
            tensors[name] = value.double()
        case _:
            wrong = value.double().flatten()
            wrong[rng.randrange(len(wrong))] = rng.choice([float("nan"), float("inf"), 1e300])
            tensors[name] = wrong.reshape(value.shape).float()
    return tensors
