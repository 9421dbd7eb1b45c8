import { runHistory } from './test/sim/protocol/history.ts';
import { scenarioOf } from './test/sim/protocol/scenario.ts';
const [from, count, traced]=process.argv.slice(2).map(Number);
for (let seed=from!; seed<from!+count!; seed++) {
  const t=performance.now();
  const r=await runHistory(scenarioOf(seed), { isTraced: traced===1 });
  const ms=performance.now()-t;
  console.log(seed, 'v'+r.versions, JSON.stringify(r.counts), (ms/1000).toFixed(1)+'s', (r.counts.delivered!/ms*1000).toFixed(0)+' pps', r.findings.slice(0,2));
  if (traced) { (await import('node:fs')).writeFileSync('/tmp/sim-trace.txt', r.trace.map(x=>x.line).join('\n')); console.log(r.reasons, r.ends); }
}
