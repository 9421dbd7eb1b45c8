// Owns the texts that are generated from the API for its users: control/api/openapi.json and control/api/METRICS.md.
import { ALERTS, type Alert, METRICS, type Metric } from '../../control/api/metrics_table.ts';
import type { NodePort } from '../../control/api/node_port.ts';
import { createApi } from '../../control/api/server.ts';

export const API_DOCUMENTS: readonly { readonly path: string; readonly text: () => Promise<string> }[] = [
  { path: 'control/api/openapi.json', text: openApiText },
  { path: 'control/api/METRICS.md', text: async () => metricsText(METRICS, ALERTS) },
];

async function openApiText(): Promise<string> {
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  // Nobody is asked: the document follows from the routes alone.
  const app = createApi({} as NodePort, { log: silent, stopping: AbortSignal.abort() });
  const answer = await app.request('/v1/openapi.json', {}, {});
  return `${JSON.stringify(await answer.json(), null, 2)}\n`;
}

function metricsText(metrics: readonly Metric[], alerts: readonly Alert[]): string {
  const rows = metrics.map(({ name, type, labels, help }) => [
    `\`${name}\``,
    type,
    labels.map((label) => `\`${label}\``).join(', '),
    help,
  ]);
  return `# Metrics

Generated from [metrics_table.ts](metrics_table.ts) by \`npm run generate\`.

\`GET /metrics\` answers these in the text format of Prometheus (0.0.4), beside those of the process (\`process_…\`,
\`nodejs_…\`). Counters may begin anew when holdfastd does, as rates
of counters expect.

${table(['name', 'type', 'labels', 'meaning'], rows)}

Limits of the data plane bound the series: six for each of at most 4,095 backends, three for each of at most 1,024
services, three for each of at most 1,024 pools, one for each reason.

## Alerts

To begin with; \`page\` wakes somebody, \`ticket\` waits for the morning. That holdfastd runs at all is
\`up == 0\` of its scrape job: forwarding goes on without it.

\`\`\`yaml
groups:
  - name: holdfast
    rules:
${alerts.map(rule).join('\n')}
\`\`\`
`;
}

function rule({ alert, expr, for: duration, severity, summary }: Alert): string {
  return [
    `      - alert: ${alert}`,
    `        expr: ${JSON.stringify(expr)}`,
    `        for: ${duration}`,
    `        labels: { severity: ${severity} }`,
    `        annotations: { summary: ${JSON.stringify(summary)} }`,
  ].join('\n');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]!.length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => (at === cells.length - 1 ? cell : cell.padEnd(widths[at]!))).join(' | ')} |`;
  return [
    line(head),
    line(widths.map((width, at) => '-'.repeat(at === head.length - 1 ? head[at]!.length : width))),
    ...rows.map(line),
  ].join('\n');
}
