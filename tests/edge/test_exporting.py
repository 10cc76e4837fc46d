"""What is exported says what the student says; its files are small; mistakes leave no file."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import ser_graph
from ser_graph.audio.log_mel import LogMel
from ser_graph.audio.settings import LogMelSettings
from ser_graph.corpora.table import load_table
from ser_graph.downstream import BACKBONES, Student, predict_clips
from ser_graph.edge.exporting import export, int8_inputs
from ser_graph.edge.nearest import nearest_of_graph
from ser_graph.edge.onnx_student import OnnxStudent
from ser_graph.edge.torch_student import TorchStudent
from ser_graph.errors import InputError
from ser_graph.evaluation import uar
from ser_graph_runtime.metadata import METADATA_KEY
from ser_graph_runtime.nearest import load_nearest
from ser_graph_runtime.ready import find_model


def waveforms(student, n=4):
    """Noise, louder from clip to clip, the last one silent."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(n, student.features.n_samples, generator=generator)
    return noise * torch.linspace(0.001, 0.2, n)[:, None] * (torch.arange(n) < n - 1)[:, None]


@torch.inference_mode()
def by_torch(student, waves):
    output = student(LogMel(student.features)(waves))
    return output.logits.softmax(1).numpy(), output.fc1.numpy()


@pytest.mark.parametrize(
    "backbone", ["trained", "resnet9, utterance", "resnet9, speaker", *sorted(set(BACKBONES) - {"resnet9"})]
)
def test_whole_way_from_the_waveform_is_that_of_torch(make_student, student, exported, tmp_path, backbone):
    if backbone != "trained":
        student = make_student(*backbone.split(", "))
        exported = export(student, tmp_path / "a.onnx", progress=False)
    found = OnnxStudent(exported)
    waves = waveforms(student)
    probabilities, fc1 = by_torch(student, waves)
    assert np.ptp(probabilities, axis=0).max() > 0.01  # clips are told apart at all
    said, inner = found(waves.numpy())
    np.testing.assert_allclose(said, probabilities, rtol=0, atol=1e-4)
    np.testing.assert_allclose(inner, fc1, rtol=0, atol=1e-4 * abs(fc1).max())
    alone, _ = found(waves[:1].numpy())  # as a device asks
    np.testing.assert_allclose(alone, said[:1], rtol=0, atol=1e-5)


def test_spectrograms_are_taken_too(student, exported):
    waves = waveforms(student)
    x = LogMel(student.features)(waves).numpy()
    for one, other in zip(
        OnnxStudent(exported).of_spectrograms(x), OnnxStudent(exported)(waves.numpy()), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 * abs(other).max())


def test_metadata_say_what_it_is(student, exported):
    found = OnnxStudent(exported)
    assert found.emotions == ["anger", "fear", "sadness"]
    assert found.features == student.features.model_dump()
    assert found.info == {key: value for key, value in student.info.items() if key != "history"}
    assert found.info["settings"]["epochs"] == 3 and student.info["history"]  # its learning curve stays at home
    assert (found.normalise, found.precision, found.n_params) == ("corpus", "float32", student.n_params)
    assert list(exported.parent.iterdir()) == [exported]
    model = onnx.load(exported)
    assert {opset.domain for opset in model.opset_import} == {""}  # every runtime has these operators
    onnx.checker.check_model(model, full_check=True)


def test_files_say_nothing_of_the_machine_that_made_them(exported, exported_int8):
    """torch notes a stack trace at each node, with the folders of whoever exports."""
    here = str(Path(ser_graph.__file__).parent).encode()
    for file in (exported, exported_int8):
        content = Path(file).read_bytes()
        assert here not in content and b".py" not in content and b"stack_trace" not in content


def test_int8_recognises_as_well(student, exported_int8, toy_graph):
    found = OnnxStudent(exported_int8)
    assert found.precision == "int8"
    test = toy_graph.test_mask.numpy()
    probabilities, _ = found.of_spectrograms(toy_graph.x[test].numpy())
    wanted = predict_clips(student, toy_graph, "test")
    meant = wanted.filter(like="p_").to_numpy()
    said = [found.emotions[code] for code in probabilities.argmax(1)]
    assert uar(wanted["emotion"], wanted["predicted"]) > 0.8  # there is something to lose
    assert abs(uar(wanted["emotion"], said) - uar(wanted["emotion"], wanted["predicted"])) <= 0.005
    assert 1e-6 < abs(probabilities - meant).mean() < 0.03  # 8 bits, and of the same network


@pytest.mark.parametrize(("backbone", "most"), [("cnn6", 5.0), ("resnet9", 5.5)])
def test_int8_is_small(make_student, make_clips, tmp_path, backbone, most):
    """Calibrated on sound files, whose labels nobody asks for; the front end stays in float32."""
    folder = make_clips(*(f"clips/{number}.wav" for number in range(3)))
    (folder / "labels.csv").write_text("file,emotion\n" + "".join(f"clips/{n}.wav,\n" for n in range(3)))
    student = make_student(backbone, emotions=list("abcdefg"))
    table = load_table(folder / "labels.csv")
    small = export(student, tmp_path / "small.onnx", int8=True, clips=table, n_clips=2, progress=False)
    assert small.stat().st_size < most * 1e6
    model = onnx.load(small)
    types = [node.op_type for node in model.graph.node if node.op_type in ("STFT", "Log", "QuantizeLinear", "Conv")]
    assert types[:4] == ["STFT", "Log", "QuantizeLinear", "Conv"]
    onnx.checker.check_model(model)


def test_calibration_draws_training_clips_by_seed(make_student, toy_graph):
    student = make_student(n_samples=8192)
    all_of_them = int8_inputs(student, toy_graph, 1000, 0, False)
    assert list(all_of_them) == ["spectrogram"]
    np.testing.assert_array_equal(all_of_them["spectrogram"], toy_graph.x[toy_graph.train_mask].float())
    some = [int8_inputs(student, toy_graph, 4, seed, False)["spectrogram"] for seed in (0, 0, 1)]
    assert (
        some[0].shape == (4, 31, 64) and np.array_equal(some[0], some[1]) and not np.array_equal(some[0], some[2])
    )


def test_mistakes_leave_no_file(student, toy_graph, tmp_path, monkeypatch):
    out = tmp_path / "a.onnx"
    longer = Student("resnet9", student.emotions, LogMelSettings(n_samples=8704))
    beside_teacher = Student("resnet9", ["anger", "fear"], student.features, transfer="add")
    cases = [
        (beside_teacher, {}, "needs the teacher's embedding.*transfer='none'"),
        (student, {"int8": True}, "int8 needs clips.*--graph or --clips"),
        (longer, {"int8": True, "clips": toy_graph}, "n_samples=8192, the student expects 8704"),
        (student, {"int8": True, "clips": toy_graph.table[:0]}, "No clip to measure"),
        (student, {"int8": True, "clips": toy_graph.table, "n_clips": 0}, "Bad n_clips 0"),
        (student, {"format": "tflite"}, "Bad format 'tflite', expected one of"),
        (tmp_path, {}, "not a trained student"),
    ]
    for model, settings, words in cases:
        with pytest.raises(InputError, match=words):
            export(model, out, progress=False, **settings)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"onnx is not installed; run pip install 'ser-graph\[export\]'"):
        export(student, out, progress=False)
    assert not list(tmp_path.iterdir())


def test_files_of_others_are_refused_in_one_line(exported, tmp_path):
    def variant(name, **changes):
        model = onnx.load(exported)
        (said,) = [entry for entry in model.metadata_props if entry.key == METADATA_KEY]
        said.value = json.dumps(json.loads(said.value) | changes)
        onnx.save(model, tmp_path / name)

    whole = exported.read_bytes()
    variant("newer.onnx", version=2)
    variant("foreign.onnx", format="other")
    (tmp_path / "truncated.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "text.onnx").write_text("This is no model. " * 100)
    for name, words in {
        "newer": r"newer\.onnx was exported by another version of ser_graph \(format 2, expected 1\)",
        "foreign": "not made by 'ser-graph export'",
        "truncated": "may be truncated",
        "empty": "may be truncated",
        "text": "may be truncated",
        "none": "No file .*none.onnx",
    }.items():
        with pytest.raises(InputError, match=words) as error:
            OnnxStudent(tmp_path / f"{name}.onnx")
        assert "\n" not in str(error.value)


def test_the_file_applies_the_temperature(make_student, tmp_path):
    """As if the last layer were smaller, for every runtime that reads the file."""
    student = make_student()
    waves = waveforms(student)
    path = export(student, tmp_path / "a.onnx", temperature=2.5, threshold=0.4, progress=False)
    with torch.inference_mode():
        logits = student(LogMel(student.features)(waves)).logits
    assert abs(logits).max() > 1  # there is something to cool
    found = OnnxStudent(path)
    probabilities, _ = found(waves.numpy())
    np.testing.assert_allclose(probabilities, (logits / 2.5).softmax(1), rtol=0, atol=1e-4)
    assert (found.temperature, found.threshold, found.title) == (2.5, 0.4, "")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    plain = onnx.load(export(student, tmp_path / "b.onnx", progress=False))
    assert len(model.graph.node) == len(plain.graph.node) + 1


def test_int8_is_calibrated_too(student, toy_graph, exported_int8, tmp_path):
    path = export(student, tmp_path / "a.onnx", int8=True, clips=toy_graph, temperature=4.0, progress=False)
    x = toy_graph.x[toy_graph.test_mask].numpy()
    warm, cool = OnnxStudent(exported_int8).of_spectrograms(x)[0], OnnxStudent(path).of_spectrograms(x)[0]
    expected = warm ** (1 / 4)
    np.testing.assert_allclose(cool, expected / expected.sum(1, keepdims=True), atol=1e-4)


def test_texts_about_a_model_are_kept(student, tmp_path):
    about = {"title": "Ein Modell für Gefühle", "licence": "CC BY 4.0", "attribution": "EMOVO (Costantini et al.)"}
    found = OnnxStudent(export(student, tmp_path / "a.onnx", about=about, progress=False))
    assert {name: getattr(found, name) for name in about} == about
    for given, words in [
        ({"about": {"author": "A"}}, "Bad text about a model 'author', expected one of"),
        ({"temperature": 0.0}, "Bad temperature 0.0, expected a number from 0.01 to 100"),
        ({"temperature": float("nan")}, "Bad temperature nan"),
        ({"threshold": 1.5}, "Bad threshold 1.5, expected a probability from 0 to 1"),
        ({"format": "executorch", "nearest": object()}, "nearest is of the formats onnx and web"),
    ]:
        with pytest.raises(InputError, match=words):
            export(student, tmp_path / "b", progress=False, **given)
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_a_ready_model_is_copied_as_it_is(tmp_path):
    out = export("ready:small", tmp_path / "a.onnx", progress=False)
    assert out.read_bytes() == find_model("ready:small").read_bytes()
    with pytest.raises(InputError, match="ready:small is exported as it is, with its own temperature"):
        export("ready:small", tmp_path / "b.onnx", about={"licence": "MIT"}, progress=False)
    assert not (tmp_path / "b.onnx").exists()


def test_the_labelled_clips_are_stored_beside_the_file(student, toy_graph, tmp_path):
    path = export(student, tmp_path / "a.onnx", nearest=toy_graph, progress=False)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.nearest.npz", "a.onnx"]
    stored = load_nearest(tmp_path / "a.nearest.npz", path, k=4)
    meant = nearest_of_graph(TorchStudent(student), toy_graph, k=4, progress=False)
    assert (stored.files, stored.emotions) == (meant.files, meant.emotions) and len(stored.files) == 75
    asked = OnnxStudent(path).of_spectrograms(toy_graph.x[toy_graph.test_mask].numpy())[1]
    for found, near in zip(stored(asked), meant(asked), strict=True):
        np.testing.assert_allclose([one[2] for one in found], [one[2] for one in near], atol=1e-3)
        assert found[0][0] == near[0][0] or near[0][2] - near[1][2] < 1e-3
    none = export(student, tmp_path / "b.onnx", temperature=2.0, progress=False)
    with pytest.raises(InputError, match=r"a\.nearest\.npz belongs to another model than .*b\.onnx"):
        load_nearest(tmp_path / "a.nearest.npz", none)


def test_without_labels_there_is_no_file(student, toy_graph, tmp_path):
    toy_graph.table = toy_graph.table.assign(emotion=None)
    with pytest.raises(InputError, match="no labelled training clip"):
        export(student, tmp_path / "a.onnx", nearest=toy_graph, progress=False)
    assert not list(tmp_path.iterdir())
