import { runHistory, story } from './history.ts';
import { plain } from './scenario.ts';
import { rulesWithout } from './rules.ts';
const t=performance.now();
for (const seed of [1,2,3]) {
  const r = await runHistory(plain(seed), {isTraced: true});
  console.log(seed, r.found, r.counts, JSON.stringify(r.reasons));
  if (r.findings[0]) console.log(r.findings[0].text+'\n'+story(r, r.findings[0], 30));
}
console.log(performance.now()-t);
