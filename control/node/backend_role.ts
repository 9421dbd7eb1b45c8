// Owns the role backend of a node: the program that takes the tunnel off, kept at what the cluster says about muxes and
// service addresses.
import type { Attachment, ExplainRequest } from '../api/schema.ts';
import type { ClusterState } from '../config/cluster_state.ts';
import type { DecapProgram } from '../dataplane/decap.ts';
import type { PacketExplanation } from '../dataplane/explain.ts';
import type { FailureBody } from '../lib/failure.ts';
import { arrivalOf, frameOfRequest } from './explain_packet.ts';
import type { Origin, ProgramRole, XdpMode } from './role.ts';

export class BackendRole implements ProgramRole {
  readonly role = 'backend';
  readonly #program: DecapProgram;

  constructor(program: DecapProgram) {
    this.#program = program;
  }

  get origin(): Origin {
    return this.#program.origin;
  }

  async apply(state: ClusterState): Promise<void> {
    const muxes = [...state.nodes.values()].filter(({ roles }) => roles.includes('mux'));
    await this.#program.apply({
      muxSources: [...new Set(muxes.flatMap(({ tunnelSources }) => tunnelSources))],
      serviceAddresses: [...new Set([...state.services.values()].flatMap(({ addresses }) => addresses))],
    });
  }

  attach(interfaceName: string, mode: XdpMode): void {
    this.#program.attach({ interface: interfaceName, mode });
  }

  detach(interfaceName: string): void {
    this.#program.detach(interfaceName);
  }

  attachments(): Attachment[] {
    return this.#program.attachments().map((it) => ({ ...it, role: this.role }));
  }

  reasons(): Readonly<Record<string, bigint>> {
    return this.#program.counters().reasons;
  }

  explain(request: ExplainRequest): PacketExplanation {
    const ifindex = arrivalOf(request, this.attachments());
    return this.#program.explain(frameOfRequest(request), ifindex === undefined ? {} : { ifindex });
  }

  problems(): FailureBody[] {
    return this.#program.problems().map((it) => it.body);
  }

  async close(): Promise<void> {
    this.#program.close();
  }
}
