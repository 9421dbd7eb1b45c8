// Owns how a mux's routes are shown: to whom they go and how, as lines of facts.
import type { Routes } from '../api/schema.ts';
import { counted } from './format.ts';
import type { Screen } from './screen.ts';

type Line = readonly [string, string];

/** Addresses that are spelt out. */
const NAMED_MAX = 6;

export function routeFacts(screen: Screen, it: Routes | undefined): Line[] {
  if (it === undefined) return [];
  if (it.mode === 'static')
    return [['routes', 'static: nothing takes them away from routers where this mux fails']];
  const { bird } = it;
  const lines: string[] = [announced(screen, it)];
  if (it.supervised === false) lines.push(screen.paint('red', 'no supervisor would withdraw them'));
  if (bird !== undefined && bird.state !== 'up')
    lines.push(screen.paint('red', `BIRD: ${bird.error ?? 'not asked yet'}`));
  for (const { name, state, detail, exported } of bird?.sessions ?? []) {
    const isUp = state === 'Established';
    const more = detail ?? (exported === undefined ? undefined : `sends ${counted(exported, 'route')}`);
    const text = `${name} ${state}${more === undefined ? '' : `, ${more}`}`;
    lines.push(isUp && exported !== 0 ? text : screen.paint('red', text));
  }
  for (const { peer, interface: on, state, timeoutMs } of bird?.bfd ?? []) {
    const text = `BFD to ${peer} on ${on} ${state}, ${timeoutMs} ms`;
    lines.push(state === 'Up' ? text : screen.paint('red', text));
  }
  return lines.map((text, index) => [index === 0 ? 'routes' : '', text]);
}

function announced(screen: Screen, { announced: level, addresses = [], inEffect }: Routes): string {
  if (level === 'withdrawn') {
    return `${screen.paint('yellow', 'withdrawn')}${inEffect ? '' : screen.paint('red', ', BIRD does not say so yet')}`;
  }
  const more = addresses.length > NAMED_MAX ? ` and ${addresses.length - NAMED_MAX} more` : '';
  const how = level === 'lastResort' ? screen.paint('yellow', ' as the last resort') : '';
  const late = inEffect ? '' : screen.paint('red', ', not in effect');
  return `announced${how}: ${addresses.slice(0, NAMED_MAX).join(', ')}${more}${late}`;
}
