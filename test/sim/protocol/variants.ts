// Owns compiling the mux's program with rules taken out of it, to see them missed.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../../..');

export type ProgramFault = { readonly file: string; readonly from: string; readonly to: string };

export const PROGRAM_FAULTS = {
  /** An unknown client with affinity is taken for a new one where it sends a SYN. */
  affinityAsNew: {
    file: 'tracked.h',
    from: 'return is_new && !(service_of(decision)->flags & SERVICE_CLIENT_AFFINITY);',
    to: 'return is_new;',
  },
  /** A record stands, whatever is known. */
  recordsOverwrite: {
    file: 'flow.h',
    from: 'bool wins = role != FLOW_ROLE_BACKUP || request->chain_newer_here ||\n                  is_newer_epoch(entry->chain_epoch, request->entry.chain_epoch);',
    to: 'bool wins = role != FLOW_ROLE_BACKUP;',
  },
  /** Only the owner is told which flows live. */
  refreshesOwnerOnly: {
    file: 'flow_tasks.h',
    from: 'return chain->owner == request->peer || chain->backup == request->peer;',
    to: 'return chain->owner == request->peer;',
  },
  /** What finds no place goes to where new flows go. */
  fullAnswersCurrent: {
    file: 'answer.h',
    from: 'set_answer(ask, base_of(decision), find_backend(base_of(decision))->generation);',
    to: 'set_answer(ask, current_of(decision), find_backend(current_of(decision))->generation);',
  },
  /** The answer to a SYN serves for as long as clients send it again. */
  servesSynAlways: {
    file: 'flow.h',
    from: 'return flow_age(now, cache_seen(state)) <= SYN_CACHED_TIME;',
    to: 'return true;',
  },
  /** Owner and backup forget a SYN after 30 s. */
  forgetsSynSoon: { file: 'types.h', from: '#define NASCENT_TIME    250', to: '#define NASCENT_TIME    112' },
  /** Where nobody can be asked, new flows go to where they would if somebody could. */
  aloneAsNew: {
    file: 'tracked.h',
    from: 'return known != BACKEND_NONE ? known : backend_of_unknown(decision);',
    to: 'return known != BACKEND_NONE ? known : is_decided_new(decision, packet->new_flow == NEW_FLOW) ? current_of(decision) : base_of(decision);',
  },
  /** Where nobody can be asked, what the table has of a flow ends while its packets are forwarded by it; */
  aloneIsNoLifeToTable: {
    file: 'tracked.h',
    from: 'enum flow_role role = is_look_up ? FLOW_ROLE_READER : FLOW_ROLE_WITNESS;',
    to: 'enum flow_role role = FLOW_ROLE_READER;',
  },
  /** what the cache has of it does. */
  aloneIsNoLifeToCache: {
    file: 'tracked.h',
    from: 'is_look_up ? CACHE_USE_LOOK_UP_ALONE : CACHE_USE_ALONE, true);',
    to: 'CACHE_USE_LOOK_UP_ALONE, true);',
  },
  /** Nobody accounts for a packet that was sent on. */
  countsNothing: { file: 'verdict.h', from: 'here->reasons[MASKED(reason, REASONS_MAX - 1)]++;', to: ';' },
  /** Each packet has two reasons. */
  countsTwice: {
    file: 'verdict.h',
    from: '    count_reason(reason);\n  if (observer)',
    to: '    count_reason(reason);\n  count_reason(reason);\n  if (observer)',
  },
  /** A mux past its deadline goes on answering asks and taking records. */
  answersPastDeadline: {
    file: 'receive.h',
    from: 'if (header->operation < ASK_OPERATION_ANSWER && past_deadline())',
    to: 'if (0)',
  },
  /** A mux past its deadline that hears nobody decides at once. */
  alonesAtOnce: {
    file: 'mux.bpf.c',
    from: 'if (self.deadline != DEADLINE_ALONE)',
    to: 'if (0)',
  },
} as const satisfies Record<string, ProgramFault>;
export type ProgramFaultName = keyof typeof PROGRAM_FAULTS;

/** Of this process: a worker may have one open. */
const objects = new Map<string, string>();

/** Path of the object. */
export function compileWithout(...names: readonly ProgramFaultName[]): string {
  const made = objects.get(names.join());
  if (made !== undefined) return made;
  const tree = join(ROOT, 'out/variant', `sim-${names.join('-')}`);
  rmSync(tree, { recursive: true, force: true });
  mkdirSync(tree, { recursive: true });
  cpSync(join(ROOT, 'bpf'), join(tree, 'bpf'), { recursive: true });
  for (const name of names) {
    const { file, from, to } = PROGRAM_FAULTS[name];
    const path = join(tree, 'bpf', file);
    const text = readFileSync(path, 'utf8');
    if (!text.includes(from))
      throw new Error(`bpf/${file} does not have the rule that ${name} takes out: ${from}`);
    writeFileSync(path, text.replace(from, to));
  }
  const script = '. scripts/lib/build.sh; bpf_compiler; bpf_flags';
  const [compiler, ...flags] = execFileSync('bash', ['-c', script], { cwd: ROOT, encoding: 'utf8' })
    .trim()
    .split('\n');
  const object = join(tree, 'mux.bpf.o');
  // A rule that is gone may leave something unused.
  execFileSync(compiler!, [...flags, '-Wno-error', '-c', 'bpf/mux.bpf.c', '-o', object], {
    cwd: tree,
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  objects.set(names.join(), object);
  return object;
}
