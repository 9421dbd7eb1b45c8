// Owns the checks of changes under way: whether what they need to come to their end is there, and whether it comes.
import type { ChangeFacts, ClusterFacts } from './facts.ts';
import { counted, type Finding, listed, subject } from './finding.ts';

/** A copy of a full table takes seconds: a million entries at 64 messages a round. */
const COPY_MS_MAX = 30_000;
/** Muxes follow the keys within a second. */
const KEYS_MS_MAX = 10_000;
/** Of what a step lasts where nothing is wrong. */
const LATE_FACTOR = 2;
/** A step of some milliseconds waits for barriers still. */
const STEP_MS_MIN = 10_000;

export function changeFindings(cluster: ClusterFacts): Finding[] {
  return [
    ...deadlines(cluster),
    ...keys(cluster),
    ...cluster.changes.flatMap((change) => [
      ...backups(change, cluster),
      ...copies(change),
      ...unrecorded(change),
      ...late(change),
    ]),
    ...(cluster.changes.length === 0 ? [subject('change').ok('no slot is tracked')] : []),
  ];
}

function deadlines({ peers }: ClusterFacts): Finding[] {
  return peers
    .filter(({ isPastDeadline }) => isPastDeadline)
    .map(({ name }) =>
      subject('mux-deadline').error(
        `${name} is past its deadline: it could not renew its lease, decides nothing, and relays what comes to others`,
        `on ${name}: holdfast status; holdfast doctor`,
      ),
    );
}

/** Who has not come along signs with an old key, which others forget, or does not know the new one. */
function keys({ keys: found }: ClusterFacts): Finding[] {
  if (found === undefined) return [];
  const check = subject('mux-keys');
  const late = found.lacking.filter(({ forMs }) => forMs > KEYS_MS_MAX);
  if (late.length === 0) return [check.ok(`all muxes have the keys of step ${found.step}`)];
  const names = late.map(({ name }) => name);
  return [
    check.error(
      `${listed(names)} ${names.length === 1 ? 'has' : 'have'} older keys than the others (step ${found.step}) for ` +
        `${seconds(Math.max(...late.map(({ forMs }) => forMs)))}: the change of keys waits`,
      `on ${names[0]}: holdfast status; journalctl -u holdfastd`,
    ),
  ];
}

function backups({ id, slots, withoutBackup }: ChangeFacts, { members }: ClusterFacts): Finding[] {
  // Of a single mux there is another finding.
  if (withoutBackup === 0 || members < 2) return [];
  return [
    subject('chain-backup').error(
      `${withoutBackup} of ${counted(slots, 'slot')} of change ${id} have no backup: what is recorded of their flows is lost if their owner dies`,
      'holdfast nodes list; holdfast changes',
    ),
  ];
}

function copies({ id, copying }: ChangeFacts): Finding[] {
  const late = copying.filter(({ forMs }) => forMs > COPY_MS_MAX);
  return late.map(({ name, forMs }) =>
    subject('flow-copy').error(
      `${name} has been copying flows of change ${id} to new backups for ${seconds(forMs)}: until it has, its death loses them, and the change waits`,
      `on ${name}: holdfast status; holdfast doctor; see the path between the muxes (UDP, the ask port)`,
    ),
  );
}

/** Packets that no table had room for, or that did not fit into an ask. */
function unrecorded({ id, step, windowMs, unrecorded: found }: ChangeFacts): Finding[] {
  const holding = found.filter(({ agoMs }) => agoMs < windowMs);
  if (step !== 'commit' || holding.length === 0) return [];
  const names = listed(holding.map(({ name }) => name));
  const lastMs = Math.min(...holding.map(({ agoMs }) => agoMs));
  return [
    subject('change-held').warning(
      `${names} answered packets of change ${id} without a record, the last ${seconds(lastMs)} ago: its settle window begins again each time`,
      'holdfast flows top --by client; flowTable.entries in holdfastd.yaml; the room between the muxes (mux-room)',
    ),
  ];
}

function late({ id, step, forMs, lastsMs, slots, oldFlows, waitsFor }: ChangeFacts): Finding[] {
  const check = subject('change');
  const what = `${counted(slots, 'slot')} of change ${id}`;
  const isLate = forMs > Math.max(LATE_FACTOR * lastsMs, STEP_MS_MIN);
  if (!isLate) return [check.ok(`${what} are at step ${step}`)];
  // People decide how long their connections last.
  if (step === 'settle' && oldFlows > 0) {
    return [
      check.note(
        `${what} are tracked until ${counted(oldFlows, 'old flow')} on former backends have ended`,
        'holdfast flows top --by backend --old; holdfast backends drain POOL/NAME --now gives them up',
      ),
    ];
  }
  const why = waitsFor[0] === undefined ? '' : `; it waits ${waitsFor[0]}`;
  return [
    check.warning(
      `${what} have been at step ${step} for ${seconds(forMs)}, where it takes ${seconds(lastsMs)}${why}`,
      'holdfast changes --watch; holdfast nodes list',
    ),
  ];
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
