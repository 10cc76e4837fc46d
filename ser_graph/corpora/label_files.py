"""Columns of clip tables from files that come with the clips of a corpus: labels, speakers, ratings and texts.

Each function takes the clip table of the names and the root of the corpus. It returns the table with more columns,
which hold the codes of the corpus; the adapter has the words for them.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from ser_graph.errors import InputError, shorten

# [start - end] TAB clip TAB emotion TAB [valence, activation, dominance]
_IEMOCAP_LINE = re.compile(
    r"\[[\d.]+ - [\d.]+\]\t(?P<clip>\w+)\t(?P<emotion>\w+)\t"
    r"\[(?P<valence>[\d.]+), (?P<arousal>[\d.]+), (?P<dominance>[\d.]+)\]"
)
_MSP_IMPROV_LINE = re.compile(
    r"UTD-IMPROV-(?P<clip>[A-Z0-9-]+)\.avi; (?P<emotion>[A-Z]); "
    r"A:(?P<arousal>[\d.]+|NaN) ?; V:(?P<valence>[\d.]+|NaN) ?; D:(?P<dominance>[\d.]+|NaN) ?;.*"
)
_RATINGS = {column: column for column in ("emotion", "arousal", "valence", "dominance")}
_RATED = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")


def add_nemo_texts(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Add the spoken text of each clip of nEMO from ``data.tsv``, if it is there."""
    rows = _optional(root, "data.tsv", {"file_id", "raw_text"}, sep="\t", keep_default_na=False, quoting=3)
    if rows is None:
        return table
    rows = rows.apply(lambda column: column.str.strip())  # e.g. speaker_id contains extra blanks
    texts = dict(zip(map(_stem, rows["file_id"]), rows["raw_text"], strict=True))
    return table.assign(text=[texts.get(_stem(file), "") for file in table.index])


def add_crema_d_actors(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Add gender and age of each actor of CREMA-D from ``VideoDemographics.csv``, if it is there."""
    rows = _optional(root, "VideoDemographics.csv", {"ActorID", "Sex", "Age"})
    if rows is None:
        return table
    rows, actors = rows.set_index("ActorID"), table["speaker"]
    return table.assign(gender=actors.map(rows["Sex"].str.lower()), age=actors.map(rows["Age"].astype(float)))


def add_iemocap_labels(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Add emotion, ratings (1 to 5) and speaker of each turn of IEMOCAP from its ``EmoEvaluation`` files."""
    found = sorted(root.glob("Session?/dialog/EmoEvaluation/*.txt"))
    if not found:
        raise InputError(
            f"No labels in {root}: expected Session1/dialog/EmoEvaluation/*.txt; give the root of IEMOCAP"
        )
    rows = _matches(_IEMOCAP_LINE, found).set_index("clip")
    table = table.assign(speaker=table["session"] + table["gender"].str[0].str.upper())
    return _joined(table, _stems(table), rows, _RATINGS, root)


def add_meld_labels(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Add emotion, speaker and text of each utterance of MELD from the three tables of its splits."""
    parts = []
    for split in table["split"].unique():
        rows = _required(
            root,
            (f"{split}_sent_emo.csv", f"{split}/{split}_sent_emo.csv"),
            {"Dialogue_ID", "Utterance_ID", "Emotion", "Speaker", "Utterance"},
        )
        parts.append(rows.set_index(f"{split} " + rows["Dialogue_ID"] + " " + rows["Utterance_ID"]))
    keys = table["split"] + " " + table["dialogue"] + " " + table["utterance"]
    columns = {"emotion": "Emotion", "speaker": "Speaker", "text": "Utterance"}
    return _joined(table, keys, pd.concat(parts), columns, root)


def add_msp_podcast_labels(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Add emotion, ratings, speaker, gender and split of each turn of MSP-Podcast from its table of consensus."""
    columns = {
        "emotion": "EmoClass",
        "arousal": "EmoAct",
        "valence": "EmoVal",
        "dominance": "EmoDom",
        "speaker": "SpkrID",
        "gender": "Gender",
        "split": "Split_Set",
    }
    # Older releases have a slip in the name of the file.
    names = [f"{folder}labels_{word}.csv" for folder in ("Labels/", "") for word in ("consensus", "concensus")]
    rows = _required(root, names, {"FileName", *columns.values()})
    rows["SpkrID"] = rows["SpkrID"].replace("Unknown", None)
    return _joined(table, _stems(table), rows.set_index(rows["FileName"].map(_stem)), columns, root)


def add_msp_improv_labels(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Add the emotion that listeners heard, and their ratings (1 to 5), to each turn of MSP-IMPROV."""
    file = _find(root, ("Evaluation.txt", "Evalution.txt"))
    rows = _matches(_MSP_IMPROV_LINE, [file]).set_index("clip")
    keys = _stems(table).str.removeprefix("MSP-IMPROV-")
    return _joined(table, keys, rows, _RATINGS, root)


def add_mosei_labels(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Add the emotion with the highest mean rating to each clip of CMU-MOSEI; ties have none.

    If all means are 0, the emotion is neutral: the raters saw none of the six.
    """
    answers = [f"Answer.{emotion}" for emotion in _RATED]
    wanted = {"Input.VIDEO_ID", "Input.CLIP", *answers}
    folders = [root / "Labels", root.parent / "Labels", root.parent.parent / "Labels"]
    files = [file for folder in folders for file in sorted(folder.glob("*.csv"))]
    parts = [rows for rows in map(_read, files) if wanted <= set(rows.columns)]  # others rate the sentiment only
    if not parts:
        raise InputError(
            f"No table of ratings in {folders[0]}: expected Labels/*.csv of CMU-MOSEI with columns such as "
            f"Input.VIDEO_ID and Answer.anger; copy the folder Labels into {root}"
        )
    rows = pd.concat(parts)
    rows[answers] = rows[answers].apply(pd.to_numeric, errors="coerce")
    means = rows.groupby(rows["Input.VIDEO_ID"] + "_" + rows["Input.CLIP"])[answers].mean().dropna()
    means.columns = pd.Index(_RATED)
    highest = means.max(axis=1)
    means["emotion"] = means.idxmax(axis=1).where(means.eq(highest, axis=0).sum(axis=1) == 1)
    means.loc[highest == 0, "emotion"] = "neutral"
    return _joined(table, _stems(table), means, {"emotion": "emotion"}, root)


def add_emozionalmente_labels(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Add emotion, speaker, sentence, gender and age from ``samples.csv`` and ``users.csv``."""
    samples = _required(
        root,
        ("metadata/samples.csv", "samples.csv"),
        {"file_name", "actor", "sentence", "emotion_expressed"},
    )
    columns = {"emotion": "emotion_expressed", "speaker": "actor", "sentence": "sentence"}
    table = _joined(table, _stems(table), samples.set_index(samples["file_name"].map(_stem)), columns, root)
    users = _required(root, ("metadata/users.csv", "users.csv"), {"username", "gender", "age"}).set_index(
        "username"
    )
    genders = users["gender"].str.lower().where(users["gender"].str.lower().isin(["female", "male"]))
    return table.assign(gender=table["speaker"].map(genders), age=table["speaker"].map(users["age"]))


def _joined(
    table: pd.DataFrame, keys: pd.Series, rows: pd.DataFrame, columns: dict[str, str], root: Path
) -> pd.DataFrame:
    """The table with columns of `rows`, indexed by the keys; clips without a row have missing values."""
    rows = rows[~rows.index.duplicated()].reindex(keys)
    if rows[columns["emotion"]].isna().all():
        raise InputError(
            f"The label file of {root} names none of its clips (first: {table.index[0]}); "
            "take clips and labels from the same release"
        )
    return table.assign(**{ours: rows[theirs].to_numpy() for ours, theirs in columns.items()})


def _matches(pattern: re.Pattern[str], files: Sequence[Path]) -> pd.DataFrame:
    """The named groups of all lines that fit the pattern."""

    def lines() -> Iterator[dict[str, str]]:
        for file in files:
            for line in file.read_text("utf-8", errors="replace").splitlines():
                if found := pattern.match(line.strip()):
                    yield found.groupdict()

    rows = pd.DataFrame(list(lines()), columns=list(pattern.groupindex)).replace("NaN", None)
    if not len(rows):
        raise InputError(f"No labels in {files[0]}; take the file as the authors distribute it")
    return rows


def _optional(root: Path, name: str, columns: set[str], **options: object) -> pd.DataFrame | None:
    """A table of text in the root or beside it; None if there is none or columns are missing."""
    file = next((file for file in (root / name, root.parent / name) if file.is_file()), None)
    rows = pd.DataFrame() if file is None else _read(file, **options)
    return rows if columns <= set(rows.columns) else None


def _required(root: Path, names: Sequence[str], columns: set[str]) -> pd.DataFrame:
    """A table of text in the root or beside it.

    Raises:
        InputError: there is none, or columns are missing.
    """
    file = _find(root, names)
    rows = _read(file)
    if missing := columns - set(rows.columns):
        raise InputError(
            f"{file} has no column {shorten(sorted(missing))}, found {shorten(rows.columns, 8)}; "
            "take the table as the authors distribute it"
        )
    return rows


def _find(root: Path, names: Sequence[str]) -> Path:
    file = next((place / name for place in (root, root.parent) for name in names if (place / name).is_file()), None)
    if file is None:
        raise InputError(f"No {names[0]} in {root} or beside it, which has the labels; copy it into this folder")
    return file


def _read(file: Path, **options: object) -> pd.DataFrame:
    try:
        return pd.read_csv(file, dtype=str, encoding_errors="replace", **options)  # type: ignore[call-overload]
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{file} is not a table ({error}); take it as the authors distribute it") from None


def _stems(table: pd.DataFrame) -> pd.Series:
    return pd.Series([_stem(file) for file in table.index], table.index)


def _stem(file: str) -> str:
    return PurePosixPath(file).stem
