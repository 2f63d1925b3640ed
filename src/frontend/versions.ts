/** Which domain and operator set a node means, where files say so or leave it out. */
import { printable, UserError, type Sink } from "../diagnostics/index.js";
import { changed } from "./inline.js";
import { toNumber, type FunctionProto, type NodeProto } from "./onnx-proto.js";
import { lookupOnnxOp } from "./operators/index.js";
import { newestOpset, operatorSchema, schemaVersions, tableDomain } from "./schema/schema.js";

/** Oldest and newest operator sets of ONNX whose meaning the importer knows. */
export const OPSETS = { oldest: 6, newest: newestOpset("")! };

/** The first version of a domain. */
const FIRST = 1;
/**
 * Domains of which tools write operators without importing them. Such files mean their first version; later ones must
 * say so.
 */
const UNIMPORTED = ["com.microsoft", "qonnx.custom_op.general", "qonnx.custom_op.channels_last"];
/** Quantizers write operators of this domain under ONNX's. */
const ADOPTED = "qonnx.custom_op.general";

/** A node under ONNX's domain whose operator ONNX does not have in any version, but QONNX has. */
export function isAdopted(node: NodeProto): boolean {
  return (
    (node.domain === "" || node.domain === "ai.onnx") &&
    lookupOnnxOp("", node.opType) === undefined &&
    schemaVersions("", node.opType).length === 0 &&
    lookupOnnxOp(ADOPTED, node.opType) !== undefined
  );
}

/**
 * Oldest and newest operator set of a domain, where `opset` is outside of them; undefined for domains without schemas.
 */
export function opsetProblem(
  domain: string,
  opset: number,
): { readonly oldest: number; readonly newest: number } | undefined {
  const newest = newestOpset(domain);
  const oldest = domain === "" ? OPSETS.oldest : FIRST;
  return newest !== undefined && (opset > newest || opset < oldest) ? { oldest, newest } : undefined;
}

/** Whether ONNX's operators at a set before the oldest one are those of the oldest: the same versions hold there. */
export function isUnchanged(opset: number, operators: readonly string[]): boolean {
  return opset > 0 && opset < OPSETS.oldest && operators.every((o) => operatorSchema("", o, opset) !== undefined);
}

/** Operator sets by domain, as a model or function imports them. */
export function opsetsOf(imports: FunctionProto["opsetImport"]): ReadonlyMap<string, number> {
  return new Map(imports.map((o) => [o.domain === "ai.onnx" ? "" : o.domain, toNumber(o.version)]));
}

export interface Version {
  /** The node, under the domain that is meant. */
  readonly node: NodeProto;
  /** Its domain, ONNX's as "". */
  readonly domain: string;
  readonly opset: number;
}

export class NodeVersions {
  /** What was said once, and holds for more nodes. */
  private readonly noted = new Set<string>();
  constructor(
    private readonly file: string,
    private readonly sink: Sink,
  ) {}

  /** @errors ON002 for operator sets that are not known, ON020 for domains that the model does not import */
  of(given: NodeProto, name: string, opsets: ReadonlyMap<string, number>): Version {
    const place = { file: this.file, node: name, opType: given.opType };
    const node = isAdopted(given) ? changed(given, { domain: ADOPTED }) : given;
    const domain = node.domain === "ai.onnx" ? "" : node.domain;
    const stated = opsets.get(domain);
    const guessed = UNIMPORTED.includes(tableDomain(domain)) ? FIRST : undefined;
    const opset = stated ?? guessed;
    if (opset === undefined)
      throw UserError.of(
        "ON020",
        {
          what: `its domain "${printable(domain)}" is not imported by the model`,
          hint: "check the export of the model",
        },
        place,
      );
    if (node !== given)
      this.noteOnce(`operator ${node.opType}`, () =>
        this.sink.report("ON023", { name: printable(node.opType), domain: ADOPTED }, place),
      );
    else if (stated === undefined)
      this.noteOnce(`domain ${domain}`, () =>
        this.sink.report("ON022", { domain: printable(domain), version: FIRST }, place),
      );
    const outside = opsetProblem(domain, opset);
    if (outside !== undefined && !(domain === "" && isUnchanged(opset, [node.opType])))
      throw UserError.of(
        "ON002",
        { what: `uses opset ${opset}${domain === "" ? "" : ` of ${printable(domain)}`}`, ...outside },
        place,
      );
    return { node, domain, opset };
  }

  private noteOnce(key: string, report: () => void): void {
    if (this.noted.has(key)) return;
    this.noted.add(key);
    report();
  }
}
