// Network namespaces of the test's own, for sockets that are opened while this thread is in one.

import { closeSync, openSync, writeFileSync } from 'node:fs';
import { check, sys } from '../../sys/libc.io.ts';
import { Netlink } from '../../sys/netlink.io.ts';

const CLONE_NEWNET = 0x40000000;
const LOOPBACK_INDEX = 1;
const EVERYBODY = '0 2147483647';

/** Why namespaces cannot be made, or undefined if they can. */
export function whyNoNamespace(): string | undefined {
  return process.getuid?.() === 0 ? undefined : 'needs root, for a network namespace of this thread';
}

const current = (): number => openSync('/proc/thread-self/ns/net', 'r');
const enter = (namespace: number): number => check(sys().setns(namespace, CLONE_NEWNET), 'network namespace');

function fresh(mtu: number): void {
  check(sys().unshare(CLONE_NEWNET), 'network namespace');
  const netlink = new Netlink();
  netlink.change(LOOPBACK_INDEX, { isUp: true, mtu });
  netlink.close();
}

const setSysctl = (name: string, value: string): void => writeFileSync(`/proc/sys/net/${name}`, value);

/** Runs `act` in a fresh namespace with loopback of `mtu` bytes. What it opens there stays there; the namespace ends with it. */
export function inNamespace<T>(mtu: number, act: () => T, pingers = EVERYBODY): T {
  const here = current();
  try {
    fresh(mtu);
    setSysctl('ipv4/ping_group_range', pingers);
    return act();
  } finally {
    enter(here);
    closeSync(here);
  }
}

/** Addresses of the router and of the host behind it. */
const ROUTER = { ip4: [10, 99, 0, 1], ip6: [0xfd, 0x99, ...new Array<number>(13).fill(0), 1] };
const HOST = { ip4: [10, 99, 0, 2], ip6: [0xfd, 0x99, ...new Array<number>(13).fill(0), 2] };

/**
 * Runs `act` in a namespace whose way out is a router, 10.99.0.1 and fd99::1; `close` ends it.
 * @param knowsMore the router has a route to everywhere, back through the host.
 */
export function behindRouter<T>(knowsMore: boolean, act: () => T): { result: T; close(): void } {
  const here = current();
  let router = -1;
  try {
    fresh(65536);
    setSysctl('ipv4/ip_forward', '1');
    setSysctl('ipv6/conf/all/forwarding', '1');
    router = current();
    fresh(65536);
    setSysctl('ipv4/ping_group_range', EVERYBODY);
    const host = current();
    const netlink = new Netlink();
    netlink.addVeth({ name: 'eth0', mtu: 1500 }, { name: 'far', mtu: 1500, namespace: router });
    enter(router);
    const outside = new Netlink();
    for (const [link, name, { ip4, ip6 }] of [
      [outside, 'far', ROUTER],
      [netlink, 'eth0', HOST],
    ] as const) {
      const { index } = link.link(name);
      link.change(index, { isUp: true });
      link.addAddress(index, Uint8Array.from(ip4), 24);
      link.addAddress(index, Uint8Array.from(ip6), 64);
    }
    if (knowsMore) {
      const { index } = outside.link('far');
      outside.addDefaultRoute(index, Uint8Array.from(HOST.ip4));
      outside.addDefaultRoute(index, Uint8Array.from(HOST.ip6));
    }
    enter(host);
    const { index } = netlink.link('eth0');
    netlink.addDefaultRoute(index, Uint8Array.from(ROUTER.ip4));
    netlink.addDefaultRoute(index, Uint8Array.from(ROUTER.ip6));
    for (let turn = 0; turn < 5000 && !netlink.link('eth0').isRunning; turn++) sys().usleep(200);
    netlink.close();
    outside.close();
    closeSync(host);
    return { result: act(), close: () => closeSync(router) };
  } finally {
    enter(here);
    closeSync(here);
  }
}
