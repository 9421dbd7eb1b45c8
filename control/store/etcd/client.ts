// Owns asking etcd: a member that answers, again at another one where that is harmless, signed in where etcd wants it.
// Not here: one exchange (exchange.ts), the form of what is said (messages.ts), what is asked (store.ts).
import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { Failure } from '../../lib/failure.ts';
import { Endpoints } from './endpoints.ts';
import { type CertificatePaths, Exchange, ExchangeError, readConfigured } from './exchange.ts';
import {
  connectionFailure,
  isAboutCertificates,
  isTokenRefusal,
  knownRefusal,
  nobodyFailure,
  Refused,
  strangerFailure,
  wasNotDone,
} from './failure.ts';
import { decode, decodeLine, decodeRefusal, tokenSchema } from './messages.ts';

/** Of one member, to answer once. */
export const REQUEST_TIMEOUT_MS = 3_000;
/** Of all of them together: less than clients of the API wait for theirs. */
export const CALL_MS_MAX = 8_000;

export type Login = { readonly username: string; readonly passwordFile: string };

export type ClientOptions = {
  readonly urls: readonly URL[];
  readonly certificates: CertificatePaths;
  readonly login?: Login | undefined;
  readonly nowMs: () => number;
  readonly random?: () => number;
};

export type Question<T> = {
  readonly path: string;
  readonly body: object;
  readonly schema: z.ZodType<T>;
  /** The answer is a stream of one line. */
  readonly isStream?: boolean;
  /** It may be asked again where it is not known whether it was done. */
  readonly repeatable: boolean;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
};

/** One member's trouble: another may do better. */
class Trouble extends Error {
  readonly failure: Failure;
  readonly maybeDone: boolean;

  constructor(failure: Failure, maybeDone: boolean) {
    super(failure.message, { cause: failure });
    this.failure = failure;
    this.maybeDone = maybeDone;
  }
}

export class EtcdClient {
  readonly #exchange: Exchange;
  readonly #endpoints: Endpoints;
  readonly #login: Login | undefined;
  readonly #nowMs: () => number;
  #token: string | undefined;

  /** Asks nothing yet. @throws Failure `configuration` where a file that it names cannot be read. */
  constructor({ urls, certificates, login, nowMs, random = Math.random }: ClientOptions) {
    this.#exchange = new Exchange(certificates);
    if (login !== undefined) readConfigured(login.passwordFile, 'passwordFile');
    this.#endpoints = new Endpoints(urls, { nowMs, random });
    this.#login = login;
    this.#nowMs = nowMs;
  }

  get members(): number {
    return this.#endpoints.count;
  }

  /**
   * The answer, and who gave it. @throws Refused where etcd says that it cannot be done as asked; Failure: `unavailable`
   * where nobody answers, and what else stands in failure.ts.
   */
  async ask<T>(question: Question<T>): Promise<{ answer: T; url: URL }> {
    return await this.#somewhere(question, async (url, timeoutMs) => ({
      answer: await this.#askOnce(url, question, timeoutMs),
      url,
    }));
  }

  /** Asks this member and no other. */
  async askAt<T>(url: URL, question: Question<T>): Promise<T> {
    try {
      return await this.#askOnce(url, question, question.timeoutMs ?? REQUEST_TIMEOUT_MS);
    } catch (error) {
      throw error instanceof Trouble ? error.failure : error;
    }
  }

  /** The beginning of a stream of lines. Who takes it destroys it. */
  async stream(
    question: Pick<Question<unknown>, 'path' | 'body' | 'signal'>,
  ): Promise<{ response: IncomingMessage; url: URL }> {
    return await this.#somewhere({ ...question, repeatable: true }, async (url, timeoutMs) => {
      const asked = { ...question, timeoutMs };
      return {
        response: await this.#signedIn(url, timeoutMs, (token) => this.#open(url, asked, token)),
        url,
      };
    });
  }

  /** A stream of this member broke off: others come first for a while. */
  suspect(url: URL): void {
    this.#endpoints.failed(url);
  }

  close(): void {
    this.#exchange.close();
  }

  async #somewhere<T>(
    { repeatable, timeoutMs = REQUEST_TIMEOUT_MS }: { repeatable: boolean; timeoutMs?: number },
    attempt: (url: URL, timeoutMs: number) => Promise<T>,
  ): Promise<T> {
    const startedMs = this.#nowMs();
    const failures: Failure[] = [];
    for (const url of this.#endpoints.inOrder()) {
      const leftMs = CALL_MS_MAX - (this.#nowMs() - startedMs);
      if (leftMs <= 0) break;
      try {
        const result = await attempt(url, Math.min(timeoutMs, leftMs));
        this.#endpoints.answered(url);
        return result;
      } catch (error) {
        if (!(error instanceof Trouble)) throw error;
        this.#endpoints.failed(url);
        if (isAboutCertificates(error.failure)) this.#exchange.readCertificatesAgain();
        if (error.maybeDone && !repeatable) throw error.failure;
        failures.push(error.failure);
      }
    }
    throw nobodyFailure(failures);
  }

  async #askOnce<T>(url: URL, question: Question<T>, timeoutMs: number): Promise<T> {
    const text = await this.#signedIn(url, timeoutMs, (token) =>
      this.#post(url, { ...question, timeoutMs }, token),
    );
    try {
      if (question.isStream !== true) return decode(text, question.schema);
      const line = decodeLine(text, question.schema);
      if ('refusal' in line) throw this.#refused(new Refused(line.refusal), url);
      return line.answer;
    } catch (error) {
      if (error instanceof Failure) throw new Trouble(error, true);
      throw error;
    }
  }

  /** With a token where we have a name; with another one where it is not accepted any more. */
  async #signedIn<T>(
    url: URL,
    timeoutMs: number,
    attempt: (token: string | undefined) => Promise<T>,
  ): Promise<T> {
    if (this.#login === undefined) return await attempt(undefined);
    this.#token ??= await this.#signIn(url, timeoutMs, this.#login);
    try {
      return await attempt(this.#token);
    } catch (error) {
      if (!(error instanceof Failure && error.cause instanceof Refused && isTokenRefusal(error.cause)))
        throw error;
      this.#token = await this.#signIn(url, timeoutMs, this.#login);
      return await attempt(this.#token);
    }
  }

  async #signIn(url: URL, timeoutMs: number, login: Login): Promise<string | undefined> {
    const password = readConfigured(login.passwordFile, 'passwordFile').replace(/\r?\n$/, '');
    const asked = { path: '/v3/auth/authenticate', body: { name: login.username, password }, timeoutMs };
    try {
      return decode(await this.#post(url, asked, undefined), tokenSchema).token;
    } catch (error) {
      // Who may do everything without a name may do it with one.
      if (error instanceof Refused && /authentication is not enabled/.test(error.message)) return undefined;
      throw error;
    }
  }

  async #post(
    url: URL,
    asked: { path: string; body: object; timeoutMs: number; signal?: AbortSignal | undefined },
    token: string | undefined,
  ): Promise<string> {
    const { status, text } = await this.#exchanged(url, () =>
      this.#exchange.answer(url, { ...asked, token }),
    );
    if (status === 200) return text;
    throw this.#refusal(url, status, text);
  }

  async #open(
    url: URL,
    asked: { path: string; body: object; timeoutMs: number; signal?: AbortSignal | undefined },
    token: string | undefined,
  ): Promise<IncomingMessage> {
    const begun = await this.#exchanged(url, () => this.#exchange.stream(url, { ...asked, token }));
    if ('response' in begun) return begun.response;
    throw this.#refusal(url, begun.status, begun.text);
  }

  async #exchanged<T>(url: URL, exchange: () => Promise<T>): Promise<T> {
    try {
      return await exchange();
    } catch (error) {
      if (error instanceof ExchangeError) throw new Trouble(connectionFailure(error, url), error.sent);
      if (error instanceof Failure) throw new Trouble(error, true);
      throw error;
    }
  }

  #refusal(url: URL, status: number, text: string): unknown {
    const refusal = decodeRefusal(text);
    if (refusal === undefined) return new Trouble(strangerFailure(status, text, url), true);
    return this.#refused(new Refused(refusal), url);
  }

  /** What callers handle stays as it is; what another member may do better is this one's trouble. */
  #refused(refused: Refused, url: URL): unknown {
    const failure = knownRefusal(refused, url);
    if (failure === undefined) return refused;
    return failure.code === 'unavailable' ? new Trouble(failure, !wasNotDone(refused)) : failure;
  }
}
