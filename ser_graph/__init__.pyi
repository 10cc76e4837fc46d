from . import (
    analysis as analysis,
    audio as audio,
    corpora as corpora,
    downstream as downstream,
    edge as edge,
    evaluation as evaluation,
    experiment as experiment,
    graph as graph,
    inspection as inspection,
    upstream as upstream,
)
from .analysis import graph_card as graph_card, graph_report as graph_report, graph_statistics as graph_statistics
from .audio import LogMelSettings as LogMelSettings
from .corpora import (
    check_corpus as check_corpus,
    join_corpora as join_corpora,
    leave_speakers_out as leave_speakers_out,
    load_corpus as load_corpus,
    make_corpus as make_corpus,
    with_copies as with_copies,
)
from .downstream import (
    Student as Student,
    TrainingSettings as TrainingSettings,
    load_student as load_student,
    train as train,
)
from .edge import bench as bench, export as export, listen as listen, predict as predict
from .errors import InputError as InputError
from .evaluation import evaluate as evaluate, write_report as write_report
from .experiment import cross_validate as cross_validate, load_recipe as load_recipe, run as run
from .graph import (
    ClipGraph as ClipGraph,
    EmotionGraph as EmotionGraph,
    GraphSettings as GraphSettings,
    NeighborLoader as NeighborLoader,
    build_graph as build_graph,
    load_graph as load_graph,
    save_graph as save_graph,
)
from .inspection import audit as audit, inspect as inspect, write_page as write_page
from .upstream import (
    EmbeddingSettings as EmbeddingSettings,
    FinetuneSettings as FinetuneSettings,
    Upstream as Upstream,
    process_shards as process_shards,
    shard_table as shard_table,
)

__version__: str
