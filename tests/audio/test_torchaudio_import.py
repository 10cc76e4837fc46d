import importlib.util
import json
import subprocess
import sys

import pytest

MODULE = importlib.util.find_spec("ser_graph.audio.torchaudio_import").origin

# Stand-ins for the installed torchaudio, one whose extension loads and one whose does not, as beside a CPU
# build of torch. Like the real one they import `_extension` first and use its names while being imported.
PACKAGE = """
from . import early
from ._extension import _IS_ALIGN_AVAILABLE, _IS_TORCHAUDIO_EXT_AVAILABLE, fail_if_no_align

@fail_if_no_align
def align():
    return "aligned"
"""
WORKS = """
_IS_TORCHAUDIO_EXT_AVAILABLE = _IS_ALIGN_AVAILABLE = True

def fail_if_no_align(function):
    return lambda: "compiled"
"""
FAILS = 'raise OSError("libc10_cuda.so: cannot open shared object file")'
REPORT = """
import json, runpy, sys
found = runpy.run_path(sys.argv[1])["torchaudio"]
extension = sys.modules["torchaudio._extension"]
print(json.dumps({
    "file": getattr(extension, "__file__", None),
    "flags": [extension._IS_TORCHAUDIO_EXT_AVAILABLE, extension._IS_ALIGN_AVAILABLE],
    "same": found is sys.modules["torchaudio"],
    "early": found.early.package is found,
    "align": found.align(),
}))
"""


def report(tmp_path, extension: str) -> dict:
    package = tmp_path / "torchaudio"
    package.mkdir()
    (package / "__init__.py").write_text(PACKAGE)
    (package / "early.py").write_text('import sys; package = sys.modules["torchaudio"]')
    (package / "_extension.py").write_text(extension)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{REPORT}"
    result = subprocess.run([sys.executable, "-c", code, MODULE], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_an_extension_that_loads_is_left_in_its_place(tmp_path):
    assert report(tmp_path, WORKS) == {
        "file": str(tmp_path / "torchaudio" / "_extension.py"),
        "flags": [True, True],
        "same": True,
        "early": True,
        "align": "compiled",
    }


def test_an_extension_that_cannot_load_is_replaced(tmp_path):
    assert report(tmp_path, FAILS) == {
        "file": None,
        "flags": [False, False],
        "same": True,
        "early": True,
        "align": "aligned",
    }


@pytest.mark.parametrize("error", ["ValueError('other')", "ImportError('other')"])
def test_other_errors_are_not_hidden(tmp_path, error):
    with pytest.raises(AssertionError, match="other"):
        report(tmp_path, f"raise {error}")


def test_transformers_imports_wav2vec_after_it():
    """On a machine where torchaudio fails by itself this cannot pass without the stand-in."""
    code = """
import sys
import ser_graph.audio.torchaudio_import
from transformers import Wav2Vec2Model
from torchaudio.transforms import MelSpectrogram, Resample
print(getattr(sys.modules["torchaudio._extension"], "__file__", None))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    alone = subprocess.run([sys.executable, "-c", "import torchaudio"], capture_output=True, text=True)
    loads_by_itself = alone.returncode == 0
    assert (result.stdout.strip() != "None") == loads_by_itself
