// Owns the question whether a recorded history of one object could have come of operations that happened one at a time, each
// at some moment between its call and its answer: the search of Wing and Gong, with the states that were already tried
// remembered (Lowe). The object is a model of its own: paths and what is there, nothing of the product.

export type Kind = 'folder' | 'link';
/** Sorted, `path kind` each. */
export type Tree = readonly string[];

export type Action =
  | { readonly op: 'mkdir' | 'link' | 'rmdir' | 'unlink'; readonly path: string }
  | { readonly op: 'mv'; readonly from: string; readonly to: string }
  | { readonly op: 'read' };

export type Operation = {
  readonly action: Action;
  readonly calledMs: number;
  readonly answeredMs: number;
  /** What was answered: `ok`, a failure's code, or for `read` the tree. */
  readonly answer: string;
};

/** States that are looked at before it is given up. */
const STATES_MAX = 2_000_000;

export function isLinearizable(history: readonly Operation[], start: Tree = []): boolean {
  const open = [...history].sort((a, b) => a.calledMs - b.calledMs);
  const tried = new Set<string>();
  let count = 0;

  /** `from`: all operations before it are done; `done`: those after it that are as well. */
  function search(from: number, done: readonly number[], tree: Tree): boolean {
    [from, done] = withIdle(from, done, tree);
    if (from >= open.length) return true;
    const key = `${from};${done.join()};${tree.join('|')}`;
    if (tried.has(key)) return false;
    tried.add(key);
    if (++count > STATES_MAX) throw new Error('the history is too wide to be checked');
    for (const at of possible(from, done)) {
      const [answer, next] = happen(tree, open[at]!.action);
      if (
        open[at]!.answer === answer &&
        search(
          from,
          [...done, at].sort((a, b) => a - b),
          next,
        )
      )
        return true;
    }
    return false;
  }

  /** What fits now and changes nothing happens now: nothing that comes later can need it to happen later. */
  function withIdle(from: number, done: readonly number[], tree: Tree): [number, readonly number[]] {
    for (;;) {
      while (done.includes(from)) {
        done = done.filter((it) => it !== from);
        from++;
      }
      const idle = possible(from, done).find((at) => {
        const [answer, next] = happen(tree, open[at]!.action);
        return answer === open[at]!.answer && next === tree;
      });
      if (idle === undefined) return [from, done];
      done = [...done, idle].sort((a, b) => a - b);
    }
  }

  /** Those that were called before any of the others was answered. */
  function possible(from: number, done: readonly number[]): number[] {
    const found: number[] = [];
    let firstAnswerMs = Number.POSITIVE_INFINITY;
    for (let at = from; at < open.length && open[at]!.calledMs <= firstAnswerMs; at++) {
      if (done.includes(at)) continue;
      firstAnswerMs = Math.min(firstAnswerMs, open[at]!.answeredMs);
      found.push(at);
    }
    return found.filter((at) => open[at]!.calledMs <= firstAnswerMs);
  }
  return search(0, [], start);
}

export function happen(tree: Tree, action: Action): readonly [string, Tree] {
  if (action.op === 'read') return [tree.join('|'), tree];
  if (action.op === 'mv') return move(tree, action.from, action.to);
  const { op, path } = action;
  const known = kindOf(tree, path);
  if (op === 'mkdir' || op === 'link') {
    const refusal = noPlace(tree, path);
    if (refusal !== undefined) return [refusal, tree];
    return ['ok', [...tree, `${path} ${op === 'mkdir' ? 'folder' : 'link'}`].sort()];
  }
  if (known === undefined) return [missing(tree, path), tree];
  if ((known === 'folder') !== (op === 'rmdir')) return ['invalid', tree];
  if (tree.some((it) => it.startsWith(`${path}/`))) return ['in_use', tree];
  return ['ok', tree.filter((it) => it !== `${path} ${known}`)];
}

function move(tree: Tree, from: string, to: string): readonly [string, Tree] {
  const known = kindOf(tree, from);
  if (known === undefined) return [missing(tree, from), tree];
  if (from === to) return ['ok', tree];
  if (to.startsWith(`${from}/`)) return ['invalid', tree];
  const refusal = noPlace(tree, to);
  if (refusal !== undefined) return [refusal, tree];
  const moved = (it: string): string =>
    it === `${from} ${known}` || it.startsWith(`${from}/`) ? to + it.slice(from.length) : it;
  return ['ok', tree.map(moved).sort()];
}

function noPlace(tree: Tree, path: string): string | undefined {
  if (kindOf(tree, path) !== undefined) return 'conflict';
  const above = path.slice(0, path.lastIndexOf('/'));
  const kind = above === '' ? 'folder' : kindOf(tree, above);
  if (kind === 'folder') return undefined;
  return kind === 'link' ? 'invalid' : missing(tree, above);
}

/** Below a link nothing can be. */
function missing(tree: Tree, path: string): string {
  for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
    if (kindOf(tree, path.slice(0, at)) === 'link') return 'invalid';
  }
  return 'not_found';
}

function kindOf(tree: Tree, path: string): Kind | undefined {
  if (tree.includes(`${path} folder`)) return 'folder';
  return tree.includes(`${path} link`) ? 'link' : undefined;
}
