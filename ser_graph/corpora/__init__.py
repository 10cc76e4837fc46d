"""From a folder of clips to a clip table: one row a clip, its emotion, its speaker, its split."""

from ser_graph.corpora.adapter import Adapter
from ser_graph.corpora.copies import originals, with_copies
from ser_graph.corpora.demos import demos_deviation, demos_split
from ser_graph.corpora.joining import join_corpora
from ser_graph.corpora.loading import ADAPTERS, load_corpus
from ser_graph.corpora.ravdess import ravdess_split
from ser_graph.corpora.splits import (
    check_split,
    leave_speakers_out,
    speaker_overlap,
    speaker_split,
)
from ser_graph.corpora.table import load_table, name_emotions, read_table, write_table
from ser_graph.corpora.vocabulary import COLUMNS, EMOTIONS, GENDERS, SPLITS

__all__ = [
    "ADAPTERS",
    "COLUMNS",
    "EMOTIONS",
    "GENDERS",
    "SPLITS",
    "Adapter",
    "check_split",
    "demos_deviation",
    "demos_split",
    "join_corpora",
    "leave_speakers_out",
    "load_corpus",
    "load_table",
    "name_emotions",
    "originals",
    "ravdess_split",
    "read_table",
    "speaker_overlap",
    "speaker_split",
    "with_copies",
    "write_table",
]
