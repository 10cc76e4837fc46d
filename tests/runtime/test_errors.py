import pytest
from hypothesis import given, settings, strategies as st

from ser_graph_runtime.errors import InputError, bad_value, shorten


def test_a_bad_value_names_what_was_given_and_what_is_accepted():
    error = bad_value("layer", "fc3", (name for name in ("fc2", "fc1")))
    assert isinstance(error, InputError)
    assert isinstance(error, ValueError)
    assert str(error) == "Bad layer 'fc3', expected one of ['fc1', 'fc2']"


def test_accepted_values_of_several_types_are_listed():
    assert str(bad_value("length", 7, [None, 3, "auto"])).endswith("expected one of [3, None, 'auto']")


@settings(deadline=None)
@given(names=st.lists(st.sampled_from("abc")), limit=st.integers(1, 5))
def test_a_shortened_list_counts_every_name(names, limit):
    text = shorten(names, limit)
    listed, _, rest = text.partition(" and ")
    n_listed = len(listed.split(", ")) if listed else 0
    n_rest = int(rest.removesuffix(" more")) if rest else 0
    assert n_listed + n_rest == len(names)
    assert n_listed == min(len(names), limit)


@pytest.mark.parametrize(
    ("names", "text"),
    [([], ""), (["a"], "a"), ([1, 2, 3], "1, 2, 3"), ([1, 2, 3, 4, 5], "1, 2, 3 and 2 more")],
)
def test_shorten(names, text):
    assert shorten(iter(names)) == text
