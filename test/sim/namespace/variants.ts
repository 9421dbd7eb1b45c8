// Owns the cores of the file nodes with one rule taken out, to see it missed: a copy of the sources with a line changed.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Cores } from './world.ts';

const ROOT = join(import.meta.dirname, '../../..');
const SOURCE = join(ROOT, 'control/file/namespace/cluster');

export const RULES = {
  waitsForAcknowledgements: {
    file: 'completion.ts',
    from: 'else if (has < revision) waits.set',
    to: 'else if (false) waits.set',
  },
  waitsUntilStopped: { file: 'completion.ts', from: 'if (!node.isStopped)', to: 'if (false)' },
  acknowledgesWhatIsKept: {
    file: 'node.ts',
    from: '(kept?.namespace.revision ?? 0)',
    to: 'this.#applied.revision',
  },
  waitsForPledges: {
    file: 'node.ts',
    from: 'nowMs >= (this.#quietUntilMs ?? nowMs) && nowMs >= this.#proof.mayAcknowledgeAtMs(epoch)',
    to: 'true',
  },
  leavesUnpledged: {
    file: 'node.ts',
    from: 'nowMs >= this.#proof.mayAcknowledgeAtMs(Number.POSITIVE_INFINITY)',
    to: 'true',
  },
  comesInWithTheNewest: { file: 'node.ts', from: "next.state !== 'offline' &&", to: 'false &&' },
  joinsWhenAllKnow: {
    file: 'roster.ts',
    from: 'return membersOf(roster).every(',
    to: 'return true || membersOf(roster).every(',
  },
  isOverWhenUnpledged: {
    file: 'roster.ts',
    from: 'return 2 * knowing >= members.length;',
    to: 'return true;',
  },
  onlyServingNodesVote: {
    file: 'roster.ts',
    from: 'voters: others.filter(isServing)',
    to: 'voters: others.filter(isMember)',
  },
  asksAMajority: { file: 'proof.ts', from: 'isMajority(current.pledges.size + 1, of)', to: 'true' },
  countsFromSending: {
    file: 'proof.ts',
    from: 'this.#provenMs = Math.max(this.#provenMs, current.sentMs);',
    to: 'this.#provenMs = Math.max(this.#provenMs, current.sentMs + 3 * this.#leaseMs);',
  },
  waitsForTheLease: {
    file: 'watch.ts',
    from: 'nowMs - said.sinceMs >= node.leaseMs + marginMs',
    to: 'nowMs - said.sinceMs >= node.leaseMs / 6',
  },
  comesBack: {
    file: 'node.ts',
    from: "      this.#stop = 'no';\n      return { ...self, state: 'joining' };",
    to: '      return undefined;',
  },
  takesOffline: {
    file: 'watch.ts',
    from: "return offline(node, { code: 'late', text }, false);",
    to: 'return undefined;',
  },
} as const satisfies Record<string, { readonly file: string; readonly from: string; readonly to: string }>;
export type RuleName = keyof typeof RULES;

export async function coresWithout(name: RuleName): Promise<Cores> {
  const { file, from, to } = RULES[name];
  const directory = join(ROOT, 'out/variant', `file-nodes-${name}`);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  cpSync(SOURCE, directory, { recursive: true });
  for (const each of readdirSync(directory)) {
    const path = join(directory, each);
    let text = readFileSync(path, 'utf8').replaceAll(
      /from '(\.\.\/[^']+)'/g,
      (_, specifier: string) => `from '${resolve(SOURCE, specifier)}'`,
    );
    if (each === file) {
      if (!text.includes(from))
        throw new Error(`${file} does not have the rule that ${name} takes out: ${from}`);
      text = text.replace(from, to);
    }
    writeFileSync(path, text);
  }
  const load = (each: string) => import(/* @vite-ignore */ pathToFileURL(join(directory, each)).href);
  const [{ FileNodeCore }, { Completions }] = await Promise.all([load('node.ts'), load('completion.ts')]);
  return { FileNodeCore, Completions };
}
