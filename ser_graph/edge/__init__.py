"""A trained student -> the device: exported, measured, and asked for recordings.

An exported model is asked without torch: `onnx_student`, `prediction`, `streaming` and `nearest` import none.
"""
