"""One model, one sound: however it is given, the answer is the same, and it is that of the main package."""

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

import ser_graph as sg
from ser_graph.edge.nearest import write_nearest
from ser_graph_runtime import Answer, InputError, Recogniser
from ser_graph_runtime.nearest import Nearest

N, RATE = 2048, 16_000  # what the example hears at once


@pytest.fixture(scope="module")
def recogniser(example):
    return Recogniser(example)


def noise(n=N, seed=0):
    return np.random.default_rng(seed).uniform(-0.3, 0.3, n)


def values(answer):
    return np.array(list(answer.probabilities.values()))


def test_an_answer_is_that_of_the_main_package(recogniser, example):
    samples = noise(5 * N // 2)
    table = sg.predict(example, (samples, RATE), progress=False)
    answers = list(recogniser.stream((samples, RATE)))
    assert recogniser.emotions == ["anger", "fear"] and recogniser.seconds == N / RATE
    assert [one.emotion for one in answers] == table["predicted"].tolist()
    assert [round(one.end, 3) for one in answers] == table["end"].tolist()
    np.testing.assert_array_equal([values(one) for one in answers], table[["p_anger", "p_fear"]])
    np.testing.assert_allclose(values(recogniser(samples, RATE)), table[["p_anger", "p_fear"]].mean(), atol=1e-9)


@pytest.mark.parametrize("rate", [8_000, RATE, 44_100])
@pytest.mark.parametrize("seconds", [0.02, N / RATE, 0.5])
def test_a_sound_is_the_same_however_it_is_given(recogniser, tmp_path, rate, seconds):
    stored = np.round(noise(int(seconds * rate)) * 32_767).astype(np.int16)
    meant = recogniser(stored, rate)
    assert meant.start == 0 and meant.end == pytest.approx(seconds, abs=1e-3)
    exact = stored / 32_768
    for samples in (
        exact,
        exact.astype(np.float32),
        stored.astype(np.int32) * 2**16,
        np.stack([stored, stored]),
        np.stack([stored, stored], axis=1),
        torch.from_numpy(stored),
        exact.tolist(),
    ):
        np.testing.assert_allclose(values(recogniser(samples, rate)), values(meant), atol=1e-6)
    coarse = np.round(exact * 128 + 128).astype(np.uint8)
    np.testing.assert_allclose(values(recogniser(coarse, rate)), values(meant), atol=0.1)
    soundfile.write(tmp_path / "a.wav", stored, rate)
    windows = list(recogniser.stream(np.array_split(stored, 7), rate))
    assert windows == list(recogniser.file(tmp_path / "a.wav"))
    assert windows == list(recogniser.stream((tmp_path / "a.wav").open("rb")))
    assert windows == list(recogniser.stream(io.BytesIO(stored.tobytes()), rate))
    assert [("a.wav", one) for one in windows] == list(recogniser.files(tmp_path))
    np.testing.assert_allclose(np.mean([values(one) for one in windows], axis=0), values(meant), atol=1e-9)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (noise().astype(complex), "Bad samples of type complex128"),
        (np.array([object()] * N), "Bad samples of type object"),
        (noise().reshape(2, 16, -1), r"Bad samples of shape \(2, 16, 64\)"),
        (noise(81).reshape(9, 9), r"Bad samples of shape \(9, 9\)"),
        (noise(90).reshape(9, 10), r"Bad samples of shape \(9, 10\), .* at most 8"),
        (np.append(noise(), np.nan), "holds samples up to nan"),
        (noise() * 32_767, "expected -1 to 1; rescale it"),
        (np.zeros(0), "ended without a sample"),
    ],
)
def test_what_is_no_sound_is_one_line(recogniser, samples, words):
    with pytest.raises(InputError, match=words) as caught:
        recogniser(samples, RATE)
    assert "\n" not in str(caught.value)


def test_silence_is_never_sure(recogniser):
    assert recogniser(noise(), RATE).sure
    for silence in (np.zeros(3 * N), np.full(N, 128, np.uint8), np.ones(N, np.int16)):
        answer = recogniser(silence, RATE)
        assert answer.silent and not answer.sure and str(answer).endswith(" s: silence")
    partly = np.concatenate([np.zeros(N), noise()])  # what is heard somewhere is an answer
    assert [one.sure for one in recogniser.stream((partly, RATE))] == [False, True]
    assert recogniser(partly, RATE).sure


def test_a_threshold_decides_what_is_sure(recogniser, variant):
    answer = recogniser(noise(), RATE)
    for threshold, sure in ((answer.confidence - 0.01, True), (answer.confidence + 0.01, False)):
        found = Recogniser(variant(threshold=threshold))(noise(), RATE)
        assert (found.emotion, found.sure) == (answer.emotion, sure)
        assert found.confidence == answer.confidence == max(answer.probabilities.values())


def test_windows_and_hops(recogniser):
    samples = noise(4 * N)
    times = [(one.start, one.end) for one in recogniser.stream((samples, RATE), window=0.1, hop=0.05)]
    assert times[:3] == [(0, 0.1), (0.05, 0.15), (0.1, 0.2)] and times[-1][1] == 4 * N / RATE
    with pytest.raises(InputError, match=r"Bad window 1, expected more than 0 and at most 0\.128 seconds"):
        next(recogniser.stream((samples, RATE), window=1))


def test_nearest_clips_are_named(example, tmp_path):
    sounds = [noise(N, seed) * loud for seed, loud in enumerate((0.01, 0.1, 1))]
    model = Recogniser(example).model
    fc1 = np.concatenate([model(one[None].astype(np.float32))[1] for one in sounds])
    stored = Nearest(["a.wav", "b.wav", "c.wav"], ["fear", "fear", "anger"], fc1)
    write_nearest(stored, example, tmp_path / "student.nearest.npz")
    recogniser = Recogniser(example, nearest=tmp_path / "student.nearest.npz", n_nearest=2)
    for sound, file in zip(sounds, stored.files, strict=True):
        first, second = recogniser(sound, RATE).nearest
        assert first[0] == file and first[2] == pytest.approx(1, abs=1e-3) and second[2] <= first[2]
    whole = recogniser(np.concatenate(sounds[:2]), RATE)
    assert {one[0] for one in whole.nearest} == {"a.wav", "b.wav"} and len(whole.nearest) == 2
    assert Recogniser(example)(sounds[0], RATE).nearest == []


def test_bad_files_of_a_folder_are_named_and_the_others_go_on(recogniser, make_clips, tmp_path):
    folder = make_clips("a.wav", "deep/b.flac")
    (folder / "bad.wav").write_text("no sound")
    with pytest.warns(UserWarning, match=r"bad\.wav cannot be used \(not audio"):
        answers = list(recogniser.files(folder))
    assert [name for name, _ in answers] == ["a.wav"] * 2 + ["deep/b.flac"] * 2
    assert all(isinstance(answer, Answer) for _, answer in answers)
    with pytest.raises(InputError, match=r"bad\.wav cannot be used"):
        list(recogniser.file(folder / "bad.wav"))


def test_what_is_not_installed_is_said_where_it_is_needed(recogniser, monkeypatch, make_clips):
    folder = make_clips("a.wav")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(
        InputError, match=r"^soundfile is not installed; run pip install 'ser-graph-runtime\[files\]'$"
    ):
        list(recogniser.file(folder / "a.wav"))
    assert recogniser(noise(), RATE).sure  # arrays need nothing
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="onnxruntime is not installed; run pip install 'ser-graph-runtime'"):
        Recogniser(recogniser.model.path)


def test_nothing_heavy_is_imported(example, make_clips):
    folder = make_clips("a.wav")
    code = f"""
import sys
import numpy as np
from ser_graph_runtime import Recogniser
recogniser = Recogniser({str(example)!r})
recogniser(np.full(4000, 0.1), 8_000)
assert "soundfile" not in sys.modules
print(len(list(recogniser.files({str(folder)!r}))), "answers")
heavy = ("torch", "pandas", "scipy", "sklearn", "onnx", "pydantic", "tqdm", "ser_graph")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "2 answers\n[]\n", done.stderr
