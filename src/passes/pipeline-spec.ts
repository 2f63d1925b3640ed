/**
 * Pipelines as text: `fold-constants,quantize{bits=8,rounding=half-up},@lower`.
 *
 * ```
 * pipeline = item ("," item)*
 * item     = "@" NAME | NAME ("{" (NAME "=" value),* "}")?
 * value    = NUMBER | WORD | STRING | "[" value,* "]"          (true and false are booleans)
 * ```
 */
import { createToken, EmbeddedActionsParser, Lexer, tokenLabel } from "chevrotain";
import { UserError } from "../diagnostics/index.js";
import { nearestName } from "../diagnostics/nearest.js";
import { quote, unquote } from "../ir/text/lexer.js";
import type { OptionValue, Pass } from "./define-pass.js";
import type { PassRegistry } from "./registry.js";

export interface PassItem {
  readonly kind: "pass";
  readonly name: string;
  readonly options: Readonly<Record<string, OptionValue>>;
}
export interface AliasItem {
  readonly kind: "alias";
  readonly name: string;
}
export type PipelineItem = PassItem | AliasItem;

/** A pass with its options read against their specs. */
export interface Step {
  readonly pass: Pass;
  readonly options: Readonly<Record<string, unknown>>;
  /** As stated, for messages and the RUN line. */
  readonly item: PassItem;
}

const Word = createToken({ name: "Word", pattern: /\w[\w./:+-]*/, label: "a name" });
const NumberToken = createToken({
  name: "Number",
  pattern: /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/,
  longer_alt: Word,
  label: "a number",
});
const Alias = createToken({ name: "Alias", pattern: /@\w[\w-]*/, label: "a named pipeline" });
const Str = createToken({ name: "String", pattern: /"(?:[^"\\\n]|\\[^\n])*"/, label: "a string" });
const punctuation = (name: string, text: string) => createToken({ name, pattern: text, label: `"${text}"` });
const Comma = punctuation("Comma", ",");
const LBrace = punctuation("LBrace", "{");
const RBrace = punctuation("RBrace", "}");
const LBracket = punctuation("LBracket", "[");
const RBracket = punctuation("RBracket", "]");
const Equals = punctuation("Equals", "=");
const Space = createToken({ name: "Space", pattern: /\s+/, group: Lexer.SKIPPED, line_breaks: true });
const tokens = [Space, NumberToken, Word, Alias, Str, Comma, LBrace, RBrace, LBracket, RBracket, Equals];
const lexer = new Lexer(tokens);

class PipelineParser extends EmbeddedActionsParser {
  constructor() {
    super(tokens, {
      maxLookahead: 1,
      errorMessageProvider: {
        buildMismatchTokenMessage: ({ expected }) => tokenLabel(expected),
        buildNotAllInputParsedMessage: () => `"," or the end of the pipeline`,
        buildNoViableAltMessage: ({ customUserDescription }) => customUserDescription ?? "a pass",
        buildEarlyExitMessage: () => "a pass",
      },
    });
    this.performSelfAnalysis();
  }

  readonly pipeline = this.RULE("pipeline", () => {
    const items: PipelineItem[] = [];
    this.AT_LEAST_ONE_SEP({ SEP: Comma, DEF: () => items.push(this.SUBRULE(this.item)) });
    return items;
  });

  private readonly item = this.RULE(
    "item",
    (): PipelineItem =>
      this.OR<PipelineItem>({
        DEF: [
          { ALT: () => ({ kind: "alias", name: this.CONSUME(Alias).image.slice(1) }) },
          {
            ALT: () => {
              const name = this.CONSUME(Word).image;
              const options: [string, OptionValue][] = [];
              this.OPTION(() => {
                this.CONSUME(LBrace);
                this.MANY_SEP({
                  SEP: Comma,
                  DEF: () => {
                    const key = this.CONSUME1(Word).image;
                    this.CONSUME(Equals);
                    options.push([key, this.SUBRULE(this.value)]);
                  },
                });
                this.CONSUME(RBrace);
              });
              return { kind: "pass", name, options: Object.fromEntries(options) };
            },
          },
        ],
        ERR_MSG: "a pass",
      }),
  );

  private readonly value = this.RULE(
    "value",
    (): OptionValue =>
      this.OR<OptionValue>({
        DEF: [
          { ALT: () => Number(this.CONSUME(NumberToken).image) },
          {
            ALT: () => {
              const word = this.CONSUME(Word).image;
              return word === "true" ? true : word === "false" ? false : word;
            },
          },
          {
            ALT: () => {
              const image = this.CONSUME(Str).image;
              return this.ACTION(() => unquote(image) ?? image.slice(1, -1));
            },
          },
          {
            ALT: () => {
              const list: OptionValue[] = [];
              this.CONSUME(LBracket);
              this.MANY_SEP({ SEP: Comma, DEF: () => list.push(this.SUBRULE(this.value)) });
              this.CONSUME(RBracket);
              return list;
            },
          },
        ],
        ERR_MSG: "a value",
      }),
  );
}

const parser = new PipelineParser();

/**
 * The items of a pipeline; only the syntax is checked. `origin` stands in messages where a file name would.
 *
 * @errors TX001
 */
export function parsePipeline(text: string, origin = "pass pipeline"): readonly PipelineItem[] {
  const lexed = lexer.tokenize(text);
  const bad = lexed.errors[0];
  const fail = (expected: string, found: string, column: number): never => {
    throw UserError.of("TX001", { expected, found }, { file: origin, line: 1, column });
  };
  if (bad !== undefined) fail("a pipeline such as a,b{x=1}", JSON.stringify(text[bad.offset]), bad.offset + 1);
  parser.input = lexed.tokens;
  const items = parser.pipeline();
  const error = parser.errors[0];
  if (error !== undefined) {
    const atEnd = Number.isNaN(error.token.startOffset);
    fail(
      error.message,
      atEnd ? "the end of the pipeline" : JSON.stringify(error.token.image),
      (atEnd ? text.length : error.token.startOffset) + 1,
    );
  }
  return items;
}

/** The inverse of `parsePipeline`. */
export function printPipeline(items: readonly PipelineItem[]): string {
  return items.map(printItem).join(",");
}

export function printItem(item: PipelineItem): string {
  if (item.kind === "alias") return `@${item.name}`;
  const options = Object.entries(item.options).map(([k, v]) => `${k}=${printValue(v)}`);
  return options.length === 0 ? item.name : `${item.name}{${options.join(",")}}`;
}

function printValue(v: OptionValue): string {
  if (Array.isArray(v)) return `[${(v as readonly OptionValue[]).map(printValue).join(",")}]`;
  if (typeof v !== "string") return String(v);
  const bare = /^\w[\w./:+-]*$/.test(v) && v !== "true" && v !== "false" && !/^\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(v);
  return bare ? v : quote(v);
}

/**
 * The passes that `items` name, with their options; named pipelines are expanded.
 *
 * @errors TX020 to TX023
 */
export function resolvePipeline(items: readonly PipelineItem[], registry: PassRegistry): readonly Step[] {
  const steps: Step[] = [];
  const expand = (list: readonly PipelineItem[], within: readonly string[]): void => {
    for (const item of list) {
      if (item.kind === "pass") steps.push(resolveItem(item, registry));
      else {
        const alias = registry.lookupAlias(item.name);
        if (alias === undefined)
          throw UserError.of("TX023", {
            alias: item.name,
            nearest: nearestName(
              item.name,
              registry.aliases().map((a) => a.name),
            ),
          });
        if (within.includes(item.name)) throw new Error(`pipeline @${item.name} contains itself`);
        expand(parsePipeline(alias.pipeline, `@${item.name}`), [...within, item.name]);
      }
    }
  };
  expand(items, []);
  return steps;
}

function resolveItem(item: PassItem, registry: PassRegistry): Step {
  const pass = registry.lookup(item.name);
  if (pass === undefined)
    throw UserError.of("TX020", {
      pass: item.name,
      nearest: nearestName(
        item.name,
        registry.passes().map((p) => p.name),
      ),
    });
  const specs = pass.options ?? {};
  const options: Record<string, unknown> = {};
  for (const [key, spec] of Object.entries(specs)) options[key] = spec.default;
  for (const [key, value] of Object.entries(item.options)) {
    const spec = Object.hasOwn(specs, key) ? specs[key] : undefined;
    if (spec === undefined) {
      const known = Object.keys(specs);
      throw UserError.of("TX021", {
        pass: pass.name,
        option: key,
        nearest: nearestName(key, known),
        known: known.join(", "),
      });
    }
    const read = spec.read(value);
    if (read === undefined) {
      const nearest = nearestName(String(value), spec.choices ?? []);
      throw UserError.of("TX022", {
        pass: pass.name,
        option: key,
        value: printValue(value),
        expected: spec.expects,
        nearest,
      });
    }
    options[key] = read;
  }
  return { pass, options, item };
}
