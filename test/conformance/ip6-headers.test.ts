// RFC 8200 §3 and §4 through a whole stack: the fixed header, options, routing headers, unknown headers.

import { describe, expect, test } from 'vitest';
import {
  echo,
  frame6,
  type Header,
  HOST,
  icmp,
  Next,
  options,
  type Packet6,
  PEER,
  text,
  udp,
} from '../kit/frame-build.ts';
import { FrameHost } from '../kit/frame-host.ts';

const host = (): FrameHost => new FrameHost().meetAll();
const ping: Header = [Next.Icmp6, echo()];
const REPLY = `${HOST} > ${PEER} echo-reply id=1 seq=1 data=8`;
const problem = (code: number, pointer: number, quoted: number): string =>
  `${HOST} > ${PEER} problem code=${code} ${pointer} quoted=${quoted}`;

describe('the fixed header (RFC 8200 §3)', () => {
  test.each<[string, Partial<Packet6>, string[]]>([
    ['a version other than 6 is discarded in silence', { version: 4 }, []],
    ['version 0', { version: 0 }, []],
    ['version 15', { version: 15 }, []],
    ['traffic class and flow label do not matter', { trafficClass: 0x20, flow: 0xfffff }, [REPLY]],
    ['hop limit 0 matters to forwarders only', { hop: 0 }, [REPLY]],
    ['hop limit 1', { hop: 1 }, [REPLY]],
    ['hop limit 255', { hop: 255 }, [REPLY]],
    ['a payload length beyond the frame is discarded', { length: 17 }, []],
  ])('%s', (_name, change, want) => {
    expect(host().send(frame6({ ...change, chain: [ping] }))).toEqual(want);
  });

  test('bytes behind the payload length are no part of the packet (§3)', () => {
    const frame = frame6({ chain: [ping] });
    expect(host().send(Uint8Array.of(...frame, 1, 2, 3))).toEqual([REPLY]);
  });

  test('next header 59 ends the packet: nothing is answered, whatever follows (§4.7)', () => {
    expect(host().send(frame6({ chain: [[Next.None, text(16)]] }))).toEqual([]);
    expect(
      host().send(
        frame6({
          chain: [
            [Next.Dest, options()],
            [Next.None, text(16)],
          ],
        }),
      ),
    ).toEqual([]);
  });

  test('an answer has the flow label and traffic class of its own (§6, §7)', () => {
    const one = host();
    one.send(frame6({ trafficClass: 0x20, flow: 0x12345, chain: [ping] }));
    const word = new DataView(one.last().buffer).getUint32(14);
    expect(word >>> 28).toBe(6);
    expect(word & 0xfffff).not.toBe(0x12345);
  });
});

describe('the order of headers and unknown ones (§4, §4.1)', () => {
  const unknown: [string, Header[], string[]][] = [
    ['an unknown protocol: parameter problem 1 at the fixed header', [[200, text(8)]], [problem(1, 6, 48)]],
    [
      'behind destination options: at that header',
      [
        [Next.Dest, options()],
        [200, text(8)],
      ],
      [problem(1, 40, 56)],
    ],
    [
      'hop-by-hop options not in front',
      [[Next.Dest, options()], [Next.HopByHop, options()], ping],
      [problem(1, 40, 72)],
    ],
    ['hop-by-hop twice', [[Next.HopByHop, options()], [Next.HopByHop, options()], ping], [problem(1, 40, 72)]],
    ['AH, which is not spoken here (RFC 4302)', [[51, text(24)]], [problem(1, 6, 64)]],
    ['ESP, which is not spoken here (RFC 4303)', [[50, text(24)]], [problem(1, 6, 64)]],
    ['of IPv4, ICMP is no protocol here', [[Next.Icmp, echo()]], [problem(1, 6, 56)]],
  ];
  test.each(unknown)('%s', (_name, chain, want) => {
    expect(host().send(frame6({ chain }))).toEqual(want);
  });

  test('destination options twice and in any order are taken (§4.1)', () => {
    const chain: Header[] = [
      [Next.HopByHop, options()],
      [Next.Dest, options()],
      [Next.Routing, [0, 0, 0, 0, 0, 0, 0, 0]],
      [Next.Fragment, [0, 0, 0, 0, 0, 0, 0, 1]],
      [Next.Dest, options()],
      ping,
    ];
    expect(host().send(frame6({ chain }))).toEqual([REPLY]);
  });

  test('no error about an unknown header of a multicast packet (RFC 4443 §2.4 e)', () => {
    expect(host().send(frame6({ to: 'ff02::1', chain: [[200, text(8)]] }))).toEqual([]);
  });
});

describe('options (§4.2)', () => {
  // kind: two bits of action, one of change en route.
  const unknownOption = (kind: number): number[] => [kind, 4, 0, 0, 0, 0];
  for (const [name, protocol] of [
    ['hop-by-hop', Next.HopByHop],
    ['destination', Next.Dest],
  ] as const) {
    test.each<[string, string, number[], string[]]>([
      ['Pad1 six times', HOST, [0, 0, 0, 0, 0, 0], [REPLY]],
      ['PadN', HOST, [1, 4, 0, 0, 0, 0], [REPLY]],
      ['PadN whose bytes are not zero', HOST, [1, 4, 1, 2, 3, 4], [REPLY]],
      ['router alert', HOST, [5, 2, 0, 0, 1, 0], [REPLY]],
      ['00: skipped', HOST, unknownOption(0x07), [REPLY]],
      ['01: discarded', HOST, unknownOption(0x47), []],
      ['10: discarded and told', HOST, unknownOption(0x87), [problem(2, 42, 64)]],
      ['11: discarded and told', HOST, unknownOption(0xc7), [problem(2, 42, 64)]],
      ['10 with the bit of change', HOST, unknownOption(0xa7), [problem(2, 42, 64)]],
      ['00 to a group: skipped', 'ff02::1', unknownOption(0x07), [REPLY]],
      ['01 to a group: discarded', 'ff02::1', unknownOption(0x47), []],
      ['10 to a group: told even so', 'ff02::1', unknownOption(0x87), [problem(2, 42, 64)]],
      ['11 to a group: not told', 'ff02::1', unknownOption(0xc7), []],
    ])(`${name} %s %s`, (_name, to, option, want) => {
      expect(host().send(frame6({ to, chain: [[protocol, options(option)], ping] }))).toEqual(want);
    });

    test(`${name}: the pointer is the option's own place, behind others`, () => {
      const chain: Header[] = [[protocol, options([1, 4, 0, 0, 0, 0], [0], unknownOption(0x80))], ping];
      expect(host().send(frame6({ chain }))).toEqual([problem(2, 49, 72)]);
    });

    test(`${name}: an option that runs over its header is discarded`, () => {
      expect(host().send(frame6({ chain: [[protocol, [0, 0, 7, 200, 0, 0, 0, 0]], ping] }))).toEqual([]);
    });
  }
});

describe('the routing header (§4.4, RFC 5095)', () => {
  test.each([0, 2, 3, 4, 33, 253])('type %i with no segments left is passed over', (type) => {
    const routing = [0, 2, type, 0, 0, 0, 0, 0, ...text(16)];
    expect(host().send(frame6({ chain: [[Next.Routing, routing], ping] }))).toEqual([REPLY]);
  });

  test.each([0, 2, 3, 33, 253])('type %i with segments left: parameter problem 0 at the type', (type) => {
    const routing = [0, 2, type, 1, 0, 0, 0, 0, ...text(16)];
    expect(host().send(frame6({ chain: [[Next.Routing, routing], ping] }))).toEqual([problem(0, 42, 80)]);
  });

  test('behind destination options, the pointer moves along', () => {
    const routing = [0, 2, 33, 1, 0, 0, 0, 0, ...text(16)];
    const chain: Header[] = [[Next.Dest, options()], [Next.Routing, routing], ping];
    expect(host().send(frame6({ chain }))).toEqual([problem(0, 50, 88)]);
  });
});

describe('martians (RFC 4291 §2.5, §2.7)', () => {
  test.each([
    ['from a group', { from: 'ff02::aa' }],
    ['from loopback', { from: '::1' }],
    ['to loopback', { to: '::1' }],
    ['from an IPv4-mapped address', { from: '::ffff:10.0.0.2' }],
    ['from our own address', { from: HOST }],
    ['to a node-local group', { to: 'ff01::1' }],
    ['from :: to a unicast address', { from: '::' }],
    ['to a reserved scope', { to: 'ff00::1' }],
  ])('%s', (_name, change) => {
    expect(host().send(frame6({ ...change, chain: [ping] }))).toEqual([]);
  });

  test('a packet for another station is not ours, with or without a router (RFC 8200 §3)', () => {
    expect(host().send(frame6({ to: 'fe80::77', chain: [ping] }))).toEqual([]);
    expect(host().send(frame6({ to: '2001:db8::77', chain: [ping] }))).toEqual([]);
    expect(host().send(frame6({ mac: '02:00:00:00:00:77', chain: [ping] }))).toEqual([]);
  });
});

describe('ICMPv6 (RFC 4443)', () => {
  const errorAbout = (type: number, code: number, word: number, quoted: Uint8Array): Header => [
    Next.Icmp6,
    icmp(type, code, word, quoted),
  ];
  const udpClosed: Header = [Next.Udp, udp(1000, 9999)];

  test('an echo has the same identifier, number and data (§4.2), to a group from a unicast address', () => {
    const data = text(1000);
    const one = host();
    expect(one.send(frame6({ chain: [[Next.Icmp6, echo(data, 128, 0xfffe, 7)]] }))).toEqual([
      `${HOST} > ${PEER} echo-reply id=65534 seq=7 data=1000`,
    ]);
    expect(one.last().slice(62)).toEqual(data);
    expect(host().send(frame6({ to: 'ff02::1', chain: [ping] }))).toEqual([REPLY]);
  });

  test('an echo without data', () => {
    expect(host().send(frame6({ chain: [[Next.Icmp6, echo([])]] }))).toEqual([
      `${HOST} > ${PEER} echo-reply id=1 seq=1 data=0`,
    ]);
  });

  test('a wrong checksum is discarded (§2.3)', () => {
    expect(host().send(frame6({ isRaw: true, chain: [[Next.Icmp6, echo()]] }))).toEqual([]);
  });

  test.each([
    ['an unknown error goes up and is not answered (§2.4 a)', icmp(5, 0, 0, text(48))],
    ['unknown information (§2.4 b)', icmp(200, 0, 0, text(8))],
    ['type 255', icmp(255, 0, 0, text(8))],
    ['an echo reply that nobody waits for', echo(text(8), 129)],
  ])('%s', (_name, message) => {
    expect(host().send(frame6({ chain: [[Next.Icmp6, message]] }))).toEqual([]);
  });

  test('a closed UDP port: destination unreachable 4 (§3.1)', () => {
    expect(host().send(frame6({ chain: [udpClosed] }))).toEqual([`${HOST} > ${PEER} unreachable code=4 0 quoted=56`]);
  });

  test('as much of the packet as fits into 1280 bytes is quoted (§2.4 c)', () => {
    const one = host();
    one.send(frame6({ chain: [[Next.Udp, udp(1, 9999, text(1400))]] }));
    expect(one.last().length - 14).toBe(1280);
  });

  test.each<[string, Partial<Packet6>]>([
    ['to a group (§2.4 e.3)', { to: 'ff02::1' }],
    ['in a group frame (e.4)', { mac: '33:33:00:00:00:01' }],
    ['from the unspecified address (e.6)', { from: '::', to: 'ff02::1' }],
  ])('no error about a closed port %s', (_name, change) => {
    expect(host().send(frame6({ ...change, chain: [udpClosed] }))).toEqual([]);
  });

  test('no error about an error (e.1) or a redirect (e.2)', () => {
    const bad = options([0x87, 4, 0, 0, 0, 0]);
    for (const type of [1, 2, 3, 4, 100, 127, 137]) {
      expect(host().send(frame6({ chain: [[Next.Dest, bad], errorAbout(type, 0, 0, text(48))] }))).toEqual([]);
    }
    expect(host().send(frame6({ chain: [[Next.Dest, bad], ping] }))).toEqual([problem(2, 42, 64)]);
  });

  test('errors are limited in their rate (§2.4 f)', () => {
    const one = host();
    let errors = 0;
    for (let i = 0; i < 100; i++) errors += one.send(frame6({ chain: [udpClosed] })).length;
    expect(errors).toBeGreaterThan(0);
    expect(errors).toBeLessThan(50);
    one.run(1_000_000);
    expect(one.send(frame6({ chain: [udpClosed] }))).toHaveLength(1);
  });

  test('the source is the address that was spoken to (§2.2 a)', () => {
    const to = '2001:db8::1';
    expect(host().send(frame6({ from: '2001:db8::aa', to, chain: [udpClosed] }))).toEqual([
      `${to} > 2001:db8::aa unreachable code=4 0 quoted=56`,
    ]);
  });
});
