// Owns the process that runs one history after the other for workers.ts.
import { runHistory } from './history.ts';
import { shrink } from './shrink.ts';
import { findingText } from './telling.ts';
import type { Answer, Job, Message } from './workers.ts';

process.on('message', (job: Job) => {
  answer(job).then(
    (it) => process.send!({ answer: it } satisfies Message),
    (error: Error) => process.send!({ error: error.stack ?? String(error) } satisfies Message),
  );
});

async function answer({ scenario, options, isShortened }: Job): Promise<Answer> {
  const result = await runHistory(scenario, options);
  if (isShortened !== true || result.findings.length === 0) return { result };
  const shortest = await shrink(result, (tried) => runHistory(tried, options));
  const traced = await runHistory(shortest.scenario, { ...options, isTraced: true });
  return { result, short: { text: findingText(traced), scenario: traced.scenario } };
}
