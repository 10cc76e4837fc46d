"""Recordings and clips, asked of a student in torch and of the same one exported."""

import io
import os

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from ser_graph.audio.settings import LogMelSettings
from ser_graph.corpora.table import load_table
from ser_graph.downstream import Student, predict_clips
from ser_graph.edge.exporting import export
from ser_graph.edge.nearest import nearest_of_graph
from ser_graph.edge.prediction import format_predictions, predict, windows_table, write_predictions
from ser_graph.edge.torch_student import TorchStudent
from ser_graph.errors import InputError
from ser_graph.graph import save_graph
from ser_graph_runtime.answers import Answer
from ser_graph_runtime.sound import read_mono

SECONDS = 0.512  # what the student hears at once: 8,192 samples


@pytest.fixture
def folder(make_clips, tmp_path):
    """Two short recordings and, deeper, a longer one at another rate; and a file that is no sound."""
    root = make_clips("a.wav", "b.flac", folder=tmp_path / "speech")
    (root / "notes.txt").write_text("no sound, and not called sound")
    return make_clips("deep/long.wav", folder=root, rate=8_000, seconds=1.3)


def test_exported_and_not_say_the_same_by_file(student, exported, folder):
    table = predict(exported, folder, progress=False)
    by_torch = predict(student, folder, progress=False)
    assert table.index.tolist() == ["a.wav", "b.flac", "deep/long.wav", "deep/long.wav", "deep/long.wav"]
    assert table["start"].tolist() == [0, 0, 0, SECONDS, pytest.approx(1.3 - SECONDS)]
    assert table["end"].tolist() == [0.2, 0.2, SECONDS, 2 * SECONDS, 1.3]
    probabilities = table.filter(like="p_")
    assert list(probabilities) == ["p_anger", "p_fear", "p_sadness"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert table["predicted"].tolist() == [name.removeprefix("p_") for name in probabilities.idxmax(axis=1)]
    np.testing.assert_allclose(probabilities, by_torch.filter(like="p_"), atol=1e-4)
    assert table.attrs["unreadable"] == {}


def test_recordings_are_predicted_as_clips_are(student, exported, folder):
    """A short recording is a clip: what the tables of a corpus get is what a device gets."""
    (folder / "labels.csv").write_text("file,emotion\na.wav,anger\nb.flac,fear\n")
    clips = load_table(folder / "labels.csv")
    meant = predict_clips(student, clips, progress=False).filter(like="p_")
    for model in (student, exported):
        for said in (predict(model, folder, progress=False).loc[["a.wav", "b.flac"]], predict(model, clips)):
            np.testing.assert_allclose(said.filter(like="p_"), meant, atol=2e-3)  # spectrograms of 16 bits


def test_a_long_recording_in_windows(exported, folder):
    table = predict(exported, folder / "deep" / "long.wav", window=0.4, hop=0.25, progress=False)
    assert table["start"].tolist() == [0, 0.25, 0.5, 0.75, 0.9] and (table.index == "long.wav").all()
    part = folder / "part.wav"
    soundfile.write(part, read_mono(folder / "deep" / "long.wav", 16_000)[4_000:10_400], 16_000, subtype="FLOAT")
    alone = predict(exported, part, progress=False)
    np.testing.assert_allclose(alone.filter(like="p_"), table.filter(like="p_").iloc[[1]], atol=1e-5)


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_one_recording_however_it_is_given(exported, tmp_path, subtype):
    samples = np.random.default_rng(0).normal(0, 0.1, (30_000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 44_100, subtype=subtype)
    by_file = predict(exported, tmp_path / "a.wav", progress=False)
    assert len(by_file) == 2
    as_stored, rate = soundfile.read(tmp_path / "a.wav", dtype="int16" if subtype == "PCM_16" else "float32")
    for name, source in [
        ("a.wav", tmp_path),
        ("array", (as_stored, rate)),
        ("array", (as_stored.T, rate)),
        ("array", (torch.from_numpy(as_stored), rate)),
        ("stream", (tmp_path / "a.wav").open("rb")),
    ]:
        found = predict(exported, source, progress=False)
        assert (found.index == name).all()
        pd.testing.assert_frame_equal(found.reset_index(drop=True), by_file.reset_index(drop=True))
    raw = io.BytesIO((samples[:, 0] * 32_767).astype("<i2").tobytes())
    assert predict(exported, raw, rate=44_100, progress=False).index.tolist() == ["stream"] * 2


def test_what_is_for_other_sources_is_not_left_out_in_silence(exported, folder, toy_graph):
    for source, given, words in [
        (folder, {"split": "test", "heard": 1}, "split and heard can be given for a graph or a clip table only"),
        (folder, {"rate": 16_000}, "rate is for streams"),
        (toy_graph, {"hop": 1.0}, "hop can be given for recordings only"),
        (toy_graph, {"graph": toy_graph}, "graph can be given for recordings only"),
        (np.zeros(9), {}, "Bad source of type ndarray, .* needs its rate: \\(samples, rate\\), e.g. .*16000"),
        (torch.zeros(9), {}, "Bad source of type Tensor, .* needs its rate: \\(samples, rate\\)"),
        ([folder, np.zeros(9)], {}, "Bad source of type ndarray"),
        ((np.zeros(0), 16_000), {}, "ended without a sample"),
    ]:
        with pytest.raises(InputError, match=words):
            predict(exported, source, progress=False, **given)


def test_what_cannot_be_heard_in_a_folder_is_named_and_nothing_is_waited_for(exported, folder):
    """A pipe without a writer; phone formats; half a file."""
    os.mkfifo(folder / "pipe.wav")
    for name in ("talk.m4a", "talk.amr", "talk.WEBM"):
        (folder / name).write_bytes(b"\0\0\0 ftypM4A " * 9)
    (folder / "a.wav").write_bytes((folder / "a.wav").read_bytes()[:-1000])
    with pytest.warns(UserWarning):
        table = predict(exported, folder, progress=False)
    assert sorted(table.attrs["unreadable"]) == ["a.wav", "pipe.wav", "talk.WEBM", "talk.amr", "talk.m4a"]
    assert "truncated" in table.attrs["unreadable"]["a.wav"]
    assert "ffmpeg -i talk.amr talk.wav" in table.attrs["unreadable"]["talk.amr"]


def test_late_times_keep_their_milliseconds(exported, tmp_path):
    heard = Answer(12_094.464, 12_096.448, "fear", {"fear": 1.0})
    write_predictions(windows_table({"long.wav": [heard]}), tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text().splitlines()[1] == "long.wav,12094.464,12096.448,fear,True,1"


def test_a_bad_end_of_a_file_makes_it_unreadable(exported, folder):
    samples = np.zeros(20_000, np.float32)
    samples[-1] = 1e25
    soundfile.write(folder / "loud.wav", samples, 16_000, subtype="FLOAT")
    with pytest.warns(UserWarning, match=r"loud\.wav cannot be used .* holds samples up to"):
        table = predict(exported, folder, progress=False)
    assert list(table.attrs["unreadable"]) == ["loud.wav"] and "loud.wav" not in table.index


def test_bad_files_of_a_folder_are_named_and_the_others_go_on(exported, folder):
    (folder / "bad.wav").write_text("this is text")
    (folder / "empty.mp3").write_bytes(b"")
    with pytest.warns(UserWarning) as warned:
        table = predict(exported, folder, progress=False)
    said = [str(one.message) for one in warned]
    assert said[:1] + said[2:] == list(table.attrs["unreadable"].values()) and len(said) == 3
    assert "long.wav has 8,000 samples a second" in said[1]
    assert list(table.attrs["unreadable"]) == ["bad.wav", "empty.mp3"]
    assert "cannot be used (not audio" in table.attrs["unreadable"]["bad.wav"]
    assert set(table.index) == {"a.wav", "b.flac", "deep/long.wav"}
    with pytest.raises(InputError, match=r"bad\.wav cannot be used"):
        predict(exported, folder / "bad.wav")
    for name in ("a.wav", "b.flac", "deep/long.wav"):
        (folder / name).write_text("nor this")
    with pytest.warns(UserWarning), pytest.raises(InputError, match="None of the 5 sound files"):
        predict(exported, folder, progress=False)


def test_written_and_printed(exported, toy_graph, folder, tmp_path):
    table = predict(exported, folder, graph=toy_graph, n_nearest=2, progress=False)
    write_predictions(table, tmp_path / "deep" / "p.csv")
    again = pd.read_csv(tmp_path / "deep" / "p.csv", index_col="file")
    pd.testing.assert_frame_equal(again, table, check_dtype=False, rtol=1e-4)
    header, _, first, *_ = format_predictions(table).splitlines()
    assert header.split() == ["start", "end", "predicted", "anger", "fear", "sadness", "nearest"]
    near = table.iloc[0]
    assert first.startswith("a.wav") and f"{near['near_1']} ({near['near_1_emotion']}, similarity 0." in first
    assert "itself" not in first
    assert "near" not in format_predictions(predict(exported, folder, progress=False))


def test_what_is_unsure_is_said(student, exported, folder, tmp_path):
    """Below the threshold of the file, and where there is only silence."""
    table = predict(exported, folder, progress=False)
    assert table["sure"].all() and "unsure" not in format_predictions(table)
    strict = export(student, tmp_path / "strict.onnx", threshold=1.0, progress=False)
    unsure = predict(strict, folder, progress=False)
    pd.testing.assert_frame_equal(unsure.drop(columns="sure"), table.drop(columns="sure"))
    assert not unsure["sure"].any()
    first = unsure["predicted"].iloc[0]
    header, *rows = format_predictions(unsure).splitlines()
    assert "sure" not in header and all("unsure (" in row for row in rows[1:]) and f"unsure ({first})" in rows[1]
    silence = np.zeros(int(SECONDS * 16_000))
    for model in (student, exported):
        with pytest.warns(UserWarning, match="array is silence; was the microphone switched on"):
            assert predict(model, (silence, 16_000), progress=False)["sure"].tolist() == [False]


def test_a_rate_below_the_models_is_said(exported, make_clips, recwarn):
    predict(exported, make_clips("fast.wav", rate=44_100) / "fast.wav", progress=False)
    assert not recwarn
    with pytest.warns(UserWarning, match=r"slow.wav has 8,000 samples a second. The model has learnt from 16,000"):
        predict(exported, make_clips("slow.wav", rate=8_000) / "slow.wav", progress=False)


def test_a_graph_is_predicted_by_an_exported_model(student, exported, toy_graph):
    meant = predict(student, toy_graph, "test")
    said = predict(exported, toy_graph, "test", progress=False)
    pd.testing.assert_frame_equal(said, meant, atol=1e-4)
    with pytest.raises(InputError, match="No clip to predict in the split 'holdout'"):
        predict(exported, toy_graph, "holdout")


def test_the_nearest_clips_are_those_of_brute_force(student, exported, toy_graph, tmp_path):
    toy_graph.table = toy_graph.table.assign(emotion=toy_graph.table["emotion"].where(np.arange(120) >= 40))
    stored = save_graph(toy_graph, tmp_path / "graph")
    table = toy_graph.table
    known = np.flatnonzero(table["emotion"].notna() & (table["split"] == "train"))
    _, fc1 = TorchStudent(student).of_spectrograms(toy_graph.x.numpy())
    asked = fc1[100:103]
    cosine = asked @ fc1[known].T / np.linalg.norm(asked, axis=1)[:, None] / np.linalg.norm(fc1[known], axis=1)
    for graph in (toy_graph, stored, str(stored)):
        found = nearest_of_graph(TorchStudent(student), graph, k=4, progress=False)(asked)
        for near, row in zip(found, cosine, strict=True):
            best = known[np.argsort(-row)[:4]]
            assert [file for file, _, _ in near] == table.index[best].tolist()
            assert [emotion for _, emotion, _ in near] == table["emotion"].iloc[best].tolist()
            np.testing.assert_allclose([similarity for *_, similarity in near], np.sort(row)[::-1][:4], atol=1e-5)


def test_a_recording_that_is_itself_a_clip_of_the_graph(exported, toy_graph, make_clips, tmp_path):
    """The table says so and names the others: to be similar to oneself says nothing."""
    toy_graph.meta = toy_graph.meta.replace(root=str(tmp_path / "corpus"))
    toy_graph.table.attrs["root"] = str(tmp_path / "corpus")
    train, test = toy_graph.table.index[[3, 100]]
    make_clips(train, test, folder=tmp_path / "corpus")
    stored = save_graph(toy_graph, tmp_path / "graph")
    for graph in (toy_graph, stored):
        table = predict(exported, tmp_path / "corpus", graph=graph, n_nearest=75, progress=False)
        assert table["itself"].to_dict() == {train: True, test: False}
        near = table.filter(regex=r"near_\d+$")
        assert train not in set(near.loc[train]) and train in set(near.loc[test])
        assert near.loc[train].notna().sum() == 74 and near.loc[test].notna().sum() == 75
        first, second = format_predictions(table).splitlines()[2:]
        assert "itself a training clip; others: s" in first and "itself" not in second
    one = predict(exported, tmp_path / "corpus" / train, graph=stored, n_nearest=1, progress=False)
    assert one["itself"].tolist() == [True] and one["near_1"].iloc[0] != train


def test_graphs_that_do_not_belong_to_the_model(student, toy_graph, folder, tmp_path):
    longer = Student("resnet9", student.emotions, LogMelSettings(n_samples=8704))
    other = Student("resnet9", ["anger", "fear", "joy"], student.features)
    emotion = toy_graph.table["emotion"].where(toy_graph.table["split"] != "train")
    toy_graph.table = toy_graph.table.assign(emotion=emotion)
    for model, graph, words in [
        (longer, toy_graph, "n_samples=8192, the student expects 8704"),
        (other, toy_graph, "does not fit the model: its emotions are anger, fear, sadness, but the model .* joy"),
        (student, toy_graph, "no labelled training clip"),
        (student, tmp_path / "nowhere", "nowhere is not a stored graph"),
    ]:
        with pytest.raises(InputError, match=words):
            predict(model, folder, graph=graph, progress=False)


def test_what_is_no_model_or_no_recording(exported, folder, tmp_path, toy_graph):
    beside_teacher = Student("resnet9", ["anger", "fear"], transfer="add")
    empty = tmp_path / "empty"
    empty.mkdir()
    for model, source, words in [
        (folder / "a.wav", folder, "a.wav is no model; expected the folder of a student or an exported .onnx file"),
        (empty, folder, "not a trained student"),
        (tmp_path / "no.onnx", folder, "No file .*no.onnx"),
        (beside_teacher, folder, "needs the teacher at inference"),
        (exported, empty, "No sound file in .*empty; expected files that end in"),
        (exported, tmp_path / "gone", "No file or folder .*gone"),
    ]:
        with pytest.raises(InputError, match=words):
            predict(model, source, progress=False)
