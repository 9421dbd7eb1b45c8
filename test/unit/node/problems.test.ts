import { expect, it } from 'vitest';
import { Failure } from '../../../control/lib/failure.ts';
import { Problems } from '../../../control/node/problems.ts';

it('tells a problem once, lists it, and tells when it is solved', () => {
  const told: object[] = [];
  const problems = new Problems((event) => told.push(event));
  const failure = new Failure('unavailable', 'the store does not answer', { reason: 'disk', remedy: 'df' });
  problems.arise('store', failure);
  problems.arise('store', failure);
  expect(problems.list()).toEqual([
    { code: 'unavailable', message: 'The store does not answer.', cause: 'disk', remedy: 'df' },
  ]);
  problems.solve('store');
  problems.solve('store');
  expect(problems.list()).toEqual([]);
  expect(told).toEqual([
    { kind: 'problem', message: 'The store does not answer.' },
    { kind: 'solved', message: 'The store does not answer.' },
  ]);
});

it('tells again when the same thing fails differently', () => {
  const told: string[] = [];
  const problems = new Problems(({ message }) => told.push(message));
  problems.arise('attach', new Failure('not_found', 'no eth7'));
  problems.arise('attach', new Failure('conflict', 'eth7 has another program'));
  expect(told).toEqual(['No eth7.', 'eth7 has another program.']);
  expect(problems.list()).toHaveLength(1);
});

it('names what is no Failure as a bug, with its message as the cause', () => {
  const problems = new Problems(() => {});
  problems.arise('apply', new TypeError('x is undefined'));
  expect(problems.list()[0]).toEqual({
    code: 'internal',
    message: 'Apply failed.',
    cause: 'x is undefined',
    remedy: 'This is a bug: please report it with the log of holdfastd',
  });
});

it('takes what several say for one problem, until none says it', () => {
  const told: string[] = [];
  const problems = new Problems(({ kind }) => told.push(kind));
  problems.arise('store', new Failure('unavailable', 'the store does not answer'));
  problems.arise('membership', new Failure('unavailable', 'the store does not answer'));
  expect(problems.list()).toHaveLength(1);
  problems.solve('store');
  expect(problems.list()).toHaveLength(1);
  expect(told).toEqual(['problem']);
  problems.solve('membership');
  expect(told).toEqual(['problem', 'solved']);
});
