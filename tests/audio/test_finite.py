"""NaN and infinity, beside NumPy's own answer."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays, floating_dtypes

from ser_graph.audio.finite import check_finite, is_finite
from ser_graph.errors import InputError


@given(arrays(floating_dtypes(endianness="=", sizes=(16, 32, 64)), st.integers(0, 5)))
def test_the_answer_is_that_of_numpy(values):
    assert is_finite(values) == np.isfinite(values).all()


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 255, 256, 599])
def test_the_clip_is_named_in_memory_and_on_disk(tmp_path, odd, row):
    x = np.zeros((600, 3, 2), np.float16)
    check_finite(x)
    x[row, 2, 1] = odd
    np.save(tmp_path / "x.npy", x)
    for values in (x, np.load(tmp_path / "x.npy", mmap_mode="r")):
        with pytest.raises(InputError, match=f"^The spectrogram of clip {row} holds NaN or infinity"):
            check_finite(values)
