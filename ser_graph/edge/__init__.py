"""A trained student -> the device: export, measurement, and prediction of recordings.

An exported model runs without torch: `onnx_student`, `prediction`, `streaming` and `nearest` do not import torch.
The distribution `ser-graph-runtime` has the part that needs neither torch nor pandas.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
