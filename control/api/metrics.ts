// Owns answering the metrics of metrics_table.ts, and those of the process, in the Prometheus text format.
import { Counter, collectDefaultMetrics, Gauge, type Metric as PromMetric, Registry } from 'prom-client';
import { Failure } from '../lib/failure.ts';
import type { FilesSample } from './file_metrics.ts';
import { type Distribution, METRICS, type Metric, REQUESTS_METRIC, type Sample } from './metrics_table.ts';
import type { NodePort } from './node_port.ts';

/** How finely the lag of the event loop is measured: each measurement wakes the process. */
const LAG_PRECISION_MS = 100;

export class Metrics {
  readonly contentType: string;
  readonly #node: NodePort;
  readonly #registry = new Registry();
  readonly #requests: Counter;
  #sample: Sample | undefined;

  constructor(node: NodePort) {
    this.#node = node;
    this.contentType = this.#registry.contentType;
    const made = METRICS.map((metric) => [metric.name, this.#register(metric)] as const);
    this.#requests = new Map(made).get(REQUESTS_METRIC) as Counter;
  }

  countRequest(operation: string, status: number): void {
    this.#requests.inc({ operation, status });
  }

  async text(): Promise<string> {
    const node = this.#node;
    const files = await filesOf(node);
    this.#sample = {
      files,
      status: node.status(),
      stats: node.stats(),
      state: node.state(),
      path: (index) => node.backendPath(index),
      health: node.health,
    };
    // Every collect() below runs before the first await, so that requests at the same time do not mix their samples.
    const own = this.#registry.metrics();
    return `${await own}\n${await processRegistry().metrics()}`;
  }

  #register({ name, type, labels, help, read, distributions }: Metric): Counter | Gauge | undefined {
    const options = { name, help, labelNames: [...labels], registers: [this.#registry] };
    const sample = () => this.#sample!;
    if (type === 'histogram') {
      this.#registry.registerMetric(histogram(name, help, () => distributions?.(sample()) ?? []));
      return undefined;
    }
    // Values are read elsewhere, so each scrape begins with nothing: what is gone must not be answered any more.
    if (type === 'counter') {
      return new Counter({
        ...options,
        ...(read && {
          collect() {
            this.reset();
            for (const { labels, value } of read(sample())) this.inc(labels, value);
          },
        }),
      });
    }
    return new Gauge({
      ...options,
      collect() {
        this.reset();
        for (const { labels, value } of read?.(sample()) ?? []) this.set(labels, value);
      },
    });
  }
}

/** Undefined: this node does not serve files, or its server is away, which `holdfast_problems` says. */
async function filesOf({ files }: NodePort): Promise<FilesSample | undefined> {
  try {
    const [stats, clients] = await Promise.all([files.stats(), files.clients()]);
    return { stats, clients };
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}

/** Of what is counted elsewhere, which the library's own, that counts itself, cannot take. */
function histogram(name: string, help: string, read: () => Iterable<Distribution>): PromMetric {
  const values = () =>
    [...read()].flatMap(({ labels, buckets, sum, count }) => [
      ...[...buckets, ['+Inf', count] as const].map(([le, value]) => ({
        metricName: `${name}_bucket`,
        labels: { ...labels, le: String(le) },
        value,
      })),
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: count },
    ]);
  const metric = { name, help, type: 'histogram', aggregator: 'sum', reset: () => {} };
  return { ...metric, get: async () => ({ ...metric, values: values() }) } as unknown as PromMetric;
}

// There is one process, however many APIs it has; its timers and observers cannot be taken back.
let processMetrics: Registry | undefined;

function processRegistry(): Registry {
  if (processMetrics === undefined) {
    processMetrics = new Registry();
    collectDefaultMetrics({ register: processMetrics, eventLoopMonitoringPrecision: LAG_PRECISION_MS });
  }
  return processMetrics;
}
