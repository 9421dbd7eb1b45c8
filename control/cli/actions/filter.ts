// Owns what the options about delivery without a load balancer say, as fields of a service.
import { type Multicast, multicastSchema } from '../../config/filter.ts';
import { isAddress, parseAddress, versionOf } from '../../lib/address.ts';
import type { Given } from '../command.ts';
import type { FILTER_SERVICE_OPTIONS } from '../commands/filter.ts';
import { UsageError } from '../usage_error.ts';
import { defined } from './objects.ts';

export type FilterServiceGiven = Given<typeof FILTER_SERVICE_OPTIONS>;

export const FILTER_UNSET_FIELDS = {
  multicast: ['multicast'],
  disabled: ['disabled'],
} as const;

export function filterFieldsOf(given: FilterServiceGiven): Record<string, unknown> {
  const { disabled } = given;
  const multicast = multicastOf(given);
  return {
    ...(Object.keys(multicast).length > 0 && { multicast }),
    ...(disabled && { disabled: true }),
  };
}

function multicastOf(given: FilterServiceGiven): Partial<Multicast> {
  const { multicast, multicastGroup, multicastMac, answerNeighbours } = given;
  const groups: Partial<Multicast> = {};
  for (const group of multicastGroup) {
    if (!isAddress(group)) throw new UsageError(`--multicast-group cannot be "${group}": it is no address.`);
    const field = versionOf(parseAddress(group)) === 4 ? 'group4' : 'group6';
    if (groups[field] !== undefined)
      throw new UsageError('--multicast-group names two groups of one version of IP.');
    groups[field] = group;
  }
  const asked = {
    ...defined({
      enabled: multicast === undefined ? undefined : multicast === 'on',
      mac: multicastMac,
      answers: answerNeighbours === undefined ? undefined : answerNeighbours === 'yes',
    }),
    ...groups,
  };
  const checked = multicastSchema.safeParse(Object.keys(asked).length > 0 ? asked : undefined);
  if (checked.success) return asked;
  const issue = checked.error.issues[0]!;
  throw new UsageError(`The multicast settings are not valid: ${issue.path.join('.')} ${issue.message}.`);
}

/** `by multicast 239.255.0.10 (01:00:5e:7f:00:0a)` and so on, for people. */
export function multicastText(multicast: Multicast | undefined): string {
  if (multicast?.enabled === false) return 'by other means than multicast';
  const { group4, group6, mac, answers = true } = multicast ?? {};
  const said = [group4, group6, mac].filter((it) => it !== undefined);
  return [
    `by multicast${said.length > 0 ? ` ${said.join(' ')}` : ', group and link address of the address'}`,
    answers ? 'neighbours are answered' : 'neighbours are not answered',
  ].join('; ');
}
