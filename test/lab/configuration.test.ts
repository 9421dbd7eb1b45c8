// What the lab tells its daemons is what daemons take.
import { expect, it } from 'vitest';
import { EMPTY_STATE } from '../../control/config/cluster_state.ts';
import { parseNodeFile } from '../../control/config/node_file.ts';
import { documentSchema } from '../../control/config/objects.ts';
import { editsTowards, planEdits } from '../../control/pool/edits.ts';
import { documentOf, nodeFileOf, placeOf } from './configuration.ts';
import { BACKENDS_MAX, CLIENTS_MAX, MUXES_MAX, planLab } from './plan.ts';

const largest = planLab({ clients: CLIENTS_MAX, muxes: MUXES_MAX, backends: BACKENDS_MAX });

it('every node of the largest lab has a file without mistakes, and a place of its own', () => {
  const nodes = [...largest.muxes, ...largest.backends];
  const configs = nodes.map((node) => parseNodeFile(nodeFileOf(largest, node), node.name));
  expect(configs.map(({ node }) => node)).toEqual(nodes.map(({ name }) => name));
  expect(configs.map(({ roles }) => roles[0])).toEqual(nodes.map(({ kind }) => kind));
  const places = configs.flatMap(({ api, bpfDirectory, stateDirectory }) => [
    api.socket,
    bpfDirectory,
    stateDirectory,
  ]);
  expect(new Set(places).size).toBe(places.length);
  expect(new Set(configs.map(({ store }) => store)).size).toBe(1);
  expect(placeOf(largest, nodes[0]!).socket).toBe(configs[0]!.api.socket);
});

it('the document of the largest lab is one that a cluster takes', () => {
  const document = documentSchema.parse(documentOf(largest));
  const { after } = planEdits(EMPTY_STATE, editsTowards(EMPTY_STATE, document), { force: false });
  expect(after.backends.size).toBe(BACKENDS_MAX);
  expect(after.services.size).toBe(4);
});

it('a lab with narrow paths differs in nothing else', () => {
  const [plain, narrow] = [documentOf(largest), documentOf(largest, 1_400)];
  expect(narrow.backends.every(({ mtuBytes }) => mtuBytes === 1_400)).toBe(true);
  const without = narrow.backends.map(({ mtuBytes: _, ...rest }) => rest);
  expect({ ...narrow, backends: without }).toEqual(plain);
});
