// Owns reading YAML (and JSON, which is YAML) against a schema: every mistake at once, each with its line and column.
// Not here: what the schemas are.
import {
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type YAMLError,
  type Document as YamlDocument,
} from 'yaml';
import { z } from 'zod';
import { closestOf } from '../lib/closest.ts';
import { Failure, type FailureCode } from '../lib/failure.ts';

export type SourceProblem = {
  /** From 1. */
  readonly line: number;
  readonly column: number;
  /** Such as `api.listen` or `backends[3].weight`; empty for the whole file. */
  readonly path: string;
  readonly message: string;
};

export type Checked<T> = { readonly value: T } | { readonly problems: readonly SourceProblem[] };

/** Characters of a file. */
export const SOURCE_LENGTH_MAX = 16 << 20;
/** Problems that are told of one file. */
export const PROBLEMS_MAX = 50;
/** An alias may be used; a few lines that unfold to gigabytes may not. */
const ALIASES_MAX = 100;

/** An empty file is an empty mapping. */
export function checkSource<T>(text: string, schema: z.ZodType<T>): Checked<T> {
  if (text.length > SOURCE_LENGTH_MAX) {
    return { problems: [at(1, 1, `longer than ${SOURCE_LENGTH_MAX} characters`)] };
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  const problemAt = (offset: number, path: string, message: string): SourceProblem => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col), path, message };
  };
  // What is only a warning to YAML, such as a tag that nobody knows, would be a value that means something else.
  const errors: readonly YAMLError[] = [...document.errors, ...document.warnings];
  if (errors.some(isOverflow)) return { problems: [at(1, 1, TOO_DEEP)] };
  if (errors.length > 0) {
    const told = errors.map((it) => ({ offset: it.pos[0], ...syntax(it, document) }));
    return { problems: sorted(told.map(({ offset, path, message }) => problemAt(offset, path, message))) };
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: ALIASES_MAX }) ?? {};
  } catch (error) {
    return { problems: [at(1, 1, isOverflow(error as Error) ? TOO_DEEP : (error as Error).message)] };
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return { value: parsed.data };
  const issues = parsed.error.issues.flatMap((issue) => explain(issue, schema, value));
  return {
    problems: sorted(
      issues.map(({ path, key, message }) =>
        problemAt(offsetOf(document, path, key), formatPath(path), message),
      ),
    ),
  };
}

/** @throws Failure of `code` that has every problem, one a line, as its reason. */
export function parseSource<T>(text: string, fileName: string, schema: z.ZodType<T>, code: FailureCode): T {
  const checked = checkSource(text, schema);
  if ('value' in checked) return checked.value;
  const { problems } = checked;
  const count = problems.length === 1 ? 'a mistake' : `${problems.length} mistakes`;
  throw new Failure(code, `${fileName} has ${count}`, {
    reason: problems.map((problem) => formatProblem(fileName, problem)).join('\n'),
  });
}

/** `FILE:LINE:COLUMN: path: message`, which editors and terminals make a link of. */
export function formatProblem(fileName: string, { line, column, path, message }: SourceProblem): string {
  return `${fileName}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`;
}

const TOO_DEEP = 'nested too deeply to be read';

/** The parser reports that the stack did not suffice as any other error of the text. */
function isOverflow({ message }: Error): boolean {
  return /call stack|Stack overflow/.test(message);
}

function syntax(
  { code, message, pos }: YAMLError,
  document: YamlDocument,
): { path: string; message: string } {
  switch (code) {
    case 'MULTIPLE_DOCS':
      return { path: '', message: 'a second document begins here; there must be one' };
    case 'DUPLICATE_KEY':
      return { path: pathOfKeyAt(document, pos[0]), message: 'is there twice' };
    case 'TAG_RESOLVE_FAILED':
      return { path: '', message: message.replace(/^Unresolved tag: /, 'unknown tag ') };
    default:
      return { path: '', message };
  }
}

/** Of the key that begins there. */
function pathOfKeyAt(document: YamlDocument, offset: number): string {
  let found: Path = [];
  visit(document, {
    Pair: (_, pair, ancestors) => {
      if (!isScalar(pair.key) || pair.key.range?.[0] !== offset) return undefined;
      found = [...ancestors, pair].flatMap((it, index, all): PropertyKey[] => {
        if (isPair(it)) return [isScalar(it.key) ? String(it.key.value) : '?'];
        const parent = all[index - 1];
        return isSeq(parent) ? [parent.items.indexOf(it)] : [];
      });
      return visit.BREAK;
    },
  });
  return formatPath(found);
}

type Path = readonly PropertyKey[];

/** `key` is the one that is wrong within the mapping at `path`; without it the value at `path` is. */
type Mistake = { readonly path: Path; readonly key?: string; readonly message: string };

function explain(issue: z.core.$ZodIssue, schema: z.ZodType, value: unknown): Mistake[] {
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, issue.path);
    return issue.keys.map((key) => {
      const meant = closestOf(key, known);
      const hint = meant === undefined ? `there are ${known.join(', ')}` : `did you mean ${meant}?`;
      return { path: [...issue.path, key], key, message: `unknown; ${hint}` };
    });
  }
  if (issue.code === 'invalid_union') return explainUnion(issue, schema, value);
  if (issue.code === 'invalid_value') {
    const given = issue.path.reduce<unknown>((it, key) => (it as Record<PropertyKey, unknown>)?.[key], value);
    const meant = typeof given === 'string' ? closestOf(given, issue.values.map(String)) : undefined;
    const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
    return [{ path: issue.path, message: `${plainMessage(issue.message)}${hint}` }];
  }
  return [{ path: issue.path, message: plainMessage(issue.message) }];
}

// The alternative that comes closest says what is wrong; where none takes the value's type, all say what they take.
function explainUnion(issue: z.core.$ZodIssueInvalidUnion, schema: z.ZodType, value: unknown): Mistake[] {
  const alternatives = issue.errors.map((errors) =>
    errors.map((it) => ({ ...it, path: [...issue.path, ...it.path] }) as z.core.$ZodIssue),
  );
  const wrongType = (errors: readonly z.core.$ZodIssue[]) =>
    errors.some((it) => it.code === 'invalid_type' && it.path.length === issue.path.length);
  const closest = alternatives.find((errors) => !wrongType(errors));
  if (closest !== undefined) return closest.flatMap((it) => explain(it, schema, value));
  const types = alternatives.flatMap((errors) =>
    errors.flatMap((it) => (it.code === 'invalid_type' ? [it.expected] : [])),
  );
  return [{ path: issue.path, message: `expected ${[...new Set(types)].join(' or ')}` }];
}

/** What a schema complains of, without the schema's own words. */
export function plainMessage(message: string): string {
  return message
    .replace(/^Invalid (input|option|string|value): /, '')
    .replace(/^Too small: expected \w+ to (be|have) >=/, 'must $1 at least ')
    .replace(/^Too big: expected \w+ to (be|have) <=/, 'must $1 at most ')
    .replace(/, received undefined$/, ', which is missing')
    .replaceAll('"', "'");
}

/** Keys that the schema knows in the mapping at a path. */
function keysAt(schema: z.ZodType, path: Path): string[] {
  type Json = { properties?: Record<string, Json>; items?: Json; anyOf?: Json[] };
  let here: Json | undefined = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Json;
  for (const part of path) {
    const choices: Json[] = here?.anyOf ?? (here === undefined ? [] : [here]);
    here = choices
      .map((it) => (typeof part === 'number' ? it.items : it.properties?.[String(part)]))
      .find((it) => it !== undefined);
  }
  return Object.keys(here?.properties ?? {});
}

// Of the value or, where the path leads to something that is not there, of the nearest that is.
function offsetOf(document: YamlDocument, path: Path, key: string | undefined): number {
  const parent = path.slice(0, -1);
  if (key !== undefined) {
    const map = parent.length === 0 ? document.contents : document.getIn(parent, true);
    const pair = isMap(map) ? map.items.find((it) => isScalar(it.key) && it.key.value === key) : undefined;
    if (isNode(pair?.key) && pair.key.range) return pair.key.range[0];
  }
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return isNode(document.contents) && document.contents.range ? document.contents.range[0] : 0;
}

function formatPath(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? String(part) : `${text}.${String(part)}`;
  }, '');
}

function sorted(problems: readonly SourceProblem[]): SourceProblem[] {
  return [...problems].sort((a, b) => a.line - b.line || a.column - b.column).slice(0, PROBLEMS_MAX);
}

function at(line: number, column: number, message: string): SourceProblem {
  return { line, column, path: '', message };
}
