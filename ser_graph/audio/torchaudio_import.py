"""Import torchaudio on machines where its compiled extension cannot load.

torchaudio's Linux wheels link against CUDA. Beside a CPU build of torch the extension fails to load, and
with it ``import torchaudio`` and every transformers model that imports torchaudio. What we and they use of
it (resampling, mel spectrograms) is pure PyTorch, so there, and only there, an empty stand-in takes the
extension's place. Import this module before transformers.
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
        del sys.modules[_name]  # the halves that the failed import left behind
    sys.modules["torchaudio._extension"] = _without_extension()
    import torchaudio

__all__ = ["torchaudio"]
