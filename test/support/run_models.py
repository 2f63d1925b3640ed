"""Runs models through ONNX Runtime for test/support/onnxruntime.ts, one request after the other, until its input ends.

A message is a line of JSON and the bytes that the line announces. Request: {"bytes": n, "optimize": bool, "int8": bool, "exact": bool, "samples": [{name: {"type", "shape"}}]},
then the model and the numbers of all inputs as float64. Answer: {"samples": [{name: {"type", "shape"}}]}, then the numbers of all
outputs as float64; or {"error": text}.
"""
import json
import sys

import numpy as np
import onnxruntime as ort

TYPES = {"float": np.float32, "double": np.float64, "float16": np.float16, "bool": np.bool_, **{t: getattr(np, t) for t in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")}}
NAMES = {np.dtype(v): k for k, v in TYPES.items()}
ort.set_default_logger_severity(4)


def tensor(stream, spec):
    count = int(np.prod(spec["shape"], dtype=np.int64))
    return np.frombuffer(stream.read(8 * count), np.float64).reshape(spec["shape"]).astype(TYPES[spec["type"]])


def serve(request, stream):
    model = stream.read(request["bytes"])
    samples = [{name: tensor(stream, spec) for name, spec in s.items()} for s in request["samples"]]
    if request["exact"]:
        # Imported here: onnx takes a second.
        from exact import Exact

        exact = Exact(model)
        return answer_of([exact.run(s) for s in samples])
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL if request["optimize"] else ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if request["int8"]:
        options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return answer_of([dict(zip(names, session.run(None, s))) for s in samples])


def answer_of(results):
    header = {"samples": [{n: {"type": NAMES[a.dtype], "shape": list(a.shape)} for n, a in r.items()} for r in results]}
    return header, [np.ascontiguousarray(a, np.float64).tobytes() for r in results for a in r.values()]


while line := sys.stdin.buffer.readline():
    try:
        answer, blobs = serve(json.loads(line), sys.stdin.buffer)
    except Exception as e:  # The request has been read in full: what fails is the model.
        answer, blobs = {"error": f"{type(e).__name__}: {e}"}, []
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + b"".join(blobs))
    sys.stdout.buffer.flush()
