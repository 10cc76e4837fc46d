from .benchmark import bench as bench
from .exporting import export as export
from .prediction import predict as predict
from .streaming import listen as listen
