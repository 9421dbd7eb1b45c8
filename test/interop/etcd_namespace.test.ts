// The namespace in a real etcd.
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import { hostClock } from '../../control/io/host_clock.ts';
import { openStore } from '../../control/store/open.ts';
import { EtcdServer } from '../contract/etcd_server.ts';
import { namespaceStoreContract } from '../contract/namespace_store.ts';

let server: EtcdServer;
beforeAll(async () => {
  server = await EtcdServer.start();
});
afterAll(() => server?.remove());

let made = 0;

namespaceStoreContract('etcd', async () => {
  const prefix = `/namespace${++made}/`;
  const another = async () => {
    const store = await openStore(`etcd=${server.url}`, { clock: hostClock(), etcd: { prefix } });
    onTestFinished(() => store.close());
    return store;
  };
  return { store: await another(), another };
});
