"""Smaller ONNX models with the same results."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings, strategies as st
from onnx import TensorProto, helper, numpy_helper

from ser_graph.edge.shrinking import shrink


def model_of(table: np.ndarray) -> onnx.ModelProto:
    """``y = relu(x @ table)``, with the notes that torch writes."""
    rows, columns = table.shape
    nodes = [
        helper.make_node(
            "MatMul", ["x", "a.long.name"], ["middle"], name="a.node", doc_string="/home/somebody/a.py"
        ),
        helper.make_node("Relu", ["middle"], ["y"], name="another.node"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", columns])],
        [numpy_helper.from_array(table, "a.long.name")],
        value_info=[helper.make_tensor_value_info("middle", TensorProto.FLOAT, ["n", columns])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(["y"], {"x": x})[0]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.01, 0.2, 1.0]))
def test_the_result_stays_to_the_bit(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    table = (rng.normal(size=(90, 64)) * (rng.random((90, 64)) < share)).astype(np.float32)
    x = rng.normal(size=(3, 90)).astype(np.float32)
    model, small = model_of(table), model_of(table)
    shrink(small.graph, set())
    onnx.checker.check_model(small)
    np.testing.assert_array_equal(run(small, x), run(model, x))


def test_a_table_of_zeros_takes_the_space_of_its_other_values() -> None:
    table = np.zeros((90, 64), np.float32)
    table[np.arange(64), np.arange(64)] = 1
    model = model_of(table)
    shrink(model.graph, set())
    assert model.ByteSize() < 1_500 < table.nbytes


def test_only_kept_names_stay() -> None:
    model = model_of(np.ones((90, 64), np.float32))
    shrink(model.graph, {"middle"})
    stored = model.SerializeToString()
    assert b"somebody" not in stored and b"long" not in stored and b"node" not in stored
    assert [value.name for value in model.graph.value_info] == ["middle"]
    assert {"x", "y", "middle"} <= {name for node in model.graph.node for name in [*node.input, *node.output]}


def test_an_input_that_is_left_out_stays_left_out() -> None:
    model = model_of(np.ones((90, 64), np.float32))
    limit = numpy_helper.from_array(np.array(3, np.float32), "limit")
    model.graph.initializer.append(limit)
    model.graph.node[1].CopyFrom(helper.make_node("Clip", ["middle", "", "limit"], ["y"]))
    x = np.random.default_rng(0).normal(size=(3, 90)).astype(np.float32)
    before = run(model, x)
    shrink(model.graph, set())
    np.testing.assert_array_equal(run(model, x), before)
    assert before.max() == pytest.approx(3)
