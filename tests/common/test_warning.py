"""A warning names the line of the user, not a line of the package."""

import linecache

import pandas as pd
import pytest

from ser_graph.common.warning import warn
from ser_graph.upstream import Upstream


def test_the_place_is_the_callers_line_through_layers_of_the_package(make_clips):
    root = make_clips("a.wav", "b.wav")
    table = pd.DataFrame(index=["a.wav", "b.wav"])
    with pytest.warns(UserWarning, match="No layer of this upstream is trained") as found:
        Upstream.small().embed(table, root=root, progress=False)
    assert found[0].filename == __file__
    assert "Upstream.small().embed" in linecache.getline(__file__, found[0].lineno)


def test_a_warning_of_ones_own_points_to_the_call():
    with pytest.warns(DeprecationWarning, match="old") as found:
        warn("old", DeprecationWarning)
    assert found[0].filename == __file__
