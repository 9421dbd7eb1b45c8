// Owns which probe asks for which type of check.
import type { HealthType } from '../../config/health.ts';
import { probeCommand } from './command.ts';
import { probeGrpc } from './grpc.ts';
import { probeHttp } from './http.ts';
import type { Probe } from './probe.ts';
import { probeTcp } from './tcp.ts';
import { probeUdp } from './udp.ts';

const PROBES: Readonly<Record<HealthType, Probe>> = {
  tcp: probeTcp,
  http: probeHttp,
  https: probeHttp,
  grpc: probeGrpc,
  udp: probeUdp,
  command: probeCommand,
};

export const probe: Probe = (question, signal) => PROBES[question.health.type](question, signal);
