// RFC 3810, RFC 3376, RFC 1112, RFC 3493 §5.2 through a whole stack: who hears of groups, and what this host hears of itself.

import { describe, expect, test } from 'vitest';
import { Errno } from '../../stack/errno.ts';
import { GroupChange } from '../../stack/socket/sockets.ts';
import { Family, SocketOption, SocketType } from '../../stack/stack.ts';
import {
  address,
  addressBytes,
  echo,
  frame4,
  frame6,
  HOST,
  icmp,
  join,
  Next,
  options,
  PEER,
  PEER4,
  text,
  u16,
  udp,
} from '../kit/frame-build.ts';
import { FrameHost, S } from '../kit/frame-host.ts';
import { tellWithMac } from '../kit/frame-text.ts';

const PORT = 7000;
const GROUP6 = 'ff02::1234';
const GROUP4 = '239.1.2.3';

/** A host with a UDP socket in a group. */
function member(group: string): { host: FrameHost; fd: number; got: () => number } {
  const host = new FrameHost().meetAll();
  const { sockets } = host.stack;
  const isIp6 = group.includes(':');
  const fd = sockets.socket(isIp6 ? Family.Inet6 : Family.Inet, SocketType.Datagram);
  sockets.bind(fd, address(isIp6 ? '::' : '0.0.0.0'), PORT);
  expect(sockets.changeGroup(fd, GroupChange.Join, address(group), 2)).toBe(0);
  host.run(0);
  return { host, fd, got: () => sockets.receive(fd, new Uint8Array(100), 0, 100) };
}

const reports = (host: FrameHost): string[] =>
  host
    .take()
    .map((sent) => tellWithMac(sent.bytes))
    .filter((line) => /report|igmp/.test(line));
const to = (group: string): Uint8Array =>
  group.includes(':')
    ? frame6({ to: group, chain: [[Next.Udp, udp(1000, PORT)]] })
    : frame4({ to: group, protocol: Next.Udp, data: udp(1000, PORT) });

describe('multicast listener discovery (RFC 3810)', () => {
  const query = (group: string, code = 1000): Uint8Array =>
    frame6({
      hop: 1,
      to: group === '::' ? 'ff02::1' : group,
      chain: [
        [Next.HopByHop, options([5, 2, 0, 0])],
        [Next.Icmp6, icmp(130, 0, code << 16, join(addressBytes(group), [2, 125, ...u16(0)]))],
      ],
    });

  test('joining is reported at once and again, with hop limit 1, a router alert and a link-local source (§5.2.13, §6.1)', () => {
    const { host } = member(GROUP6);
    host.run(10 * S);
    const lines = reports(host);
    expect(lines).toHaveLength(2);
    expect(new Set(lines)).toEqual(new Set([`33:33:00:00:00:16 ${HOST} > ff02::16 hbh report2`]));
  });

  test('leaving is reported', () => {
    const { host, fd } = member(GROUP6);
    host.run(10 * S);
    host.take();
    host.stack.sockets.changeGroup(fd, GroupChange.Leave, address(GROUP6), 2);
    host.run(10 * S);
    expect(reports(host).length).toBeGreaterThanOrEqual(1);
  });

  test('a general query is answered within its maximum response delay (§6.2)', () => {
    const { host } = member(GROUP6);
    host.run(10 * S);
    host.take();
    host.send(query('::'));
    host.run(S);
    expect(reports(host)).toEqual([`33:33:00:00:00:16 ${HOST} > ff02::16 hbh report2`]);
  });

  test.each([
    ['hop limit 2', { hop: 2 }],
    ['a source that is not link-local', { from: '2001:db8::aa' }],
  ])('a query with %s is discarded (§6.2)', (_name, change) => {
    const { host } = member(GROUP6);
    host.run(10 * S);
    host.take();
    const chain = [
      [Next.HopByHop, options([5, 2, 0, 0])],
      [Next.Icmp6, icmp(130, 0, 1000 << 16, join(addressBytes('::'), [2, 125, 0, 0]))],
    ] as const;
    host.send(frame6({ hop: 1, to: 'ff02::1', chain, ...change }));
    host.run(30 * S);
    expect(reports(host)).toEqual([]);
  });

  test('a query without a router alert is discarded (§6.2)', () => {
    const { host } = member(GROUP6);
    host.run(10 * S);
    host.take();
    const message = icmp(130, 0, 1000 << 16, join(addressBytes('::'), [2, 125, 0, 0]));
    host.send(frame6({ hop: 1, to: 'ff02::1', chain: [[Next.Icmp6, message]] }));
    host.run(30 * S);
    expect(reports(host)).toEqual([]);
  });
});

describe('IGMP (RFC 3376)', () => {
  test('joining is reported at once and again to 224.0.0.22 (§4.2.14, §5.1)', () => {
    const { host } = member(GROUP4);
    host.run(10 * S);
    const lines = reports(host);
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^01:00:5e:00:00:16 10\.0\.0\.1 > 224\.0\.0\.22 options=148\.4\.0\.0 ttl=1 igmp$/);
  });

  test('a general query is answered within its time (§5.2)', () => {
    const { host } = member(GROUP4);
    host.run(10 * S);
    host.take();
    const data = join([0x11, 10, 0, 0], [0, 0, 0, 0], [2, 125, 0, 0]);
    host.send(frame4({ from: PEER4, to: '224.0.0.1', ttl: 1, protocol: 2, data, options: [148, 4, 0, 0] }));
    host.run(S);
    expect(reports(host)).toHaveLength(1);
  });
});

describe.each([GROUP6, GROUP4])('the group %s', (group) => {
  test('who joined hears it, who left or never joined does not (RFC 1112 §7)', () => {
    const { host, fd, got } = member(group);
    host.send(to(group));
    expect(got()).toBe(8);
    host.stack.sockets.changeGroup(fd, GroupChange.Leave, address(group), 2);
    host.send(to(group));
    expect(got()).toBe(-Errno.EAGAIN);
    host.send(to(group.includes(':') ? 'ff02::9999' : '239.9.9.9'));
    expect(got()).toBe(-Errno.EAGAIN);
  });

  test('what this host sends to it comes back, unless the sender said no (RFC 3493 §5.2, RFC 1112 §6.1)', () => {
    const { host, fd, got } = member(group);
    const { sockets } = host.stack;
    const isIp6 = group.includes(':');
    const send = (): number => sockets.sendTo(fd, text(8), 0, 8, address(group), PORT, 2);
    expect(send()).toBe(8);
    host.run(0);
    expect(got()).toBe(8);
    expect(got()).toBe(-Errno.EAGAIN);
    sockets.setOption(fd, isIp6 ? SocketOption.MulticastLoop6 : SocketOption.MulticastLoop, 0);
    expect(send()).toBe(8);
    host.run(0);
    expect(got()).toBe(-Errno.EAGAIN);
  });

  test('a hop limit of 0 keeps it on this host (RFC 1112 §6.1), 1 is the default', () => {
    const { host, fd, got } = member(group);
    const { sockets } = host.stack;
    sockets.sendTo(fd, text(8), 0, 8, address(group), PORT, 2);
    host.run(0);
    const view = host.last();
    expect(view[group.includes(':') ? 21 : 22]).toBe(1);
    got();
    sockets.setOption(fd, group.includes(':') ? SocketOption.MulticastHops : SocketOption.MulticastTtl, 0);
    host.take();
    sockets.sendTo(fd, text(8), 0, 8, address(group), PORT, 2);
    host.run(0);
    expect(host.take().filter((sent) => sent.text.includes('udp'))).toEqual([]);
    expect(got()).toBe(8);
  });
});

test('an echo to a solicited-node group of ours is answered from the address (RFC 4443 §4.2)', () => {
  const host = new FrameHost().meetAll();
  expect(host.send(frame6({ to: 'ff02::1:ff00:1', chain: [[Next.Icmp6, echo()]] }))).toEqual([
    `${HOST} > ${PEER} echo-reply id=1 seq=1 data=8`,
  ]);
});
