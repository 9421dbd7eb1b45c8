// A program for a child process: opens and closes by the thousand, prints descriptors and memory before and after.
import { readdirSync } from 'node:fs';
import { NetlinkSocket, Rtnetlink, withNetns } from '@holdfast/linux';

const netns = process.argv[2];
if (netns === undefined || globalThis.gc === undefined) throw new Error('usage: --expose-gc leak.ts NETNS');

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i += 1) {
    globalThis.gc!();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function round(times: number): Promise<void> {
  for (let i = 0; i < times; i += 1) {
    const rtnetlink = new Rtnetlink(i % 2 === 0 ? { netns } : {});
    rtnetlink.watch({ links: true, neighbours: true }, () => undefined);
    rtnetlink.links();
    rtnetlink.close();
    // Left to the garbage collector: never started, hence nothing holds them.
    new NetlinkSocket({ netns });
    new NetlinkSocket({ groups: [1] });
    withNetns(netns!, () => i);
    try {
      withNetns(netns!, () => {
        throw new Error('out');
      });
    } catch {
      // Only the way out matters.
    }
    try {
      new Rtnetlink({ netns: '/etc/hostname' });
    } catch {
      // As above.
    }
    // Unreferenced but started: lives on, so it is closed here.
    const events = new NetlinkSocket({ groups: [1], netns });
    events.unref();
    events.onMessage(() => undefined);
    events.close();
    if (i % 100 === 99) await settle();
  }
  await settle();
}

const measure = () => ({
  fdCount: readdirSync('/proc/self/fd').length,
  rssBytes: process.memoryUsage().rss,
});
await round(1_000);
const before = measure();
await round(4_000);
console.log(JSON.stringify({ before, after: measure() }));
