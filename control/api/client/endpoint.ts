// Owns where the daemon listens, as data.

/** Certificates and keys are PEM; without `authority` the authorities of the host count. */
export type Endpoint =
  | { readonly socketPath: string }
  | {
      readonly url: URL;
      readonly certificate?: string;
      readonly key?: string;
      readonly authority?: string;
    };

/** As users named it. */
export function nameOf(endpoint: Endpoint): string {
  return 'url' in endpoint ? endpoint.url.origin : endpoint.socketPath;
}
