import numpy as np
import pytest

from ser_graph.analysis import column_codes, text_columns
from ser_graph.errors import InputError


def test_codes_of_the_graph_go_before_the_table(toy_graph):
    toy_graph.y[0] = -1
    names, codes = column_codes(toy_graph)
    assert names == ["anger", "fear", "sadness"]
    assert codes is toy_graph.y


@pytest.mark.parametrize("values", [["b", np.nan, "a"], ["b", None, "a"], [np.nan] * 3, [True, True, False]])
def test_other_columns_are_coded_by_their_values(toy_graph, values):
    toy_graph.table["note"] = values * 40
    names, codes = column_codes(toy_graph, "note")
    known = [str(value) if value is not None and value == value else None for value in values]
    assert [names[code] if code >= 0 else None for code in codes[:3].tolist()] == known
    assert len(names) == len({value for value in known if value is not None})
    assert names == sorted(names)


def test_split_is_a_column(toy_graph):
    names, codes = column_codes(toy_graph, "split")
    assert names == ["dev", "test", "train"]
    assert ((codes == 2) == toy_graph.train_mask).all()


@pytest.mark.parametrize("by", ["age", "duration", "file"])
def test_numbers_and_unknown_columns_are_refused(toy_graph, by):
    toy_graph.table["age"] = 30.0
    assert text_columns(toy_graph) == ["emotion", "speaker", "gender", "split"]
    expected = rf"Bad column '{by}', expected one of \['emotion', 'gender', 'speaker', 'split'\]"
    with pytest.raises(InputError, match=expected):
        column_codes(toy_graph, by)
