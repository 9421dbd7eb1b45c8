// Owns what the namespace looks like: a tree, and what has changed.
import type { NamespaceChange, NamespaceEntryView, NamespaceState } from '../api/schema.ts';
import { DONE, fieldLines, SIGNS, STYLES } from './actions/change.ts';
import { byteCount, count, counted } from './format.ts';
import { mountLine } from './mount_line.ts';
import type { Screen, Style } from './screen.ts';

type LinkView = Extract<NamespaceEntryView, { kind: 'link' }>;
type FolderView = Extract<NamespaceEntryView, { kind: 'folder' }>;

export function treeText(screen: Screen, { revision, entries, service }: NamespaceState): string {
  const lines = screen.hasBlocks
    ? { last: '└── ', other: '├── ', below: '│   ' }
    : { last: '`-- ', other: '|-- ', below: '|   ' };
  const children = Map.groupBy(entries.slice(1), ({ path }) => folderOf(path));
  const text: string[] = [];
  const draw = (entry: NamespaceEntryView, first: string, rest: string, name: string) => {
    text.push(`${first}${entryText(screen, entry, name)}`);
    if (entry.kind === 'link') text.push(`${rest}  ${screen.paint('dim', mountLine(entry.path, service))}`);
    const inside = children.get(entry.path) ?? [];
    for (const [index, child] of inside.entries()) {
      const isLast = index === inside.length - 1;
      const name = child.path.slice(child.path.lastIndexOf('/') + 1);
      draw(child, rest + (isLast ? lines.last : lines.other), rest + (isLast ? '    ' : lines.below), name);
    }
  };
  const [top] = entries;
  if (top !== undefined) draw(top, '', '', top.path);
  const folders = entries.filter(({ kind }) => kind === 'folder').length;
  const amounts = `${counted(folders, 'folder')}, ${counted(entries.length - folders, 'link')}`;
  return [...text, '', `${amounts}; revision ${revision}`].join('\n');
}

function entryText(screen: Screen, entry: NamespaceEntryView, name: string): string {
  if (entry.kind === 'folder') {
    const more = folderWords(entry);
    const shown = screen.paint('bold', name.endsWith('/') ? name : `${name}/`);
    return more.length === 0 ? shown : `${shown}  ${screen.paint('dim', more.join('; '))}`;
  }
  const arrow = screen.hasBlocks ? '→' : '->';
  return `${screen.paint('cyan', name)} ${arrow} ${entry.storage}:${entry.target}  ${linkWords(entry).join('; ')}`;
}

/** What is not as usual. */
function folderWords({ mode, uid, gid, admin }: FolderView): string[] {
  return [
    ...(mode === '0755' ? [] : [`mode ${mode}`]),
    ...(uid === 0 && gid === 0 ? [] : [`owner ${uid}:${gid}`]),
    ...(admin.length === 0 ? [] : [`administered by ${admin.join(', ')}`]),
  ];
}

function linkWords({ readOnly, clients, quota, anonymousUid, anonymousGid }: LinkView): string[] {
  return [
    ...(readOnly ? ['read-only'] : []),
    clients.length === 0 ? 'nobody may mount it' : clients.map(clientText).join(' '),
    ...(quota?.bytes === undefined ? [] : [`at most ${byteCount(quota.bytes)}`]),
    ...(quota?.files === undefined ? [] : [`at most ${counted(quota.files, 'file')}`]),
    ...(anonymousUid === 65_534 && anonymousGid === 65_534
      ? []
      : [`squashed to ${anonymousUid}:${anonymousGid}`]),
  ];
}

/** As --client takes it. */
function clientText({ address, access, squash }: LinkView['clients'][number]): string {
  return `${address}=${access}${squash === 'root' ? '' : `,${squash}`}`;
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}

const ALL_SIGNS = { ...SIGNS, move: '>' } as const;
const ALL_DONE = { ...DONE, move: 'moved' } as const;
const ALL_STYLES: Readonly<Record<keyof typeof ALL_SIGNS, Style>> = { ...STYLES, move: 'yellow' };
const ACTIONS = ['add', 'change', 'move', 'remove'] as const;

/** What has changed, or on a dry run would. */
export function namespaceChangeText(screen: Screen, change: NamespaceChange): string {
  const { dryRun, revision, amounts } = change;
  const parts = ACTIONS.filter((action) => amounts[action] > 0).map(
    (action) => `${count(amounts[action])} ${dryRun ? `to ${action}` : ALL_DONE[action]}`,
  );
  if (parts.length === 0) return `nothing to change at revision ${revision}`;
  const end = dryRun
    ? screen.paint('yellow', `dry run, nothing was changed: ${parts.join(', ')}`)
    : screen.paint('green', `${parts.join(', ')}: revision ${revision}`);
  return `${namespaceDiffText(screen, change)}\n\n${end}`;
}

export function namespaceDiffText(screen: Screen, { changes, amounts }: NamespaceChange): string {
  const lines = changes.flatMap(({ action, kind, name, from, before, after }) => {
    const what = from === undefined ? name : `${from} → ${name}`;
    const head = screen.paint(ALL_STYLES[action], `${ALL_SIGNS[action]} ${kind} ${what}`);
    return [
      head,
      ...fieldLines(screen, action === 'move' ? 'change' : action, readable(before), readable(after)),
    ];
  });
  const left = ACTIONS.reduce((sum, action) => sum + amounts[action], 0) - changes.length;
  return [...lines, ...(left === 0 ? [] : [`and ${count(left)} more`])].join('\n');
}

/** With clients as they are written on the command line. */
function readable(side: unknown): unknown {
  if (typeof side !== 'object' || side === null || !('clients' in side)) return side;
  return { ...side, clients: (side.clients as LinkView['clients']).map(clientText) };
}
