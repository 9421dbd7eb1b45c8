import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { expect, it, onTestFinished, vi } from 'vitest';
import { AskSocket } from '../../../control/io/ask_socket.ts';

const TOO_LONG = new Uint8Array(70_000);

async function opened() {
  const receiver = createSocket('udp4').bind(0, '127.0.0.1');
  await once(receiver, 'listening');
  const told: unknown[] = [];
  const socket = await AskSocket.open('127.0.0.1', (error) => void told.push(error));
  onTestFinished(() => {
    socket.close();
    receiver.close();
  });
  const to = { address: '127.0.0.1', port: receiver.address().port };
  const send = (datagram: Uint8Array) => socket.send(datagram, to);
  return { receiver, told, send };
}

it('says that sending fails, and that it works again once nothing failed for a while', async () => {
  const { receiver, told, send } = await opened();
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  send(TOO_LONG);
  await vi.waitFor(() => expect(told).toHaveLength(1));
  // Of the network, as a route that is missing: no bug.
  expect(told[0]).toMatchObject({
    code: 'unavailable',
    message: 'datagrams to other muxes cannot be sent',
    reason: expect.stringContaining('EMSGSIZE'),
    remedy: expect.any(String),
  });
  send(Uint8Array.of(1));
  await once(receiver, 'message');
  expect(told).toHaveLength(1);
  vi.advanceTimersByTime(1_001);
  send(Uint8Array.of(2));
  await vi.waitFor(() => expect(told.slice(1)).toEqual([undefined]));
});

it('says that it loses what the kernel does not take', async () => {
  const { told, send } = await opened();
  for (let count = 0; count <= 512; count++) send(Uint8Array.of(1));
  expect(told).toMatchObject([{ message: 'datagrams to other muxes are lost on this node' }]);
});
