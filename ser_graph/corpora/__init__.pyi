from .adapter import Adapter as Adapter
from .adapters import ADAPTERS as ADAPTERS
from .audformat_tables import from_audb as from_audb, from_audformat as from_audformat, to_audformat as to_audformat
from .checking import check_clips as check_clips
from .copies import originals as originals, with_copies as with_copies
from .corpus_check import check_corpus as check_corpus
from .hugging_face import from_datasets as from_datasets
from .joining import join_corpora as join_corpora
from .loading import load_corpus as load_corpus
from .splits import (
    check_split as check_split,
    leave_speakers_out as leave_speakers_out,
    speaker_overlap as speaker_overlap,
    speaker_split as speaker_split,
)
from .synthetic.making import make_corpus as make_corpus
from .table import (
    load_table as load_table,
    name_emotions as name_emotions,
    read_table as read_table,
    write_table as write_table,
)
from .vocabulary import COLUMNS as COLUMNS, EMOTIONS as EMOTIONS, GENDERS as GENDERS, SPLITS as SPLITS
