// holdfast against a holdfastd that is the only mux of its cluster: nodes, plans, changes, flows, and how each is refused.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  affinitiesSchema,
  affinityExplanationSchema,
  changeSchema,
  changesSchema,
  flowsSchema,
  itemsSchema,
  nodeViewSchema,
} from '../../control/api/schema.ts';
import { told } from './command.ts';
import { Operator } from './operator.ts';
import { raiseTestSingle, type SingleLab } from './single.ts';
import { eventually } from './support.ts';

let lab: SingleLab;
let operator: Operator;
beforeAll(async () => {
  lab = raiseTestSingle();
  operator = new Operator(lab);
  await lab.start();
  await operator.restore();
});
afterAll(() => lab?.down());

describe('the only mux', () => {
  it('is a member with an id, and leads', async () => {
    const { items } = await operator.json(itemsSchema(nodeViewSchema), 'nodes list');
    expect(items).toMatchObject([
      { name: 'node', self: true, state: 'member', id: 1, behind: 0, heard: [], problems: [] },
    ]);
    expect(await operator.done('nodes list --matrix')).toBe(
      'there are no two muxes, so nobody hears anybody\n',
    );
    expect(await operator.done('nodes show node')).toContain('state     member\n');
    expect((await lab.daemon.client.status()).cluster).toMatchObject({ id: 1, state: 'member', members: 1 });
  });

  it('is neither drained nor forgotten unless forced', async () => {
    expect(await operator.run('nodes drain node')).toEqual({
      exit: 73,
      stdout: '',
      stderr: told(
        'Node node is the last mux that serves.',
        'nobody is there to hand its flows to',
        'Let another mux join first, or force it',
      ),
    });
    expect(await operator.run('nodes remove node')).toMatchObject({ exit: 73 });
    expect(await operator.run('nodes drain nobody')).toMatchObject({ exit: 66 });
    expect(await operator.done('nodes drain --undo node')).toBe('node is so already\n');
  });
});

describe('a drain of a backend', () => {
  it('is planned, made in steps, and followed', async () => {
    const planned = await operator.json(changeSchema, 'backends drain web/b1 --dry-run');
    expect(planned.plan).toMatchObject([
      {
        pool: 'web',
        way: 'tracked',
        slots: 500,
        steps: [{ step: 'track' }, { step: 'commit' }, { step: 'settle' }],
      },
    ]);
    expect(await operator.run('backends drain web/b1')).toMatchObject({ exit: 0 });
    const { open, pools } = await operator.json(changesSchema, 'changes');
    expect(open).toMatchObject([
      { pool: 'web', slots: { of: 1_000, tracked: 500 }, nodes: [{ node: 'node' }] },
    ]);
    expect(pools.find(({ pool }) => pool === 'web')).toMatchObject({ clean: 500 });
    const id = open[0]!.id;
    expect(await operator.done(`changes ${id}`)).toContain('500 of 1,000 tracked');
    // What a step waits for is the leader's to say, and it says so once a second.
    const plan = await eventually(async () => {
      const text = await operator.done('plan');
      return text.includes('next step  in ') ? text : undefined;
    }, 'saying when the next step is');
    expect(plan).toContain(`change     ${id}, since `);
    expect(plan).toMatch(/^waits {6}until /m);
  });

  it('has flows that can be asked about', async () => {
    const flow = 'tcp 192.0.2.7:4242 198.18.0.10:80';
    const shown = await operator.done(`flows show ${flow}`);
    expect(shown).toMatch(/^flow {5}192\.0\.2\.7:4242>198\.18\.0\.10:80\/tcp\nservice {2}web\nslot/);
    expect(await operator.json(flowsSchema, 'flows list')).toEqual({ items: [], unanswered: [] });
    expect(await operator.done('flows top --by client')).toContain('no such flow is kept');
    expect(await operator.run('flows show tcp 192.0.2.7:4242 192.0.2.99:80')).toMatchObject({
      exit: 66,
      stderr: expect.stringContaining('has no slot here'),
    });
    expect(await operator.run('flows list --service nope')).toMatchObject({
      exit: 66,
      stderr: expect.stringContaining('There is no service nope in the version in effect.'),
    });
  });

  it('has clients that can be asked about, where a service has affinity', async () => {
    const refused = async (line: string) => (await operator.run(`affinity ${line}`)).stderr.split('\n')[0];
    expect(await refused('explain 192.0.2.7')).toBe(
      'error:  No service that has client affinity over IPv4 is in effect here.',
    );
    expect(await refused('release 192.0.2.7 --service web')).toBe(
      'error:  Service web has no client affinity.',
    );
    const added = 'services add sticky --address 198.18.0.77 --affinity --idle-timeout 4h --pool web';
    expect(await operator.run(added)).toMatchObject({ exit: 0 });
    const { items } = await eventually(async () => {
      const outcome = await operator.run('affinity explain 192.0.2.7 --json');
      return outcome.exit === 0 ? affinityExplanationSchema.parse(JSON.parse(outcome.stdout)) : undefined;
    }, 'a service with affinity in effect');
    expect(items).toMatchObject([
      { client: '192.0.2.7', service: 'sticky', address: '198.18.0.77', pool: 'web', timeoutMs: 14_400_000 },
    ]);
    const { items: listed } = await operator.json(affinitiesSchema, 'affinity list --client 192.0.2.7');
    expect(listed).toMatchObject([{ client: '192.0.2.7', services: ['sticky'], rule: items[0]!.rule }]);
    expect(await refused('explain 192.0.2.7 --without web/b9')).toBe('error:  There is no backend web/b9.');
    expect(await refused('explain 192.0.2.7.1')).toBe('error:  "192.0.2.7.1" is no client.');
    expect(await operator.run('services rm sticky --yes')).toMatchObject({ exit: 0 });
  });

  it('cannot be asked about by a name that there is not', async () => {
    expect(await operator.run('changes web@999')).toMatchObject({ exit: 66 });
  });
});
