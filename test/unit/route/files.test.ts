import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { composeInclude, parseInclude, routeCounts } from '../../../control/route/bird/include_codec.ts';
import { RoutesDirectory } from '../../../control/route/routes_directory.ts';
import { composeWill, parseWill } from '../../../control/route/will_codec.ts';

const BOTH = { level: 'normal', addresses: ['192.0.2.1', '2001:db8::1'] } as const;

describe('what BIRD includes', () => {
  it('is two static protocols with the service addresses', () => {
    expect(
      composeInclude(BOTH, []),
    ).toBe(`# Written by holdfastd, which replaces it. Service addresses: normal.
protocol static holdfast4 {
  ipv4;
  route 192.0.2.1/32 blackhole;
}
protocol static holdfast6 {
  ipv6;
  route 2001:db8::1/128 blackhole;
}
`);
    expect(routeCounts(BOTH)).toEqual({ holdfast4: 1, holdfast6: 1 });
  });

  it('has the community graceful shutdown where it is the last resort, and those of the operator always', () => {
    const text = composeInclude({ ...BOTH, level: 'lastResort' }, ['64512:100']);
    expect(text).toContain(
      'route 192.0.2.1/32 blackhole { bgp_community.add((64512,100)); bgp_community.add((65535,0)); bgp_local_pref = 0; };',
    );
    expect(composeInclude(BOTH, ['64512:100'])).toContain(
      'route 2001:db8::1/128 blackhole { bgp_community.add((64512,100)); };',
    );
  });

  it('has no route where it is withdrawn, and the protocols still', () => {
    const text = composeInclude({ level: 'withdrawn', addresses: [] }, ['64512:100']);
    expect(text).not.toContain('route ');
    expect(text).toContain('protocol static holdfast4');
  });

  it('is read again as it was written; of others nothing is read', () => {
    for (const level of ['normal', 'lastResort'] as const)
      expect(parseInclude(composeInclude({ ...BOTH, level }, ['1:2']))).toEqual({ ...BOTH, level });
    expect(parseInclude('protocol static { route 192.0.2.1/32 blackhole; }')).toBeUndefined();
  });
});

const WILL = {
  bootId: 'f2a2ded2-648b-4796-8ad3-3a3b7fc29923',
  deadlineMs: 1_234,
  rename: { from: '/run/x/bird.conf.heir', to: '/run/x/bird.conf' },
  socket: '/run/bird/bird.ctl',
  send: ['disable "holdfast?"', 'configure'],
};

describe('a will', () => {
  it('is read again as it was written', () => {
    expect(parseWill(composeWill(WILL))).toEqual(WILL);
    expect(parseWill(composeWill({ ...WILL, deadlineMs: undefined }))).toEqual({
      ...WILL,
      deadlineMs: undefined,
    });
  });

  it('never comes due before the deadline', () => {
    expect(parseWill(composeWill({ ...WILL, deadlineMs: 1_234.1 }))?.deadlineMs).toBe(1_235);
  });

  it('is none where a part is missing, doubled or unknown', () => {
    const text = composeWill(WILL);
    const lines = text.split('\n');
    fc.assert(
      fc.property(fc.nat(text.length - 1), (length) => {
        expect(parseWill(text.slice(0, length))).toBeUndefined();
      }),
    );
    expect(parseWill(text.replace('will 1', 'will 2'))).toBeUndefined();
    expect(parseWill([...lines.slice(0, 2), ...lines.slice(1)].join('\n'))).toBeUndefined();
    expect(parseWill(text.replace('socket', 'sockets'))).toBeUndefined();
    expect(parseWill(text.replace('1234', '1e9'))).toBeUndefined();
  });
});

describe('the directory of routes', () => {
  let path: string;
  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), 'holdfast-routes-'));
  });
  afterEach(() => rmSync(path, { recursive: true }));

  const announced = async (deadlineMs: number | undefined, bootId = 'this-boot') => {
    const directory = new RoutesDirectory(path, bootId);
    await directory.writeInclude(composeInclude(BOTH, []));
    await directory.writeWill({ deadlineMs, socket: '/x', send: ['configure'] });
  };
  const keptAt = (nowMs: number) => new RoutesDirectory(path, 'this-boot').kept(nowMs);

  it('has what a daemon before announced, until its will comes due', async () => {
    await announced(1_000);
    expect(await keptAt(999)).toEqual({ announcement: BOTH, untilMs: 1_000 });
    expect(await keptAt(1_000)).toBeUndefined();
    await announced(undefined);
    expect(await keptAt(1e9)).toEqual({ announcement: BOTH, untilMs: Number.POSITIVE_INFINITY });
  });

  it('has nothing of another boot, without a will, or of another author', async () => {
    expect(await keptAt(0)).toBeUndefined();
    await announced(1_000, 'another-boot');
    expect(await keptAt(0)).toBeUndefined();
    await announced(1_000);
    writeFileSync(join(path, 'bird.conf'), 'protocol static x {}\n');
    expect(await keptAt(0)).toBeUndefined();
    await announced(1_000);
    rmSync(join(path, 'will'));
    expect(await keptAt(0)).toBeUndefined();
  });

  it('lets BIRD read what it includes, and nobody the will', async () => {
    await announced(1_000);
    expect(statSync(join(path, 'bird.conf')).mode & 0o777).toBe(0o644);
    expect(statSync(join(path, 'will')).mode & 0o777).toBe(0o600);
  });

  it('does not write into a file that somebody left where it writes', async () => {
    writeFileSync(join(path, 'victim'), 'as it was');
    symlinkSync(join(path, 'victim'), join(path, 'bird.conf.new'));
    await announced(1_000);
    expect(readFileSync(join(path, 'victim'), 'utf8')).toBe('as it was');
  });

  it('is watched while the supervisor says so', async () => {
    const directory = new RoutesDirectory(path, 'this-boot');
    expect(await directory.isWatched(50_000)).toBe(false);
    writeFileSync(join(path, 'will.watched'), '00000000000000049000\n');
    expect(await directory.isWatched(50_000)).toBe(true);
    expect(await directory.isWatched(53_000)).toBe(false);
  });
});
