// Initiators, service actions and types by name, and what a unit says of its reservations, read from the bytes.
import { expect } from 'vitest';
import { expectGood, keys, type Rig, reserveOut, rig, send } from './support.ts';

export const A = 'iqn.a';
export const B = 'iqn.b';
export const C = 'iqn.c';
export const CONFLICT = 0x18;
export const REGISTER = 0;
export const RESERVE = 1;
export const RELEASE = 2;
export const CLEAR = 3;
export const PREEMPT = 4;
export const PREEMPT_AND_ABORT = 5;
export const REGISTER_AND_IGNORE = 6;
export const REGISTER_AND_MOVE = 7;
export const WE = 1;
export const EA = 3;
export const WERO = 5;
export const EARO = 6;
export const WEAR = 7;
export const EAAR = 8;
export const TYPES = [WE, EA, WERO, EARO, WEAR, EAAR];
export const PREEMPTED = 0x2a03;
export const RELEASED = 0x2a04;
export const REGISTRATION_PREEMPTED = 0x2a05;

export const register = (r: Rig, name: string, key: number, port?: number) =>
  reserveOut(r.unit, name, REGISTER, 0, keys(0, key), port === undefined ? {} : { port });

export async function registered(names: Record<string, number>, type?: number): Promise<Rig> {
  const r = rig();
  for (const [name, key] of Object.entries(names)) expectGood(await register(r, name, key));
  if (type !== undefined) {
    const [[name, key]] = Object.entries(names) as [[string, number]];
    expectGood(await reserveOut(r.unit, name, RESERVE, type, keys(key, 0)));
  }
  return r;
}

export async function readKeys(r: Rig): Promise<{ generation: number; keys: string[] }> {
  const data = Buffer.from(expectGood(await send(r.unit, 'iqn.reader', '5e 00 0000000000 4000 00')).dataIn!);
  expect(data.readUInt32BE(4)).toBe(data.length - 8);
  const list: string[] = [];
  for (let at = 8; at < data.length; at += 8)
    list.push(
      data
        .subarray(at, at + 8)
        .toString('hex')
        .replace(/^0+/, ''),
    );
  return { generation: data.readUInt32BE(0), keys: list };
}

export async function readReservation(r: Rig): Promise<string> {
  const data = Buffer.from(expectGood(await send(r.unit, 'iqn.reader', '5e 01 0000000000 4000 00')).dataIn!);
  if (data.readUInt32BE(4) === 0) return 'none';
  expect([data.readUInt32BE(4), data.length]).toEqual([16, 24]);
  return `${data
    .subarray(8, 16)
    .toString('hex')
    .replace(/^0+(?=.)/, '')} type ${data[21]}`;
}

/** The next attention of an initiator, taken. */
export async function attention(r: Rig, name: string): Promise<number | undefined> {
  const data = Buffer.from(expectGood(await send(r.unit, name, '03 00 0000 ff 00')).dataIn!);
  return data[2] === 6 ? data.readUInt16BE(12) : undefined;
}
