// Owns where members stand in the structs that are written piece by piece, read from their generated layout lines.

/** Offset of a member of the struct that `layout` (a *_LAYOUT of generated/layout.ts) describes, bytes. */
export function memberOffset(layout: string, member: string): number {
  const [, , ...rest] = layout.split(':');
  let depth = 0;
  let top = '';
  for (const character of rest.join(':')) {
    if (character === '}') depth--;
    if (depth === 0) top += character;
    if (character === '{') depth++;
  }
  const found = top.split(',').find((it) => it.startsWith(`${member}@`));
  if (found === undefined) throw new Error(`no member ${member} in ${layout}`);
  return Number.parseInt(found.slice(member.length + 1), 10);
}
