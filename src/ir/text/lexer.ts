/**
 * Tokens of textual IR (`.hir`).
 *
 * A type is one token: `tensor<1x16xfixed<8,4>>` cannot be cut at the `x` otherwise, and equal spellings can then share
 * one type object. Words that look like short types or keywords (`s1`, `loc`) still serve as names where a name is
 * expected, by way of token categories.
 */
import { createToken, Lexer, type CustomPatternMatcherReturn, type IToken, type TokenType } from "chevrotain";
import type { ScalarType, Type } from "../types.js";
import { bits, f32, fixed, stream, tensor } from "../types.js";

/** Any word; abstract. */
export const Word = createToken({ name: "Word", pattern: Lexer.NA, label: "a name" });
/** Any type; abstract. */
export const TypeToken = createToken({ name: "TypeToken", pattern: Lexer.NA, label: "a type" });

export const Identifier = createToken({
  name: "Identifier",
  pattern: /[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*/,
  categories: [Word],
  label: "a name",
});

function keyword(text: string): TokenType {
  return createToken({
    name: `Kw_${text}`,
    pattern: text,
    longer_alt: Identifier,
    categories: [Word],
    label: `"${text}"`,
  });
}
export const KwModule = keyword("module");
export const KwAttributes = keyword("attributes");
export const KwResources = keyword("resources");
export const KwLoc = keyword("loc");
export const KwAffine = keyword("affine");
export const KwDense = keyword("dense");
export const KwTrue = keyword("true");
export const KwFalse = keyword("false");
export const KwInf = keyword("inf");
export const KwNan = keyword("nan");

const WIDE_SCALAR = String.raw`(?:u?fixed<\s*\d+\s*,\s*-?\d+\s*>|float<\s*\d+\s*,\s*\d+\s*>)`;
const SCALAR = `(?:f32|${WIDE_SCALAR})`;

/** `f32`, `s12`, `u1`: types that could be names. */
export const ShortType = createToken({
  name: "ShortType",
  pattern: /f32|[su]\d+/,
  longer_alt: Identifier,
  categories: [TypeToken, Word],
  label: "a type",
});
export const ScalarTypeToken = createToken({
  name: "ScalarType",
  pattern: new RegExp(WIDE_SCALAR),
  categories: [TypeToken],
  label: "a type",
});
export const ShapedType = createToken({
  name: "ShapedType",
  pattern: new RegExp(`(?:tensor|stream)<\\s*(?:\\d+x)*${SCALAR}\\s*>`),
  categories: [TypeToken],
  label: "a type",
});

export const ValueName = createToken({ name: "ValueName", pattern: /%\w+/, label: "a value (%name)" });
export const Digest = createToken({ name: "Digest", pattern: /@[0-9a-f]+/, label: "a digest (@0123...)" });
export const NumberToken = createToken({
  name: "Number",
  pattern: /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/,
  label: "a number",
});

/** Scans by hand: a regular expression would run out of stack on the megabytes of a resource. */
function matchString(text: string, offset: number): CustomPatternMatcherReturn | null {
  if (text.charCodeAt(offset) !== 34) return null;
  for (let i = offset + 1; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 34) return [text.slice(offset, i + 1)];
    if (c === 10) return null;
    if (c === 92) i++;
  }
  return null;
}
export const StringToken = createToken({
  name: "String",
  pattern: matchString,
  line_breaks: false,
  start_chars_hint: ['"'],
  label: "a string",
});

function punctuation(name: string, text: string): TokenType {
  return createToken({ name, pattern: text, label: `"${text}"` });
}
export const Arrow = punctuation("Arrow", "->");
export const LParen = punctuation("LParen", "(");
export const RParen = punctuation("RParen", ")");
export const LBrace = punctuation("LBrace", "{");
export const RBrace = punctuation("RBrace", "}");
export const LBracket = punctuation("LBracket", "[");
export const RBracket = punctuation("RBracket", "]");
export const Less = punctuation("Less", "<");
export const Greater = punctuation("Greater", ">");
export const Comma = punctuation("Comma", ",");
export const Colon = punctuation("Colon", ":");
export const Equals = punctuation("Equals", "=");
export const Caret = punctuation("Caret", "^");
export const Star = punctuation("Star", "*");
export const Plus = punctuation("Plus", "+");
export const Minus = punctuation("Minus", "-");

const WhiteSpace = createToken({ name: "WhiteSpace", pattern: /[ \t\r\n]+/, group: Lexer.SKIPPED, line_breaks: true });
const Comment = createToken({ name: "Comment", pattern: /\/\/[^\n]*/, group: Lexer.SKIPPED });

export const allTokens: TokenType[] = [
  WhiteSpace,
  Comment,
  ValueName,
  NumberToken,
  StringToken,
  Digest,
  ShapedType,
  ScalarTypeToken,
  ShortType,
  KwModule,
  KwAttributes,
  KwResources,
  KwLoc,
  KwAffine,
  KwDense,
  KwTrue,
  KwFalse,
  KwInf,
  KwNan,
  Identifier,
  Arrow,
  LParen,
  RParen,
  LBrace,
  RBrace,
  LBracket,
  RBracket,
  Less,
  Greater,
  Comma,
  Colon,
  Equals,
  Caret,
  Star,
  Plus,
  Minus,
  Word,
  TypeToken,
];

export const hirLexer = new Lexer(allTokens, { ensureOptimizations: true, positionTracking: "onlyStart" });

// --- meaning of single tokens -------------------------------------------------------------------------------------

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", '"': '"', "\\": "\\" };

/** The string that a quoted token stands for; undefined where an escape is not one of \n \t \r \" \\ \u{HEX}. */
export function unquote(image: string): string | undefined {
  const body = image.slice(1, -1);
  if (!body.includes("\\")) return body;
  let ok = true;
  const text = body.replace(
    /\\(?:u\{([0-9a-fA-F]{1,6})\}|([\s\S]))/g,
    (_, hex: string | undefined, letter: string | undefined) => {
      if (hex !== undefined) {
        const code = Number.parseInt(hex, 16);
        if (code <= 0x10ffff) return String.fromCodePoint(code);
      } else if (letter !== undefined && ESCAPES[letter] !== undefined) return ESCAPES[letter];
      ok = false;
      return "";
    },
  );
  return ok ? text : undefined;
}

/** Quoted form of `text`, in printable characters on one line. */
export function quote(text: string): string {
  // Lone surrogates are escaped as well: they do not survive UTF-8.
  const body = text.replace(/["\\\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]/gu, (c) => {
    if (c === '"' || c === "\\") return `\\${c}`;
    if (c === "\n") return "\\n";
    if (c === "\t") return "\\t";
    if (c === "\r") return "\\r";
    return `\\u{${c.codePointAt(0)?.toString(16)}}`;
  });
  return `"${body}"`;
}

const typeMemo = new Map<string, Type>();

/** The type that a type token spells. */
export function typeOfToken(token: IToken): Type {
  return parseType(token.image);
}

/** The type with the given spelling; one object per spelling. The text must match the type tokens. */
export function parseType(text: string): Type {
  let type = typeMemo.get(text);
  if (type === undefined) {
    type = readType(text.replace(/\s+/g, ""));
    typeMemo.set(text, type);
  }
  return type;
}

function readType(text: string): Type {
  const shaped = /^(tensor|stream)<((?:\d+x)*)(.*)>$/.exec(text);
  if (shaped !== null) {
    const [, kind, sizes = "", inner = ""] = shaped;
    const shape = sizes.split("x").slice(0, -1).map(Number);
    const elem = readType(inner) as ScalarType;
    return kind === "tensor" ? tensor(shape, elem) : stream(shape, elem);
  }
  if (text === "f32") return f32;
  const parts = /^(u?fixed|float)<(-?\d+),(-?\d+)>$/.exec(text);
  if (parts !== null) {
    const [a, b] = [Number(parts[2]), Number(parts[3])];
    return parts[1] === "float" ? { kind: "float", exp: a, man: b } : fixed(a, b, parts[1] === "fixed");
  }
  return bits(Number(text.slice(1)), text[0] === "s");
}
