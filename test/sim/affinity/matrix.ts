import { runHistory } from './history.ts';
import { ATTACKS, attackOf } from './attacks.ts';
import { RULES, rulesWithout } from './rules.ts';
const seeds = +(process.argv[2] ?? 2);
for (const rule of Object.keys(RULES)) {
  const cells: string[] = [];
  for (const name of Object.keys(ATTACKS)) {
    const sum: Record<string, number> = {};
    for (let seed = 1; seed <= seeds; seed++) {
      const r = await runHistory(attackOf(name as any, seed), { rules: rulesWithout(rule as any) });
      for (const [k, v] of Object.entries(r.found)) sum[k] = (sum[k] ?? 0) + v;
    }
    const text = Object.entries(sum).filter(([, v]) => v > 0).map(([k, v]) => `${k}${v}`).join(',');
    if (text) cells.push(`${name}: ${text}`);
  }
  console.log(rule.padEnd(22), cells.join(' | '));
}
