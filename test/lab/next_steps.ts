// Owns what can be tried on a lab that is up, in words.
import { POOL } from './configuration.ts';
import type { LabPlan } from './plan.ts';

export function nextSteps({ name, clients, muxes, backends, services4, services6 }: LabPlan): string {
  const lab = name === 'lab' ? 'scripts/lab' : `scripts/lab --name ${name}`;
  const client = clients[0]!;
  const mux = muxes[0]!.name;
  const backend = backends[0]!.name;
  const steps = [
    ['ping', 'a request through each mux'],
    ['status', 'every daemon, and packets by reason'],
    [`exec ${client.name} curl http://${services4[0]}/hello/you`, ''],
    [`exec ${client.name} curl 'http://[${services6[0]}]/hello/you'`, ''],
    [`exec ${mux} holdfast status`, ''],
    [`exec ${mux} holdfast stats --watch`, ''],
    [`exec ${mux} holdfast explain tcp ${client.address4}:4242 ${services4[0]}:80`, ''],
    [`exec ${mux} holdfast capture --client ${client.address4}`, ''],
    [`exec ${mux} holdfast backends drain ${POOL}/${backend}`, ''],
    [`exec ${mux} holdfast backends set ${POOL}/${backend} --weight 100`, ''],
    [`exec ${backend} tcpdump -ni eth0`, 'what a backend gets, unwrapped'],
    [`impair ${client.name} --loss 2 --delay 5`, 'a bad link'],
    ['exec router ip route show', 'the routes over the muxes'],
    ['down', 'take it down'],
  ] as const;
  const commands = steps.map(([command]) => `  ${lab} ${command}`);
  const width = Math.max(...steps.map(([, what], at) => (what === '' ? 0 : commands[at]!.length)));
  const lines = steps.map(([, what], at) =>
    what === '' ? commands[at] : `${commands[at]!.padEnd(width)}   # ${what}`,
  );
  return ['To look around:', ...lines].join('\n');
}
