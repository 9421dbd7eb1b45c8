import { expect, it } from 'vitest';
import { parseLocalPorts, parseReservedPorts, refuseOwnPorts } from '../../../control/io/probe_ports.ts';

const PORTS = { from: 61_000, to: 65_534 };
const refuse = (local: string, reserved: string) => () =>
  refuseOwnPorts(PORTS, { local: parseLocalPorts(local), reserved: parseReservedPorts(reserved) });

it.each([
  ['32768\t60999\n', ''],
  ['1024\t65535\n', '61000-65534\n'],
  ['1024\t65535\n', '8080,63000-65534,61000-62999\n'],
  ['1024\t62000\n', '61000-62000\n'],
])('lets checks go where the range is %j and %j is reserved', (local, reserved) => {
  expect(refuse(local, reserved)).not.toThrow();
});

it.each([
  ['1024\t65535\n', '\n'],
  ['32768\t61000\n', '\n'],
  ['1024\t65535\n', '61000-65533\n'],
  ['1024\t65535\n', '61000-62000,62002-65534\n'],
])('refuses where the range is %j and only %j is reserved', (local, reserved) => {
  expect(refuse(local, reserved)).toThrow(/health checks cannot go through the tunnel/);
});
