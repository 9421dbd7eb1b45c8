// Owns where guests are in the network: names and addresses, beside those of a lab's nodes (plan.ts). Nothing here touches
// the machine.

/** A machine's link is a device in a namespace, which has the gateway's addresses. */
export type VmPlace = {
  /** Of the machine, and of its device in the namespace. */
  readonly name: string;
  readonly netns: string;
  /** These have the length of the prefix. */
  readonly address4: string;
  readonly gateway4: string;
  readonly address6: string;
  readonly gateway6: string;
  readonly mac: string;
};

const GUESTS_MAX = 8;
/** Of the networks 198.18.N.0/24, behind those of the nodes of a lab. */
const FIRST_NET = 200;
/** Of a site's servers. */
export const SITE_ADDRESS = `198.18.${FIRST_NET}.1`;

/** A guest of a namespace, by its number from 1: of a site, or of a lab's router. */
export function guestPlace(netns: string, number: number): VmPlace {
  if (!Number.isInteger(number) || number < 1 || number > GUESTS_MAX)
    throw new RangeError(`there is no guest ${number}`);
  const net = FIRST_NET + number;
  const id = net.toString(16);
  return {
    name: `vm${number}`,
    netns,
    address4: `198.18.${net}.2/24`,
    gateway4: `198.18.${net}.1/24`,
    address6: `2001:db8:1:${id}::2/64`,
    gateway6: `2001:db8:1:${id}::1/64`,
    mac: `02:48:46:00:${id}:02`,
  };
}
