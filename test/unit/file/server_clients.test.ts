// Which clients a server takes, and what it remembers of them.
import { describe, expect, it } from 'vitest';
import {
  type Client,
  Clients,
  CONNECTIONS_MAX,
  CONNECTIONS_PER_CLIENT_MAX,
  KNOWN_CLIENTS_MAX,
} from '../../../control/file/server/clients.ts';

describe('clients', () => {
  it('are known by their address, however a socket writes it', () => {
    const clients = new Clients();
    const one = clients.connect('::ffff:192.0.2.7', 1) as Client;
    expect(clients.connect('192.0.2.7', 2)).toBe(one);
    expect(one).toMatchObject({ name: '192.0.2.7', connections: 2 });
    expect((clients.connect('fe80::1%eth0', 3) as Client).name).toBe('fe80::1');
  });

  it('have so many connections, and no more', () => {
    const clients = new Clients();
    for (let i = 0; i < CONNECTIONS_PER_CLIENT_MAX; i++)
      expect(clients.connect('192.0.2.7', 0)).toBeTypeOf('object');
    expect(clients.connect('192.0.2.7', 0)).toBe('too many connections of the client');
    clients.disconnect(clients.get('192.0.2.7')!);
    expect(clients.connect('192.0.2.7', 0)).toBeTypeOf('object');
    for (let i = 0; clients.connections < CONNECTIONS_MAX; i++)
      clients.connect(`198.51.${i >> 8}.${i & 255}`, 0);
    expect(clients.connect('203.0.113.1', 0)).toBe('too many connections');
  });

  it('that left first are forgotten first, and counted together', () => {
    const clients = new Clients();
    const name = (i: number) => `10.0.${i >> 8}.${i & 255}`;
    const stays = clients.connect('192.0.2.1', 0) as Client;
    for (let i = 0; i < KNOWN_CLIENTS_MAX; i++) {
      const client = clients.connect(name(i), 0) as Client;
      client.tally.add(0, 1, false, 10, 20);
      clients.disconnect(client);
    }
    expect(clients.reports(5)).toHaveLength(KNOWN_CLIENTS_MAX);
    expect(clients.get(name(0))).toBeUndefined();
    expect(clients.get('192.0.2.1')).toBe(stays);
    expect(clients.others()).toMatchObject({ requests: 1, inBytes: 10, outBytes: 20 });
  });
});
