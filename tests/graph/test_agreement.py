import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, strategies as st

from ser_graph.graph.agreement import CODES, MASKS, clip_numbers, encode, names_of

NUMBERS = [5089532923247096689, 1723198466032728011, -4071026783057000706]
CELLS = st.sampled_from(["a", "b", "c", None, np.nan])
SPLITS = st.sampled_from(["train", "dev", "test", "else", None])


@st.composite
def tables(draw) -> pd.DataFrame:
    n = draw(st.integers(0, 6))
    columns = {column: draw(st.lists(CELLS, min_size=n, max_size=n)) for column in CODES}
    columns["split"] = draw(st.lists(SPLITS, min_size=n, max_size=n))
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})


@given(tables(), st.dictionaries(st.sampled_from(list(CODES)), st.lists(st.sampled_from("ABCabc"), unique=True)))
def test_codes_are_places_among_the_names(table, known):
    names = names_of(table, known)
    tensors = encode(table, names)
    for column, code in CODES.items():
        assert names[column] == sorted({*known.get(column, []), *table[column].dropna()})
        assert tensors[code].dtype == torch.int64
        said = [names[column][place] if place >= 0 else None for place in tensors[code].tolist()]
        assert said == [None if pd.isna(cell) else cell for cell in table[column]]
    for split, mask in MASKS.items():
        assert tensors[mask].dtype == torch.bool
        assert tensors[mask].tolist() == [cell == split for cell in table["split"]]


def test_a_table_without_a_column_says_nothing():
    tensors = encode(pd.DataFrame(index=["a.wav", "b.wav"]), {})
    assert tensors["y"].tolist() == [-1, -1] and tensors["train_mask"].tolist() == [False, False]


def test_a_name_that_is_none_of_the_names_has_no_code():
    assert encode(pd.DataFrame({"emotion": ["joy", "fear"]}), {"emotion": ["fear"]})["y"].tolist() == [-1, 0]


def test_numbers_of_clips_stay_what_they_are():
    """They are stored: another hash, or another order of bytes, would make stored graphs unreadable."""
    assert clip_numbers(["a.wav", "à.wav", "bad\udce4.wav"]).tolist() == NUMBERS
    assert clip_numbers([]).shape == (0,)


@pytest.mark.parametrize("n", [100_000])
def test_no_two_of_many_clips_have_one_number(n):
    numbers = clip_numbers(f"s{clip % 100}/{clip:06d}.wav" for clip in range(n))
    assert numbers.dtype == torch.int64 and len(numbers.unique()) == n and 0 not in numbers
