// What drivers say about XDP, asked of interfaces whose answer is known.
import { NetlinkError, NetlinkSocket, Rtnetlink, XdpFeature, xdpFeatures } from '@holdfast/linux';
import { afterAll, expect, test } from 'vitest';
import { Lab } from './lab.ts';

const lab = new Lab();
afterAll(() => lab.remove());

const LOOPBACK = 1;

function indexOf(netns: string, name: string): number {
  using rtnetlink = new Rtnetlink({ netns });
  return rtnetlink.link(name)!.ifindex;
}

test('a veth has native mode, the loopback interface nothing', ({ skip }) => {
  const netns = lab.netns('features');
  lab.ip(netns, 'link add veth0 type veth peer name veth1');
  const features = xdpFeatures(indexOf(netns, 'veth0'), { netns });
  if (features === undefined) skip('this kernel (before 6.3) has no netlink family netdev');
  expect(features! & XdpFeature.BASIC).toBe(XdpFeature.BASIC);
  expect(features! & XdpFeature.REDIRECT).toBe(XdpFeature.REDIRECT);
  expect(xdpFeatures(LOOPBACK, { netns })).toBe(0);
});

test('an interface that is not there is an error of the kernel', ({ skip }) => {
  const netns = lab.netns('missing');
  if (xdpFeatures(LOOPBACK, { netns }) === undefined)
    skip('this kernel (before 6.3) has no netlink family netdev');
  expect(() => xdpFeatures(4711, { netns })).toThrow(NetlinkError);
});

test('refuses a protocol that it does not know', () => {
  expect(() => new NetlinkSocket({ protocol: 'xfrm' as 'route' })).toThrow('unknown netlink protocol: xfrm');
});
