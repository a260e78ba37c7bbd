// RFC 8200 §4.5, RFC 5722, RFC 6946, RFC 7112 through a whole stack: packets in pieces.

import { describe, expect, test } from 'vitest';
import {
  echo,
  fragment,
  frame6,
  type Header,
  HOST,
  join,
  Next,
  options,
  type Packet6,
  PEER,
  sealed,
  text,
} from '../kit/frame-build.ts';
import { FrameHost, S } from '../kit/frame-host.ts';

const host = (): FrameHost => new FrameHost().meetAll();
const MESSAGE = sealed(Next.Icmp6, echo(text(1000)), PEER, HOST);
const REPLY = `${HOST} > ${PEER} echo-reply id=1 seq=1 data=1000`;

/** The piece of the echo request from byte `from` up to `to`. */
function piece(from: number, to: number, o: Partial<Packet6> & { id?: number; more?: boolean; front?: Header[] } = {}) {
  const isMore = o.more ?? to < MESSAGE.length;
  const chain: Header[] = [
    ...(o.front ?? []),
    [Next.Fragment, fragment(o.id ?? 7, from, isMore)],
    [Next.Icmp6, MESSAGE.slice(from, to)],
  ];
  return frame6({ ...o, chain, isRaw: true });
}

/** Sends all; the lines that came back, whenever. */
const all = (one: FrameHost, ...frames: Uint8Array[]): string[] => frames.flatMap((frame) => one.send(frame));

describe('reassembly (RFC 8200 §4.5)', () => {
  const [a, b, c] = [piece(0, 400), piece(400, 800), piece(800, MESSAGE.length)];
  test.each([
    ['in order', [a, b, c]],
    ['reversed', [c, b, a]],
    ['first, last, middle', [a, c, b]],
    ['middle, first, last', [b, a, c]],
    ['the first twice, as it was (RFC 5722 §4 as RFC 8200 has it)', [a, a, b, c]],
    ['the last twice', [c, c, a, b]],
  ])('%s', (_name, frames) => {
    expect(all(host(), ...frames)).toEqual([REPLY]);
  });

  test.each<[string, Uint8Array[]]>([
    ['another identification', [a, piece(400, 800, { id: 8 }), c]],
    ['another source', [a, piece(400, 800, { from: 'fe80::ab' }), c]],
    ['another destination', [a, piece(400, 800, { to: '2001:db8::1' }), c]],
  ])('%s is another packet', (_name, frames) => {
    expect(all(host(), ...frames)).toEqual([]);
  });

  test('the next header of later pieces does not matter (§4.5)', () => {
    const later = frame6({ isRaw: true, chain: [[Next.Fragment, [200, ...fragment(7, 400, false).slice(1)]]] });
    const bytes = join(later, MESSAGE.slice(400));
    bytes[54] = 200;
    new DataView(bytes.buffer).setUint16(18, 8 + MESSAGE.length - 400);
    expect(all(host(), a, bytes)).toEqual([REPLY]);
  });

  test.each<[string, Uint8Array[]]>([
    ['a piece that overlaps the end of one', [a, piece(392, 800), c]],
    ['one that overlaps the beginning', [b, piece(0, 408), c]],
    ['one inside of another', [a, piece(8, 80), b, c]],
    ['a last piece that ends elsewhere', [c, piece(800, 904, { more: false }), a, b]],
  ])('%s: all of the packet goes, in silence (RFC 5722 §4)', (_name, frames) => {
    const one = host();
    expect(all(one, ...frames)).toEqual([]);
  });

  test('headers in front of the fragment header are the first piece’s (§4.5)', () => {
    const front: Header[] = [[Next.Dest, options()]];
    expect(all(host(), piece(0, 400, { front }), piece(400, 800, { front }), piece(800, 1008))).toEqual([REPLY]);
  });

  test('a length that is no multiple of 8: parameter problem 0 at the payload length', () => {
    expect(host().send(piece(0, 401))).toEqual([`${HOST} > ${PEER} problem code=0 4 quoted=449`]);
    expect(host().send(piece(400, 801))).toEqual([`${HOST} > ${PEER} problem code=0 4 quoted=449`]);
  });

  test('a packet beyond 65,535: parameter problem 0 at the fragment offset', () => {
    const chain: Header[] = [
      [Next.Fragment, fragment(7, 65528, false)],
      [Next.Icmp6, text(64)],
    ];
    expect(host().send(frame6({ chain, isRaw: true }))).toEqual([`${HOST} > ${PEER} problem code=0 42 quoted=112`]);
  });

  test('the longest packet is taken: 65,535 bytes of payload', () => {
    const one = host();
    const message = sealed(Next.Icmp6, echo(text(65527)), PEER, HOST);
    for (let at = 0; at < message.length; at += 1448) {
      const end = Math.min(message.length, at + 1448);
      const chain: Header[] = [
        [Next.Fragment, fragment(3, at, end < message.length)],
        [Next.Icmp6, message.slice(at, end)],
      ];
      one.send(frame6({ chain, isRaw: true }));
    }
    const sent = one.take();
    expect(sent[0]!.text).toMatch(/^fe80::1 > fe80::aa frag=0\+ id=\d+ next=58 data=1448$/);
    expect(sent.reduce((n, frame) => n + frame.bytes.length - 62, 0)).toBe(65535);
  });

  test('an atomic fragment is a packet, whatever else waits with its identification (RFC 6946 §4)', () => {
    const one = host();
    expect(one.send(a)).toEqual([]);
    expect(one.send(piece(0, MESSAGE.length))).toEqual([REPLY]);
    expect(all(one, b, c)).toEqual([REPLY]);
  });

  test('a fragment header of no data', () => {
    const chain: Header[] = [
      [Next.Fragment, fragment(7, 0, true)],
      [Next.Icmp6, []],
    ];
    const chained = `${HOST} > ${PEER} problem code=3 0 quoted=48`;
    expect(host().send(frame6({ chain, isRaw: true }))).toEqual([chained]);
  });

  test('the reserved bits are ignored (§4.5)', () => {
    const first = piece(0, 400);
    first[55] = 0xff;
    first[57] = first[57]! | 6;
    expect(all(host(), first, b, c)).toEqual([REPLY]);
  });
});

describe('time (§4.5)', () => {
  const exceeded = /^fe80::1 > fe80::aa exceeded code=1 0 quoted=\d+$/;

  test('60 seconds after the first to come, the source is told if it was the one with offset 0', () => {
    const one = host();
    one.send(piece(0, 400));
    one.run(30 * S);
    one.send(piece(400, 800));
    expect(one.run(30 * S - 1)).toEqual([]);
    expect(one.run(1)).toEqual([expect.stringMatching(exceeded)]);
    expect(one.send(piece(800, 1008))).toEqual([]);
  });

  test('just before, the packet is completed', () => {
    const one = host();
    one.send(piece(0, 800));
    one.run(60 * S - 1);
    expect(one.send(piece(800, 1008))).toEqual([REPLY]);
    expect(one.run(60 * S)).toEqual([]);
  });

  test('without the first one nothing is told', () => {
    const one = host();
    one.send(piece(400, 800));
    expect(one.run(61 * S)).toEqual([]);
  });

  test('nothing about a packet to a group (RFC 4443 §2.4 e.3)', () => {
    const one = host();
    one.send(piece(0, 400, { to: 'ff02::1' }));
    expect(one.run(61 * S)).toEqual([]);
  });
});

describe('the whole chain in the first piece (RFC 7112 §5)', () => {
  const chained = (quoted: number): string => `${HOST} > ${PEER} problem code=3 0 quoted=${quoted}`;

  test.each<[string, Header[], number]>([
    [
      'ends in destination options',
      [
        [Next.Fragment, fragment(7, 0, true)],
        [Next.Dest, options(text(30)).slice(0, 8)],
      ],
      56,
    ],
    [
      'has half of an ICMPv6 header',
      [
        [Next.Fragment, fragment(7, 0, true)],
        [Next.Icmp6, []],
      ],
      48,
    ],
    [
      'has a TCP header cut',
      [
        [Next.Fragment, fragment(7, 0, true)],
        [Next.Tcp, text(16)],
      ],
      64,
    ],
  ])('%s: parameter problem 3', (_name, chain, quoted) => {
    expect(host().send(frame6({ chain, isRaw: true }))).toEqual([chained(quoted)]);
  });
});

describe('pieces as this host sends them', () => {
  test('a reply that does not fit is cut into pieces of multiples of 8, all but the last full', () => {
    const one = host();
    const message = sealed(Next.Icmp6, echo(text(2000)), PEER, HOST);
    const at = 1000;
    const chain = (from: number, to: number): Header[] => [
      [Next.Fragment, fragment(9, from, to < message.length)],
      [Next.Icmp6, message.slice(from, to)],
    ];
    one.send(frame6({ isRaw: true, chain: chain(0, at) }));
    const lines = one.send(frame6({ isRaw: true, chain: chain(at, message.length) }));
    expect(lines.map((line) => line.replace(/id=\d+/, 'id'))).toEqual([
      `${HOST} > ${PEER} frag=0+ id next=58 data=1448`,
      `${HOST} > ${PEER} frag=1448 id next=58 data=560`,
    ]);
  });
});
