"""A trained student -> the device: exported, measured, and asked for recordings.

An exported model is asked without torch: `onnx_student`, `prediction`, `streaming` and `nearest` import none.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
