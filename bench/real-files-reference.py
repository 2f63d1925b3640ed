"""Plausible data for a model, and what ONNX Runtime makes of them: the outside reference of bench/real-files.ts.

    python bench/real-files-reference.py JOBS.json

JOBS.json is a list of {model, data, shapes?, bind?}: a file, a folder to make, shapes by input name where the file leaves them open, and
values of inputs that are constants of the hardware. Writes
calib.npz (inputs), held.npz (inputs of other samples) and expected.npz (what ONNX Runtime makes of these) into the folder, the first
axis counting samples, and info.json, which says why some of them are missing.

The same rule for all models: images and series (rank 3 and more) are smooth standard normal noise, other floats standard normal;
unsigned bytes are the same noise over their range; features that trees or Less and Greater compare with constants lie around those
constants; integers that index a table lie within it, other integers and booleans are 0 or 1.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(int16)": np.int16, "tensor(uint16)": np.uint16,
    "tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(uint32)": np.uint32, "tensor(uint64)": np.uint64, "tensor(bool)": np.bool_,
}
# What hands an index on as it is.
TRANSPARENT = {"Cast", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity", "Slice", "Transpose", "Expand", "Clip"}


HELD_OUT = 32
# Of processor time in ONNX Runtime; networks that are larger get fewer samples.
SECONDS = 0.4


class Stop(Exception):
    pass


def reason(error, path):
    return str(error).splitlines()[0].replace(path, Path(path).name)[:200]


class Entry:
    """An input as ONNX Runtime describes it, of a file that it cannot read."""

    def __init__(self, info):
        kinds = {onnx.TensorProto.FLOAT: "float", onnx.TensorProto.DOUBLE: "double", onnx.TensorProto.INT64: "int64", onnx.TensorProto.INT32: "int32", onnx.TensorProto.UINT8: "uint8", onnx.TensorProto.INT8: "int8"}
        tensor = info.type.tensor_type
        self.name, self.type = info.name, f"tensor({kinds.get(tensor.elem_type, '?')})"
        self.shape = [d.dim_value or d.dim_param for d in tensor.shape.dim]


def constants(graph):
    found = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    for n in graph.node:
        if n.op_type == "Constant":
            for a in n.attribute:
                if a.name == "value":
                    found[n.output[0]] = numpy_helper.to_array(a.t)
    return found


def table_lengths(graph, known):
    """For each input that reaches the indices of a Gather or the classes of a OneHot: how many there are."""
    lengths, origin = {}, {i.name: i.name for i in graph.input}
    for n in graph.node:
        source = next((origin[i] for i in n.input[:1] if i in origin), None)
        if n.op_type in TRANSPARENT and source is not None:
            origin[n.output[0]] = source
        table = index = None
        if n.op_type == "Gather" and len(n.input) > 1 and n.input[0] in known and n.input[1] in origin:
            axis = next((a.i for a in n.attribute if a.name == "axis"), 0)
            table, index = known[n.input[0]].shape[axis], origin[n.input[1]]
        if n.op_type == "OneHot" and n.input[0] in origin and n.input[1] in known:
            table, index = int(known[n.input[1]].reshape(-1)[0]), origin[n.input[0]]
        if index is not None:
            lengths[index] = min(table, lengths.get(index, table))
    return lengths


def thresholds(graph):
    """Smallest and largest constant that the trees compare with each feature, by feature."""
    ranges = {}
    for n in graph.node:
        if not n.op_type.startswith("TreeEnsemble"):
            continue
        a = {x.name: x for x in n.attribute}
        if "nodes_featureids" in a and "nodes_values" in a:
            features, values, modes = a["nodes_featureids"].ints, a["nodes_values"].floats, [m.decode() for m in a["nodes_modes"].strings]
        elif "nodes_splits" in a:
            features, values, modes = a["nodes_featureids"].ints, numpy_helper.to_array(a["nodes_splits"].t), [""] * len(a["nodes_featureids"].ints)
        else:
            continue
        for f, v, m in zip(features, values, modes):
            if m != "LEAF":
                lo, hi = ranges.get(f, (v, v))
                ranges[f] = (min(lo, v), max(hi, v))
    return ranges


def shape_of(entry, given):
    shape = [d if isinstance(d, int) and d > 0 else None for d in entry.shape]
    if entry.name in given:
        return list(given[entry.name])
    if any(d is None for d in shape[1:]):
        raise Stop(f"input {entry.name} has open dimensions: {entry.shape}")
    return [1 if d is None else d for d in shape]


def noise(rng, shape):
    """Standard normal; smooth along the axes that hold pixels or time."""
    x = rng.standard_normal(shape)
    if len(shape) < 3:
        return x
    # Channels, first or last, are not smoothed: an axis is taken for pixels or time where it is long enough.
    for axis in range(1, len(shape)):
        if shape[axis] >= 8:
            x = sum(np.roll(x, k, axis) for k in range(-2, 3))
    return (x - x.mean()) / max(1e-9, x.std())


def sample(rng, name, dtype, shape, lengths, ranges, single):
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(bool)
    if dtype in (np.uint8, np.int8, np.uint16, np.int16) and name not in lengths:
        info = np.iinfo(dtype)
        return np.clip(np.rint(noise(rng, shape) * 48 + (128 if info.min == 0 else 0)), info.min, info.max).astype(dtype)
    if np.issubdtype(dtype, np.integer) or name in lengths:
        return rng.integers(0, lengths.get(name, 2), shape).astype(dtype)
    if ranges and single and len(shape) == 2:
        x = rng.standard_normal(shape)
        for f, (lo, hi) in ranges.items():
            if f < shape[1]:
                margin = 0.1 * (hi - lo) + 0.1 * abs(hi) + 1e-3
                x[:, f] = rng.uniform(lo - margin, hi + margin, shape[0])
        return x.astype(dtype)
    return noise(rng, shape).astype(dtype)


def as_array(y):
    if isinstance(y, list):  # ZipMap: a map for each row
        return np.array([[row[k] for k in row] for row in y], np.float64) if y and isinstance(y[0], dict) else None
    return None if y.dtype.kind not in "fiub" else y


def make_data(path, out, given, bind):
    model = onnx.load(path, load_external_data=False)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    # As the file says it, not as an optimizer rewrites it.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for i in model.graph.input:
        # Also over a batch that the file fixes.
        for d, size in zip(i.type.tensor_type.shape.dim, given.get(i.name, [])):
            d.dim_value = size
    if given:
        del model.graph.value_info[:]
        for o in model.graph.output:
            o.type.tensor_type.ClearField("shape")
    problem = None
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString() if given else path, options, providers=["CPUExecutionProvider"])
        entries = session.get_inputs()
    except Exception as e:  # an operator of another domain, as a rule: data can be made all the same
        problem = reason(e, path)
        initial = {i.name for i in model.graph.initializer}
        entries = [Entry(i) for i in model.graph.input if i.name not in initial]
    known = constants(model.graph)
    lengths, ranges = table_lengths(model.graph, known), thresholds(model.graph)
    for e in entries:
        if e.type not in TYPES:
            raise Stop(f"input {e.name} is a {e.type}")
    bound = {e.name: np.full(e.shape, bind[e.name], TYPES[e.type]) for e in entries if e.name in bind}
    entries = [e for e in entries if e.name not in bind]
    shapes = {e.name: shape_of(e, given) for e in entries}
    rng = np.random.default_rng(1)

    def make():
        return {e.name: sample(rng, e.name, TYPES[e.type], shapes[e.name], lengths, ranges, len(entries) == 1) for e in entries}

    def write(name, samples):
        np.savez(out / name, **{k: np.concatenate([s[k].reshape(1) if s[k].ndim == 0 else s[k] for s in samples]) for k in samples[0]})

    started = time.process_time()
    samples, runs = [], []
    while len(samples) < HELD_OUT and (len(samples) < 2 or time.process_time() - started < SECONDS):
        samples.append(make())
        if problem is None:
            try:
                runs.append(session.run(None, {**samples[-1], **bound}))
            except Exception as e:
                problem = reason(e, path)
    write("held.npz", samples)
    write("calib.npz", [make() for _ in range(2 * len(samples))])
    if problem is None:
        arrays = {o.name: [as_array(r[i]) for r in runs] for i, o in enumerate(session.get_outputs())}
        np.savez(out / "expected.npz", **{n: np.stack(a).astype(np.float64) for n, a in arrays.items() if a[0] is not None and all(x.shape == a[0].shape for x in a)})
    return {} if problem is None else {"problem": problem}


def main():
    for job in json.loads(Path(sys.argv[1]).read_text()):
        out = Path(job["data"])
        out.mkdir()
        try:
            info = make_data(job["model"], out, job.get("shapes", {}), job.get("bind", {}))
        except Stop as e:
            info = {"no_data": str(e)}
        except Exception as e:
            info = {"no_data": f"{type(e).__name__}: {e}"[:200]}
        (out / "info.json").write_text(json.dumps(info))


main()
