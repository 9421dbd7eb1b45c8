// Owns what commands take about the health checks of a pool and how its backends begin.
import { HEALTH_TYPES } from '../../config/health.ts';
import type { Options } from '../command.ts';

export const HEALTH_OPTIONS = {
  health: {
    type: 'text',
    choices: [...HEALTH_TYPES, 'none'],
    describe: 'How its backends are checked; none: not at all, and those that were down are back',
  },
  via: {
    type: 'text',
    choices: ['tunnel', 'direct'],
    describe: "Checks go to the service's address as clients' packets do, or to the backend's own",
  },
  healthPort: { type: 'number', describe: 'Port that is asked; that of its first service unless given' },
  path: { type: 'text', describe: 'http, https: what to get; / unless given' },
  host: { type: 'text', describe: 'http, https, grpc: the Host header' },
  status: {
    type: 'text',
    describe: 'http, https: which status is good, such as 200-299; 200-399 unless given',
  },
  body: { type: 'text', describe: 'http, https: text that must be in the first 64 KiB' },
  tls: { type: 'flag', describe: 'grpc: over TLS' },
  serverName: {
    type: 'text',
    describe: 'https, grpc: name asked for by TLS and expected in the certificate',
  },
  noVerify: { type: 'flag', describe: 'https, grpc: any certificate will do' },
  authority: {
    type: 'text',
    describe: 'https, grpc: PEM file of who signs certificates; who the host trusts unless given',
    source: 'files',
  },
  grpcService: { type: 'text', describe: 'grpc: the service that is asked about; the server unless given' },
  send: { type: 'text', describe: 'udp: text to send, or hex:…; one byte of zero unless given' },
  expect: { type: 'text', describe: 'udp: how the answer begins, text or hex:…; any will do unless given' },
  command: {
    type: 'text',
    many: true,
    describe: "command: a program that each mux's own file allows, then its arguments",
  },
  checkInterval: { type: 'text', describe: 'From check to check: 250ms, 2s' },
  checkTimeout: { type: 'text', describe: 'After which a check has failed' },
  rise: { type: 'number', describe: 'Good results in a row that bring it back' },
  fall: { type: 'number', describe: 'Bad results in a row that take it away' },
  jitter: { type: 'number', describe: 'Share by which an interval is shortened by chance, at most 0.5' },
  quorum: { type: 'number', describe: 'Muxes that must find it dead; more than half unless given' },
  panicPercent: {
    type: 'number',
    describe: "Share of the pool's weight that checks leave in any case; the last backend always stays",
  },
  slowStart: { type: 'text', describe: 'Backends that come get their share in 4 steps over so long: 30s' },
} as const satisfies Options;

export const HEALTH_UNSET = [
  'health-port',
  'path',
  'host',
  'status',
  'body',
  'tls',
  'grpc-service',
  'send',
  'expect',
  'quorum',
  'slow-start',
] as const;
