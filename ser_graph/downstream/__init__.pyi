from .backbones import BACKBONES as BACKBONES, make_backbone as make_backbone
from .labels import labelled_nodes as labelled_nodes
from .losses import neighbour_loss as neighbour_loss
from .prediction import predict_clips as predict_clips
from .settings import TrainingSettings as TrainingSettings
from .sharded import train_shards as train_shards
from .student import Student as Student, load_student as load_student
from .training import train as train
