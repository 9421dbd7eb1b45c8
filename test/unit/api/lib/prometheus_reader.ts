// Owns reading the text format of Prometheus (0.0.4) strictly; shares nothing with what writes it. Throws where a
// server could read something else than what was meant.

export type Family = {
  type: string;
  help: string;
  samples: { name: string; labels: Record<string, string>; value: number }[];
};

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"/;
const VALUE = /^[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf|NaN)$/i;
const SUFFIXES: Record<string, string[]> = {
  histogram: ['_bucket', '_sum', '_count'],
  summary: ['', '_sum', '_count'],
};

export function readMetrics(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const families = new Map<string, Family>();
  const series = new Set<string>();
  let current: { name: string; family: Family } | undefined;
  for (const line of text.split('\n').slice(0, -1)) {
    if (line === '') continue;
    const [, kind, name, rest] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (kind === 'HELP') {
      if (families.has(name!)) throw new Error(`${name} comes twice`);
      current = { name: name!, family: { type: '', help: rest!, samples: [] } };
      families.set(name!, current.family);
    } else if (kind === 'TYPE') {
      if (current === undefined || current.name !== name || current.family.type !== '')
        throw new Error(`TYPE of ${name} is misplaced`);
      if (!/^(counter|gauge|histogram|summary)$/.test(rest!)) throw new Error(`type ${rest}`);
      current.family.type = rest!;
    } else {
      const sample = readSample(line);
      if (current === undefined) throw new Error(`${sample.name} has no type`);
      const suffixes = SUFFIXES[current.family.type] ?? [''];
      if (!suffixes.some((suffix) => sample.name === `${current!.name}${suffix}`)) {
        throw new Error(`${sample.name} is not of ${current.name}`);
      }
      const id = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`;
      if (series.has(id)) throw new Error(`${id} comes twice`);
      series.add(id);
      current.family.samples.push(sample);
    }
  }
  return families;
}

function readSample(line: string): Family['samples'][number] {
  const name = NAME.exec(line)?.[0];
  if (name === undefined) throw new Error(`no name: ${line}`);
  let rest = line.slice(name.length);
  const labels: Record<string, string> = {};
  if (rest.startsWith('{')) {
    rest = rest.slice(1);
    while (!rest.startsWith('}')) {
      const [whole, label, value] = LABEL.exec(rest) ?? [];
      if (whole === undefined || label! in labels) throw new Error(`labels: ${line}`);
      labels[label!] = value!.replaceAll(/\\(.)/g, (_, it: string) => (it === 'n' ? '\n' : it));
      rest = rest.slice(whole.length);
      if (rest.startsWith(',')) rest = rest.slice(1);
      else if (!rest.startsWith('}')) throw new Error(`labels: ${line}`);
    }
    rest = rest.slice(1);
  }
  if (!rest.startsWith(' ') || !VALUE.test(rest.slice(1))) throw new Error(`value: ${line}`);
  return { name, labels, value: Number(rest.slice(1).replace(/Inf$/, 'Infinity')) };
}
