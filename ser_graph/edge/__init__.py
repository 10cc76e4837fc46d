"""A trained student -> the device: exported, measured, and asked for recordings.

`onnx_student`, `prediction` and `streaming` need no torch.
"""
