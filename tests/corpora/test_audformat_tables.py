"""Databases of audformat as clip tables, results as databases, and a corpus in a repository of audb."""

import pandas as pd
import pytest

from ser_graph.corpora import from_audb, from_audformat, to_audformat
from ser_graph.errors import InputError

audformat = pytest.importorskip("audformat")
FILES = [f"wav/{number}.wav" for number in range(4)]


@pytest.fixture
def database(make_clips, tmp_path):
    """Two tables of labels with splits, speakers with genders, and a second opinion in a third table."""
    make_clips(*FILES, folder=tmp_path / "db")
    made = audformat.Database("mine", usage="research")
    made.schemes["emotion"] = audformat.Scheme(labels=["angry", "happy", "sad"])
    made.schemes["speaker"] = audformat.Scheme(labels={"a": {"gender": "female"}, "b": {"gender": "male"}})
    made["files"] = audformat.Table(audformat.filewise_index(FILES))
    made["files"]["speaker"] = audformat.Column(scheme_id="speaker")
    made["files"]["speaker"].set(["a", "a", "b", "b"])
    for split, files, emotions in (("train", FILES[:2], ["angry", "happy"]), ("test", FILES[2:], ["sad", None])):
        made.splits[split] = audformat.Split(type=split)
        made[f"emotion.{split}"] = audformat.Table(audformat.filewise_index(files), split_id=split)
        made[f"emotion.{split}"]["emotion"] = audformat.Column(scheme_id="emotion")
        made[f"emotion.{split}"]["emotion"].set(emotions)
    made["opinion"] = audformat.Table(audformat.filewise_index(FILES))
    made["opinion"]["mood"] = audformat.Column(scheme_id="emotion")
    made["opinion"]["mood"].set(["happy"] * 4)
    made.save(str(tmp_path / "db"))
    return made


def test_tables_by_name_give_labels_speakers_genders_and_splits(database):
    table = from_audformat(database, ["emotion.train", "emotion.test"])
    assert table["emotion"].fillna("").tolist() == ["anger", "happiness", "sadness", ""]
    assert table["speaker"].tolist() == ["a", "a", "b", "b"]
    assert table["gender"].tolist() == ["female", "female", "male", "male"]
    assert table["split"].tolist() == ["train", "train", "test", "test"]
    assert table["duration"].tolist() == pytest.approx([0.2] * 4)
    assert list(from_audformat(database, "emotion.train").index) == FILES[:2]


def test_another_scheme_or_column(database):
    table = from_audformat(database, "opinion", "mood", further=())
    assert table["emotion"].tolist() == ["happiness"] * 4
    assert table["speaker"].isna().all() and table["split"].isna().all()


def test_whole_segments_are_clips(database):
    index = audformat.segmented_index(FILES, [0] * 4, [0.2] * 4)
    database["segments"] = audformat.Table(index)
    database["segments"]["feeling"] = audformat.Column(scheme_id="emotion")
    database["segments"]["feeling"].set(["sad"] * 4)
    assert from_audformat(database, "segments", "feeling", further=())["emotion"].tolist() == ["sadness"] * 4


def test_mistakes_get_one_line(database):
    for call, message in (
        (lambda: from_audformat(database, "emotions"), "Bad table 'emotions'"),
        (lambda: from_audformat(database, scheme="arousal"), "no scheme 'arousal' in any table"),
        (lambda: from_audformat(database), "clips with two values"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_results_come_back_as_they_were(tmp_path):
    files = pd.Index(["a.wav", "b.wav"], name="file")
    predictions = pd.DataFrame(
        {"emotion": ["fear", None], "predicted": ["anger", "fear"], "speaker": ["x", "y"], "p_fear": [0.25, 1.0]},
        files,
    )
    pairs = pd.MultiIndex.from_tuples([("a.wav", "b.wav"), ("b.wav", "a.wav")], names=["file", "neighbour"])
    neighbours = pd.DataFrame({"rank": [1, 1], "similarity": [0.5, 0.5]}, pairs)
    made = to_audformat({"predictions": predictions, "neighbours": neighbours}, "results")
    made.save(str(tmp_path / "results"))
    stored = audformat.Database.load(str(tmp_path / "results"))
    assert stored["predictions"].get().astype(object).where(lambda cells: cells.notna(), None).to_dict("list") == {
        "emotion": ["fear", None],
        "predicted": ["anger", "fear"],
        "speaker": ["x", "y"],
        "p_fear": [0.25, 1.0],
    }
    assert stored.schemes["emotion"].labels == ["anger", "fear"]
    assert stored["neighbours"].get()["similarity"].tolist() == [0.5, 0.5]
    assert stored["neighbours"].get().index.to_list() == pairs.to_list()
    with pytest.raises(InputError, match="no named index"):
        to_audformat({"bare": pd.DataFrame({"a": [1]})})


def test_a_corpus_of_audb(database, tmp_path, monkeypatch):
    audb = pytest.importorskip("audb")
    repository = audb.Repository("corpora", str(tmp_path / "host"), "file-system")
    (tmp_path / "host" / "corpora").mkdir(parents=True)
    monkeypatch.setattr(audb.config, "REPOSITORIES", [repository])
    audb.publish(str(tmp_path / "db"), "1.0.0", repository, cache_root=str(tmp_path / "cache"), verbose=False)
    tables = ["emotion.train", "emotion.test"]
    table = from_audb("mine", tables, version="1.0.0", cache=tmp_path / "cache", progress=False)
    assert table["emotion"].fillna("").tolist() == ["anger", "happiness", "sadness", ""]
    monkeypatch.setattr(audb.config, "REPOSITORIES", [])  # the cache alone is enough
    again = from_audb("mine", tables, version="1.0.0", cache=tmp_path / "cache", progress=False)
    pd.testing.assert_frame_equal(again, table)
    with pytest.raises(InputError, match="audb has no corpus 'yours'"):
        from_audb("yours", version="1.0.0", cache=tmp_path / "cache", progress=False)
