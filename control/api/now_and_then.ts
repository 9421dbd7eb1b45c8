// Owns how often the log says what strangers can have said as often as they like.

const INTERVAL_MS = 10_000;

/** Anybody can be refused, as often as they like: in between what is reported, they are only counted. */
export function nowAndThen(report: (record: object) => void): (record: object) => void {
  let silentUntilMs = 0;
  let connections = 0;
  return (record) => {
    connections++;
    if (performance.now() < silentUntilMs) return;
    report({ ...record, connections });
    silentUntilMs = performance.now() + INTERVAL_MS;
    connections = 0;
  };
}
