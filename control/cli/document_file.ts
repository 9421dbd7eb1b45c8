// Owns reading and writing the file of `apply` and `export`: the cluster's objects as YAML, of which JSON is a part.
import { isMap, isNode, isScalar, LineCounter, parseDocument, stringify } from 'yaml';
import type { DocumentInput } from '../api/client.ts';
import { documentSchema } from '../config/objects.ts';
import { Failure } from '../lib/failure.ts';

/** Of apply's file: some hundred times what the limits on objects allow for. */
export const DOCUMENT_BYTES_MAX = 64 << 20;
/** Mistakes told at once: more scroll away. */
const MISTAKES_MAX = 10;

const HEADER = `# Services, pools and backends of a Holdfast cluster.
# "holdfast apply -f" makes a cluster be this; what is not in it is removed.
`;

/** As written, without defaults: the daemon knows them. */
export function parseClusterDocument(text: string, fileName: string): DocumentInput {
  if (text.length > DOCUMENT_BYTES_MAX) {
    throw new Failure('limit', `${fileName} is longer than ${DOCUMENT_BYTES_MAX} bytes.`);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${fileName}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    throw refusal(
      fileName,
      document.errors.map(({ pos, message }) => `${at(pos[0])}: ${message}`),
    );
  }
  const value: unknown = document.toJS();
  if (value === null || value === undefined) {
    throw new Failure('invalid', `${fileName} is empty.`, {
      remedy: 'To remove everything, write "services: []".',
    });
  }
  const parsed = documentSchema.safeParse(value);
  if (parsed.success) return value as DocumentInput;
  const mistakes = parsed.error.issues.flatMap((issue) => {
    const where = (path: readonly PropertyKey[]) => {
      const offset = offsetOf(document, path);
      return offset === undefined ? fileName : at(offset);
    };
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => {
        const path = [...issue.path, key];
        return `${where(path)}: ${path.map(String).join('.')}: there is no such field`;
      });
    }
    const path = issue.path.length === 0 ? '' : `${issue.path.map(String).join('.')}: `;
    return [`${where(issue.path)}: ${path}${issue.message}`];
  });
  throw refusal(fileName, mistakes);
}

export function formatClusterDocument(document: DocumentInput): string {
  return HEADER + stringify(document, { lineWidth: 0 });
}

function refusal(fileName: string, mistakes: readonly string[]): Failure {
  const more = mistakes.length - MISTAKES_MAX;
  const shown = [...mistakes.slice(0, MISTAKES_MAX), ...(more > 0 ? [`and ${more} more`] : [])];
  return new Failure('invalid', `${fileName} does not say which services, pools and backends there are.`, {
    reason: shown.join('\n'),
    remedy: 'See what holdfast export writes.',
  });
}

/** Of the innermost part of the path that is there; of the name of a field rather than of its value. */
function offsetOf(
  document: ReturnType<typeof parseDocument>,
  path: readonly PropertyKey[],
): number | undefined {
  for (let length = path.length; length >= 0; length--) {
    const parent = length === 0 ? undefined : document.getIn(path.slice(0, length - 1), true);
    const pair = isMap(parent)
      ? parent.items.find((it) => isScalar(it.key) && it.key.value === path[length - 1])
      : undefined;
    if (isScalar(pair?.key) && pair.key.range) return pair.key.range[0];
    const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return undefined;
}
