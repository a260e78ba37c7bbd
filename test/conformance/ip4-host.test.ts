// RFC 791, RFC 792, RFC 826, RFC 1122 §3, RFC 5227 through a whole stack: the host's side of IPv4.

import { describe, expect, test } from 'vitest';
import {
  addressBytes,
  arp,
  echo,
  ethernet,
  FAR4,
  frame4,
  HOST_MAC,
  HOST4,
  icmp,
  join,
  Next,
  type Packet4,
  PEER_MAC,
  PEER4,
  packet4,
  ROUTER_MAC,
  ROUTER4,
  sealed,
  text,
  u32,
  udp,
} from '../kit/frame-build.ts';
import { FrameHost, S } from '../kit/frame-host.ts';
import { tellWithMac } from '../kit/frame-text.ts';

const host = (): FrameHost => new FrameHost().meetAll();
const request = echo(text(8), 8);
const ping = (o: Partial<Packet4> = {}): Uint8Array => frame4({ protocol: Next.Icmp, data: request, ...o });
const REPLY = `${HOST4} > ${PEER4} echo-reply id=1 seq=1 data=8`;
const OTHER_MAC = '02:00:00:00:00:bb';

describe('the header (RFC 791 §3.1, RFC 1122 §3.2.1)', () => {
  test.each<[string, Partial<Packet4>, string[]]>([
    ['a plain packet', {}, [REPLY]],
    ['version 5 is discarded in silence (§3.2.1.1)', { version: 5 }, []],
    ['version 6', { version: 6 }, []],
    ['a wrong header checksum (§3.2.1.2)', { isBadSum: true }, []],
    ['a header of 4 words', { headerWords: 4 }, []],
    ['a header longer than the packet', { headerWords: 15 }, []],
    ['a total length beyond the frame', { length: 60 }, []],
    ['a total length below the header', { length: 19 }, []],
    ['TTL 0 matters to forwarders only (§3.2.1.7)', { ttl: 0 }, [REPLY]],
    ['TTL 1', { ttl: 1 }, [REPLY]],
    ['any type of service (§3.2.1.6)', { tos: 0xfc }, [REPLY]],
    ['the reserved flag', { fragment: 0x8000 }, [REPLY]],
    ['do not fragment', { fragment: 0x4000 }, [REPLY]],
    ['for another host (§3.2.1.3)', { to: '10.0.0.77' }, []],
    ['from 0.0.0.0', { from: '0.0.0.0' }, []],
    ['from the broadcast address', { from: '255.255.255.255' }, []],
    ['from the subnet’s broadcast address', { from: '10.0.0.255' }, []],
    ['from a group', { from: '224.0.0.5' }, []],
    ['from loopback (g)', { from: '127.0.0.1' }, []],
    ['from class E', { from: '240.0.0.1' }, []],
    ['from our own address', { from: HOST4 }, []],
    ['to loopback (g)', { to: '127.0.0.1' }, []],
    ['to 0.0.0.0', { to: '0.0.0.0' }, []],
    ['unicast in a broadcast frame (§3.3.6)', { mac: 'ff:ff:ff:ff:ff:ff' }, []],
    ['in a frame for another station', { mac: '02:00:00:00:00:77' }, []],
  ])('%s', (_name, change, want) => {
    expect(host().send(ping(change))).toEqual(want);
  });

  test('bytes behind the total length are padding (RFC 894)', () => {
    expect(host().send(join(ping(), text(20)))).toEqual([REPLY]);
  });
});

describe('options (RFC 791 §3.1, RFC 1122 §3.2.1.8)', () => {
  const bad = (pointer: number, quoted: number): string =>
    `${HOST4} > ${PEER4} problem code=0 ${pointer * 0x1000000} quoted=${quoted}`;
  test.each<[string, number[], string[]]>([
    ['end of list', [0, 0, 0, 0], [REPLY]],
    ['bytes behind the end are not read', [0, 7, 0, 0], [REPLY]],
    ['no operation', [1, 1, 1, 1], [REPLY]],
    ['an unknown one is ignored (§3.2.1.8)', [200, 4, 1, 2], [REPLY]],
    ['security', [130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [REPLY]],
    ['router alert', [148, 4, 0, 0], [REPLY]],
    ['length 0: parameter problem at it', [1, 200, 0, 0], [bad(22, 40)]],
    ['length 1', [200, 1, 0, 0], [bad(21, 40)]],
    ['longer than the header', [200, 5, 0, 0], [bad(21, 40)]],
    ['the last byte, without a length', [1, 1, 1, 200], [bad(23, 40)]],
    ['a strict source route to others is refused (RFC 7126 §4.4)', [137, 7, 4, 10, 0, 0, 9, 0], []],
    ['a loose one (§4.3)', [131, 7, 4, 10, 0, 0, 9, 0], []],
  ])('%s', (_name, options, want) => {
    expect(host().send(ping({ options }))).toEqual(want);
  });
});

describe('reassembly (RFC 791 §3.2, RFC 1122 §3.3.2, RFC 5722)', () => {
  const message = sealed(Next.Icmp, echo(text(1000), 8), PEER4, HOST4);
  const DONE = `${HOST4} > ${PEER4} echo-reply id=1 seq=1 data=1000`;
  const piece = (from: number, to: number, o: Partial<Packet4> = {}, isMore = to < message.length): Uint8Array =>
    frame4({
      protocol: Next.Icmp,
      isRaw: true,
      id: 7,
      fragment: (from >>> 3) | (isMore ? 0x2000 : 0),
      data: message.slice(from, to),
      ...o,
    });
  const [a, b, c] = [piece(0, 400), piece(400, 800), piece(800, 1008)];
  const all = (one: FrameHost, ...frames: Uint8Array[]): string[] => frames.flatMap((frame) => one.send(frame));

  test.each([
    ['in order', [a, b, c], [DONE]],
    ['reversed', [c, b, a], [DONE]],
    ['mixed', [b, c, a], [DONE]],
    ['one twice', [a, a, b, c], [DONE]],
    ['with TTL and type of service that differ', [a, piece(400, 800, { ttl: 3, tos: 8 }), c], [DONE]],
    ['another identification', [a, piece(400, 800, { id: 8 }), c], []],
    ['another source', [a, piece(400, 800, { from: '10.0.0.171' }), c], []],
    ['another protocol', [a, piece(400, 800, { protocol: 17 }), c], []],
    ['an overlap', [a, piece(392, 800), c], []],
    ['a length that is no multiple of 8', [piece(0, 399), b, c], []],
    ['a piece without data', [piece(0, 0), a, b, c], [DONE]],
    ['options of the first piece', [piece(0, 400, { options: [1, 1, 1, 0] }), b, c], [DONE]],
  ])('%s', (_name, frames, want) => {
    expect(all(host(), ...frames)).toEqual(want);
  });

  test('a packet beyond 65,535 is discarded', () => {
    const data = text(64);
    expect(all(host(), a, frame4({ protocol: 1, isRaw: true, id: 7, fragment: 8191, data }))).toEqual([]);
  });

  test('time: 60 s, then the source is told if the first piece came (§3.3.2)', () => {
    const one = host();
    one.send(a);
    expect(one.run(60 * S - 1)).toEqual([]);
    expect(one.run(1)).toEqual([`${HOST4} > ${PEER4} exceeded code=1 0 quoted=420`]);
    one.send(b);
    expect(one.run(60 * S)).toEqual([]);
  });
});

describe('ICMP (RFC 792, RFC 1122 §3.2.2)', () => {
  const closed = (o: Partial<Packet4> = {}): Uint8Array => frame4({ protocol: Next.Udp, data: udp(1000, 9999), ...o });

  test('an echo has the same data, number and identifier; its TTL and checksum are its own (§3.2.2.6)', () => {
    const one = host();
    const data = text(1000);
    const lines = one.send(frame4({ protocol: 1, data: echo(data, 8, 0xabcd, 9), ttl: 3 }));
    expect(lines).toEqual([`${HOST4} > ${PEER4} echo-reply id=43981 seq=9 data=1000`]);
    expect(one.last().slice(42)).toEqual(data);
  });

  test.each<[string, Uint8Array]>([
    ['a wrong checksum', ping({ isRaw: true })],
    ['an echo to the broadcast address (§3.2.2.6, may)', ping({ to: '255.255.255.255' })],
    ['an echo to the subnet’s', ping({ to: '10.0.0.255' })],
    ['an echo to a group', ping({ to: '224.0.0.1' })],
    ['an unknown type (§3.2.2)', frame4({ protocol: 1, data: icmp(77, 0, 0, text(8)) })],
    ['an address mask request (§3.2.2.9)', frame4({ protocol: 1, data: icmp(17, 0, 0, text(4)) })],
    ['an information request (§3.2.2.7)', frame4({ protocol: 1, data: icmp(15, 0, 0) })],
    ['source quench (RFC 6633)', frame4({ protocol: 1, data: icmp(4, 0, 0, text(28)) })],
    ['an echo reply that nobody waits for', frame4({ protocol: 1, data: echo(text(8), 0) })],
    ['less than 8 bytes', frame4({ protocol: 1, isRaw: true, data: [8, 0, 0xf7, 0xff] })],
  ])('%s: silence', (_name, frame) => {
    expect(host().send(frame)).toEqual([]);
  });

  test('an unknown protocol: unreachable 2 (§3.2.2.1); a closed UDP port: 3, with the header and at least 8 bytes', () => {
    const one = host();
    expect(one.send(frame4({ protocol: 200, data: text(8) }))).toEqual([
      `${HOST4} > ${PEER4} unreachable code=2 0 quoted=28`,
    ]);
    expect(one.send(closed())).toEqual([`${HOST4} > ${PEER4} unreachable code=3 0 quoted=36`]);
    const quoted = one.last().slice(42);
    expect(quoted).toEqual(closed().slice(14));
  });

  test.each<[string, Uint8Array]>([
    [
      'an ICMP error',
      frame4({ protocol: 1, data: icmp(3, 3, 0, packet4({ protocol: 99, data: text(8) })), options: [200, 0, 0, 0] }),
    ],
    ['a broadcast', closed({ to: '255.255.255.255' })],
    ['the subnet’s broadcast', closed({ to: '10.0.0.255' })],
    ['a group', closed({ to: '224.0.0.1' })],
    ['a packet in a group frame', closed({ mac: 'ff:ff:ff:ff:ff:ff' })],
    ['a later piece', closed({ fragment: 100, options: [200, 0, 0, 0] })],
    ['one from 0.0.0.0', closed({ from: '0.0.0.0' })],
    ['one from a group', closed({ from: '224.0.0.9' })],
    ['one from loopback', closed({ from: '127.0.0.1' })],
    ['one from class E', closed({ from: '250.0.0.1' })],
    ['IGMP and what else has its listener', frame4({ protocol: 2, data: icmp(0x30, 0, 0) })],
  ])('no error about %s (§3.2.2)', (_name, frame) => {
    expect(host().send(frame)).toEqual([]);
  });

  test('a timestamp is answered: same identifier, number and originate time; the others are marked as not of UT (§3.2.2.8)', () => {
    const one = host();
    const frame = frame4({ protocol: 1, data: icmp(13, 0, 0x00070009, join(u32(123456), u32(0), u32(0))) });
    expect(one.send(frame)).toEqual([`${HOST4} > ${PEER4} timestamp-reply id=7 seq=9`]);
    const view = new DataView(one.last().buffer);
    expect(view.getUint32(42)).toBe(123456);
    expect(view.getUint32(46) >>> 31).toBe(1);
    expect(view.getUint32(50)).toBe(view.getUint32(46));
    expect(one.send(frame4({ to: '10.0.0.255', protocol: 1, data: icmp(13, 0, 0, text(12)) }))).toEqual([]);
    expect(one.send(frame4({ protocol: 1, data: icmp(13, 0, 0, text(8)) }))).toEqual([]);
  });

  test('record route and timestamp options come back in the echo, with this host in them (§3.2.2.6)', () => {
    const one = host();
    const route = [7, 11, 4, ...new Array<number>(8).fill(0), 0];
    one.send(ping({ options: route }));
    expect(one.log.at(-1)!.text).toMatch(`options=7.11.8.${addressBytes(HOST4).join('.')}.0.0.0.0.0 echo-reply`);
    const full = [7, 7, 8, 1, 2, 3, 4, 0];
    one.send(ping({ options: full }));
    expect(one.log.at(-1)!.text).toMatch(`options=7.7.8.1.2.3.4.0 echo-reply`);
    one.send(ping({ options: [68, 12, 5, 1, ...new Array<number>(8).fill(0)] }));
    expect(one.log.at(-1)!.text).toMatch(`options=68.12.13.1.${addressBytes(HOST4).join('.')}.`);
    one.send(ping({ options: [68, 8, 9, 0, ...u32(5)] }));
    expect(one.log.at(-1)!.text).toMatch('options=68.8.9.16.0.0.0.5 echo-reply');
    expect(one.log.every((sent) => !sent.text.includes('BAD'))).toBe(true);
  });

  test('errors are limited in their rate (RFC 1812 §4.3.2.8)', () => {
    const one = host();
    let errors = 0;
    for (let i = 0; i < 100; i++) errors += one.send(closed()).length;
    expect(errors).toBeGreaterThan(0);
    expect(errors).toBeLessThan(50);
  });
});

describe('redirects and path MTU (RFC 1122 §3.2.2.2, RFC 1191)', () => {
  function routed(): FrameHost {
    const one = new FrameHost({ gateway4: ROUTER4 }).meetAll();
    one.meet(ROUTER4, ROUTER_MAC);
    return one;
  }
  const far = (bytes = 8): Uint8Array =>
    frame4({ from: FAR4, fromMac: ROUTER_MAC, protocol: Next.Icmp, data: echo(text(bytes), 8) });
  const told = (one: FrameHost, type: number, code: number, word: number, from = ROUTER4): void => {
    const about = one.last().slice(14, 14 + 28);
    one.send(frame4({ from, fromMac: ROUTER_MAC, protocol: 1, data: icmp(type, code, word, about) }));
  };
  const word = (address: string): number => new DataView(Uint8Array.from(addressBytes(address)).buffer).getUint32(0);

  test.each<[string, string, string, number, boolean]>([
    ['from the first hop, to a neighbour', PEER4, ROUTER4, 1, true],
    ['for the network: as for the host (§3.2.2.2)', PEER4, ROUTER4, 0, true],
    ['to somebody who is no neighbour', '10.9.9.9', ROUTER4, 1, false],
    ['not from the first hop', PEER4, '10.0.0.99', 1, false],
    ['to this host', HOST4, ROUTER4, 1, false],
    ['to the broadcast address', '10.0.0.255', ROUTER4, 1, false],
    ['to a group', '224.0.0.1', ROUTER4, 1, false],
  ])('a redirect %s', (_name, to, from, code, isTaken) => {
    const one = routed();
    one.send(far());
    told(one, 5, code, word(to), from);
    one.send(far());
    expect(tellWithMac(one.last()).slice(0, 17)).toBe(isTaken ? PEER_MAC : ROUTER_MAC);
  });

  test('fragmentation needed: later packets are cut; below 552 they may be cut by routers (RFC 1191 §3)', () => {
    const one = routed();
    one.send(far(1400));
    told(one, 3, 4, 1000);
    expect(one.send(far(1400)).map((line) => line.replace(/ id=\d+/, ''))).toEqual([
      `${HOST4} > ${FAR4} frag=0+ data=976`,
      `${HOST4} > ${FAR4} frag=976 data=432`,
    ]);
    told(one, 3, 4, 1400);
    expect(one.send(far(1400))).toHaveLength(2);
  });

  test('without a number the next plateau is taken (RFC 1191 §5)', () => {
    const one = routed();
    one.send(far(1400));
    told(one, 3, 4, 0);
    expect(one.send(far(1400))).toHaveLength(2);
  });
});

describe('ARP (RFC 826, RFC 1122 §2.3.2)', () => {
  const ANSWER = `arp reply ${HOST4} ${HOST_MAC} > ${PEER4} ${PEER_MAC}`;
  const bare = (): FrameHost => new FrameHost();
  const ask = `arp request ${HOST4} ${HOST_MAC} > ${PEER4} 00:00:00:00:00:00`;

  test.each<[string, Parameters<typeof arp>[0], string[], string]>([
    ['a request for us', {}, [ANSWER], `STALE ${PEER_MAC}`],
    ['in a unicast frame', { mac: HOST_MAC }, [ANSWER], `STALE ${PEER_MAC}`],
    ['with a target MAC', { targetMac: OTHER_MAC }, [ANSWER], `STALE ${PEER_MAC}`],
    ['for another', { target: '10.0.0.9' }, [], ''],
    ['hardware type 6', { hardware: 6 }, [], ''],
    ['protocol type IPv6', { protocol: 0x86dd }, [], ''],
    ['hardware length 8', { lengths: 0x804 }, [], ''],
    ['protocol length 16', { lengths: 0x610 }, [], ''],
    ['operation 3, reverse ARP', { operation: 3 }, [], ''],
    ['operation 0', { operation: 0 }, [], ''],
    ['a reply that nobody asked for, to us', { operation: 2 }, [], `STALE ${PEER_MAC}`],
    ['from a group MAC', { senderMac: '01:00:00:00:00:aa' }, [], ''],
    ['from the broadcast address', { sender: '255.255.255.255' }, [], ''],
    ['from a group', { sender: '224.0.0.5' }, [], ''],
    ['from loopback', { sender: '127.0.0.1' }, [], ''],
    ['an announcement of a station that is not known', { sender: PEER4, target: PEER4 }, [], ''],
  ])('%s', (_name, change, lines, state) => {
    const one = bare();
    expect(one.send(arp(change))).toEqual(lines);
    expect(one.neighbor(PEER4)).toBe(state);
  });

  test('a probe (sender 0.0.0.0) is answered and not learned (RFC 5227 §2.1.1)', () => {
    const one = bare();
    expect(one.send(arp({ sender: '0.0.0.0' }))).toEqual([`arp reply ${HOST4} ${HOST_MAC} > 0.0.0.0 ${PEER_MAC}`]);
    expect(one.neighbor('0.0.0.0')).toBe('');
  });

  test('too short a packet', () => {
    expect(bare().send(arp({}).slice(0, 41))).toEqual([]);
    expect(bare().send(join(arp({}), text(18)))).toEqual([ANSWER]);
  });

  test('a packet waits for the answer; at most one request a second, three in all (RFC 1122 §2.3.2.1)', () => {
    const one = bare();
    expect(one.send(ping())).toEqual([ask]);
    expect(one.send(ping())).toEqual([]);
    expect(one.run(S - 1)).toEqual([]);
    expect(one.run(2 * S)).toEqual([ask, ask]);
    expect(one.run(10 * S)).toEqual([]);
    expect(one.send(ping())).toEqual([ask]);
    expect(one.send(arp({ operation: 2 }))).toEqual([REPLY]);
  });

  test('another MAC replaces the one that is known, also by an announcement (RFC 826)', () => {
    const one = bare();
    one.send(arp({}));
    one.send(arp({ target: PEER4, senderMac: OTHER_MAC }));
    one.send(ping());
    expect(tellWithMac(one.last()).slice(0, 17)).toBe(OTHER_MAC);
  });

  test('an entry is doubted in time and asked in unicast (§2.3.2.1 (2))', () => {
    const one = bare();
    one.send(arp({}));
    one.send(ping());
    expect(one.run(5 * S)).toEqual([`arp request ${HOST4} ${HOST_MAC} > ${PEER4} ${PEER_MAC}`]);
    expect(tellWithMac(one.last()).slice(0, 17)).toBe(PEER_MAC);
  });

  test('a new address is probed three times, then announced twice; a conflict while probing refuses it (RFC 5227 §2.1, §2.3)', () => {
    const one = new FrameHost({ addresses: ['10.0.0.1/24'], dadTransmits: 1 });
    const lines = one.run(20 * S);
    const probe = `arp request 0.0.0.0 ${HOST_MAC} > ${HOST4} 00:00:00:00:00:00`;
    const announcement = `arp request ${HOST4} ${HOST_MAC} > ${HOST4} 00:00:00:00:00:00`;
    expect(lines).toEqual([probe, probe, probe, announcement, announcement]);
    expect(one.addresses()).toEqual([`${HOST4} preferred`]);
    const two = new FrameHost({ addresses: ['10.0.0.1/24'], dadTransmits: 1 });
    two.run(S);
    two.send(arp({ sender: HOST4, target: '10.0.0.9' }));
    two.run(20 * S);
    expect(two.addresses()).toEqual([`${HOST4} duplicate`]);
  });

  test('a conflict later is defended once; a second one within 10 s ends its use (RFC 5227 §2.4 (b))', () => {
    const one = bare();
    const claim = arp({ sender: HOST4, target: '10.0.0.9' });
    const defence = `arp request ${HOST4} ${HOST_MAC} > ${HOST4} 00:00:00:00:00:00`;
    expect(one.send(claim)).toEqual([defence]);
    one.run(S);
    expect(one.send(claim)).toEqual([]);
    expect(one.addresses()).toContain(`${HOST4} duplicate`);
    expect(one.send(arp({}))).toEqual([]);
  });
});

describe('UDP (RFC 768, RFC 1122 §4.1)', () => {
  function open(): { one: FrameHost; got: () => number } {
    const one = host();
    const { sockets } = one.stack;
    const fd = sockets.socket(2, 2);
    sockets.bind(fd, new Int32Array([0, 0, 0xffff, 0]), 7000);
    return { one, got: () => sockets.receive(fd, new Uint8Array(100), 0, 100, 0) };
  }
  const datagram = (o: { length?: number; sum?: number[]; to?: string } = {}): Uint8Array => {
    const to = o.to ?? HOST4;
    const data = sealed(Next.Udp, udp(1000, 7000, text(8), o.length ?? 16), PEER4, to);
    if (o.sum) data.set(o.sum, 6);
    return frame4({ to, protocol: Next.Udp, isRaw: true, data });
  };

  test.each<[string, Uint8Array, number]>([
    ['is taken', datagram(), 8],
    ['with checksum 0: not computed', datagram({ sum: [0, 0] }), 8],
    ['with a wrong checksum', datagram({ sum: [1, 2] }), -11],
    ['with a length beyond the packet', datagram({ length: 17 }), -11],
    ['with a length below 8', datagram({ length: 7 }), -11],
    ['to the broadcast address', datagram({ to: '10.0.0.255' }), 8],
    ['to all hosts', datagram({ to: '255.255.255.255' }), 8],
  ])('%s', (_name, frame, want) => {
    const { one, got } = open();
    expect(one.send(frame)).toEqual([]);
    expect(got()).toBe(want);
  });
});

test('a frame of an unknown ethertype, or too short, is nobody’s', () => {
  expect(host().send(ethernet(0x1234, text(46)))).toEqual([]);
  expect(host().send(ping().slice(0, 13))).toEqual([]);
  expect(host().send(ping().slice(0, 30))).toEqual([]);
});
