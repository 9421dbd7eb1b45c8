// Owns the probe that sends a datagram and waits for one that begins as it should.
import { createSocket } from 'node:dgram';
import type { Result } from '../checks_core.ts';
import { bad, bytesOf, failed, good, type Probe } from './probe.ts';

const NOTHING = 'hex:00';

export const probeUdp: Probe = async (question, signal) => {
  const { health, address, port, from } = question;
  const { promise, resolve } = Promise.withResolvers<Result>();
  const expected = health.expect === undefined ? undefined : bytesOf(health.expect);
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  const abort = () => resolve(bad('aborted'));
  signal.addEventListener('abort', abort, { once: true });
  socket.on('error', (error) => resolve(failed(error)));
  // Connected: answers of others do not come here, and ICMP errors do.
  socket.on('message', (message) => {
    const begins = expected === undefined || message.subarray(0, expected.length).equals(expected);
    if (begins) resolve(good(`answered with ${message.length} bytes`));
    else resolve(bad(`answered with something else: ${message.subarray(0, 16).toString('hex')}`));
  });
  socket.on('connect', () => {
    socket.send(bytesOf(health.send ?? NOTHING), (error) => {
      if (error !== null && error !== undefined) resolve(failed(error));
    });
  });
  try {
    signal.throwIfAborted();
    if (from === undefined) socket.connect(port, address);
    else socket.bind(from.port, from.address, () => socket.connect(port, address));
    return await promise;
  } catch (error) {
    return failed(error);
  } finally {
    signal.removeEventListener('abort', abort);
    socket.close();
  }
};
