from . import (
    analysis as analysis,
)
from . import (
    audio as audio,
)
from . import (
    corpora as corpora,
)
from . import (
    downstream as downstream,
)
from . import (
    edge as edge,
)
from . import (
    evaluation as evaluation,
)
from . import (
    experiment as experiment,
)
from . import (
    graph as graph,
)
from . import (
    inspection as inspection,
)
from . import (
    upstream as upstream,
)
from .analysis import graph_card as graph_card
from .analysis import graph_report as graph_report
from .analysis import graph_statistics as graph_statistics
from .audio import LogMelSettings as LogMelSettings
from .corpora import (
    check_corpus as check_corpus,
)
from .corpora import (
    join_corpora as join_corpora,
)
from .corpora import (
    leave_speakers_out as leave_speakers_out,
)
from .corpora import (
    load_corpus as load_corpus,
)
from .corpora import (
    make_corpus as make_corpus,
)
from .corpora import (
    with_copies as with_copies,
)
from .downstream import (
    Student as Student,
)
from .downstream import (
    TrainingSettings as TrainingSettings,
)
from .downstream import (
    load_student as load_student,
)
from .downstream import (
    train as train,
)
from .edge import bench as bench
from .edge import export as export
from .edge import listen as listen
from .edge import predict as predict
from .errors import InputError as InputError
from .evaluation import evaluate as evaluate
from .evaluation import write_report as write_report
from .experiment import cross_validate as cross_validate
from .experiment import load_recipe as load_recipe
from .experiment import run as run
from .graph import (
    ClipGraph as ClipGraph,
)
from .graph import (
    EdgeRules as EdgeRules,
)
from .graph import (
    EmotionGraph as EmotionGraph,
)
from .graph import (
    NeighborLoader as NeighborLoader,
)
from .graph import (
    Space as Space,
)
from .graph import (
    add_clips as add_clips,
)
from .graph import (
    build_graph as build_graph,
)
from .graph import (
    load_graph as load_graph,
)
from .graph import (
    save_graph as save_graph,
)
from .inspection import inspect as inspect
from .inspection import write_page as write_page
from .upstream import Upstream as Upstream
