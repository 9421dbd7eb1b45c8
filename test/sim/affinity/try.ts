import { runHistory, story } from './history.ts';
import { ATTACKS, attackOf } from './attacks.ts';
import { rulesWithout } from './rules.ts';
const [names='', seeds='2', out='', show='0'] = process.argv.slice(2);
for (const name of names ? names.split(',') : Object.keys(ATTACKS)) {
  const t=performance.now(); const sum:any={}; let ev=0; let shown=false;
  for (let seed=1; seed<=+seeds; seed++) {
    const rules = rulesWithout(...(out? out.split(',') as any : []));
    const r = await runHistory(attackOf(name as any, seed), {rules, isTraced: show!=='0'});
    for (const [k,v] of Object.entries(r.found)) sum[k]=(sum[k]??0)+v;
    for (const k of ['requests','unserved','queries','moves','versions']) sum['.'+k]=(sum['.'+k]??0)+r.counts[k]!;
    ev+=r.counts.events!;
    if (show!=='0' && r.findings[0] && !shown) { shown=true; console.log(seed, r.findings[0].text+'\n'+story(r, r.findings[0], +show)); }
  }
  console.log(name.padEnd(14), Object.entries(sum).map(([k,v])=>k+' '+v).join(' '), (performance.now()-t).toFixed(0)+'ms');
}
