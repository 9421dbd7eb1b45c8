// Owns the check of import_rules.ts against the sources: finds imports and includes, and says which rule one breaks.
import { readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join, matchesGlob, posix } from 'node:path';
import { ROOT, sourceFiles } from './files.ts';
import { ARROW_RULE, IMPORT_RULES, KIND_ORDER, KINDS, PURE_KINDS, PURE_RULE } from './import_rules.ts';

export interface Import {
  readonly target: string;
  readonly line: number;
  readonly typeOnly: boolean;
}

export interface Violation {
  readonly rule: string;
  readonly message: string;
}

/** The checked files, by their path in the repository. */
const CHECKED = /^(?:control|native)\/.*\.(?:ts|tsx|cc|c|h)$|^bpf\/.*\.[ch]$/;

export function checkImports(root = ROOT): Violation[] {
  return sourceFiles(CHECKED, root).flatMap((path) =>
    checkFile(path, readFileSync(join(root, path), 'utf8')),
  );
}

export function checkFile(path: string, text: string): Violation[] {
  return importsOf(path, text).flatMap((found) => {
    const broken = firstBroken(path, found);
    if (broken === undefined) return [];
    const { name, why, fix } = broken;
    return [
      {
        rule: name,
        message: `${path}:${found.line}: imports ${found.target}\n  rule: ${name}: ${why}\n  fix:  ${fix}`,
      },
    ];
  });
}

/** One import breaks one rule: the first of the table, which has the most telling ones first. */
function firstBroken(path: string, found: Import): { name: string; why: string; fix: string } | undefined {
  const kind = kindOf(path);
  const pure = kind !== undefined && (PURE_KINDS as readonly string[]).includes(kind);
  if (pure && forbids(PURE_RULE, found)) return PURE_RULE;
  for (const rule of IMPORT_RULES) {
    const about = matches(path, rule.of) && !matches(path, rule.except ?? []);
    if (about && forbids(rule, found)) return rule;
  }
  const targetKind = kindOf(found.target);
  if (kind === undefined || targetKind === undefined || rank(targetKind) <= rank(kind)) return undefined;
  return {
    ...ARROW_RULE,
    why: `${path} is of kind ${kind}, ${found.target} of kind ${targetKind}; ${ARROW_RULE.why}`,
  };
}

function forbids(rule: Omit<(typeof IMPORT_RULES)[number], 'of'>, { target, typeOnly }: Import): boolean {
  if (rule.typesAreFree && typeOnly) return false;
  if (rule.may !== undefined && !matches(target, rule.may)) return true;
  return matches(target, rule.mustNot ?? []) && !matches(target, rule.butMay ?? []);
}

function matches(path: string, globs: readonly string[]): boolean {
  return globs.some((glob) => matchesGlob(path, glob));
}

function kindOf(path: string): string | undefined {
  return KINDS.find(({ files }) => matches(path, files))?.kind;
}

function rank(kind: string): number {
  return (KIND_ORDER as readonly string[]).indexOf(kind);
}

const INCLUDE = /^[ \t]*#[ \t]*include[ \t]+(?:<([^>\n]+)>|"([^"\n]+)")/gm;
const STATIC = /^[ \t]*(?:import|export)\b(\s+type\b)?(?:[\w$*{},\s]*?\bfrom\b)?\s*['"]([^'"\n]+)['"]/gm;
const DYNAMIC = /\b(?:import|require(?:\.resolve)?)\s*\(\s*['"]([^'"\n]+)['"]/g;

/** The imports of a TypeScript file, or the includes of a C or C++ file. */
export function importsOf(path: string, text: string): Import[] {
  const code = blankComments(text);
  const at = (match: RegExpExecArray) => code.slice(0, match.index + match[0].length).split('\n').length;
  if (/\.(?:c|cc|h)$/.test(path)) {
    return [...code.matchAll(INCLUDE)].map((match) => ({
      target: match[1] === undefined ? resolveFrom(path, match[2]!) : `<${match[1]}>`,
      line: at(match),
      typeOnly: false,
    }));
  }
  const found = [...code.matchAll(STATIC)].map((match) => ({
    target: targetOf(path, match[2]!),
    line: at(match),
    typeOnly: match[1] !== undefined,
  }));
  const dynamic = [...code.matchAll(DYNAMIC)].map((match) => ({
    target: targetOf(path, match[1]!),
    line: at(match),
    typeOnly: false,
  }));
  return [...found, ...dynamic];
}

function targetOf(path: string, specifier: string): string {
  if (specifier.startsWith('.') || specifier.startsWith('/')) return resolveFrom(path, specifier);
  if (isBuiltin(specifier)) return specifier.startsWith('node:') ? specifier : `node:${specifier}`;
  const parts = specifier.split('/');
  return `npm:${parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/')}`;
}

function resolveFrom(path: string, specifier: string): string {
  return posix.normalize(posix.join(posix.dirname(path), specifier));
}

const COMMENT_OR_TEXT =
  /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\[\s\S]|[^`\\])*`/g;

/** Blanks comments and templates, in which generators keep the imports of other files; lines stay where they are. */
function blankComments(text: string): string {
  return text.replace(COMMENT_OR_TEXT, (found) =>
    /^['"]/.test(found) ? found : found.replace(/[^\n]/g, ' '),
  );
}

if (import.meta.main) {
  const violations = checkImports();
  for (const { message } of violations) console.error(message);
  process.exitCode = violations.length === 0 ? 0 : 1;
}
