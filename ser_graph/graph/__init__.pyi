from .building import build_graph as build_graph
from .clip_graph import ClipGraph as ClipGraph
from .dataset import EmotionGraph as EmotionGraph
from .estimators import (
    NeighbourTransformer as NeighbourTransformer,
    NeighbourVote as NeighbourVote,
    TeacherProbe as TeacherProbe,
)
from .meta import GraphMeta as GraphMeta
from .sampling import NeighborLoader as NeighborLoader, TopNeighborSampler as TopNeighborSampler
from .settings import GraphSettings as GraphSettings
from .shards import load_graph_shards as load_graph_shards, split_graph as split_graph
from .storage import load_graph as load_graph, save_graph as save_graph
