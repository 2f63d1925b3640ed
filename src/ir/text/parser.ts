/**
 * Textual IR in: the inverse of the printer. The grammar is LL(1):
 *
 * ```
 * file      = "module" STRING ("attributes" record)? "{" op* "}" resources?
 * op        = (VALUE ("," VALUE)* "=")? NAME "(" VALUE,* ")" record? ("(" region,* ")")?
 *             ":" "(" TYPE,* ")" "->" results loc?
 * results   = TYPE | "(" TYPE,* ")"
 * region    = "{" ("^" "(" (VALUE ":" TYPE),* ")" ":")? op* "}"
 * record    = "{" (key "=" attr),* "}"
 * attr      = "true" | "false" | NUMBER | STRING | TYPE | "[" attr,* "]" | record | affine | dense
 * affine    = "affine" "<" "(" NAME,* ")" "->" "(" expr,* ")" ">"
 * dense     = "dense" "<" ("[" NUMBER,* "]" | DIGEST) ">" ":" TYPE
 * loc       = "loc" "(" STRING,* (":" STRING)? ")"
 * resources = "resources" "{" (DIGEST "=" NAME STRING)* "}"
 * ```
 *
 * Over 400 lines, because the grammar is one class whose rules call one another.
 *
 * The parser ends at the first syntax error, but reports all unknown names, operations and types of a text at once.
 */
import {
  EmbeddedActionsParser,
  type IParserErrorMessageProvider,
  type IToken,
  type TokenType,
  tokenLabel,
  tokenMatcher,
} from "chevrotain";
import type { Sink } from "../../diagnostics/index.js";
import type { AffineExpr } from "../affine.js";
import type { Attr, AttrRecord, DenseData } from "../attributes.js";
import type { Module } from "../core.js";
import type { Type } from "../types.js";
import { ModuleBuilder, type Named, type RegionScope } from "./module-builder.js";
import { at } from "../present.js";
import * as t from "./lexer.js";

export interface ParseOptions {
  /** Data of constants by digest, in addition to the resource section of the text. */
  readonly resources?: ReadonlyMap<string, DenseData>;
}

/**
 * The module that `text` describes. Problems go to `sink`, with `file` and the line and column; after any error the
 * result is undefined. Only syntax, names and types are checked: follow up with `verifyModule`.
 *
 * @errors TX001 to TX008
 */
export function parseModule(text: string, file: string, sink: Sink, options: ParseOptions = {}): Module | undefined {
  const before = errorCount(sink);
  const lexed = t.hirLexer.tokenize(text);
  const bad = lexed.errors[0];
  if (bad !== undefined) {
    const found = JSON.stringify(text.slice(bad.offset, bad.offset + 1));
    sink.report(
      "TX001",
      { expected: text[bad.offset] === '"' ? "a string that ends on its line" : "IR text", found },
      { file, line: bad.line ?? 1, column: bad.column ?? 1 },
    );
    return undefined;
  }
  const build = new ModuleBuilder(file, sink, new Map(options.resources));
  // The resource section stands last, but constants need it while they are read.
  const cut = resourceStart(lexed.tokens);
  let module: Module | undefined;
  const ok =
    (cut === lexed.tokens.length || run(text, file, sink, lexed.tokens.slice(cut), () => parser.resources(build))) &&
    run(text, file, sink, lexed.tokens.slice(0, cut), () => {
      module = parser.module(build);
    });
  return ok && errorCount(sink) === before ? module : undefined;
}

function errorCount(sink: Sink): number {
  return sink.diagnostics.filter((d) => d.severity === "error").length;
}

function resourceStart(tokens: readonly IToken[]): number {
  for (let i = tokens.length - 2; i >= 0; i--) {
    if (tokenMatcher(at(tokens, i), t.KwResources) && tokenMatcher(at(tokens, i + 1), t.LBrace)) return i;
  }
  return tokens.length;
}

function run(text: string, file: string, sink: Sink, tokens: IToken[], rule: () => void): boolean {
  parser.input = tokens;
  try {
    rule();
  } catch (e) {
    // The parser descends with the text: only hostile input nests thousands of levels.
    if (!(e instanceof RangeError)) throw e;
    sink.report("TX008", { reason: "regions, lists or records are nested too deeply" }, { file, line: 1, column: 1 });
    return false;
  }
  const error = parser.errors[0];
  if (error === undefined) return true;
  const last = tokens[tokens.length - 1];
  const token = Number.isNaN(error.token.startOffset) ? undefined : error.token;
  const found =
    token === undefined
      ? "the end of the text"
      : JSON.stringify(text.slice(token.startOffset, token.startOffset + 40).split(/\s/)[0]);
  const near = token ?? last;
  sink.report(
    "TX001",
    { expected: error.message, found },
    { file, line: near?.startLine ?? 1, column: near?.startColumn ?? 1 },
  );
  return false;
}

/** Error messages hold only what was expected; `run` says what was found. */
const expectations: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: ({ expected }) => tokenLabel(expected),
  buildNotAllInputParsedMessage: () => "the end of the text",
  buildNoViableAltMessage: ({ expectedPathsPerAlt, customUserDescription }) =>
    customUserDescription ?? labels(expectedPathsPerAlt.flat()),
  buildEarlyExitMessage: ({ expectedIterationPaths, customUserDescription }) =>
    customUserDescription ?? labels(expectedIterationPaths),
};
function labels(paths: readonly TokenType[][]): string {
  return [...new Set(paths.map((p) => tokenLabel(at(p, 0))))].join(" or ");
}

class HirParser extends EmbeddedActionsParser {
  /** Set by the entry rules; undefined only while chevrotain records the grammar. */
  private b!: ModuleBuilder;

  constructor() {
    super(t.allTokens, { recoveryEnabled: false, maxLookahead: 1, errorMessageProvider: expectations });
    this.performSelfAnalysis();
  }

  readonly module: (build: ModuleBuilder) => Module | undefined = this.RULE("module", (build: ModuleBuilder) => {
    this.ACTION(() => (this.b = build));
    this.CONSUME(t.KwModule);
    const name = this.CONSUME(t.StringToken);
    const attrs = this.OPTION(() => (this.CONSUME(t.KwAttributes), this.SUBRULE(this.record)));
    const scope = this.ACTION(() => this.b.openScope());
    this.CONSUME(t.LBrace);
    this.MANY(() => this.SUBRULE(this.operation));
    this.CONSUME(t.RBrace);
    return this.ACTION(() => this.b.finishModule(this.b.string(name), attrs ?? {}, scope));
  });

  readonly resources: (build: ModuleBuilder) => void = this.RULE("resources", (build: ModuleBuilder) => {
    this.ACTION(() => (this.b = build));
    this.CONSUME(t.KwResources);
    this.CONSUME(t.LBrace);
    this.MANY(() => {
      const digest = this.CONSUME(t.Digest);
      this.CONSUME(t.Equals);
      const storage = this.CONSUME(t.Word);
      const data = this.CONSUME(t.StringToken);
      this.ACTION(() => this.b.resource(digest, storage, data));
    });
    this.CONSUME(t.RBrace);
  });

  private readonly operation = this.RULE("operation", () => {
    const results: IToken[] = [];
    this.OPTION(() => {
      this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => results.push(this.CONSUME(t.ValueName)) });
      this.CONSUME(t.Equals);
    });
    const name = this.CONSUME(t.Word);
    const operands: IToken[] = [];
    this.CONSUME(t.LParen);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => operands.push(this.CONSUME1(t.ValueName)) });
    this.CONSUME(t.RParen);
    const attrs = this.OPTION1(() => this.SUBRULE(this.record));
    const regions: RegionScope[] = [];
    this.OPTION2(() => {
      this.CONSUME1(t.LParen);
      this.MANY_SEP1({ SEP: t.Comma, DEF: () => regions.push(this.SUBRULE(this.region)) });
      this.CONSUME1(t.RParen);
    });
    this.CONSUME(t.Colon);
    const operandTypes = this.SUBRULE(this.typeList);
    this.CONSUME(t.Arrow);
    const resultTypes = this.OR({
      DEF: [{ ALT: () => this.SUBRULE1(this.typeList) }, { ALT: () => [this.SUBRULE(this.type)] }],
      ERR_MSG: "a type",
    });
    const loc = this.OPTION3(() => this.SUBRULE(this.location));
    this.ACTION(() =>
      this.b.operation({ name, results, operands, attrs: attrs ?? {}, regions, operandTypes, resultTypes, loc }),
    );
  });

  private readonly region = this.RULE("region", (): RegionScope => {
    this.CONSUME(t.LBrace);
    const scope = this.ACTION(() => this.b.openScope());
    this.OPTION(() => {
      this.CONSUME(t.Caret);
      this.CONSUME(t.LParen);
      this.MANY_SEP({
        SEP: t.Comma,
        DEF: () => {
          const name = this.CONSUME(t.ValueName);
          this.CONSUME(t.Colon);
          const type = this.SUBRULE(this.type);
          this.ACTION(() => this.b.blockArg(name, type));
        },
      });
      this.CONSUME(t.RParen);
      this.CONSUME1(t.Colon);
    });
    this.MANY(() => this.SUBRULE(this.operation));
    this.CONSUME(t.RBrace);
    this.ACTION(() => this.b.closeScope(scope));
    return scope;
  });

  private readonly typeList = this.RULE("typeList", () => {
    const types: Type[] = [];
    this.CONSUME(t.LParen);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => types.push(this.SUBRULE(this.type)) });
    this.CONSUME(t.RParen);
    return types;
  });

  private readonly type = this.RULE("type", (): Type => {
    const token = this.CONSUME(t.TypeToken);
    return this.ACTION(() => this.b.type(token));
  });

  private readonly record = this.RULE("record", (): AttrRecord => {
    const entries: Named<Attr>[] = [];
    this.CONSUME(t.LBrace);
    this.MANY_SEP({
      SEP: t.Comma,
      DEF: () => {
        const token = this.OR({
          DEF: [{ ALT: () => this.CONSUME(t.Word) }, { ALT: () => this.CONSUME(t.StringToken) }],
          ERR_MSG: "an attribute name",
        });
        this.CONSUME(t.Equals);
        const value = this.SUBRULE(this.attr);
        entries.push({ token, value });
      },
    });
    this.CONSUME(t.RBrace);
    return this.ACTION(() => this.b.record(entries));
  });

  private readonly attr = this.RULE(
    "attr",
    (): Attr =>
      this.OR<Attr>({
        DEF: [
          { ALT: () => (this.CONSUME(t.KwTrue), true) },
          { ALT: () => (this.CONSUME(t.KwFalse), false) },
          { ALT: () => this.SUBRULE(this.number) },
          {
            ALT: () => {
              const s = this.CONSUME(t.StringToken);
              return this.ACTION(() => this.b.string(s));
            },
          },
          {
            ALT: () => {
              const type = this.SUBRULE(this.type);
              return { kind: "type", type };
            },
          },
          { ALT: () => this.SUBRULE(this.list) },
          { ALT: () => this.SUBRULE(this.record) },
          { ALT: () => this.SUBRULE(this.affine) },
          { ALT: () => this.SUBRULE(this.dense) },
        ],
        ERR_MSG: "an attribute value",
      }),
  );

  private readonly list = this.RULE("list", (): Attr => {
    const items: Attr[] = [];
    this.CONSUME(t.LBracket);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => items.push(this.SUBRULE(this.attr)) });
    this.CONSUME(t.RBracket);
    return items;
  });

  private readonly number = this.RULE("number", (): number =>
    this.OR({
      DEF: [
        {
          ALT: () => {
            const n = this.CONSUME(t.NumberToken);
            return this.ACTION(() => Number(n.image));
          },
        },
        { ALT: () => (this.CONSUME(t.KwInf), Infinity) },
        { ALT: () => (this.CONSUME(t.Minus), this.CONSUME1(t.KwInf), -Infinity) },
        { ALT: () => (this.CONSUME(t.KwNan), NaN) },
      ],
      ERR_MSG: "a number",
    }),
  );

  private readonly affine = this.RULE("affine", (): Attr => {
    const dims: IToken[] = [];
    const results: AffineExpr[] = [];
    this.CONSUME(t.KwAffine);
    this.CONSUME(t.Less);
    this.CONSUME(t.LParen);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => dims.push(this.CONSUME(t.Word)) });
    this.CONSUME(t.RParen);
    this.CONSUME(t.Arrow);
    this.CONSUME1(t.LParen);
    this.MANY_SEP1({ SEP: t.Comma, DEF: () => results.push(this.SUBRULE(this.affineExpr, { ARGS: [dims] })) });
    this.CONSUME1(t.RParen);
    this.CONSUME(t.Greater);
    return this.ACTION(() => this.b.affineMap(dims, results));
  });

  private readonly affineExpr = this.RULE("affineExpr", (dims: IToken[]): AffineExpr => {
    const coeffs: number[] = this.ACTION(() => dims.map(() => 0));
    let offset = 0;
    let sign = 1;
    this.OPTION(() => {
      this.CONSUME(t.Minus);
      sign = -1;
    });
    const add = (term: { factor: number; dim: IToken | undefined }): void => {
      this.ACTION(() => {
        if (term.dim === undefined) offset += sign * term.factor;
        else {
          const i = this.b.affineDim(dims, term.dim);
          coeffs[i] = (coeffs[i] ?? 0) + sign * term.factor;
        }
      });
    };
    add(this.SUBRULE(this.affineTerm));
    this.MANY(() => {
      sign = 1;
      // `a -1` lexes as a name and a negative number: the sign may also be that of the number.
      this.OPTION1(() => {
        this.OR([{ ALT: () => this.CONSUME(t.Plus) }, { ALT: () => ((sign = -1), this.CONSUME1(t.Minus)) }]);
      });
      add(this.SUBRULE1(this.affineTerm));
    });
    // 0 - 0 would leave a negative zero, which prints differently.
    return this.ACTION(() => ({ coeffs: coeffs.map((c) => c + 0), offset: offset + 0 }));
  });

  private readonly affineTerm = this.RULE("affineTerm", () =>
    this.OR({
      DEF: [
        {
          ALT: () => {
            const number = this.CONSUME(t.NumberToken);
            const dim = this.OPTION(() => (this.CONSUME(t.Star), this.CONSUME(t.Word)));
            return { factor: this.ACTION(() => this.b.integer(number)), dim: dim as IToken | undefined };
          },
        },
        { ALT: () => ({ factor: 1, dim: this.CONSUME1(t.Word) as IToken | undefined }) },
      ],
      ERR_MSG: "an affine expression such as 2*i + j - 1",
    }),
  );

  private readonly dense = this.RULE("dense", (): Attr => {
    const start = this.CONSUME(t.KwDense);
    this.CONSUME(t.Less);
    const values: number[] = [];
    let digest: IToken | undefined;
    this.OR({
      DEF: [
        {
          ALT: () => {
            this.CONSUME(t.LBracket);
            this.MANY_SEP({ SEP: t.Comma, DEF: () => values.push(this.SUBRULE(this.number)) });
            this.CONSUME(t.RBracket);
          },
        },
        { ALT: () => (digest = this.CONSUME(t.Digest)) },
      ],
      ERR_MSG: "a list of numbers or a digest",
    });
    this.CONSUME(t.Greater);
    this.CONSUME(t.Colon);
    const type = this.SUBRULE(this.type);
    return this.ACTION(() => this.b.dense(start, digest ?? values, type));
  });

  private readonly location = this.RULE("location", () => {
    const nodes: string[] = [];
    let opType: string | undefined;
    this.CONSUME(t.KwLoc);
    this.CONSUME(t.LParen);
    this.MANY_SEP({
      SEP: t.Comma,
      DEF: () => {
        const s = this.CONSUME(t.StringToken);
        this.ACTION(() => nodes.push(this.b.string(s)));
      },
    });
    this.OPTION(() => {
      this.CONSUME(t.Colon);
      const s = this.CONSUME1(t.StringToken);
      this.ACTION(() => (opType = this.b.string(s)));
    });
    this.CONSUME(t.RParen);
    return { nodes, opType };
  });
}

const parser = new HirParser();
