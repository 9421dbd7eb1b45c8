import { History } from './history.ts';
const [n = '50', opts = '{}', from='1'] = process.argv.slice(2);
let bad = 0, delivered = 0, asked = 0, unrec = 0; const c: Record<string, number> = {}; const t = performance.now(); let versions=0;
const wrong = new Map<string,number>();
for (let seed = +from; seed < +from + +n; seed++) {
  const h = new History(seed, JSON.parse(opts)).run();
  delivered += h.network.delivered; asked += h.network.asked; unrec += h.network.unrecorded; versions += h.versions.length;
  for (const [k, v] of Object.entries(h.counts)) c[k] = (c[k] ?? 0) + v;
  if (h.network.misdirected.length) { bad++; if (bad < 4) { console.log(seed, h.network.misdirected[0]); if (process.env.T) { const m=/flow (\d+)/.exec(h.network.misdirected[0]!)!; const sl=+/slot (\d)/.exec(h.network.misdirected[0]!)![1]!; console.log(h.network.trace.get(+m[1]!)!.join('\n')); for (const v of h.versions.slice(-14)) { const p=v.placements.get(1)!; const d=p.periods[p.period[sl]!-1]; console.log(v.number, 'cur',p.current[sl],'base',p.base[sl], d?`${d.step} e${d.trackEpoch} c${d.chainEpoch} ${JSON.stringify(d.candidates)}`:'clean', 'members', v.members.map(m=>m.id+'.'+m.incarnation).join()); } } } }
  for (const p of h.problems) { const k=p.replace(/\d+/g,'N'); wrong.set(k,(wrong.get(k)??0)+1); if (wrong.get(k)===1) console.log(seed, p); }
}
console.log({ n, bad, delivered, asked, unrec, versions, ...c, ms: performance.now() - t, wrong });
