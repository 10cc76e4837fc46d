from .building import build_graph as build_graph
from .clip_graph import ClipGraph as ClipGraph
from .dataset import EmotionGraph as EmotionGraph
from .meta import GraphMeta as GraphMeta
from .sampling import NeighborLoader as NeighborLoader, TopNeighborSampler as TopNeighborSampler
from .settings import GraphSettings as GraphSettings
from .storage import load_graph as load_graph, save_graph as save_graph
