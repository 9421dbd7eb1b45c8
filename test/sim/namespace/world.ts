// Owns a history of file nodes over one store: time, messages, faults, clients that change the namespace and read it; and what
// must hold: nobody reads at a node that answers less than what was complete, every node has the same in the end, and what
// clients were told could have happened one after the other.

import type { EntryCommand } from '../../../control/config/namespace_commands.ts';
import type * as CompletionModule from '../../../control/file/namespace/cluster/completion.ts';
import type { FileNodeEvent } from '../../../control/file/namespace/cluster/events.ts';
import type * as NodeModule from '../../../control/file/namespace/cluster/node.ts';
import { bringOnline, drainNode, takeOffline } from '../../../control/file/namespace/cluster/operator.ts';
import { isHeld, type Roster } from '../../../control/file/namespace/cluster/roster.ts';
import { apply } from '../../../control/file/namespace/commands.ts';
import type { Namespace } from '../../../control/file/namespace/document.ts';
import { everyEntry } from '../../../control/file/namespace/forms.ts';
import { entryAt } from '../../../control/file/namespace/lookup.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { link, mkdir, mv, rmdir, storage, unlink } from '../../unit/file/lib.ts';
import { Agenda } from '../protocol/agenda.ts';
import { Random } from '../protocol/random.ts';
import { type Action, isLinearizable, type Operation } from './linearizable.ts';
import { LEASE_MS, type NodeFaults, SimNode } from './node.ts';
import type { Scenario } from './scenario.ts';
import { SimStore, type StoreFaults } from './store.ts';

export type Cores = Pick<typeof NodeModule, 'FileNodeCore'> & Pick<typeof CompletionModule, 'Completions'>;
export type Faults = NodeFaults &
  StoreFaults & {
    /** A change whose outcome is not known is made again as another one. */
    readonly forgetsIds: boolean;
  };
export const NO_FAULTS: Faults = {
  ignoresRevision: false,
  overwrites: false,
  ignoresDeadline: false,
  keepsLater: false,
  countsFromAnswer: false,
  readsNoRoster: false,
  forgetsIds: false,
};

export const FINDINGS = {
  stale: 'a node answered by less than what was complete',
  foreign: 'a node answered by something that no revision is',
  backwards: 'a node answered by less than it had answered by before',
  impossible: 'what clients were told cannot have happened one after the other',
  late: 'a change was not complete in time',
  stuck: 'with all faults over, some node did not come back with the newest revision',
} as const;
export type FindingKind = keyof typeof FINDINGS;
export type Finding = { readonly kind: FindingKind; readonly atMs: number; readonly text: string };

const NS = 1_000_000;
const CHANGE_LIMIT_MS = 15_000;
const ATTEMPTS_MAX = 20;
/** More at once make the question what can have happened too hard. */
const ASKING_MAX = 6;
const HEAL_MS = 90_000;
const EVENTS_MAX = 20_000_000;
const TRACE_MAX = 400;

export class World {
  readonly scenario: Scenario;
  readonly #agenda = new Agenda();
  readonly #faults: Faults;
  readonly #random: Random;
  readonly store: SimStore;
  readonly nodes = new Map<string, SimNode>();
  readonly #cutUntilMs = new Map<string, number>();
  readonly #watching = new Map<string, { isPending: boolean; lastMs: number }>();
  readonly #histories: Operation[][];
  /** Changes that nobody has heard of since. */
  readonly #unheard = new Map<
    string,
    { readonly tree: number; readonly action: Action; readonly calledMs: number }
  >();
  readonly #lastShown = new Map<string, { life: number; revision: number }>();
  /** Changes under way, by tree: so many clients there are. */
  readonly #asking: number[];
  #completeRevision = 0;
  #count = 0;
  #isOver = false;
  readonly findings: Finding[] = [];
  readonly lines: string[] = [];
  readonly #isTraced: boolean;
  readonly counts = { changes: 0, complete: 0, incomplete: 0, refused: 0, reads: 0, peerPledges: 0 };
  healedMs = 0;

  constructor(scenario: Scenario, cores: Cores, faults: Faults, isTraced = false) {
    this.scenario = scenario;
    this.#faults = faults;
    this.#isTraced = isTraced;
    this.#random = new Random(scenario.seed, 'world');
    this.#asking = Array.from({ length: scenario.trees }, () => 0);
    this.#histories = Array.from({ length: scenario.trees }, () => []);
    this.store = new SimStore({
      nowMs: () => this.nowMs,
      leaseMs: LEASE_MS,
      faults,
      changed: () => this.#dispatch(),
    });
    this.#set(storage());
    for (let tree = 0; tree < scenario.trees; tree++) this.#set(mkdir(`/t${tree}`));
    this.#set(mkdir('/bad'));
    for (let at = 0; at < scenario.nodes; at++) {
      const name = `n${at}`;
      this.nodes.set(name, new SimNode(this, name, cores, faults));
    }
  }

  #set(command: EntryCommand): void {
    this.store.commit(command.op, apply(this.store.namespace, command, 0));
  }

  get nowMs(): number {
    return this.#agenda.nowNs / NS;
  }

  after(delayMs: number, happen: () => void): void {
    this.#agenda.after(Math.max(0, delayMs) * NS, happen);
  }

  async run(): Promise<void> {
    for (const [at, node] of [...this.nodes.values()].entries()) this.after(at * 20, () => node.start());
    this.#every(20, () => this.store.expire());
    this.after(2_000, () => this.#change());
    this.#plan();
    const endMs = this.scenario.seconds * 1_000;
    this.after(endMs, () => this.#heal());
    const done = await this.#agenda.run(
      (endMs + HEAL_MS) * NS,
      EVENTS_MAX,
      () => this.#isOver || this.findings.length > 20,
    );
    if (!done) throw new Error('the history has too many events');
    if (!this.#isOver && this.findings.length === 0) this.#find('stuck', this.#stuckText());
    this.#judge();
  }

  // Messages.

  send(from: string, to: string, arrive: () => void): void {
    if (this.#isCut(from, to)) return;
    const delayMs = this.#random.chance(this.scenario.stragglers)
      ? this.#random.between(100, 1_500)
      : 0.2 + this.#random.unit() * 2;
    this.after(delayMs, () => {
      if (!this.#isCut(from, to)) arrive();
    });
  }

  #isCut(a: string, b: string): boolean {
    return this.nowMs < (this.#cutUntilMs.get(pair(a, b)) ?? 0);
  }

  #cut(a: string, b: string, forMs: number): void {
    this.#cutUntilMs.set(pair(a, b), this.nowMs + forMs);
    this.after(forMs + 1, () => this.#dispatch());
  }

  watch(node: SimNode): void {
    this.#watching.set(node.name, { isPending: false, lastMs: 0 });
    this.#dispatch();
  }

  /** What the store has, to everybody who can hear it; several changes may come as one. */
  #dispatch(): void {
    for (const [name, watch] of this.#watching) {
      if (watch.isPending) continue;
      watch.isPending = true;
      this.after(0.1 + this.#random.unit(), () => {
        watch.isPending = false;
        if (this.#watching.get(name) !== watch || this.store.isAway || this.#isCut('store', name)) return;
        const { view } = this.store;
        const { lagsUntilMs } = this.nodes.get(name)!;
        const atMs = Math.max(watch.lastMs, lagsUntilMs, this.nowMs + 0.2 + this.#random.unit() * 2);
        watch.lastMs = atMs;
        this.after(atMs - this.nowMs, () => {
          if (this.#watching.get(name) !== watch) return;
          if (!this.#isCut('store', name)) this.nodes.get(name)!.tell({ kind: 'saw', view });
        });
      });
    }
  }

  #every(ms: number, happen: () => void): void {
    this.after(ms, () => {
      happen();
      if (!this.#isOver) this.#every(ms, happen);
    });
  }

  // Faults.

  #plan(): void {
    const { everyMs, forMs, seconds } = this.scenario;
    for (const [kind, every] of Object.entries(everyMs) as [keyof Scenario['everyMs'], number][]) {
      if (every === 0) continue;
      const random = new Random(this.scenario.seed, kind);
      for (
        let atMs = 3_000 + random.unit() * every;
        atMs < seconds * 1_000;
        atMs += random.unit() * 2 * every
      ) {
        const lastsMs = Math.min(random.between(100, forMs), seconds * 1_000 - atMs);
        this.after(atMs, () => this.#fault(kind, random, lastsMs));
      }
    }
  }

  #fault(kind: keyof Scenario['everyMs'], random: Random, forMs: number): void {
    const names = [...this.nodes.keys()];
    const name = random.pick(names);
    const node = this.nodes.get(name)!;
    this.#note(`${kind} ${name} ${Math.round(forMs)} ms`);
    switch (kind) {
      case 'cut':
        this.#cutSome(name, names, random, forMs);
        return;
      case 'crash':
        if (!node.isUp) return;
        node.crash();
        this.after(random.between(50, this.scenario.downMs), () => node.isUp || node.start());
        return;
      case 'outage':
        this.store.isAway = true;
        this.after(forMs, () => this.#back());
        return;
      case 'hang':
        node.isUp && !node.hangs ? node.hang(forMs) : undefined;
        return;
      case 'lag':
        node.lagsUntilMs = this.nowMs + forMs;
        return;
      case 'power':
        this.#losePower(random, forMs);
        return;
      case 'slow':
        node.slowUntilMs = this.nowMs + forMs;
        return;
      case 'storage':
        this.#loseStorage(node, random, forMs);
        return;
      case 'clock':
        node.wallSkewMs = random.between(-100_000_000, 100_000_000);
        return;
      case 'operator':
        this.#operate(random, name);
        return;
    }
  }

  /** From the store, from everybody else, or from some. */
  #cutSome(name: string, names: readonly string[], random: Random, forMs: number): void {
    const kind = this.scenario.cutsStoreOnly ? 0 : random.between(0, 3);
    if (kind !== 1) this.#cut(name, 'store', forMs);
    for (const other of names) {
      if (other === name) continue;
      if (kind === 1 || kind === 2 || (kind === 3 && random.chance(0.5))) this.#cut(name, other, forMs);
      else if (kind === 0 && random.chance(0.3)) this.#cut(other, 'store', forMs);
    }
  }

  #losePower(random: Random, forMs: number): void {
    this.store.isAway = true;
    for (const node of this.nodes.values()) {
      node.crash();
      this.after(random.between(50, 800), () => node.isUp || node.start());
    }
    this.after(forMs, () => this.#back());
  }

  #back(): void {
    if (!this.store.isAway) return;
    this.store.back();
    this.#dispatch();
  }

  #loseStorage(node: SimNode, random: Random, forMs: number): void {
    if (random.chance(0.5)) {
      node.isStorageGone = true;
      node.tell({ kind: 'health', problem: 'storage data does not answer' });
      this.after(forMs, () => {
        node.isStorageGone = false;
        node.tell({ kind: 'health', problem: undefined });
      });
      return;
    }
    const path = `/bad/${node.name}`;
    const by = (): SimNode => random.pick([...this.nodes.values()]);
    this.#submit(by(), link(path, { target: `not-at-${node.name}` }), () => undefined);
    this.after(forMs, () => void this.#submit(by(), unlink(path), () => undefined));
  }

  #operate(random: Random, name: string): void {
    const by = random.pick([...this.nodes.values()]);
    const what = random.between(0, 3);
    const change = (roster: Roster): Roster => {
      if (what === 0) return drainNode(roster, name);
      if (what === 1)
        return takeOffline(roster, name, { isCertain: !this.nodes.get(name)!.isUp && random.chance(0.5) });
      return bringOnline(roster, name);
    };
    if (!by.isUp) return;
    by.ask(
      () => this.store.roster,
      (roster) => {
        if (roster === undefined) return;
        try {
          const next = change(roster);
          by.ask(
            () => this.store.setRoster(next, roster.epoch),
            () => undefined,
          );
        } catch (error) {
          if (!(error instanceof Failure)) throw error;
        }
      },
    );
  }

  // Clients.

  #change(): void {
    const { seconds, changeEveryMs, trees } = this.scenario;
    if (this.nowMs > seconds * 1_000) return;
    this.after(this.#random.unit() * 2 * changeEveryMs, () => this.#change());
    const node = this.#random.pick([...this.nodes.values()]);
    const tree = this.#random.between(0, trees - 1);
    if (!node.isUp || node.hangs || this.#asking[tree]! >= ASKING_MAX) return;
    if (this.#random.chance(0.3)) {
      this.#read(node, tree);
      return;
    }
    const action = actionOf(this.#random, `/t${tree}`, node.shown);
    this.counts.changes++;
    const calledMs = this.nowMs;
    this.#asking[tree]!++;
    // A client gives up at some time.
    const forget = once(() => this.#asking[tree]!--);
    this.after(2 * CHANGE_LIMIT_MS, forget);
    const id = this.#submit(node, commandOf(action), (answer, isComplete) => {
      forget();
      // Without a promise that it is everywhere, it is as if no answer had come.
      if (!isComplete) return;
      this.#unheard.delete(id);
      this.#histories[tree]!.push({ action, calledMs, answeredMs: this.nowMs, answer });
    });
    this.#unheard.set(id, { tree, action, calledMs });
  }

  /** Answered once what was read is everywhere. */
  #read(node: SimNode, tree: number): void {
    if (!node.answers) return;
    const calledMs = this.nowMs;
    const { shown } = node;
    const { revision } = shown!;
    const id = `read${this.#count++}`;
    node.open.set(id, ({ kind }) => {
      if (kind !== 'complete') return;
      this.counts.reads++;
      const answer = treeOf(shown!, `/t${tree}`).join('|');
      this.#histories[tree]!.push({ action: { op: 'read' }, calledMs, answeredMs: this.nowMs, answer });
    });
    node.completions!.committed(id, { revision, at: 0, untilMs: node.nowMs + CHANGE_LIMIT_MS });
    node.complete();
  }

  #submit(node: SimNode, command: EntryCommand, over: (answer: string, isComplete: boolean) => void): string {
    const first = `c${this.#count++}`;
    if (!node.isUp || node.hangs) return first;
    const { life } = node;
    const calledMs = this.nowMs;
    const untilMs = node.nowMs + CHANGE_LIMIT_MS;
    const done = (id: string, answer: string, revision: number, at: number): void => {
      node.open.set(id, ({ kind }) => {
        const isComplete = kind === 'complete';
        this.counts[answer === 'ok' ? (isComplete ? 'complete' : 'incomplete') : 'refused']++;
        this.#note(`${node.name} ${JSON.stringify(command)}: ${answer}, ${kind} at ${revision}`);
        if (isComplete) this.#complete(revision);
        const { completeWithinMs } = this.scenario;
        if (completeWithinMs > 0 && this.nowMs - calledMs > completeWithinMs)
          this.#find('late', `${node.name} ${JSON.stringify(command)} took ${this.nowMs - calledMs} ms`);
        over(answer, isComplete);
      });
      node.completions!.committed(id, { revision, at, untilMs });
      node.complete();
    };
    const attempt = (id: string, left: number): void => {
      if (left === 0 || node.nowMs > untilMs || node.life !== life) return;
      const again = (isLost: boolean): void => {
        const next = isLost && this.#faults.forgetsIds ? `${id}+` : id;
        this.after(this.#random.unit() * 10, () => attempt(next, left - 1));
      };
      node.ask(
        () => ({ ...this.store.view, known: this.store.ids.get(id) }),
        (read) => {
          if (read === undefined) return again(false);
          const { known, namespace } = read;
          if (known !== undefined) return done(id, 'ok', known.revision, known.at);
          const after = planned(namespace, command, node.wallMs);
          if (after instanceof Failure) return done(id, after.code, namespace.revision, read.at);
          if (after === namespace) return done(id, 'ok', namespace.revision, read.at);
          if (node.problemOf(after) !== undefined && node.problemOf(namespace) === undefined) return;
          node.ask(
            () => this.store.commit(id, after) ?? 'conflict',
            (at) => {
              if (at === undefined || at === 'conflict') return again(at === undefined);
              done(id, 'ok', after.revision, at);
            },
          );
        },
      );
    };
    attempt(first, ATTEMPTS_MAX);
    return first;
  }

  // What must hold.

  #complete(revision: number): void {
    this.#completeRevision = Math.max(this.#completeRevision, revision);
    for (const node of this.nodes.values()) this.look(node);
  }

  look(node: SimNode): void {
    if (!node.answers) return;
    const shown = node.shown!;
    const { revision } = shown;
    if (revision < this.#completeRevision)
      this.#find('stale', `${node.name} answers by ${revision}, and ${this.#completeRevision} is complete`);
    if (this.store.revisions.get(revision) !== shown) this.#find('foreign', `${node.name} at ${revision}`);
    const last = this.#lastShown.get(node.name);
    if (last !== undefined && last.life === node.life && revision < last.revision)
      this.#find('backwards', `${node.name} from ${last.revision} to ${revision}`);
    this.#lastShown.set(node.name, { life: node.life, revision });
  }

  #find(kind: FindingKind, text: string): void {
    this.#note(`FOUND ${kind}: ${text}`);
    if (this.findings.length < 100) this.findings.push({ kind, atMs: this.nowMs, text });
  }

  #heal(): void {
    this.#note('all faults are over');
    this.#cutUntilMs.clear();
    this.#back();
    for (const node of this.nodes.values()) {
      node.isStorageGone = false;
      node.slowUntilMs = 0;
      node.lagsUntilMs = 0;
      if (!node.isUp) node.start();
      else node.tell({ kind: 'health', problem: undefined });
      this.#submit(node, unlink(`/bad/${node.name}`), () => undefined);
    }
    this.#dispatch();
    const healMs = this.nowMs;
    this.#every(500, () => {
      for (const { name } of [...this.store.roster.nodes.values()].filter(isHeld)) {
        const { roster } = this.store;
        this.store.setRoster(bringOnline(roster, name), roster.epoch);
      }
      for (const node of this.nodes.values())
        if (
          this.store.namespace.entries.size > 0 &&
          entryAt(this.store.namespace, `/bad/${node.name}`) !== undefined
        )
          this.#submit(node, unlink(`/bad/${node.name}`), () => undefined);
      if (!this.#isWhole() || [...this.nodes.values()].some((it) => it.open.size > 0)) return;
      this.#isOver = true;
      this.healedMs = this.nowMs - healMs;
    });
  }

  #isWhole(): boolean {
    const { roster, namespace } = this.store;
    return [...this.nodes.values()].every(
      (node) => node.answers && roster.nodes.get(node.name)?.state === 'online' && node.shown === namespace,
    );
  }

  #stuckText(): string {
    const { roster, namespace, view } = this.store;
    const of = ({ name, answers, shown, core, open }: SimNode): string =>
      `${name}: ${JSON.stringify(roster.nodes.get(name))} ${answers ? 'answers' : 'silent'} ${shown?.revision} of ${namespace.revision}, ` +
      `acknowledged ${JSON.stringify(view.acknowledgements.get(name))}, ${JSON.stringify(core?.trouble)}, ${open.size} open`;
    return `roster ${roster.epoch}\n${[...this.nodes.values()].map(of).join('\n')}`;
  }

  #judge(): void {
    for (const [id, { tree, action, calledMs }] of this.#unheard) {
      if (!this.store.ids.has(id)) continue;
      this.#histories[tree]!.push({ action, calledMs, answeredMs: Number.POSITIVE_INFINITY, answer: 'ok' });
    }
    for (const [tree, history] of this.#histories.entries()) {
      const start = [`/t${tree} folder`];
      if (isLinearizable(history, start)) continue;
      this.#find('impossible', `tree ${tree}, ${history.length} operations`);
    }
  }

  #note(line: string): void {
    if (!this.#isTraced) return;
    this.lines.push(`${this.nowMs.toFixed(1)} ${line}`);
    if (this.lines.length > TRACE_MAX && this.findings.length === 0) this.lines.splice(0, TRACE_MAX / 4);
  }

  trace(node: SimNode, event: FileNodeEvent): void {
    if (!this.#isTraced || event.kind === 'tick') return;
    const text =
      event.kind === 'saw'
        ? `${event.view.at} revision ${event.view.namespace.revision} ${rosterText(event.view.roster)} ` +
          [...event.view.acknowledgements].map(([name, it]) => `${name}=${it.revision}/${it.epoch}`).join(' ')
        : JSON.stringify(event, (key, value) =>
            key === 'namespace' || key === 'roster' || key === 'copy' ? undefined : value,
          );
    const untilMs = node.core!.deadlineMs - node.nowMs;
    this.#note(`${node.name} (${node.shown?.revision}, ${Math.round(untilMs)} ms) ${event.kind} ${text}`);
  }
}

function rosterText({ epoch, nodes }: Roster): string {
  const state = (it: { state: string; isStopped?: boolean }): string =>
    it.state + (it.state === 'offline' && !it.isStopped ? '?' : '');
  return `roster ${epoch} ${[...nodes.values()].map((it) => `${it.name}:${state(it)}@${it.epoch}`).join(',')}`;
}

function once(happen: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) happen();
    isDone = true;
  };
}

const pair = (a: string, b: string): string => (a < b ? `${a}|${b}` : `${b}|${a}`);

function planned(namespace: Namespace, command: EntryCommand, atMs: number): Namespace | Failure {
  try {
    return apply(namespace, command, atMs);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
}

/** Mostly what should be possible, by what the node shows. */
function actionOf(random: Random, root: string, shown: Namespace | undefined): Action {
  const known =
    shown === undefined
      ? []
      : treeOf(shown, root)
          .slice(1)
          .map((it) => it.split(' ') as [string, string]);
  const place = (): string => {
    const folder = `${root}/${random.pick(['a', 'b', 'c'])}`;
    return random.chance(0.5) ? folder : `${folder}/${random.pick(['x', 'y'])}`;
  };
  const op = random.pick(['make', 'make', 'take', 'mv', 'any'] as const);
  if (op === 'make' || known.length === 0)
    return { op: random.pick(['mkdir', 'link'] as const), path: place() };
  const [path, kind] = random.pick(known);
  if (op === 'take') return { op: kind === 'folder' ? 'rmdir' : 'unlink', path };
  if (op === 'mv') return { op, from: path, to: place() };
  return { op: random.pick(['mkdir', 'link', 'rmdir', 'unlink'] as const), path: place() };
}

function commandOf(action: Action): EntryCommand {
  switch (action.op) {
    case 'mkdir':
      return mkdir(action.path);
    case 'link':
      return link(action.path);
    case 'rmdir':
      return rmdir(action.path);
    case 'unlink':
      return unlink(action.path);
    case 'mv':
      return mv(action.from, action.to);
    case 'read':
      throw new Error('a read changes nothing');
  }
}

function treeOf(namespace: Namespace, path: string): string[] {
  const entry = entryAt(namespace, path)!;
  return [...everyEntry(namespace, { path, entry })].map((it) => `${it.path} ${it.entry.kind}`).sort();
}
