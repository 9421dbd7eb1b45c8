// Owns where the daemon listens, as data.
import type { PeerCertificate } from 'node:tls';

/** Certificates and keys are PEM; without `authority` the authorities of the host count. */
export type Endpoint =
  | { readonly socketPath: string }
  | {
      readonly url: URL;
      readonly certificate?: string;
      readonly key?: string;
      readonly authority?: string;
      /** What the certificate of the server must say beside; else: that it is for this host. */
      readonly verify?: (certificate: PeerCertificate) => Error | undefined;
    };

/** As users named it. */
export function nameOf(endpoint: Endpoint): string {
  return 'url' in endpoint ? endpoint.url.origin : endpoint.socketPath;
}
