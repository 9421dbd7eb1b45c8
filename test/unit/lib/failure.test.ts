import { expect, it } from 'vitest';
import { Failure } from '../../../control/lib/failure.ts';

const body = (message: string, more: { reason?: string; remedy?: string } = {}) =>
  new Failure('invalid', message, more).body;

it('is told in sentences, however it was written', () => {
  expect(body('there is no route', { reason: 'the link is down', remedy: 'see ip link' })).toEqual({
    code: 'invalid',
    message: 'There is no route.',
    cause: 'the link is down',
    remedy: 'See ip link',
  });
});

it.each([
  'eth0 is gone.',
  '/etc/x cannot be read.',
  'holdfastd needs root.',
  'p/b1 is there.',
  'Already so.',
  'a.yaml:1:1: x\nb.yaml:2:2: y',
])('leaves %j as it is', (text) => expect(body(text).message).toBe(text));

it('takes the message of its cause where it has no reason of its own', () => {
  expect(new Failure('internal', 'it broke', { cause: new Error('disk full') }).body.cause).toBe('disk full');
});
