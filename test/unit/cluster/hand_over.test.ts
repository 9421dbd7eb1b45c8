// What a node waits for before it empties tables of flows that it cannot take over.
import { describe, expect, it } from 'vitest';
import { encodeAcknowledgement, encodeRegistration } from '../../../control/cluster/ack_layout.ts';
import { awaitCopies, keptBy } from '../../../control/cluster/hand_over.ts';
import { ackKey, blobKey, HEAD_KEY, registrationKey } from '../../../control/cluster/keys.ts';
import { VersionEncoder } from '../../../control/cluster/version_layout.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { Cluster, remove } from './leader_cluster.ts';
import { newStore } from './support.ts';

/** Tracked slots, kept by three muxes. */
function changing(muxes = 3): Cluster {
  const its = new Cluster(muxes);
  its.edit(remove('b2'));
  its.settle();
  return its;
}

/** m3 is gone, and its chains are repaired. */
function repairing(): Cluster {
  const its = changing();
  its.registrations.delete('m3');
  its.step();
  return its;
}

const keptAt = (its: Cluster, name: string) => keptBy(name, its.head!, its.acknowledgements);

describe('what a mux keeps', () => {
  it('is nothing where no slot is tracked, or it is no member', () => {
    expect(keptAt(new Cluster(), 'm1')).toEqual({ kind: 'nothing' });
    expect(keptAt(changing(), 'm9')).toEqual({ kind: 'nothing' });
  });

  it('is at another mux, too, with the chains that it began with', () => {
    expect(keptAt(changing(), 'm1')).toEqual({ kind: 'whole' });
  });

  it('is nowhere else where it is the only one', () => {
    expect(keptAt(changing(1), 'm1')).toEqual({ kind: 'alone' });
  });

  it('is on its way where another one has just gone, until all have said that it has come', () => {
    const its = repairing();
    expect(keptAt(its, 'm1')).toEqual({ kind: 'copying', by: ['m1', 'm2'] });
    its.acknowledge(1);
    expect(keptAt(its, 'm1')).toEqual({ kind: 'copying', by: ['m2'] });
    its.acknowledge(2);
    expect(keptAt(its, 'm1')).toEqual({ kind: 'whole' });
  });
});

describe('before it empties its tables a node', () => {
  async function stored(its: Cluster, leaseMs = 3_000) {
    const { store } = await newStore();
    const { head, blobs } = new VersionEncoder().encode(its.head!, 1);
    const say = (id: number) =>
      store.txn(
        [],
        [{ put: ackKey(`m${id}`), value: encodeAcknowledgement(its.acknowledgements.get(`m${id}`)!) }],
      );
    for (const [digest, value] of blobs) await store.txn([], [{ put: blobKey(digest), value }]);
    const lease = await store.lease(leaseMs);
    const value = encodeRegistration(its.registrations.get('m1')!);
    await store.txn(
      [],
      [
        { put: HEAD_KEY, value: head },
        { put: registrationKey('m1'), value, leaseId: lease.id },
      ],
    );
    return { store, say };
  }

  it('waits until the copies of others are done', async () => {
    const its = repairing();
    const { store, say } = await stored(its);
    its.acknowledgeAll();
    await say(1);
    let isOver = false;
    const waiting = awaitCopies(store, 'm1', 3_000).then((found) => {
      isOver = true;
      return found;
    });
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(isOver).toBe(false);
    await say(2);
    expect(await waiting).toBeUndefined();
  });

  it('waits no longer than its lease, with which it is gone for the others', async () => {
    const { store } = await stored(repairing(), 300);
    const failure = await awaitCopies(store, 'm1', 10_000);
    expect(failure!.reason).toMatch(/They are being copied still, by m1, m2\.$/);
  });

  it('does not wait where nobody could take them, or the store is away', async () => {
    const { store } = await stored(changing(1));
    expect((await awaitCopies(store, 'm1', 3_000))!.reason).toMatch(/No other mux keeps them\.$/);
    const away = () => Promise.reject(new Failure('unavailable', 'etcd is away'));
    expect((await awaitCopies({ get: away, list: away }, 'm1', 3_000))!.reason).toMatch(/etcd is away\.$/);
  });
});
