// Owns `holdfast stats`: counts once, or rates again and again.
import type { Client } from '../../api/client.ts';
import { Failure } from '../../lib/failure.ts';
import { failureLines } from '../exit.ts';
import { dateTime } from '../format.ts';
import { onLiveScreen, pause } from '../live_screen.ts';
import { moversBetween, type Rates, ratesBetween } from '../rates.ts';
import { secondsOf } from '../seconds.ts';
import type { Session } from '../session.ts';
import { figuresText, moversText } from '../stats_text.ts';

export async function stats(session: Session, given: { watch: string | undefined }): Promise<void> {
  const client = await session.client();
  if (given.watch !== undefined)
    return await watch(session, client, secondsOf('--watch', given.watch) * 1000);
  const found = await client.stats();
  if (session.json) session.printJson(found);
  else session.out.print(figuresText(session.out, found, { perSecond: false }));
}

async function watch(session: Session, client: Client, everyMs: number): Promise<void> {
  if (session.json) return await eachRates(session, client, everyMs, (it) => session.printJsonLine(it));
  if (session.out.isTerminal) return await watchOnScreen(session, client, everyMs);
  await eachRates(session, client, everyMs, (rates, before) => {
    session.out.print(`${ratesText(session, rates, before)}\n`);
  });
}

async function eachRates(
  session: Session,
  client: Client,
  everyMs: number,
  show: (rates: Rates, before: Rates | undefined) => void,
): Promise<void> {
  let counts = await client.stats();
  let before: Rates | undefined;
  while (await pause(everyMs, session.signal)) {
    const next = await client.stats();
    const rates = ratesBetween(counts, next);
    show(rates, before);
    counts = next;
    before = rates;
  }
}

/** Goes on where the daemon is away: watching it come back is what one watches for. */
async function watchOnScreen(session: Session, client: Client, everyMs: number): Promise<void> {
  const { out } = session;
  // What fails at once fails before the screen is taken.
  await client.stats();
  await onLiveScreen(out, async (draw) => {
    draw(`first rates in ${everyMs / 1000} s; Ctrl-C ends`);
    while (!session.signal.aborted) {
      try {
        await eachRates(session, client, everyMs, (rates, before) => draw(ratesText(session, rates, before)));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        draw([dateTime(Date.now()), '', ...failureLines(out, error.body)].join('\n'));
        await pause(everyMs, session.signal);
      }
    }
  });
}

const MOVERS_MAX = 3;

function ratesText({ out }: Session, rates: Rates, before: Rates | undefined): string {
  const movers = before === undefined ? [] : moversBetween(before, rates, MOVERS_MAX);
  const head = `${dateTime(rates.atMs)}  ${out.paint('dim', `per second, over ${rates.seconds.toFixed(1)} s`)}`;
  const tail = moversText(out, movers);
  const rows = out.isTerminal ? out.rows - 2 - tail.split('\n').length - 1 : undefined;
  const body = figuresText(out, rates, { perSecond: true, ...(rows === undefined ? {} : { rows }) });
  return [head, '', body, '', tail].join('\n');
}
