import { describe, expect, it } from 'vitest';
import type { Facts, InterfaceFacts } from '../../../control/doctor/core/facts.ts';
import { filterFindings } from '../../../control/doctor/core/filter.ts';

const known = <T>(value: T) => ({ known: true as const, value });
const facts = (
  settings: object = {},
  roles = ['filter'],
  { link = known({ mtuBytes: 1_500 }), xdpMode = 'auto' }: { link?: object; xdpMode?: string } = {},
) => {
  const it = {
    name: 'eth0',
    link,
    settings: { dropUnicastInMulticast: known(0), dropUnicastInMulticastAll: known(0), ...settings },
  } as unknown as InterfaceFacts;
  const all = {
    roles,
    xdpMode,
    services: [{ address: '198.51.100.1', version: 4 }],
    host: {
      defaultRoutes: known([{ version: 4, interface: 'eth0', gateway: '192.0.2.254', multipath: false }]),
    },
  } as unknown as Facts;
  return filterFindings(it, all);
};

describe('a filter node', () => {
  it('is told what clients may send, ready to paste', () => {
    const [found] = facts();
    expect(found).toMatchObject({ check: 'query-room', severity: 'note', interface: 'eth0' });
    // 1,500 less outer IP, UDP, the header of queries, and the client's own headers.
    expect(found!.cure).toBe(
      'ip -4 route replace default via 192.0.2.254 dev eth0 advmss 1368 table 7446 && ip -4 rule add from 198.51.100.1 lookup 7446',
    );
  });

  it('is warned where its kernel takes frames that were to a group', () => {
    expect(facts()[1]).toMatchObject({
      check: 'multicast-frames',
      severity: 'warning',
      cure: 'sysctl -w net.ipv4.conf.eth0.drop_unicast_in_l2_multicast=1',
    });
    for (const name of ['dropUnicastInMulticast', 'dropUnicastInMulticastAll'])
      expect(facts({ [name]: known(1) })[1]).toMatchObject({ severity: 'ok' });
  });

  it('on a veth in native mode is told that its stack takes nothing', () => {
    const veth = { link: known({ mtuBytes: 1_500, kind: 'veth' }) };
    expect(facts({}, ['filter'], { ...veth, xdpMode: 'native' })[2]).toMatchObject({
      check: 'filter-mode',
      severity: 'error',
    });
    expect(facts({}, ['filter'], { ...veth, xdpMode: 'auto' })).toHaveLength(2);
  });

  it('is the only one', () => {
    expect(facts({}, ['mux'])).toEqual([]);
  });
});
