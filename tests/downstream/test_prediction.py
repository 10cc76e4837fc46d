import numpy as np
import pandas as pd
import pytest
import torch

from ser_graph.audio.settings import LogMelSettings
from ser_graph.audio.standardise import update_voice
from ser_graph.downstream import Student, predict_clips, prediction
from ser_graph.downstream.prediction import known_voices, predict_outputs, student_embeddings
from ser_graph.errors import InputError
from ser_graph.graph import build_graph

SHORT = LogMelSettings(n_samples=8192)


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    made = Student("resnet9", ["anger", "fear", "sadness"], SHORT)
    made.standardise.mean.fill_(-5)
    return made


def test_a_row_per_clip(student, toy_graph, relabel):
    relabel(toy_graph, 1, -1)
    found = predict_clips(student, toy_graph)
    assert found.index.equals(toy_graph.table.index)
    columns = ["emotion", "speaker", "predicted", "p_anger", "p_fear", "p_sadness"]
    assert list(found.columns) == columns
    shares = found[columns[3:]]
    assert shares.dtypes.tolist() == [np.dtype("float64")] * 3
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert ("p_" + found["predicted"] == shares.idxmax(axis=1)).all()
    assert found["emotion"].isna().sum() == 1
    logits = student(toy_graph.x[:5]).logits.detach()
    np.testing.assert_allclose(shares[:5], logits.double().softmax(1), atol=1e-5)


def test_one_split(student, toy_graph):
    whole, test = predict_clips(student, toy_graph), predict_clips(student, toy_graph, "test")
    assert test.index.equals(toy_graph.table.index[toy_graph.test_mask.numpy()])
    pd.testing.assert_frame_equal(test, whole.loc[test.index], atol=1e-5)
    with pytest.raises(InputError, match="No clip to predict in the split 'val'"):
        predict_clips(student, toy_graph, "val")


def test_batch_size_and_rows(student, toy_graph):
    whole = predict_outputs(student, toy_graph.x, batch_size=120).logits
    for size in (1, 7, 64):
        torch.testing.assert_close(
            predict_outputs(student, toy_graph.x[:20], batch_size=size).logits, whole[:20], rtol=1e-4, atol=1e-5
        )
    rows = torch.tensor([7, 3, 3])
    torch.testing.assert_close(
        predict_outputs(student, toy_graph.x, rows).logits, whole[rows], rtol=1e-4, atol=1e-5
    )
    assert predict_outputs(student, toy_graph.x[:0]).logits.shape == (0, 3)


def test_clips_in_the_space_of_the_student(student, toy_graph):
    found = student_embeddings(student, toy_graph)
    with torch.no_grad():
        expected = student.eval()(toy_graph.x).fc1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="does not fit"):
        student_embeddings(Student("resnet9", ["anger", "joy"], SHORT), toy_graph)


def test_evaluation_mode(student, toy_graph):
    student.train()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    predict_outputs(student, toy_graph.x[:4])
    assert not student.training
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_from_the_files_as_from_the_graph(student, make_clips, monkeypatch):
    monkeypatch.setattr(prediction, "_PART", 2)  # the last part is one clip
    names = [f"{clip}.wav" for clip in range(5)]
    folder = make_clips(*names, seconds=0.7)
    table = pd.DataFrame(
        {
            "emotion": "fear",
            "speaker": ["a"] * 3 + ["b"] * 2,
            "gender": "male",
            "duration": 0.7,
            "split": ["train"] * 3 + ["test"] * 2,
        },
        index=pd.Index(names, name="file"),
    )
    table.attrs = {"corpus": "noise", "root": str(folder)}
    data = build_graph(table, emb=torch.eye(5) + 1, features=SHORT, epsilon=None, progress=False)
    for split in (None, "test"):
        from_files = predict_clips(student, table, split, progress=False)
        pd.testing.assert_frame_equal(from_files, predict_clips(student, data, split), atol=1e-5)
    assert predict_clips(student, table, root=folder, progress=False)["p_fear"].nunique() == 5


def test_spectrograms_of_other_settings_are_refused(toy_graph):
    other = Student("resnet9", ["anger"], LogMelSettings(n_samples=8192, floor=1e-5))
    with pytest.raises(
        InputError, match="have floor=1e-06, the student expects 1e-05; predict from the clip table"
    ):
        predict_clips(other, toy_graph)


@pytest.fixture
def listener():
    """A student that normalises by speaker."""
    torch.manual_seed(0)
    made = Student("resnet9", ["anger", "fear", "sadness"], SHORT, normalise="speaker", width=0.25)
    made.standardise.std.fill_(1.5)
    return made.eval()


def voice_of(data, clips):
    """What is known after some clips, one after the other."""
    voice = torch.zeros(3, 64)
    for clip in clips:
        voice = update_voice(data.x[clip].float(), voice)
    return voice


def heard_of(data, heard):
    """{speaker: his clips that are heard}: in one drawn order of all file names, the first of each."""
    order = np.argsort(data.table.index.to_numpy(str))[np.random.default_rng(0).permutation(120)]
    of = {code: [clip for clip in order.tolist() if int(data.speaker[clip]) == code] for code in range(8)}
    return {code: clips[:heard] for code, clips in of.items()}


@pytest.mark.parametrize("heard", [None, 0, 1, 4, 100])
def test_voices_of_so_many_clips_of_each_speaker(mixed_graph, heard):
    mixed_graph.speaker[mixed_graph.speaker == 3] = -1
    voices = known_voices(mixed_graph, "speaker", heard)
    for code, clips in heard_of(mixed_graph, heard).items():
        torch.testing.assert_close(voices.table[code], voice_of(mixed_graph, clips), rtol=1e-4, atol=1e-4)
    assert not voices.table[-1].any()
    assert torch.equal(voices.speaker, mixed_graph.speaker)


def test_who_is_heard_goes_by_name_and_not_by_order(toy_graph, mixed_graph):
    """Names tell emotions in many corpora: the first by name would be of one emotion."""
    for heard in (1, 4):
        one, other = (known_voices(data, "speaker", heard).table for data in (toy_graph, mixed_graph))
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    four = [clip for clips in heard_of(toy_graph, 4).values() for clip in clips]
    assert (np.array(four) % 15 >= 4).mean() > 0.5
    names = [toy_graph.table.index[clip] for clip in four]
    assert set(names) == {mixed_graph.table.index[c] for clips in heard_of(mixed_graph, 4).values() for c in clips}


def test_voices_are_of_use_to_students_that_normalise_by_speaker_alone(toy_graph):
    assert known_voices(toy_graph, "corpus") is None
    assert known_voices(toy_graph, "utterance") is None
    toy_graph.y[:] = -1  # no label is looked at
    assert known_voices(toy_graph, "speaker") is not None


@pytest.mark.parametrize("heard", [None, 0, 3])
@torch.inference_mode()
def test_predicting_what_speakers_say_of_whom_so_much_was_heard(listener, toy_graph, heard):
    found = predict_clips(listener, toy_graph, "test", heard=heard)
    for file in found.index[[0, 14, 15, 29]]:
        clip = toy_graph.table.index.get_loc(file)
        voice = voice_of(toy_graph, heard_of(toy_graph, heard)[int(toy_graph.speaker[clip])])
        logits = listener(toy_graph.x[clip][None], voice=voice[None]).logits
        np.testing.assert_allclose(found.loc[[file]].iloc[:, 3:], logits.double().softmax(1), atol=1e-4)


def test_how_much_was_heard_matters(listener, toy_graph):
    unknown, some, well = (predict_clips(listener, toy_graph, heard=heard) for heard in (0, 3, None))
    assert np.abs(unknown.iloc[:, 3:] - some.iloc[:, 3:]).max(axis=None) > 1e-3
    pd.testing.assert_frame_equal(predict_clips(listener, toy_graph, heard=15), well)
