"""Import torchaudio on machines where its compiled extension cannot load.

torchaudio's Linux wheels link against CUDA. With a CPU build of torch, the extension fails to load. Then
``import torchaudio`` fails too, and every transformers model that imports torchaudio. The functions that
ser_graph and transformers use (resampling, mel spectrograms) are pure PyTorch. So this module replaces the
extension by an empty one, but only if it fails to load. Import this module before transformers.
"""

import sys
import types


def _without_extension() -> types.ModuleType:
    stand_in = types.ModuleType("torchaudio._extension")
    vars(stand_in).update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        fail_if_no_align=lambda function: function,
    )
    return stand_in


try:
    import torchaudio
except OSError:
    for _name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
        del sys.modules[_name]  # the failed import left incomplete modules
    sys.modules["torchaudio._extension"] = _without_extension()
    import torchaudio

__all__ = ["torchaudio"]
