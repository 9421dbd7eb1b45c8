import { measure, CASES } from './tmp_measure.ts';
import { measure as mx, CASES as mc } from './tmp_xdp.ts';
import { setPriority } from 'node:os';
setPriority(-20);
const show=(n:string,a:number,f:number)=>console.log(n, a.toFixed(1), f.toFixed(1), (a/f).toFixed(2));
for (let i=0;i<2;i++) {
for (const o of process.argv.slice(2)) { process.env.HOLDFAST_TEST_FILTER=o;
for (const it of [{...CASES[0]!, clients:1}, ...CASES]) { const {filter,floor}=await measure(it); show(o+' '+it.name+' '+it.clients, filter, floor); } }
for (const it of [mc[1]!, mc[0]!, mc[6]!]) { const {mux,floor}=await mx(it); show('mux '+it.name, mux, floor); }
}
