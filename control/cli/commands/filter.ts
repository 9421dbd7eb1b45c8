// Owns what commands take about pools that clients reach without a load balancer: delivery filter.
import { DELIVERIES } from '../../config/filter.ts';
import type { Options } from '../command.ts';

export const FILTER_SERVICE_OPTIONS = {
  multicast: {
    type: 'text',
    choices: ['on', 'off'],
    describe: 'Pool of delivery filter: packets come to every server by multicast; off: by other means',
  },
  multicastGroup: {
    type: 'text',
    many: true,
    describe: 'The group that is joined for IPv4 or IPv6 addresses; of the address unless given',
  },
  multicastMac: {
    type: 'text',
    describe: 'Link address that routers send to; that of the group unless given',
  },
  answerNeighbours: {
    type: 'text',
    choices: ['yes', 'no'],
    describe: 'ARP and neighbour discovery are answered with that link address',
  },
  disabled: { type: 'flag', describe: 'Pool of delivery filter: its packets are dropped' },
} as const satisfies Options;

export const FILTER_SERVICE_UNSET = ['multicast', 'disabled'] as const;

export const HOSTS_OPTION = {
  type: 'text',
  choices: ['multiple', 'single'],
  describe:
    'Pool of delivery filter: clients are shared by weight, or the live backend of the best priority has all',
} as const;

export const FILTER_POOL_OPTIONS = {
  delivery: {
    type: 'text',
    choices: DELIVERIES,
    describe: 'mux: through muxes; filter: every backend hears every packet; cannot be changed later',
    standard: 'mux',
  },
  hosts: HOSTS_OPTION,
} as const satisfies Options;

export const PRIORITY_OPTION = {
  type: 'number',
  describe: 'In a pool with --hosts single: 1 is the best',
} as const;
