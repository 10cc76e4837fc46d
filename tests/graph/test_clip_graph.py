import pytest
import torch

from ser_graph.errors import InputError


def test_a_node_is_found_by_its_file(toy_graph):
    nodes = [toy_graph.node(file) for file in toy_graph.table.index]
    assert nodes == list(range(120)) and {type(node) for node in nodes} == {int}


@pytest.mark.parametrize("file", ["s0/0000.wav", "S0/000.wav", "s0\\000.wav"])
def test_near_names_are_told(toy_graph, file):
    with pytest.raises(InputError, match=r"in the graph; near it are \[.*'s0/000.wav'") as error:
        toy_graph.node(file)
    assert repr(file) in str(error.value) and "\n" not in str(error.value)


def test_a_name_that_is_near_to_none(toy_graph):
    for file in ("?", 3, None):
        with pytest.raises(InputError, match="expected one of its 120 files"):
            toy_graph.node(file)


def test_a_node_of_a_subgraph_is_counted_in_it(toy_graph):
    part = toy_graph.subgraph(torch.tensor([5, 3]))
    assert [part.node("s0/005.wav"), part.node("s0/003.wav")] == [0, 1]


def test_degrees_are_of_in_edges(four_clips):
    assert four_clips.degrees().tolist() == [3, 0, 1, 0, 2, *[0] * 115]
