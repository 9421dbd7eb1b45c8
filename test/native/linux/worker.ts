// A worker that leaves everything open, in the way its data says.
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { membarrierGlobal, NetlinkSocket, Rtnetlink } from '@holdfast/linux';

const { netns, ending } = workerData as { netns: string; ending: 'exit' | 'terminate' | 'return' | 'throw' };
const rtnetlink = new Rtnetlink({ netns });
const lo = rtnetlink.link('lo')!.ifindex;
// An address of its own: workers run side by side.
const host = `${(threadId >> 8) & 255}.${threadId & 255}`;
let events = 0;
const subscription = rtnetlink.watch({ links: true, addresses: true, routes: true }, () => {
  events += 1;
});
rtnetlink.watch({ neighbours: true }, () => undefined).close();
new NetlinkSocket({ netns, groups: [1] }).onMessage(() => undefined);
void membarrierGlobal();

rtnetlink.addAddress({ ifindex: lo, address: `198.18.${host}`, prefixLength: 32, replace: true });
while (events === 0) await new Promise((resolve) => setTimeout(resolve, 1));
parentPort?.postMessage(events);
if (ending === 'exit') process.exit(0);
if (ending === 'throw') throw new Error('the end');
if (ending === 'terminate') {
  // Busy with requests and events when it is struck.
  setInterval(() => {
    rtnetlink.addAddress({ ifindex: lo, address: `198.19.${host}`, prefixLength: 32, replace: true });
    rtnetlink.deleteAddress({ ifindex: lo, address: `198.19.${host}`, prefixLength: 32 });
  }, 0);
}
if (ending === 'return') {
  // Nothing keeps this worker any longer.
  subscription.close();
  process.exit();
}
