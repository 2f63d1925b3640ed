"""Writes src/frontend/schema/onnx-table.ts: what the schemas of operators say, all versions, as compact data.

Needs the packages onnx (domains "" and ai.onnx.ml) and onnxruntime (com.microsoft); QONNX has no schemas, its
operators are written out below. Only for development: python scripts/onnx-schema.py

A row is [name, since, attributes, inputs, outputs, types, deprecated?]:
  attributes  name:K, K a letter of KINDS; then ! where required, or =default (JSON), and {values} where the schema enumerates them
  inputs      name:V, V a type variable or = and types; after the name ? optional, * variadic, & variadic of several types, with the least count
  types       V=types, a letter per ONNX element type (a = 1 float, b = 2 uint8, ...); - stands for what is no tensor
"""
import json
import os
import re
import sys

import onnx
import onnxruntime
from onnx import TensorProto, defs
from onnxruntime.capi import onnxruntime_pybind11_state as ort

KINDS = {"FLOAT": "f", "INT": "i", "STRING": "s", "TENSOR": "t", "GRAPH": "g", "SPARSE_TENSOR": "p", "TYPE_PROTO": "y",
         "FLOATS": "F", "INTS": "I", "STRINGS": "S", "TENSORS": "T", "GRAPHS": "G", "SPARSE_TENSORS": "P", "TYPE_PROTOS": "Y"}

# Candidates by attribute; a schema has those that its description or documentation names at that version.
ENUMERATIONS = {
    "auto_pad": ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"],
    "direction": ["forward", "reverse", "bidirectional"],
    "BitShift.direction": ["LEFT", "RIGHT"],
    "DepthToSpace.mode": ["DCR", "CRD"],
    "SpaceToDepth.mode": ["DCR", "CRD"],
    "Pad.mode": ["constant", "reflect", "edge", "wrap"],
    "Resize.mode": ["nearest", "linear", "cubic"],
    "Upsample.mode": ["nearest", "linear", "bilinear", "trilinear"],
    "RoiAlign.mode": ["avg", "max"],
    "GridSample.mode": ["linear", "nearest", "cubic", "bilinear", "bicubic"],
    "GridSample.padding_mode": ["zeros", "border", "reflection"],
    "TensorScatter.mode": ["linear", "circular"],
    "TfIdfVectorizer.mode": ["TF", "IDF", "TFIDF"],
    "StringNormalizer.case_change_action": ["LOWER", "UPPER", "NONE"],
    "coordinate_transformation_mode": ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize", "output_half_pixel"],
    "nearest_mode": ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"],
    "keep_aspect_ratio_policy": ["stretch", "not_larger", "not_smaller"],
    "approximate": ["none", "tanh"],
    "round_mode": ["up", "down", "nearest"],
    "reduction": ["none", "add", "mul", "max", "min", "sum", "mean"],
    "CausalConvWithState.activation": ["silu", "swish", "none"],
    "update_rule": ["linear", "gated", "delta", "gated_delta"],
    "post_transform": ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"],
    "kernel_type": ["LINEAR", "POLY", "RBF", "SIGMOID"],
    "norm": ["MAX", "L1", "L2"],
    "aggregate_function": ["AVERAGE", "SUM", "MIN", "MAX"],
    "nodes_modes": ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF"],
    "cast_to": ["TO_FLOAT", "TO_STRING", "TO_INT64"],
    "map_form": ["DENSE", "SPARSE"],
}
# Numbers that stand for names. @source TreeEnsemble-5, Attention-23
NUMBERS = {
    "TreeEnsemble.aggregate_function": 4, "TreeEnsemble.post_transform": 5, "Attention.qk_matmul_output_mode": 4,
}
# Yes or no, as 1 or 0: readers disagree on any other number.
FLAGS = {"keepdims", "exclusive", "reverse", "ceil_mode", "count_include_pad", "storage_order", "training_mode", "transA", "transB", "upper", "largest",
         "sorted", "select_last_index", "allowzero", "noop_with_empty_axes", "fmod", "antialias", "exclude_outside", "is_causal", "input_forget",
         "linear_before_reset", "layout", "interleaved", "saturate", "channels_last", "broadcast", "align_corners", "is_test", "weights_are_all_positive"}

# --- operators without schemas --------------------------------------------------------------------------------------------
# @source github.com/fastmachinelearning/qonnx, src/qonnx/custom_op/general (get_nodeattr_types, execute_node); FINN's and Brevitas' domains are its predecessors
ROUNDING = "{" + ",".join(m for n in ("ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN", "ROUND_TO_ZERO") for m in (n, n.lower())) + "}"
FLAG = "{0,1}"
# Exporters write the zero point and the width also as integers (QKeras by way of tf2onnx).
QUANT = (f"signed:i!{FLAG} narrow:i!{FLAG} rounding_mode:s=\"ROUND\"{ROUNDING}", "x:T scale:T zeropt:=afg bitwidth:=afg", "y:T", "T=a")
QONNX = [
    ("Quant", 1, *QUANT),
    ("IntQuant", 1, *QUANT),
    ("BipolarQuant", 1, "", "x:T scale:T", "y:T", "T=a"),
    ("Trunc", 1, f"rounding_mode:s=\"FLOOR\"{ROUNDING}", "x:T scale:T zeropt:T input_bitwidth:T output_bitwidth:T", "y:T", "T=a"),
    ("Trunc", 2, f"rounding_mode:s=\"FLOOR\"{ROUNDING} narrow:i=0{FLAG} signed:i=1{FLAG}", "x:T scale:T zeropt:T input_bitwidth:T output_scale:T output_bitwidth:T", "y:T", "T=a"),
    ("FloatQuant", 1, f"rounding_mode:s=\"ROUND\"{ROUNDING} has_inf:i{FLAG} has_nan:i{FLAG} has_subnormal:i{FLAG} saturation:i{FLAG} signed:i{FLAG}",
     "x:T scale:T exponent_bitwidth:T mantissa_bitwidth:T exponent_bias:T max_val:T", "y:T", "T=a"),
    ("MultiThreshold", 1, "out_dtype:s! out_scale:f=1 out_bias:f=0 data_layout:s", "x:T thresholds:T", "y:T", "T=a"),
]

# @source src/qonnx/custom_op/channels_last: ONNX's operators between transpositions
CHANNELS_LAST = [
    ("BatchNormalization", 1, "epsilon:f=1e-05 momentum:f=0.9", "x:T scale:T bias:T mean:T var:T", "y:T", "T=a"),
    ("Conv", 1, "auto_pad:s dilations:I group:i=1 kernel_shape:I pads:I strides:I", "x:T w:T b?:T", "y:T", "T=a"),
    ("MaxPool", 1, f"auto_pad:s ceil_mode:i=0{FLAG} dilations:I kernel_shape:I! pads:I strides:I", "x:T", "y:T", "T=a"),
]

ELEMENTS = {f"tensor({n.lower()})": chr(96 + v) for n, v in TensorProto.DataType.items() if v > 0}


def letters(types):
    found = sorted({ELEMENTS.get(t, "-") for t in types})
    return "".join(found)


def words(text, candidates):
    return [c for c in candidates if re.search(rf"(?<![\w]){re.escape(c)}(?![\w])", text)]


def default_of(attribute):
    raw = getattr(attribute, "_default_value", None)
    value = attribute.default_value if raw is None else onnx.AttributeProto.FromString(raw)
    if not value.name:
        return None
    v = onnx.helper.get_attribute_value(value)
    if isinstance(v, bytes):
        return v.decode()
    if isinstance(v, (list, tuple)) or type(v).__name__.startswith("Repeated"):
        return [e.decode() if isinstance(e, bytes) else e for e in v]
    return v if isinstance(v, (int, str)) else float(f"{v:.9g}") if isinstance(v, float) else None


def enumeration(schema, attribute):
    text = f"{attribute.description}\n{schema.doc}"
    key = f"{schema.name}.{attribute.name}"
    if key in NUMBERS:
        return [str(i) for i in range(NUMBERS[key])]
    if kind(attribute) in "sS":
        found = words(text, ENUMERATIONS.get(key, ENUMERATIONS.get(attribute.name, [])))
        return found if len(found) > 1 else []
    return ["0", "1"] if kind(attribute) == "i" and attribute.name in FLAGS else []


def kind(attribute):
    return KINDS[str(attribute.type).split(".")[-1]]


def attribute_text(schema, a):
    d = default_of(a)
    text = f"{a.name}:{kind(a)}" + ("!" if a.required else "" if d is None else "=" + json.dumps(d, separators=(",", ":")).replace(" ", "\\u0020"))
    values = enumeration(schema, a)
    assert d is None or not values or all(str(x) in values for x in (d if isinstance(d, list) else [d])), (schema.name, a.name, d, values)
    return text + (f"{{{','.join(values)}}}" if values else "")


def parameter_text(p, least, variables):
    option = str(p.option).split(".")[-1].rstrip(">").split(":")[0]
    name = re.sub(r"\W", "_", p.name)
    type_str = getattr(p, "type_str", None) or p.typeStr
    homogeneous = getattr(p, "is_homogeneous", None)
    if homogeneous is None:
        homogeneous = p.isHomogeneous
    mark = "?" if "Optional" in option else "" if "Single" in option else f"{'*' if homogeneous else '&'}{least}"
    return f"{name}{mark}:{type_str if type_str in variables else '=' + letters([type_str])}"


def row(s):
    variables = {c.type_param_str: letters(c.allowed_type_strs) for c in s.type_constraints}
    least = lambda params, count: [max(0, count - i) for i in range(len(params))]
    inputs = " ".join(parameter_text(p, n, variables) for p, n in zip(s.inputs, least(s.inputs, s.min_input)))
    outputs = " ".join(parameter_text(p, n, variables) for p, n in zip(s.outputs, least(s.outputs, s.min_output)))
    attributes = " ".join(attribute_text(s, a) for _, a in sorted(s.attributes.items()))
    types = " ".join(f"{k}={v}" for k, v in sorted(variables.items()))
    return [s.name, s.since_version, attributes, inputs, outputs, types] + ([1] if s.deprecated else [])


OLDEST = 6  # as OPSETS of src/frontend/import.ts


def domain(schemas, oldest=1):
    """Rows in order, without those that a later version replaces before the oldest operator set that is read."""
    ordered = sorted(schemas, key=lambda s: (s.name, s.since_version))
    following = ordered[1:] + [None]
    return [row(s) for s, n in zip(ordered, following) if n is None or n.name != s.name or n.since_version > oldest]


def unpickled(schemas):
    """Attributes of onnxruntime's schemas are other objects of the same content."""
    return [s for s in schemas if s.domain == "com.microsoft"]


tables = {
    "": domain([s for s in defs.get_all_schemas_with_history() if s.domain == ""], OLDEST),
    "ai.onnx.ml": domain(s for s in defs.get_all_schemas_with_history() if s.domain == "ai.onnx.ml"),
    "com.microsoft": domain(unpickled(ort.get_all_operator_schema())),
    "qonnx.custom_op.general": sorted((list(r) for r in QONNX), key=lambda r: (r[0], r[1])),
    "qonnx.custom_op.channels_last": [list(r) for r in CHANNELS_LAST],
}
newest = {"": defs.onnx_opset_version(), "ai.onnx.ml": max(r[1] for r in tables["ai.onnx.ml"]), "com.microsoft": 1, "qonnx.custom_op.general": 2, "qonnx.custom_op.channels_last": 1}

root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
path = os.path.join(root, "src", "frontend", "schema", "onnx-table.ts")
lines = [
    f"/** Written by scripts/onnx-schema.py from onnx {onnx.__version__} and onnxruntime {onnxruntime.__version__}; it says what the letters mean. Do not edit. */",
    "export type SchemaRow = readonly [name: string, since: number, attributes: string, inputs: string, outputs: string, types: string, deprecated?: number];",
    "",
    "/** Newest version of each domain that the tables know. */",
    f"export const NEWEST: Readonly<Record<string, number>> = {json.dumps(newest)};",
    "",
    "export const TABLES: Readonly<Record<string, readonly SchemaRow[]>> = {",
]
for name, rows in tables.items():
    lines.append(f"  {json.dumps(name)}: [")
    lines += [f"    {json.dumps(r, separators=(',', ':'))}," for r in rows]
    lines.append("  ],")
lines.append("};")
with open(path, "w", encoding="utf8") as f:
    f.write("\n".join(lines) + "\n")
print(f"{sum(map(len, tables.values()))} schemas, {os.path.getsize(path)} bytes", file=sys.stderr)
