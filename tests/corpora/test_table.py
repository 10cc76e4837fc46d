import csv
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from ser_graph.common.csv_files import write_csv
from ser_graph.common.files import read_json, write_json
from ser_graph.common.text import fault_of
from ser_graph.corpora import COLUMNS, load_table, name_emotions, read_table, write_table
from ser_graph.corpora.adapter import as_clip_table
from ser_graph.corpora.checking import check_clips
from ser_graph.edge.recordings import recordings_table
from ser_graph.errors import InputError

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
FILE = TEXT.filter(lambda name: not fault_of(name))
CELL = st.one_of(st.just(np.nan), TEXT, st.sampled_from(["NA", "nan", "03", "1e5", "None", " x ", '"', "a,b"]))
SECONDS = st.one_of(st.just(np.nan), st.floats(allow_nan=False, allow_infinity=False))


@st.composite
def clip_tables(draw):
    files = draw(
        st.lists(st.one_of(FILE, st.sampled_from(["NA.wav", "NULL"])), min_size=1, max_size=5, unique=True)
    )
    column = {name: draw(st.lists(CELL, min_size=len(files), max_size=len(files))) for name in (*COLUMNS, "note")}
    column["duration"] = draw(st.lists(SECONDS, min_size=len(files), max_size=len(files)))
    return as_clip_table(pd.DataFrame(column, index=files)).sort_index()


@settings(deadline=None, max_examples=60)
@given(table=clip_tables())
def test_a_stored_table_comes_back_exactly(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("stored") / "clips.csv"
    write_table(table, path)
    pd.testing.assert_frame_equal(read_table(path), table, check_exact=True)
    assert [file.name for file in path.parent.iterdir()] == ["clips.csv"]
    assert not set(path.read_text("utf-8")) & CONTROLS


CONTROLS = {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160), *range(0x2028, 0x202F))}


@pytest.mark.parametrize("control", sorted(CONTROLS))
def test_a_terminal_obeys_no_stored_text(tmp_path, make_clips, control):
    root = make_clips("a.wav")
    frame = pd.DataFrame({"file": ["a.wav"], "emotion": ["fear"], "speaker": [f"an{control}[31mna"]})
    table = load_table(frame, root)
    shown = ascii(control)[1:-1]
    assert table["speaker"].tolist() == [f"an{shown}[31mna"]
    write_table(table, tmp_path / "clips.csv")
    write_csv(table, tmp_path / "other.csv")
    write_csv(pd.DataFrame({f"x{control}": [1]}, index=[f"an{control}na"]), tmp_path / "names.csv")
    write_json(tmp_path / "a.json", {f"an{control}": control})
    for file in tmp_path.glob("*.*"):
        if file.suffix != ".wav":
            assert not set(file.read_bytes().decode()) & CONTROLS, file
    assert read_json(tmp_path / "a.json") == {f"an{control}": control}


@pytest.mark.parametrize(
    ("name", "why"), [("a\x1b[31m.wav", "holds a control character"), ("gr\udcfc.wav", "is not UTF-8")]
)
def test_names_that_no_table_can_hold_are_shown(tmp_path, make_clips, name, why):
    root = make_clips("a.wav")
    (root / "a.wav").rename(root / name)
    shown = repr(name)[1:-1].replace("\\", r"\\").replace("[", r"\[")
    said = rf"^The name of the file '{shown}' {why}; rename the file$"
    index = pd.Index([name], dtype=object, name="file")
    for made in (
        lambda: as_clip_table(pd.DataFrame({"emotion": ["fear"]}, index=index)),
        lambda: write_table(pd.DataFrame({"emotion": ["fear"]}, index=index), tmp_path / "clips.csv"),
        lambda: recordings_table(root),
    ):
        with pytest.raises(InputError, match=said):
            made()
    assert not (tmp_path / "clips.csv").exists()


@pytest.mark.parametrize("column", ["file", "emotion", "speaker", "note"])
def test_half_a_character_is_shown(make_clips, column):
    frame = pd.DataFrame({"file": ["a.wav"], "emotion": ["fear"], column: ["gr\udcfc"]}, dtype=object)
    with pytest.raises(InputError, match=rf"^{column} of row 0 is a text that is not UTF-8, 'gr\\udcfc'"):
        load_table(frame, make_clips("a.wav"), labels="keep")


def test_checking_shows_a_name_that_is_not_utf_8(make_clips):
    root, name = make_clips("a.wav"), "gr\udcfc.wav"
    (root / "a.wav").rename(root / name)
    table = pd.DataFrame({"emotion": ["fear"]}, index=pd.Index([name], dtype=object, name="file"))
    (problem,) = check_clips(table, root).itertuples()
    assert (problem.file, problem.detail) == (r"gr\udcfc.wav", "its name is not UTF-8; rename it")


def test_what_is_too_long_to_be_read_again_is_refused(make_clips):
    root = make_clips("a.wav")
    frame = pd.DataFrame({"file": ["a.wav"], "emotion": ["fear"], "note": ["x" * 200_000]})
    with pytest.raises(InputError, match=r"^note of row 0 is a text of 200,000 letters; expected one text"):
        load_table(frame, root)
    with pytest.raises(InputError, match=r"^The name of the column 'x+\.\.\. has 200,000 letters; rename"):
        load_table(frame.rename(columns={"note": "x" * 200_000}), root)


def test_columns_that_no_table_can_hold_are_shown(make_clips):
    columns = pd.Index(["file", "emotion", "no\udcfcte"], dtype=object)
    with pytest.raises(InputError, match=r"^The name of the column 'no\\udcfcte' is not UTF-8"):
        load_table(pd.DataFrame([["a.wav", "fear", "x"]], columns=columns, dtype=object), make_clips("a.wav"))


def test_an_interrupted_write_leaves_the_old_table(tmp_path, monkeypatch):
    table = as_clip_table(pd.DataFrame({"speaker": ["03"]}, index=["NA.wav"]))
    write_table(table, tmp_path / "clips.csv")
    monkeypatch.setattr(pd.DataFrame, "itertuples", lambda self: iter([None]))
    with pytest.raises(TypeError):
        write_table(table.assign(speaker="04"), tmp_path / "clips.csv")
    assert read_table(tmp_path / "clips.csv")["speaker"].tolist() == ["03"]


def test_read_table_refuses_other_tables(tmp_path):
    (tmp_path / "other.csv").write_text("file,label\na.wav,x\n")
    with pytest.raises(InputError, match="is not a stored clip table"):
        read_table(tmp_path / "other.csv")
    with pytest.raises(InputError, match="No file"):
        read_table(tmp_path / "none.csv")


@pytest.fixture
def write(make_clips):
    """Write a table beside a.wav and b.wav, and give its path."""

    def _write(text: str, name: str = "clips.csv"):
        path = make_clips("a.wav", "b.wav", "NA.wav") / name
        path.write_text(text, "utf-8")
        return path

    return _write


def refusal(source, **options) -> str:
    with pytest.raises(InputError) as caught:
        load_table(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "header",
    ["path,emo,spk,sex,subset", "WAV,Label,speaker_id,Gender,split", "filename,emotion,actor,sex,partition"],
)
def test_other_names_of_columns_and_values(write, header):
    table = load_table(write(f"{header}\nb.wav,ANG,03,F,devel\na.wav,happy,04,man,Train\n"))
    assert list(table.index) == ["a.wav", "b.wav"]
    assert table.drop(columns="duration").to_numpy().tolist() == [
        ["happiness", "04", "male", "train"],
        ["anger", "03", "female", "dev"],
    ]
    assert table["duration"].tolist() == pytest.approx([0.2, 0.2])


def test_only_empty_cells_are_missing(write):
    table = load_table(write("file,emotion,speaker,note\nNA.wav,neu,None,nan\na.wav,,,\n"))
    assert table.loc["NA.wav", ["emotion", "speaker", "note"]].tolist() == ["neutral", "None", "nan"]
    assert table.loc["a.wav", ["emotion", "speaker", "note"]].isna().all()


def test_nkululeko(write):
    table = load_table(write("file,emotion,speaker,gender,language,split\na.wav,angry,s1,male,english,test\n"))
    assert table.iloc[0][["emotion", "speaker", "split", "language"]].tolist() == ["anger", "s1", "test", "english"]


def test_emobox(write):
    rows = [{"key": "x-1", "dataset": "x", "wav": name, "emo": "sad"} for name in ("a.wav", "b.wav")]
    table = load_table(write("\n".join(map(json.dumps, rows)) + "\n", "test.jsonl"))
    assert table["emotion"].tolist() == ["sadness", "sadness"]
    assert table["key"].tolist() == ["x-1", "x-1"]
    assert "is not jsonl" in refusal(write("{broken\n", "bad.jsonl"))


def test_emobox_names_start_further_up(make_clips, tmp_path):
    """Its `data/NAME/test.jsonl` names `downloads/NAME/...`, from the folder of both."""
    make_clips("downloads/x/a.wav", "downloads/x/b.wav", folder=tmp_path / "EmoBox")
    path = tmp_path / "EmoBox" / "data" / "x" / "test.jsonl"
    path.parent.mkdir(parents=True)
    rows = [
        {"wav": f"downloads/x/{name}.wav", "emo": "boredem", "more": {"of": ["it"]}, "spk": spk}
        for name, spk in (("a", "1"), ("b", "2"))
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    table = load_table(path)
    assert list(table.index) == ["downloads/x/a.wav", "downloads/x/b.wav"]
    assert table.attrs["root"] == str(tmp_path / "EmoBox")
    assert set(table["emotion"]) == {"boredom"} and set(table["more"]) == {'{"of": ["it"]}'}


def test_a_stray_file_above_does_not_draw_the_others_away(make_clips, tmp_path):
    make_clips("sub/b.wav", "a.wav", folder=tmp_path)
    path = tmp_path / "sub" / "t.csv"
    path.write_text("file,emotion\na.wav,fear\nb.wav,fear\n")
    table = load_table(path)
    assert table.attrs["root"] == str(tmp_path / "sub") and table["duration"].isna().tolist() == [True, False]


def test_audformat_ends_of_whole_files(make_clips, tmp_path):
    make_clips("a.wav", "b.wav", folder=tmp_path, seconds=0.5)
    for end, parts in (("0 days 00:00:00.500", 0), ("0 days 00:00:00.300", 1)):
        path = tmp_path / "clips.csv"
        path.write_text(f"file,start,end,emotion\na.wav,0 days,{end},anger\nb.wav,0 days,0 days 00:00:00.5,fear\n")
        if parts:
            assert "labels parts of files (1 rows with a start or an end, first a.wav)" in refusal(path)
        else:
            assert list(load_table(path)["duration"]) == [0.5, 0.5]


def test_audformat_whole_files(write):
    path = write("file,start,end,emotion,duration\na.wav,0 days,,anger,0 days 00:00:02.500000\n")
    assert load_table(path)["duration"].tolist() == [2.5]
    parts = "file,start,end,emotion\na.wav,0 days,0 days 00:00:01,anger\nb.wav,0 days,,fear\n"
    assert "labels parts of files (1 rows with a start or an end, first a.wav)" in refusal(write(parts))


def test_audformat_frames(make_clips):
    root = make_clips("a.wav", "b.wav")
    whole = pd.MultiIndex.from_arrays(
        [["a.wav", "b.wav"], pd.to_timedelta([0, 0]), pd.to_timedelta([pd.NaT, pd.NaT])],
        names=["file", "start", "end"],
    )
    for index in (whole, pd.Index(["a.wav", "b.wav"], name="file")):
        table = load_table(pd.DataFrame({"emotion": ["anger", "fear"]}, index=index), root)
        assert table["emotion"].to_dict() == {"a.wav": "anger", "b.wav": "fear"}
        assert table.attrs["root"] == str(root)


def test_names_start_from_the_table_the_root_or_the_top(write, make_clips, tmp_path):
    make_clips("deep/c.wav")
    assert list(load_table(write("file,emotion\n./deep/../a.wav,fear\n")).index) == ["a.wav"]
    path = write("file,emotion\nc.wav,fear\n")
    assert list(load_table(path, tmp_path / "deep").index) == ["c.wav"]
    (tmp_path / "lists").mkdir()
    absolute = write(f"file,emotion\n{tmp_path}/deep/c.wav,fear\n{tmp_path}/a.wav,fear\n", "lists/clips.csv")
    table = load_table(absolute)
    assert list(table.index) == ["a.wav", "deep/c.wav"]
    assert table.attrs["root"] == str(tmp_path)
    assert "is not below the root" in refusal(absolute, root=tmp_path / "deep")


def test_files_that_are_not_there(write):
    assert "None of the 1 files" in refusal(write("file,emotion\nx/a.wav,fear\n"))
    table = load_table(write("file,emotion\na.wav,fear\nlost.wav,fear\n"))
    assert table["duration"].isna().tolist() == [False, True]


def test_unknown_emotions_name_label_rows_and_spellings(write):
    path = write("file,emotion\na.wav,contempt\nb.wav,angry\n")
    message = refusal(path)
    for part in ("'contempt' (1 clip, a.wav)", "accepted are anger, boredom", "angry", "labels={'contempt': NAME}"):
        assert part in message
    assert load_table(path, labels="keep")["emotion"].tolist() == ["contempt", "anger"]
    assert load_table(path, labels={"Contempt": "disgust"})["emotion"].tolist() == ["disgust", "anger"]
    assert load_table(path, labels={"contempt": None})["emotion"].isna().tolist() == [True, False]
    assert "Bad labels 'all'" in refusal(path, labels="all")


def test_a_mapping_goes_before_the_known_spellings():
    said = pd.Series(["angry", "anger", "calm", np.nan])
    assert name_emotions(said, {"angry": "fury"}).tolist()[:3] == ["fury", "anger", "calm"]
    assert name_emotions(said, {"anger": "Fury "}).tolist()[:2] == ["fury", "fury"]
    assert name_emotions(said).isna().tolist() == [False, False, False, True]


def test_new_names_have_any_spelling_but_one_name_each():
    said = pd.Series(["exc", "happy", "Contempt", "contempt ", "CONTEMPT"])
    assert set(name_emotions(said, {"exc": "happy", "contempt": "disgusted"})) == {"happiness", "disgust"}
    kept = name_emotions(said, "keep").tolist()
    assert kept == ["exc", "happiness", "contempt", "contempt", "contempt"]
    for wrong in ({"exc": ""}, {"exc": 3}, {"exc": ["happy"]}):
        with pytest.raises(InputError, match=r"^Bad labels, 'exc' becomes .*; expected a name, or None"):
            name_emotions(said, wrong)
    with pytest.raises(InputError, match=r"^Bad labels"):
        name_emotions(said, ["exc"])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("first", ["", "sep={}\n"])
def test_any_usual_separator(write, separator, first):
    text = first.format(separator) + "file,emotion,speaker\na.wav,fear,01\nb.wav,sad,\n".replace(",", separator)
    table = load_table(write(text))
    assert table["emotion"].tolist() == ["fear", "sadness"] and table["speaker"].isna().tolist() == [False, True]


def test_names_are_cleaned_alike(write):
    table = load_table(write("file,emotion,speaker\n a.wav, sad,Zo\u00eb\nb.wav,SAD ,Zoe\u0308 \n"))
    assert table["emotion"].tolist() == ["sadness", "sadness"]
    assert table["speaker"].tolist() == ["Zo\u00eb", "Zo\u00eb"]


def test_codes_that_pandas_made_floats(write, tmp_path):
    assert load_table(write("file,emotion,speaker\na.wav,sad,3.0\nb.wav,sad,\n"))["speaker"].iloc[0] == "3"
    assert load_table(write("file,emotion,speaker\na.wav,sad,3.0\nb.wav,sad,3.5\n"))["speaker"].iloc[0] == "3.0"
    frame = pd.DataFrame({"file": ["a.wav", "b.wav"], "emotion": "sad", "speaker": [3, np.nan]})
    assert load_table(frame, tmp_path)["speaker"].iloc[0] == "3"


def test_a_file_is_found_under_its_name_on_the_disk(make_clips, tmp_path):
    make_clips("Zoe\u0308.WAV", "de\u0301/x.wav", "y.wav", "y.WAV")
    frame = pd.DataFrame({"file": ["Zo\u00eb.wav", "d\u00e9/x.WAV", "y.Wav", "y.wav"], "emotion": "sad"})
    table = load_table(frame, tmp_path)
    assert set(table.index) == {"Zoe\u0308.WAV", "de\u0301/x.wav", "y.Wav", "y.wav"}
    assert table.index[table["duration"].isna()].tolist() == ["y.Wav"]  # either of two: not guessed
    twice = pd.DataFrame({"file": ["Zo\u00eb.wav", "Zoe\u0308.WAV"], "emotion": ["sad", "fear"]})
    assert "several rows for 1 files" in refusal(twice, root=tmp_path)


def test_an_index_may_repeat_the_column_of_files(make_clips, tmp_path):
    make_clips("a.wav", "b.wav")
    frame = pd.DataFrame({"file": ["a.wav", "b.wav"], "emotion": "sad"})
    assert load_table(frame.set_index("file", drop=False), tmp_path).index.tolist() == ["a.wav", "b.wav"]
    other = frame.set_index(pd.Index(["b.wav", "a.wav"], name="file"))
    assert "has a column file and an index file that differ" in refusal(other, root=tmp_path)


@pytest.mark.parametrize("cell", [["sad"], {"sad": 1}, np.array(["sad", "x"]), b"sad", ("sad",)])
def test_a_cell_of_several_values_is_refused(tmp_path, cell):
    frame = pd.DataFrame({"file": ["a.wav", "b.wav"], "emotion": ["sad", cell]})
    assert "expected one text or one number in each cell" in refusal(frame, root=tmp_path)


def test_formulas_are_text_and_come_back(tmp_path):
    names = ["=1+1", "'=1+1", "''@x", "-x", "+1 a", "@x", "-5", "'quoted'", "\uff1d1"]
    table = as_clip_table(pd.DataFrame({"speaker": names}, index=[f"{name}.wav" for name in names]))
    write_table(table, tmp_path / "clips.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "clips.csv"), table)
    cells = [cell for row in csv.reader((tmp_path / "clips.csv").open(encoding="utf-8")) for cell in row]
    assert not [cell for cell in cells if cell[:1] in "=+-@\uff1d" and cell and cell != "-5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("file,emotion\n", "has no rows"),
        ("name,emotion\na.wav,fear\n", "has no column file: found name, emotion; call it one of file, path, wav"),
        ("file,feeling\na.wav,fear\n", "has no column emotion"),
        ("path,wav,emotion\na.wav,a.wav,fear\n", "several columns for file: path, wav"),
        ("file,emotion\na.wav,fear,x\n", "row 2: 3 cells, but the header has 2"),
        ("file,emotion\n,fear\n", "1 rows have no file"),
        ("file,emotion\na.wav,fear\na.wav,sad\n", "a.wav has emotion 'fear' and 'sad'"),
        ("file,emotion\na.wav,fear\n./a.wav,sad\n", "a.wav has emotion 'fear' and 'sad'"),
        ("file,emotion,gender\na.wav,fear,x\n", "Bad gender 'x' (1 rows, a.wav)"),
        ("file,emotion,split\na.wav,fear,fold1\n", "Bad split 'fold1'"),
        ("file,emotion,duration\na.wav,fear,long\n", "bad duration 'long' of a.wav"),
        ("file,emotion,age\na.wav,fear,old\n", "Bad age 'old' of a.wav"),
        ("file,start,end,emotion\na.wav,00:01,,fear\n", "bad start '00:01' of a.wav, expected seconds or hh:mm:ss"),
        ('file,emotion\na.wav,"' + "fear\n" * 40_000, "check its quotation marks"),
    ],
)
def test_refusals(write, text, message):
    assert message in refusal(write(text))


@pytest.mark.parametrize(("name", "text"), [("t.csv", "file,emotion\n"), ("t.jsonl", '{"file": "a.wav"}\n')])
def test_a_table_of_other_letters_says_how_to_save_it(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode() + "für.wav,fear\n".encode("latin-1"))
    assert "is not UTF-8 (byte" in refusal(tmp_path / name) and "CSV UTF-8" in refusal(tmp_path / name)


def test_equal_rows_are_one_and_our_names_go_first(write):
    table = load_table(write("file,label,emotion\na.wav,x,fear\na.wav,x,fear\n"))
    assert table[["emotion", "label"]].to_numpy().tolist() == [["fear", "x"]]


def test_what_is_no_table(tmp_path):
    assert "is not a table" in refusal(tmp_path / "clips.xlsx")
    assert "No file" in refusal(tmp_path / "clips.csv")


def test_a_byte_order_mark_and_tabs(write):
    table = load_table(write("\ufefffile\temotion\tgender\na.wav\tfear\tunknown\n", "clips.tsv"))
    assert table["emotion"].tolist() == ["fear"]
    assert table["gender"].isna().all()
