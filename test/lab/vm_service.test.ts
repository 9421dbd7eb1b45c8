// A guest as a client of the lab's services: another TCP than the host's, through muxes and tunnels.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Lab } from './lab.ts';
import { labDirectory } from './state.ts';
import { raiseTestLab, removeTestLab } from './support.ts';
import { guestPlace } from './vm/place.ts';
import { describeUnlessMissing } from './vm/skip.ts';
import { missingForVms, Vm } from './vm/vm.ts';

describeUnlessMissing('a guest at the router', missingForVms(), () => {
  let lab: Lab;
  let vm: Vm;

  beforeAll(async () => {
    lab = await raiseTestLab({ clients: 1, muxes: 1, backends: 2 });
    vm = await Vm.boot({
      place: guestPlace(lab.plan.router.netns, 1),
      directory: join(labDirectory(lab.plan.name), 'vm'),
      record: (identity) => lab.adopt(identity),
    });
  });
  afterAll(async () => {
    await vm?.end();
    await removeTestLab(lab);
  });

  it.each(['services4', 'services6'] as const)(
    'is answered by %s, and gets a large answer whole',
    async (services) => {
      const [address] = lab.plan[services];
      // busybox's wget, linked statically, does not survive in the guest; and a request whose sender has closed is cut off.
      const get = (path: string) =>
        `rm -f /tmp/in; mkfifo /tmp/in; exec 3<>/tmp/in; printf 'GET ${path} HTTP/1.0\\r\\n\\r\\n' >&3; ` +
        `nc -w 10 ${address} 80 </tmp/in`;
      expect(await vm.must(get('/hello/guest'))).toMatch(/"nonce": ?"guest"/);
      expect(await vm.must(`${get('/bytes/4000000')} | tail -c 4000000 | wc -c`)).toBe('4000000\n');
    },
  );
});
