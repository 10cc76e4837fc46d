"""Students that normalise by speaker: what was heard of a voice goes along from clip to clip, nothing else does."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import soundfile
import torch

from ser_graph.audio.log_mel import LogMel
from ser_graph.corpora.table import load_table
from ser_graph.downstream import predict_clips
from ser_graph.downstream.prediction import known_voices
from ser_graph.edge.exporting import export, int8_inputs
from ser_graph.edge.nearest import clip_voices, nearest_of_graph
from ser_graph.edge.onnx_student import OnnxStudent
from ser_graph.edge.prediction import predict
from ser_graph.edge.streaming import listen
from ser_graph.edge.torch_student import TorchStudent
from ser_graph.errors import InputError
from ser_graph.graph import save_graph
from ser_graph_runtime.arrays import repeat_to
from ser_graph_runtime.sound import read_mono
from ser_graph_runtime.streaming import cut

ROOT = Path(__file__).parents[2]
N = 8192  # samples that the student hears at once
RATE = 16_000


@pytest.fixture(scope="module")
def models(hearing, hearing_exported):
    return TorchStudent(hearing), OnnxStudent(hearing_exported)


@pytest.fixture(scope="module")
def hearing_int8(hearing, _toy_graph, tmp_path_factory):
    out = tmp_path_factory.mktemp("int8") / "hearing.onnx"
    return export(hearing, out, int8=True, clips=_toy_graph, progress=False)


def waves(n_clips, n_voices=1):
    """[n_clips, n_voices, n_samples] noise, each clip of another loudness and colour."""
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(n_clips, n_voices, N)) * generator.uniform(0.01, 0.3, (n_clips, n_voices, 1))
    low = np.cumsum(noise, -1) * generator.uniform(0, 0.1, (n_clips, n_voices, 1))
    return (noise + low).astype(np.float32)


def probabilities(table):
    return table.filter(like="p_").to_numpy()


def by_hand(model, clips, voice=None):
    """Probabilities of each of some waveforms of one voice, and what is known of it at last."""
    said = []
    for clip in clips:
        (one,), _, voice = model.hear(repeat_to(clip, N)[None].astype(np.float32), voice)
        said.append(one)
    return np.stack(said), voice


@pytest.fixture
def folder(tmp_path):
    """Five recordings, of which some are shorter than what the student hears."""
    root = tmp_path / "speech"
    root.mkdir()
    for number, wave in enumerate(waves(5)[:, 0]):
        soundfile.write(root / f"{number}.wav", wave[: N - 1000 * number], RATE, subtype="FLOAT")
    return root


def sounds(folder):
    return [read_mono(path, RATE) for path in sorted(folder.glob("*.wav"))]


def test_exported_and_not_hear_the_same_step_by_step(models):
    by_torch = exported = None
    for clips in waves(5, n_voices=2):
        meant, fc1, by_torch = models[0].hear(clips, by_torch)
        said, inner, exported = models[1].hear(clips, exported)
        np.testing.assert_allclose(said, meant, rtol=0, atol=1e-5)
        np.testing.assert_allclose(inner, fc1, rtol=0, atol=1e-4 * abs(fc1).max())
        assert exported.shape == (2, 3, 64) and exported.dtype == by_torch.dtype == np.float32
        np.testing.assert_allclose(exported, by_torch, rtol=1e-4, atol=1e-4)
    assert (exported[:, 0] == 5 * 31).all()


def test_what_is_known_are_number_mean_and_variance_of_all_frames(models, hearing):
    clips = waves(4)
    x = LogMel(hearing.features)(torch.from_numpy(clips[:, 0])).flatten(0, 1).double()
    for model in models:
        _, voice = by_hand(model, clips[:, 0])
        np.testing.assert_allclose(voice[0], np.stack([np.full(64, 4 * 31), x.mean(0), x.var(0, False)]), rtol=1e-4)


def test_zeros_are_nothing_heard(models):
    (clips,) = waves(1, n_voices=3)
    for model in models:
        assert model.normalises_by_speaker
        for one, other in zip(model.hear(clips), model.hear(clips, np.zeros((3, 3, 64))), strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(model(clips)[0], model.hear(clips)[0])
        x = LogMel(models[0].student.features)(torch.from_numpy(clips)).numpy()
        np.testing.assert_allclose(model.of_spectrograms(x)[0], model(clips)[0], atol=1e-5)
        voice = model.hear(clips[::-1].copy())[2]
        np.testing.assert_allclose(model.of_spectrograms(x, voice)[0], model(clips, voice)[0], atol=1e-5)
        assert abs(model(clips, voice)[0] - model(clips)[0]).max() > 1e-3


def test_clips_of_a_batch_are_of_voices_of_their_own(models):
    first, second = waves(2, n_voices=3)
    for model in models:
        together = model.hear(second, model.hear(first)[2])
        for row in range(3):
            alone = model.hear(second[[row]], model.hear(first[[row]])[2])
            for one, other in zip(alone, together, strict=True):
                np.testing.assert_allclose(one[0], other[row], rtol=1e-4, atol=1e-5)


def test_what_comes_later_changes_nothing_before(models):
    clips = waves(4)[:, 0]
    for model in models:
        forth, after = by_hand(model, clips)
        back, after_too = by_hand(model, clips[::-1])
        np.testing.assert_array_equal(by_hand(model, clips[:2])[0], forth[:2])
        assert abs(back[::-1] - forth)[0].max() > 1e-3  # the first clip of one order knows no other, the last all
        np.testing.assert_allclose(after, after_too, rtol=1e-4, atol=1e-5)


def test_others_are_as_they_were(student, exported):
    model = onnx.load(exported)
    assert [value.name for value in model.graph.input] == ["waveform"]
    assert [value.name for value in model.graph.output] == ["probabilities", "fc1"]
    for one in (OnnxStudent(exported), TorchStudent(student)):
        (clips,) = waves(1, n_voices=2)
        *said, after = one.hear(clips, np.ones((2, 3, 64), np.float32))
        assert not one.normalises_by_speaker and after is None
        np.testing.assert_array_equal(said[0], one(clips)[0])


def test_the_file_has_the_voice_in_and_out(hearing_exported, hearing_int8):
    for path in (hearing_exported, hearing_int8):
        model = onnx.load(path)
        onnx.checker.check_model(model)
        shapes = {
            value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
            for value in [*model.graph.input, *model.graph.output]
        }
        assert list(shapes) == ["waveform", "voice", "probabilities", "fc1", "voice_after"]
        assert shapes["voice"] == shapes["voice_after"] == ["clips", 3, 64]


def test_int8_hears_as_well_and_knows_voices_exactly(models, hearing, hearing_int8, toy_graph):
    small, clips = OnnxStudent(hearing_int8), waves(4)[:, 0]
    assert (small.precision, small.normalise) == ("int8", "speaker")
    np.testing.assert_allclose(by_hand(small, clips)[1], by_hand(models[1], clips)[1], rtol=1e-5, atol=1e-5)
    meant, said = predict_clips(hearing, toy_graph, "test"), predict(small, toy_graph, "test", progress=False)
    assert (meant["predicted"] == meant["emotion"]).mean() > 0.8  # there is something to lose
    assert (said["predicted"] == meant["predicted"]).mean() > 0.95
    assert 1e-6 < abs(probabilities(said) - probabilities(meant)).mean() < 0.03
    types = [node.op_type for node in onnx.load(hearing_int8).graph.node]
    assert "Add" in types[: types.index("QuantizeLinear")]  # standardisation and voice stay in float32


def test_int8_is_calibrated_on_voices_where_a_graph_knows_them(hearing, toy_graph, folder):
    given = int8_inputs(hearing, toy_graph, 5, 0, False)
    assert list(given) == ["spectrogram", "voice"] and (given["voice"][:, 0] == 15 * 31).all()
    (folder / "labels.csv").write_text("file,emotion\n0.wav,\n1.wav,\n")
    given = int8_inputs(hearing, load_table(folder / "labels.csv"), 5, 0, False)
    assert given["voice"].shape == (2, 3, 64) and not given["voice"].any()


def test_a_wrong_voice_is_one_line(models):
    (clips,) = waves(1, n_voices=2)
    for model in models:
        for shape in [(3, 64), (1, 3, 64), (2, 3, 32)]:
            with pytest.raises(InputError, match=r"Bad voice of shape .*, expected \(2, 3, 64\)") as error:
                model.hear(clips, np.zeros(shape, np.float32))
            assert "\n" not in str(error.value)


def test_one_voice_is_carried_through_a_folder(models, folder):
    for model in models:
        alone = np.concatenate([by_hand(model, [sound])[0] for sound in sounds(folder)])
        np.testing.assert_allclose(probabilities(predict(model, folder, progress=False)), alone, atol=1e-6)
        carried, _ = by_hand(model, sounds(folder))
        found = predict(model, folder, one_voice=True, progress=False)
        assert list(found.index) == [f"{number}.wav" for number in range(5)]
        np.testing.assert_allclose(probabilities(found), carried, atol=1e-6)
        assert abs(carried - alone)[1:].max() > 1e-3


def test_a_list_has_the_order_that_is_given(models, folder):
    files = [folder / f"{number}.wav" for number in (3, 0, 4)]
    found = predict(models[1], files, one_voice=True, progress=False)
    assert list(found.index) == [str(file) for file in files]
    meant, _ = by_hand(models[1], [sounds(folder)[number] for number in (3, 0, 4)])
    np.testing.assert_allclose(probabilities(found), meant, atol=1e-6)
    with pytest.raises(InputError, match="No recording to predict"):
        predict(models[1], [], progress=False)


def test_what_cannot_be_read_is_not_heard(models, folder):
    meant, _ = by_hand(models[1], [sounds(folder)[number] for number in (0, 1, 3, 4)])
    samples = np.full(3 * N, 0.1, np.float32)
    samples[-1] = 1e25  # all but its end could be heard
    soundfile.write(folder / "2.wav", samples, RATE, subtype="FLOAT")
    with pytest.warns(UserWarning, match=r"2\.wav cannot be used"):
        found = predict(models[1], folder, one_voice=True, progress=False)
    np.testing.assert_allclose(probabilities(found), meant, atol=1e-6)


def test_a_recording_is_one_voice_and_no_sample_counts_twice(models, folder):
    (whole,) = waves(1)[0, :, :].repeat(3, 1) * np.linspace(0.1, 1, 3 * N, dtype=np.float32)
    soundfile.write(folder / "long.wav", whole, RATE, subtype="FLOAT")
    for model in models:
        windows = [samples for _, samples in cut([whole], N, N // 2)]
        _, first = by_hand(model, windows[:1])
        _, second = by_hand(model, windows[2:3], first)
        meant = [
            by_hand(model, [samples], known)[0][0]
            for samples, known in zip(windows, (None, None, first, first, second), strict=True)
        ]
        table = predict(model, folder / "long.wav", hop=N / 2 / RATE, progress=False)
        np.testing.assert_allclose(probabilities(table), meant, atol=1e-6)
        in_turn = predict(model, folder / "long.wav", progress=False)
        np.testing.assert_allclose(probabilities(in_turn), by_hand(model, whole.reshape(3, N))[0], atol=1e-6)


def test_a_stream_is_one_voice(models):
    clips = np.round(waves(4)[:, 0].clip(-1, 1) * 32767).astype("<i2")
    for model in models:
        heard = list(listen(model, io.BytesIO(clips.tobytes()), rate=RATE))
        meant, _ = by_hand(model, clips.astype(np.float32) / 32768)
        np.testing.assert_allclose([list(one.probabilities.values()) for one in heard], meant, atol=1e-6)


def test_clips_of_a_table_are_heard_speaker_by_speaker(models, hearing, hearing_exported, folder):
    lines = [
        "3.wav,anger,a,test",
        "1.wav,fear,b,test",
        "0.wav,fear,a,train",
        "2.wav,fear,,test",
        "4.wav,fear,a,test",
    ]
    (folder / "labels.csv").write_text("\n".join(["file,emotion,speaker,split", *lines]))
    table = load_table(folder / "labels.csv").loc[[line.partition(",")[0] for line in lines]]
    sound = sounds(folder)
    for split, of_a in ((None, (3, 0, 4)), ("test", (3, 4))):
        meant = dict(zip([f"{n}.wav" for n in of_a], by_hand(models[1], [sound[n] for n in of_a])[0], strict=True))
        meant |= {f"{number}.wav": by_hand(models[1], [sound[number]])[0][0] for number in (1, 2)}
        for model in (hearing, hearing_exported, *models):
            found = predict(model, table, split, progress=False)
            assert set(found.index) == set(meant)
            np.testing.assert_allclose(probabilities(found), [meant[file] for file in found.index], atol=1e-4)


@pytest.mark.parametrize("heard", [None, 0, 2])
def test_a_graph_is_heard_as_by_torch(models, hearing, hearing_exported, toy_graph, heard):
    meant = predict_clips(hearing, toy_graph, "test", heard=heard)
    for model in (hearing_exported, hearing, *models):
        said = predict(model, toy_graph, "test", heard=heard, progress=False)
        pd.testing.assert_frame_equal(said, meant, atol=1e-4)


def test_nearest_clips_are_embedded_as_in_training(models, hearing, toy_graph, tmp_path):
    toy_graph.table = toy_graph.table.assign(speaker=toy_graph.table["speaker"].where(np.arange(120) >= 3))
    rows = np.flatnonzero(toy_graph.train_mask)
    meant = known_voices(toy_graph, "speaker").of(torch.from_numpy(rows))
    found = clip_voices(toy_graph.x.numpy(), toy_graph.table["speaker"], rows)
    np.testing.assert_allclose(found, meant, rtol=1e-5, atol=1e-5)
    assert not found[:3].any()
    with torch.inference_mode():
        fc1 = hearing(toy_graph.x[rows[50:52]], voice=meant[50:52]).fc1.numpy()
    for model in models:
        for near, row in zip(
            nearest_of_graph(model, save_graph(toy_graph, tmp_path / "g"))(fc1), rows[50:52], strict=True
        ):
            assert near[0][0] == toy_graph.table.index[row] and near[0][2] == pytest.approx(1, abs=1e-5)


def test_by_the_command_line_and_without_torch(hearing_exported, models, folder, toy_graph, tmp_path):
    graph, out = save_graph(toy_graph, tmp_path / "graph"), tmp_path / "p.csv"
    code = f"""
import sys
class NoTorch:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("torch", "sklearn"): raise ImportError("there is no " + name)
sys.meta_path.insert(0, NoTorch())
from ser_graph.cli import main
sys.argv = ["ser-graph", "predict", "--model", {str(hearing_exported)!r}, *sys.argv[1:]]
main()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "runtime")])}
    files = [str(folder / f"{number}.wav") for number in (4, 0)]
    arguments = [*files, "--one-voice", "--graph", str(graph), "--out", str(out)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(out, index_col="file")
    meant, _ = by_hand(models[1], [sounds(folder)[number] for number in (4, 0)])
    assert list(table.index) == files and table["near_1"].notna().all()
    np.testing.assert_allclose(probabilities(table), meant, atol=1e-5)


def test_mistakes_are_one_line(call, student, hearing, hearing_exported, exported, folder, toy_graph, tmp_path):
    cases = [
        (lambda: predict(exported, folder, one_voice=True), "for students that normalise by speaker"),
        (lambda: predict(student, folder, one_voice=True), "for students that normalise by speaker"),
        (lambda: predict(hearing, toy_graph, one_voice=True), "one_voice can be given for recordings"),
        (
            lambda: predict(hearing_exported, toy_graph.table, one_voice=True),
            "one_voice can be given for recordings",
        ),
        (lambda: export(hearing, tmp_path / "a.pte", format="executorch", progress=False), "format='onnx'"),
    ]
    for make, words in cases:
        with pytest.raises(InputError, match=words) as error:
            make()
        assert "\n" not in str(error.value)
    for arguments, words in [
        ((exported, folder, "--one-voice"), "(--one-voice) is for students that normalise by speaker"),
        ((exported, "-", folder), "Give either files"),
    ]:
        code, _, said = call("predict", "--model", *arguments)
        assert code == 1 and words in said and len(said.splitlines()) == 1
    assert not (tmp_path / "a.pte").exists()
