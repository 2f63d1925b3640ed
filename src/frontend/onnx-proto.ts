/**
 * ONNX's protobuf schema, as far as models use it, and its decoding. @source onnx/onnx.proto, ONNX 1.20 (IR version 13)
 */
import protobuf from "protobufjs";
import { checkWire } from "./wire-check.js";

const schema = `
syntax = "proto3";
package onnx;
message AttributeProto {
  string name = 1; string ref_attr_name = 21; string doc_string = 13; int32 type = 20;
  float f = 2; int64 i = 3; bytes s = 4; TensorProto t = 5; GraphProto g = 6; SparseTensorProto sparse_tensor = 22;
  repeated float floats = 7; repeated int64 ints = 8; repeated bytes strings = 9; repeated TensorProto tensors = 10; repeated GraphProto graphs = 11;
}
message ValueInfoProto { string name = 1; TypeProto type = 2; string doc_string = 3; }
message NodeProto { repeated string input = 1; repeated string output = 2; string name = 3; string op_type = 4; string domain = 7; string overload = 8; repeated AttributeProto attribute = 5; string doc_string = 6; }
message StringStringEntryProto { string key = 1; string value = 2; }
message ModelProto {
  int64 ir_version = 1; repeated OperatorSetIdProto opset_import = 8; string producer_name = 2; string producer_version = 3; string domain = 4;
  int64 model_version = 5; string doc_string = 6; GraphProto graph = 7; repeated StringStringEntryProto metadata_props = 14; repeated FunctionProto functions = 25;
}
message GraphProto {
  repeated NodeProto node = 1; string name = 2; repeated TensorProto initializer = 5; repeated SparseTensorProto sparse_initializer = 15; string doc_string = 10;
  repeated ValueInfoProto input = 11; repeated ValueInfoProto output = 12; repeated ValueInfoProto value_info = 13;
}
message TensorProto {
  repeated int64 dims = 1; int32 data_type = 2; repeated float float_data = 4; repeated int32 int32_data = 5; repeated bytes string_data = 6;
  repeated int64 int64_data = 7; string name = 8; string doc_string = 12; bytes raw_data = 9; repeated StringStringEntryProto external_data = 13; int32 data_location = 14;
  repeated double double_data = 10; repeated uint64 uint64_data = 11;
}
message SparseTensorProto { TensorProto values = 1; TensorProto indices = 2; repeated int64 dims = 3; }
message TensorShapeProto { message Dimension { oneof value { int64 dim_value = 1; string dim_param = 2; } string denotation = 3; } repeated Dimension dim = 1; }
message TypeProto {
  message Tensor { int32 elem_type = 1; TensorShapeProto shape = 2; }
  message Sequence { TypeProto elem_type = 1; }
  message Map { int32 key_type = 1; TypeProto value_type = 2; }
  message Optional { TypeProto elem_type = 1; }
  oneof value { Tensor tensor_type = 1; Sequence sequence_type = 4; Map map_type = 5; Tensor sparse_tensor_type = 8; Optional optional_type = 9; }
  string denotation = 6;
}
message OperatorSetIdProto { string domain = 1; int64 version = 2; }
message FunctionProto { string name = 1; repeated string input = 4; repeated string output = 5; repeated string attribute = 6; repeated AttributeProto attribute_proto = 11; repeated NodeProto node = 7; string doc_string = 8; repeated OperatorSetIdProto opset_import = 9; string domain = 10; string overload = 13; repeated ValueInfoProto value_info = 12; }
`;

/** An int64 as protobufjs gives it. */
export type Int64 =
  | number
  | { readonly low: number; readonly high: number; readonly unsigned: boolean; toNumber(): number };

export interface TensorProto {
  readonly name: string;
  readonly dims: readonly Int64[];
  readonly dataType: number;
  readonly rawData: Uint8Array;
  readonly floatData: readonly number[];
  readonly int32Data: readonly number[];
  readonly int64Data: readonly Int64[];
  readonly doubleData: readonly number[];
  readonly uint64Data: readonly Int64[];
  readonly stringData: readonly Uint8Array[];
  readonly externalData: readonly { readonly key: string; readonly value: string }[];
  readonly dataLocation: number;
}
export interface AttributeProto {
  readonly name: string;
  readonly type: number;
  readonly f: number;
  readonly i: Int64;
  readonly s: Uint8Array;
  readonly t: TensorProto | null;
  readonly g: GraphProto | null;
  /** In a function: the attribute of the call that is meant. */
  readonly refAttrName: string;
  readonly floats: readonly number[];
  readonly ints: readonly Int64[];
  readonly strings: readonly Uint8Array[];
}
export interface NodeProto {
  readonly name: string;
  readonly opType: string;
  readonly domain: string;
  readonly overload: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute: readonly AttributeProto[];
}
export interface FunctionProto {
  readonly name: string;
  readonly domain: string;
  readonly overload: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute: readonly string[];
  readonly attributeProto: readonly AttributeProto[];
  readonly node: readonly NodeProto[];
  readonly opsetImport: readonly { readonly domain: string; readonly version: Int64 }[];
}
export interface DimensionProto {
  readonly dimValue: Int64;
  readonly dimParam: string;
  readonly value?: "dimValue" | "dimParam";
}
export interface ValueInfoProto {
  readonly name: string;
  readonly type: {
    readonly tensorType: {
      readonly elemType: number;
      readonly shape: { readonly dim: readonly DimensionProto[] } | null;
    } | null;
  } | null;
}
export interface GraphProto {
  readonly name: string;
  readonly node: readonly NodeProto[];
  readonly initializer: readonly TensorProto[];
  readonly sparseInitializer: readonly unknown[];
  readonly input: readonly ValueInfoProto[];
  readonly output: readonly ValueInfoProto[];
  readonly valueInfo: readonly ValueInfoProto[];
}
export interface ModelProto {
  readonly irVersion: Int64;
  readonly opsetImport: readonly { readonly domain: string; readonly version: Int64 }[];
  readonly graph: GraphProto | null;
  readonly functions: readonly FunctionProto[];
}

let root: protobuf.Root | undefined;

/** A message of the schema, such as `onnx.ModelProto`, to read or write. */
export function messageType(name: string): protobuf.Type {
  root ??= protobuf.parse(schema).root;
  return root.lookupType(name);
}

function decode<T>(type: string, bytes: Uint8Array): T {
  const message = messageType(type);
  checkWire(bytes, message);
  return message.decode(bytes) as unknown as T;
}

/** Decodes a model; throws an Error that says what is wrong where the bytes are no protobuf. */
export function decodeModel(bytes: Uint8Array): ModelProto {
  return decode("onnx.ModelProto", bytes);
}
/** Decodes a tensor in a file of its own, as ONNX's test data sets hold them. */
export function decodeTensor(bytes: Uint8Array): TensorProto {
  return decode("onnx.TensorProto", bytes);
}

export function toNumber(v: Int64): number {
  return typeof v === "number" ? v : v.toNumber();
}
