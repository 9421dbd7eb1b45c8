// Owns the role file of a node: what its status says of the server of the file service, and where clients find it.
import type { FileServiceConfig } from '../config/file_service.ts';
import { Failure, type FailureBody } from '../lib/failure.ts';

export class FileRole {
  readonly role = 'file';
  readonly service: { readonly address: string; readonly port: number } | undefined;

  /** `address`: of this node, where the service is not bound to one. */
  constructor({ address: own, port }: FileServiceConfig, address: string | undefined) {
    const at = own ?? address;
    this.service = at === undefined ? undefined : { address: at, port };
  }

  /** What is wrong with it now. */
  problems(): FailureBody[] {
    const reason = 'this version of Holdfast keeps the namespace, and does not serve it yet';
    return [new Failure('unsupported', 'the file server of this node does not run', { reason }).body];
  }
}
