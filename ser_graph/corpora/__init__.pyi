from .adapter import Adapter as Adapter
from .checking import check_clips as check_clips
from .checking import check_corpus as check_corpus
from .copies import originals as originals
from .copies import with_copies as with_copies
from .joining import join_corpora as join_corpora
from .loading import ADAPTERS as ADAPTERS
from .loading import load_corpus as load_corpus
from .splits import (
    check_split as check_split,
)
from .splits import (
    demos_deviation as demos_deviation,
)
from .splits import (
    demos_split as demos_split,
)
from .splits import (
    leave_speakers_out as leave_speakers_out,
)
from .splits import (
    ravdess_split as ravdess_split,
)
from .splits import (
    search_demos_split as search_demos_split,
)
from .splits import (
    speaker_overlap as speaker_overlap,
)
from .splits import (
    speaker_split as speaker_split,
)
from .synthetic.making import make_corpus as make_corpus
from .table import (
    load_table as load_table,
)
from .table import (
    name_emotions as name_emotions,
)
from .table import (
    read_table as read_table,
)
from .table import (
    write_table as write_table,
)
from .vocabulary import COLUMNS as COLUMNS
from .vocabulary import EMOTIONS as EMOTIONS
from .vocabulary import GENDERS as GENDERS
from .vocabulary import SPLITS as SPLITS
