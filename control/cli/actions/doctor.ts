// Owns `holdfast doctor`.
import type { Finding } from '../../api/schema.ts';
import { FAILURES } from '../../lib/failure.ts';
import { counted } from '../format.ts';
import type { Screen, Style } from '../screen.ts';
import type { Session } from '../session.ts';
import { wrapped } from '../wrap.ts';

export async function doctor(session: Session, given: { interface: string | undefined }): Promise<number> {
  const findings = await (await session.client()).doctor(given.interface);
  if (session.json) session.printJson({ items: findings });
  else session.out.print(doctorText(session.out, findings));
  return findings.some(({ severity }) => severity === 'error') ? FAILURES.unsupported.exit : 0;
}

const STYLES: Readonly<Record<Finding['severity'], Style>> = {
  ok: 'green',
  note: 'cyan',
  warning: 'yellow',
  error: ['bold', 'red'],
};

const SEVERITY_COLUMNS = 'warning'.length;
const GAP = '  ';
const CURE = 'cure: ';

export function doctorText(screen: Screen, findings: readonly Finding[]): string {
  const about = (it: Finding) => (it.interface === undefined ? it.check : `${it.check} ${it.interface}`);
  const width = Math.max(0, ...findings.map((it) => about(it).length));
  const indent = SEVERITY_COLUMNS + width + 2 * GAP.length;
  const lines = findings.flatMap((it) => {
    const severity = screen.paint(STYLES[it.severity], it.severity.padEnd(SEVERITY_COLUMNS));
    const message = wrapped(it.message, indent, screen.columns);
    const finding = [severity, about(it).padEnd(width), message].join(GAP);
    if (it.cure === undefined) return [finding];
    const cure = wrapped(it.cure, indent + CURE.length, screen.columns);
    return [finding, `${' '.repeat(indent)}${screen.paint('dim', CURE)}${cure}`];
  });
  const amounts = (['error', 'warning', 'note'] as const)
    .map((severity) => ({ severity, amount: findings.filter((it) => it.severity === severity).length }))
    .filter(({ amount }) => amount > 0)
    .map(({ severity, amount }) => counted(amount, severity));
  const end = amounts.length === 0 ? 'nothing to complain about' : amounts.join(', ');
  return [...lines, ...(lines.length === 0 ? [] : ['']), end].join('\n');
}
