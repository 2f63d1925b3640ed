"""Models node by node in float64 instead of float32: what ONNX says without the rounding of float32.

Sums of products of codes are exact there, and a quotient is wrong by 2^-53 of itself. What is rounded is what the model rounds: QuantizeLinear.
"""
import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

LIMITS = {np.dtype(t): (np.iinfo(t).min, np.iinfo(t).max) for t in (np.int8, np.uint8, np.int16, np.uint16, np.int32)}


def along(v, rank, axis):
    return v if np.ndim(v) == 0 or np.size(v) == 1 else np.reshape(v, [-1 if d == axis % rank else 1 for d in range(rank)])


class QuantizeLinear(OpRun):
    op_domain = ""

    def _run(self, x, scale, zero=None, axis=1, saturate=None, block_size=None, output_dtype=None, precision=None):
        zero = np.uint8(0) if zero is None else zero
        lo, hi = LIMITS[np.asarray(zero).dtype]
        scale, offset = along(np.asarray(scale, np.float64), x.ndim, axis), along(np.asarray(zero, np.float64), x.ndim, axis)
        return (np.clip(np.rint(x / scale) + offset, lo, hi).astype(np.asarray(zero).dtype),)


class DequantizeLinear(OpRun):
    op_domain = ""

    def _run(self, x, scale, zero=None, axis=1, block_size=None, output_dtype=None):
        scale, offset = along(np.asarray(scale, np.float64), x.ndim, axis), along(np.asarray(0 if zero is None else zero, np.float64), x.ndim, axis)
        return ((x.astype(np.float64) - offset) * scale,)


class Conv(OpRun):
    """The evaluator's own takes minutes."""

    op_domain = ""

    def _run(self, x, w, b=None, auto_pad=None, dilations=None, group=None, kernel_shape=None, pads=None, strides=None):
        n = x.ndim - 2
        pads, strides, dilations = pads or [0] * (2 * n), strides or [1] * n, dilations or [1] * n
        assert auto_pad in (None, "NOTSET"), auto_pad
        x = np.pad(x, [(0, 0), (0, 0), *((pads[d], pads[n + d]) for d in range(n))])
        out = [(x.shape[2 + d] - dilations[d] * (w.shape[2 + d] - 1) - 1) // strides[d] + 1 for d in range(n)]
        group = group or 1
        y = np.zeros([x.shape[0], w.shape[0], *out])
        per, to = w.shape[1], w.shape[0] // group
        for k in np.ndindex(*w.shape[2:]):
            at = tuple(slice(k[d] * dilations[d], k[d] * dilations[d] + (out[d] - 1) * strides[d] + 1, strides[d]) for d in range(n))
            for g in range(group):
                part = x[(slice(None), slice(g * per, (g + 1) * per), *at)]
                y[:, g * to : (g + 1) * to] += np.moveaxis(np.tensordot(w[(slice(g * to, (g + 1) * to), slice(None), *k)], part, ([1], [1])), 0, 1)
        return (y if b is None else y + np.reshape(b, [-1] + [1] * n),)


def widen(tensor):
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name) if tensor.data_type == TensorProto.FLOAT else tensor


class Exact:
    def __init__(self, model):
        m = onnx.load_from_string(model)
        initializers = [widen(t) for t in m.graph.initializer]
        del m.graph.initializer[:]
        m.graph.initializer.extend(initializers)
        for node in m.graph.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                node.domain = ""
            for a in node.attribute:
                if node.op_type == "Constant" and a.name == "value":
                    a.t.CopyFrom(widen(a.t))
                if a.name == "stash_type":
                    a.i = TensorProto.DOUBLE
                assert node.op_type != "Cast", "a Cast would round"
            assert not node.op_type.startswith("QLinear"), "in QDQ form only"
        self.evaluator = ReferenceEvaluator(m, new_ops=[QuantizeLinear, DequantizeLinear, Conv])
        self.names = [o.name for o in m.graph.output]

    def run(self, inputs):
        return dict(zip(self.names, self.evaluator.run(None, {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in inputs.items()})))
