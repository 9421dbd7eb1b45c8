import { openObject } from 'libbpf-ts';
const t=Date.now();
for (const observer of [0,1,2]) { try { const o=openObject('out/bpf/filter.bpf.o'); o.setConstants({observer, time_is_driven: observer===2}); o.maps.get('counters')!.setMaxEntries(8); const l=o.load(); console.log(observer,'ok',Date.now()-t); l.close(); } catch(e:any){ console.log(observer, String(e.message).slice(0,300)); const log=e.verifierLog??''; console.log(log.slice(-2500)); break; } }
