// Owns what a node answers about the cluster's muxes, tracked changes and flows: reads what is known, and has it put in
// words. What the words are is beside this file.
import type { NodePort } from '../api/node_port.ts';

/** The part of the API that is about tracked slots. */
export type TrackingPort = Pick<
  NodePort,
  'poolPlans' | 'changes' | 'nodes' | 'drainNode' | 'removeNode' | 'flows' | 'flow' | 'topFlows'
>;
