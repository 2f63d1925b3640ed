"""Writes square.onnx: a dense layer, an operator of our own (com.example::Square), another dense layer."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(1)
w1 = numpy_helper.from_array(rng.normal(0, 0.5, (8, 4)).astype(np.float32), "w1")
w2 = numpy_helper.from_array(rng.normal(0, 0.5, (4, 2)).astype(np.float32), "w2")
graph = helper.make_graph(
    [
        helper.make_node("MatMul", ["x", "w1"], ["h"], name="first"),
        helper.make_node("Square", ["h"], ["q"], name="energy", domain="com.example"),
        helper.make_node("MatMul", ["q", "w2"], ["y"], name="second"),
    ],
    "square",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
    [w1, w2],
)
opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), "square.onnx")
