// Owns being killed: boots a guest in a site of its own, says the process id of its qemu, and waits.
import { Site } from './site.ts';
import { Vm } from './vm.ts';

const site = await Site.raise(process.argv[2]!);
const vm = await Vm.boot({ place: site.place(1), directory: site.path('vm'), record: site.record });
console.log(vm.pid);
await vm.run('sleep 1000', { limitMs: 600_000 });
