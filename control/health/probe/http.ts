// Owns the probe that gets a page over HTTP/1.1, plain or over TLS, and judges status and body.
import { type IncomingMessage, request } from 'node:http';
import { ANSWER_BYTES_MAX, bad, failed, good, inUrl, type Probe } from './probe.ts';
import { connected, end } from './stream.ts';

const HEADER_BYTES_MAX = 16_384;
const STATUS = { from: 200, to: 399 };

export const probeHttp: Probe = async (question, signal) => {
  const { health, address } = question;
  const { type, path = '/', host, status = STATUS, body } = health;
  try {
    const { socket, tls } = await connected(
      question,
      signal,
      type === 'https' ? { host, settings: health.tls, alpn: ['http/1.1'] } : undefined,
    );
    try {
      const response = await got(() =>
        request({
          createConnection: () => tls ?? socket,
          method: 'GET',
          path,
          headers: {
            Host: host ?? hostHeader(address, question.port, type),
            'User-Agent': 'holdfast-health',
            Accept: '*/*',
            Connection: 'close',
          },
          setHost: false,
          maxHeaderSize: HEADER_BYTES_MAX,
        }),
      );
      const code = response.statusCode ?? 0;
      if (code < status.from || code > status.to)
        return bad(`status ${code}, not ${status.from}-${status.to}`);
      if (body === undefined) return good(`status ${code}`);
      return (await hasText(response, body))
        ? good(`status ${code}, with the text`)
        : bad(`status ${code}, without the text ${JSON.stringify(body.slice(0, 40))} in its first 64 KiB`);
    } finally {
      end(socket);
    }
  } catch (error) {
    return failed(error);
  }
};

function got(make: () => ReturnType<typeof request>): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const sent = make();
  sent.once('response', resolve);
  // Stays: what ends the connection afterwards is no news.
  sent.on('error', reject);
  sent.once('close', () => reject(new Error('connection closed before an answer')));
  sent.end();
  return promise;
}

/** Reads no more than it needs, and never more than ANSWER_BYTES_MAX. */
async function hasText(response: IncomingMessage, text: string): Promise<boolean> {
  const wanted = Buffer.from(text);
  let read = Buffer.alloc(0);
  for await (const chunk of response) {
    read = Buffer.concat([read, chunk as Buffer]).subarray(0, ANSWER_BYTES_MAX);
    if (read.includes(wanted)) return true;
    if (read.length >= ANSWER_BYTES_MAX) return false;
  }
  return false;
}

function hostHeader(address: string, port: number, type: string): string {
  const usual = type === 'https' ? 443 : 80;
  return port === usual ? inUrl(address) : `${inUrl(address)}:${port}`;
}
