import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { routesSchema } from '../../../control/config/routes.ts';
import type { Failure } from '../../../control/lib/failure.ts';
import type { Standing } from '../../../control/route/announce_core.ts';
import { Announcer } from '../../../control/route/announcer.ts';
import { forgetRoutes } from '../../../control/route/forget.ts';
import { composeWill, parseWill } from '../../../control/route/will_codec.ts';
import { FakeBird } from './fake_bird.ts';

const TICK_MS = 5;
const LEASE_MS = 3_000;
const MEMBER: Standing = {
  isMember: true,
  deadlineMs: Number.MAX_SAFE_INTEGER,
  isAlone: false,
  isOnly: false,
  leaseEndsMs: Number.POSITIVE_INFINITY,
  isLeaving: false,
  isServing: true,
  addresses: ['192.0.2.1', '2001:db8::1'],
};
const ROUTES = ['192.0.2.1/32', '2001:db8::1/128'];
const hrMs = () => Number(process.hrtime.bigint()) / 1e6;

let directory: string;
let bird: FakeBird;
let announcer: Announcer;
let standing: Standing | undefined;
let timer: NodeJS.Timeout;
let failures: Map<string, Failure>;
const path = (name: string) => join(directory, name);
const will = () => parseWill(readFileSync(path('will'), 'utf8'));

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-announcer-'));
  bird = new FakeBird(path('bird.ctl'), path('bird.conf'));
  standing = { ...MEMBER, deadlineMs: hrMs() + 60_000 };
});
afterEach(async () => {
  clearInterval(timer);
  await announcer.close();
  await bird.stop();
  rmSync(directory, { recursive: true });
});

async function run(options: { mayKeep?: boolean; from?: Standing | undefined } = {}): Promise<void> {
  failures = new Map();
  if ('from' in options) standing = options.from;
  announcer = await Announcer.open({
    config: routesSchema.parse({ mode: 'bird', directory, birdSocket: path('bird.ctl'), leaveMs: 0 }),
    leaseMs: LEASE_MS,
    mayKeep: options.mayKeep ?? false,
    nowMs: hrMs,
    onFailure: (what, error) => failures.set(what, error as Failure),
    onSuccess: (what) => failures.delete(what),
    tell: () => undefined,
  });
  announcer.tick(standing);
  timer = setInterval(() => announcer.tick(standing), TICK_MS);
}

/** The daemon is killed: nothing of it goes on. */
async function kill(): Promise<void> {
  clearInterval(timer);
  await announcer.close();
}

/** After a tick at which it holds. */
async function until(test: () => boolean): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const looking = setInterval(() => test() && resolve(), TICK_MS);
  await promise;
  clearInterval(looking);
}

describe('an announcer', () => {
  it('leaves a will before it announces, and BIRD has the routes', async () => {
    await bird.start();
    let atConfigure: ReturnType<typeof will>;
    await run();
    await bird.until(() => {
      if (bird.told.at(-1) === 'configure') atConfigure ??= will();
      return bird.routes.length > 0;
    });
    expect(bird.routes).toEqual(ROUTES);
    expect(atConfigure).toMatchObject({
      deadlineMs: Math.ceil(standing!.deadlineMs),
      send: ['disable "holdfast?"', 'configure'],
    });
    await until(() => announcer.isDone);
    expect(failures).toEqual(new Map());
  });

  it('renews the will with the deadline, so that it does not come due for a daemon that runs', async () => {
    await bird.start();
    await run();
    await until(() => announcer.isDone);
    standing = { ...standing!, deadlineMs: standing!.deadlineMs + 1_000 };
    await until(() => will()?.deadlineMs === Math.ceil(standing!.deadlineMs));
  });

  it('withdraws before it reads a configuration, which may have a mistake', async () => {
    await bird.start();
    await run();
    await until(() => announcer.isDone);
    bird.refusal = 'bird.conf:3:1 syntax error, unexpected GARBAGE';
    bird.told.length = 0;
    standing = { ...standing!, isMember: false };
    await until(() => failures.has('routes'));
    expect(bird.told.filter((it) => !it.startsWith('show')).slice(0, 2)).toEqual([
      'disable "holdfast?"',
      'configure',
    ]);
    expect(bird.routes).toEqual([]);
    expect(failures.get('routes')?.body).toEqual({
      code: 'configuration',
      message: 'BIRD refuses its configuration.',
      cause: 'bird.conf:3:1 syntax error, unexpected GARBAGE',
      remedy: 'See birdc configure check; it is tried again by itself',
    });
    // It is tried again, and whoever starts BIRD meanwhile announces nothing.
    expect(readFileSync(path('bird.conf'), 'utf8')).not.toContain('route ');
    bird.refusal = undefined;
    await until(() => !failures.has('routes') && announcer.isDone);
  });

  it('has written what BIRD finds when it starts, where it does not run', async () => {
    await run();
    await until(() => failures.has('routes'));
    expect(failures.get('routes')?.body).toEqual({
      code: 'unavailable',
      message: 'BIRD does not run.',
      cause: `There is no ${path('bird.ctl')}.`,
      remedy: 'Start it with systemctl start bird; if it runs, set routes.birdSocket to its control socket',
    });
    await bird.start();
    expect(bird.routes).toEqual(ROUTES);
    await until(() => announcer.isDone && failures.size === 0);
  });

  it('says where bird.conf does not include its file', async () => {
    bird.isIncluding = false;
    await bird.start();
    await run();
    await until(() => failures.has('routes'));
    expect(failures.get('routes')?.body).toEqual({
      code: 'configuration',
      message: 'BIRD does not include the file of holdfastd.',
      cause: 'It has no protocol holdfast4 and holdfast6.',
      remedy: `Add to bird.conf: include "${directory}*/bird.conf"; then birdc configure`,
    });
  });

  it('lets a mux leave only when its routes are gone', async () => {
    await bird.start();
    await run();
    await until(() => announcer.isDone);
    expect(announcer.mayLeave()).toBe(false);
    standing = { ...standing!, isLeaving: true };
    await until(() => announcer.mayLeave());
    expect(bird.routes).toEqual([]);
    expect(will()?.deadlineMs).toBeUndefined();
  });

  it('becomes the last resort by its will where nobody else could take over', async () => {
    await bird.start();
    await run({ from: { ...MEMBER, isOnly: true, deadlineMs: Number.POSITIVE_INFINITY } });
    await until(() => announcer.isDone);
    expect(will()).toMatchObject({ send: ['configure'] });
    expect(will()!.deadlineMs).toBeLessThanOrEqual(hrMs() + LEASE_MS + 1);
    renameSync(will()!.rename.from, path('heir'));
    expect(readFileSync(path('heir'), 'utf8')).toContain(
      '192.0.2.1/32 blackhole { bgp_community.add((65535,0));',
    );
  });

  it('announces again where its will was carried out while it came back', async () => {
    await bird.start();
    await run();
    await until(() => announcer.isDone);
    const { from, to } = will()!.rename;
    renameSync(from, to);
    bird.told.length = 0;
    await until(() => bird.told.includes('configure'));
    await until(() => announcer.isDone && bird.routes.length === ROUTES.length);
    expect(readFileSync(from, 'utf8')).not.toContain('route ');
  });
});

describe('routes that somebody meddles with', () => {
  const looks = () => bird.told.filter((it) => it === 'show status').length;

  it('are withdrawn again where they are back', async () => {
    await bird.start();
    await run({ from: { ...MEMBER, isMember: false } });
    await until(() => announcer.isDone);
    bird.meddle('holdfast4', { routes: ['192.0.2.1/32'] });
    expect(bird.routes).toHaveLength(1);
    await until(() => bird.routes.length === 0);
    await until(() => announcer.isDone && failures.size === 0);
  });

  it('are announced again where some lack', async () => {
    await bird.start();
    await run();
    await until(() => announcer.isDone);
    bird.meddle('holdfast4', { routes: [] });
    await until(() => bird.routes.length === ROUTES.length);
    await until(() => announcer.isDone && failures.size === 0);
  });

  it('stay as they are where it was disabled by hand, which is said', async () => {
    await bird.start();
    await run();
    await until(() => announcer.isDone);
    bird.told.length = 0;
    bird.meddle('holdfast4', { isUp: false });
    await until(() => failures.has('routes'));
    expect(failures.get('routes')?.body.message).toBe('holdfast4 is disabled in BIRD.');
    const before = looks();
    await until(() => looks() > before);
    expect(bird.told).not.toContain('configure');
    expect(announcer.isDone).toBe(true);
  });
});

describe('routes that nobody looks after', () => {
  it('are taken away once', async () => {
    await bird.start();
    await run();
    await until(() => announcer.isDone);
    await kill();
    const config = routesSchema.parse({ directory, birdSocket: path('bird.ctl') });
    expect(await forgetRoutes(config)).toBe(true);
    expect(bird.routes).toEqual([]);
    expect(will()?.deadlineMs).toBeUndefined();
    expect(await forgetRoutes(config)).toBe(false);
  });

  it('are gone from what BIRD reads, where it does not run', async () => {
    await run();
    await until(() => failures.has('routes'));
    await kill();
    expect(await forgetRoutes(routesSchema.parse({ directory, birdSocket: path('bird.ctl') }))).toBe(true);
    await bird.start();
    expect(bird.routes).toEqual([]);
  });
});

describe('an announcer that starts', () => {
  it('goes on with what a daemon before it announced', async () => {
    await bird.start();
    await run();
    await until(() => announcer.isDone);
    await kill();
    bird.told.length = 0;
    await run({ mayKeep: true, from: undefined });
    await until(() => announcer.isDone);
    expect(bird.routes).toEqual(ROUTES);
    expect(bird.told).not.toContain('disable "holdfast?"');
  });

  it.each([
    ['the will of that one is due', true, () => hrMs()],
    ['the program is not the one that ran then', false, () => hrMs() + 60_000],
  ])('withdraws it where %s', async (_, mayKeep, deadlineMs) => {
    await bird.start();
    await run({ from: { ...MEMBER, deadlineMs: hrMs() + 60_000 } });
    await until(() => announcer.isDone);
    await kill();
    writeFileSync(path('will'), composeWill({ ...will()!, deadlineMs: deadlineMs() }));
    expect(bird.routes).toEqual(ROUTES);
    await run({ mayKeep, from: undefined });
    await until(() => announcer.isDone);
    expect(bird.routes).toEqual([]);
  });
});
