import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Drop } from '../../core/drop.ts';
import * as arp from '../../wire/arp.ts';
import { viewOf } from '../../wire/bytes.ts';
import * as ethernet from '../../wire/ethernet.ts';
import * as icmp from '../../wire/icmp.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import * as tcp from '../../wire/tcp.ts';
import * as udp from '../../wire/udp.ts';
import * as vlan from '../../wire/vlan.ts';
import { bytesOf, hexOf, viewOfHex } from '../kit/hex.ts';

const IP4 = '4500 0020 abcd 4000 4011 7ae1 0a00 0001 0a00 0002 0044 0043 000c 0000 0102 0304';
const IP6 =
  '6012 3456 0008 3aff fe80 0000 0000 0000 0000 0000 0000 0001 ff02 0000 0000 0000 0000 0000 0000 0002 8500 0000 0000 0000';
const TCP = '9c40 1451 0000 0001 8000 0000 a012 ffff 1234 0000 0204 05b4 0402 080a 0000 0001 0000 0002 0103 0307';
const NS = `8700 0000 0000 0000 fe80 0000 0000 0000 0000 0000 0000 0001 0101 0200 0000 0001`;

type Check = (view: DataView, at: number, avail: number) => Drop;

/** A parser, a whole header, and for each truncation the reason that must be given. */
const PARSERS: [string, Check, string, number, (cut: number) => Drop][] = [
  ['ethernet', ethernet.check, 'ffffffffffff 020000000001 0800', 14, () => Drop.EthTruncated],
  ['vlan', vlan.check, '8100 a005 0806', 6, () => Drop.VlanTruncated],
  ['arp', arp.check, '0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002', 28, () => Drop.ArpTruncated],
  ['ipv4', ipv4.check, IP4, 32, (cut) => (cut < 20 ? Drop.Ip4Truncated : Drop.Ip4TotalLength)],
  [
    'ipv4 with options',
    ipv4.check,
    '4600 0018 0000 0000 4011 0000 0a000001 0a000002 01010101',
    24,
    () => Drop.Ip4Truncated,
  ],
  ['ipv6', ipv6.check, IP6, 48, (cut) => (cut < 40 ? Drop.Ip6Truncated : Drop.Ip6PayloadLength)],
  ['icmp', icmp.check, '0800 f7fd 0001 0001', 8, () => Drop.IcmpTruncated],
  ['icmp6', icmp6.check, '8000 0000 0001 0001', 8, () => Drop.IcmpTruncated],
  ['icmp6 solicitation', icmp6.check, NS, 24, () => Drop.IcmpTruncated],
  ['icmp6 advertisement of a router', icmp6.check, `8600 ${'00'.repeat(14)}`, 16, () => Drop.IcmpTruncated],
  ['icmp6 redirect', icmp6.check, `8900 ${'00'.repeat(38)}`, 40, () => Drop.IcmpTruncated],
  ['udp', udp.check, '0044 0043 000c 0000 0102 0304', 12, (cut) => (cut < 8 ? Drop.UdpTruncated : Drop.UdpLength)],
  ['tcp', tcp.check, TCP, 40, (cut) => (cut < 20 ? Drop.TcpTruncated : Drop.TcpDataOffset)],
];

describe.each(PARSERS)('%s', (_name, check, hex, bytesMin, reason) => {
  const view = viewOfHex(hex);

  test('is refused when cut anywhere, and taken whole or padded', () => {
    for (let cut = 0; cut < bytesMin; cut++) expect(check(new DataView(view.buffer, 0, cut), 0, cut)).toBe(reason(cut));
    expect(check(view, 0, bytesMin)).toBe(Drop.None);
    const padded = new Uint8Array(100);
    padded.set(bytesOf(hex), 3);
    expect(check(viewOf(padded), 3, 97)).toBe(Drop.None);
  });

  test('never reads past what it was given', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(check(viewOf(bytes), 0, bytes.length)).toBeTypeOf('number');
      }),
      { numRuns: 500 },
    );
  });
});

test.each<[string, Check, string, Drop]>([
  ['IPv4 with another version', ipv4.check, IP4.replace('4500', '5500'), Drop.Ip4Version],
  ['IPv4 with a header of 16 bytes', ipv4.check, IP4.replace('4500', '4400'), Drop.Ip4HeaderLength],
  ['IPv4 with a total length of 19', ipv4.check, IP4.replace('0020', '0013'), Drop.Ip4TotalLength],
  ['IPv4 with a total length of 20', ipv4.check, IP4.replace('0020', '0014'), Drop.None],
  ['IPv4 with a total length one too long', ipv4.check, IP4.replace('0020', '0021'), Drop.Ip4TotalLength],
  ['IPv6 with another version', ipv6.check, IP6.replace('6012', '4012'), Drop.Ip6Version],
  ['IPv6 with a payload one too long', ipv6.check, IP6.replace('0008', '0009'), Drop.Ip6PayloadLength],
  ['ARP for Token Ring', arp.check, '0006 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002', Drop.ArpFormat],
  ['UDP with a length of 7', udp.check, '0044 0043 0007 0000', Drop.UdpLength],
  ['UDP with a length of 8', udp.check, '0044 0043 0008 0000', Drop.None],
  ['TCP with a header of 16 bytes', tcp.check, TCP.replace('a012', '4012'), Drop.TcpDataOffset],
])('judges %s', (_name, check, hex, expected) => {
  const view = viewOfHex(hex);
  expect(check(view, 0, view.byteLength)).toBe(expected);
});

describe('ethernet and vlan', () => {
  test('reads and writes a header', () => {
    const view = new DataView(new ArrayBuffer(20));
    ethernet.writeHeader(
      view,
      2,
      ethernet.parseMac('ff:ff:ff:ff:ff:ff')!,
      ethernet.parseMac('02-00-00-00-00-01')!,
      0x806,
    );
    expect(hexOf(new Uint8Array(view.buffer, 2, 14))).toBe('ffffffffffff0200000000010806');
    expect(ethernet.isGroup(view, 2)).toBe(true);
    expect(ethernet.isBroadcast(view, 2)).toBe(true);
    expect(ethernet.isGroup(view, ethernet.srcAt(2))).toBe(false);
    expect(ethernet.macText(view, ethernet.srcAt(2))).toBe('02:00:00:00:00:01');
    expect([ethernet.macHigh(view, 8), ethernet.macLow(view, 8)]).toEqual([0x0200, 1]);
  });

  test.each([
    '02:00:00:00:00',
    '02:00:00:00:00:1',
    '02:00-00:00:00:01',
    '02:00:00:00:00:0g',
    '',
    '02:00:00:00:00:01:02',
  ])('refuses the address %j', (text) => expect(ethernet.parseMac(text)).toBeUndefined());

  test('takes an address without separators', () => {
    expect(hexOf(ethernet.parseMac('0200AbCd0001')!)).toBe('0200abcd0001');
  });

  const addresses = '020000000002 020000000001';
  test.each([
    ['untagged', '0800 45', 14, 0x0800],
    ['tagged', '8100 a005 0806 00', 18, 0x0806],
    ['doubly tagged', '88a8 0064 8100 0005 86dd 60', 22, 0x86dd],
    ['thrice tagged: the third is the type', '88a8 0064 8100 0005 8100 0006 86dd', 22, 0x8100],
  ])('finds the payload of a frame that is %s', (_name, hex, at, type) => {
    const view = viewOfHex(addresses + hex);
    expect(vlan.payloadAt(view, 0, view.byteLength)).toBe(at);
    expect(view.getUint16(at - 2)).toBe(type);
    for (let cut = 0; cut < at; cut++) expect(vlan.payloadAt(view, 0, cut)).toBe(-1);
  });

  test('reads and writes a tag', () => {
    const view = new DataView(new ArrayBuffer(4));
    vlan.writeTag(view, 0, 0x88a8, vlan.tciOf(4094, 7, 1));
    expect([vlan.tpid(view, 0), vlan.vid(view, 0), vlan.pcp(view, 0), vlan.dei(view, 0)]).toEqual([0x88a8, 4094, 7, 1]);
  });
});

describe('ipv4', () => {
  test('reads what it writes', () => {
    const view = new DataView(new ArrayBuffer(20));
    ipv4.setHeaderBytes(view, 0, 20);
    ipv4.setTos(view, 0, 0xb8);
    ipv4.setTotalLength(view, 0, 20);
    ipv4.setId(view, 0, 0xabcd);
    ipv4.setFragment(view, 0, ipv4.MORE_FRAGMENTS | (1480 >> 3));
    ipv4.setTtl(view, 0, 63);
    ipv4.setProtocol(view, 0, ipv4.Protocol.Udp);
    ipv4.setSrc(view, 0, 0xffffffff);
    ipv4.setDst(view, 0, 0x0a000001);
    ipv4.seal(view, 0);
    expect(ipv4.check(view, 0, 20)).toBe(Drop.None);
    expect(ipv4.checkSum(view, 0)).toBe(Drop.None);
    expect([ipv4.tos(view, 0), ipv4.id(view, 0), ipv4.ttl(view, 0), ipv4.protocol(view, 0)]).toEqual([
      0xb8, 0xabcd, 63, 17,
    ]);
    expect([ipv4.fragmentBytes(view, 0), ipv4.isFragment(view, 0)]).toEqual([1480, true]);
    expect([ipv4.src(view, 0), ipv4.dst(view, 0)]).toEqual([0xffffffff, 0x0a000001]);
    ipv4.setTtl(view, 0, 62);
    expect(ipv4.checkSum(view, 0)).toBe(Drop.Ip4Checksum);
    ipv4.setFragment(view, 0, ipv4.DONT_FRAGMENT);
    expect(ipv4.isFragment(view, 0)).toBe(false);
  });

  test.each([
    ['0.0.0.0', 0],
    ['255.255.255.255', 0xffffffff],
    ['10.0.0.1', 0x0a000001],
  ])('%s is a number and back', (text, address) => {
    expect(ipv4.parseAddress(text)).toBe(address);
    expect(ipv4.formatAddress(address)).toBe(text);
  });

  test.each(['1.2.3', '1.2.3.256', '01.2.3.4', '1.2.3.4.5', '1.2.3.', ' 1.2.3.4', '1.2.3.4x', '1e1.2.3.4', '-1.2.3.4'])(
    'refuses %j',
    (text) => expect(ipv4.parseAddress(text)).toBeUndefined(),
  );
});

describe('ipv6', () => {
  // RFC 5952 §4 and §5, by section.
  test.each([
    ['2001:0db8::0001', '2001:db8::1'],
    ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:DB8:AAAA:BBBB:CCCC:DDDD:EEEE:1', '2001:db8:aaaa:bbbb:cccc:dddd:eeee:1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['fe80:0:0:0:0:0:0:0', 'fe80::'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
    ['::ffff:c000:201', '::ffff:192.0.2.1'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ])('writes %s as %s', (text, canonical) => {
    expect(ipv6.formatAddress(ipv6.parseAddress(text)!)).toBe(canonical);
  });

  test.each([
    '',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4::5:6:7:8',
    '12345::',
    'g::',
    '::1%lo',
    '1.2.3.4::',
    '::1.2.3',
    '1:',
  ])('refuses %j', (text) => expect(ipv6.parseAddress(text)).toBeUndefined());

  test('every address survives its text', () => {
    const groups = fc.array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(groups, (g) => {
        const bytes = Uint8Array.from(g.flatMap((x) => [x >>> 8, x & 255]));
        expect(ipv6.parseAddress(ipv6.formatAddress(bytes))).toEqual(bytes);
      }),
      { numRuns: 1000 },
    );
  });

  const packet = (next: string, payload: string): DataView => {
    const bytes = bytesOf(payload).length.toString(16).padStart(4, '0');
    return viewOfHex(`6000 0000 ${bytes} ${next} 40 ${'00'.repeat(32)} ${payload}`);
  };
  const hopByHop = '00 00 0104 0000 0000';
  test.each([
    ['none', '3a', '8000 0000 0000 0000', 58, 40],
    [
      'hop-by-hop, routing, destination',
      '00',
      '2b00 0104 0000 0000 3c00 0000 0000 0000 06010104000000000000000000000000',
      6,
      72,
    ],
    ['authentication, in words of 4', '33', `1104 ${'00'.repeat(22)}`, 17, 64],
    ['a fragment', '2c', '1100 0001 0000 0007', 44, 40],
    ['no next header', '3b', '', 59, 40],
    ['an unknown protocol', 'fd', '', 253, 40],
    ['8 of them', '00', `${hopByHop.repeat(7)} 11 00 0104 0000 0000`, 17, 104],
  ])('walks over %s', (_name, next, payload, protocol, offset) => {
    const view = packet(next, payload);
    expect(ipv6.check(view, 0, view.byteLength)).toBe(Drop.None);
    const walked = ipv6.walk(view, 0);
    expect([ipv6.walkProtocol(walked), ipv6.walkOffset(walked)]).toEqual([protocol, offset]);
  });

  test.each([
    ['9 extension headers', '00', `${hopByHop.repeat(8)} 11 00 0104 0000 0000`],
    ['a header past the end', '00', '1101 0104 0000 0000'],
    ['a header cut short', '00', '1100 0104'],
    ['a fragment header cut short', '2c', '1100 0001'],
  ])('refuses %s', (_name, next, payload) => {
    expect(ipv6.walk(packet(next, payload), 0)).toBe(ipv6.MALFORMED);
  });

  test('a walk ends within the packet, whatever is in it', () => {
    const interesting = fc.constantFrom(0, 43, 44, 51, 60, 135, 6, 17);
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 120 }),
        interesting,
        fc.nat(119),
        interesting,
        (bytes, first, where, second) => {
          const view = new DataView(new ArrayBuffer(40 + bytes.length));
          new Uint8Array(view.buffer).set(bytes, 40);
          if (where < bytes.length) view.setUint8(40 + where, second);
          ipv6.setPayloadLength(view, 0, bytes.length);
          ipv6.setNextHeader(view, 0, first);
          const walked = ipv6.walk(view, 0);
          if (walked >= 0) expect(ipv6.walkOffset(walked)).toBeLessThanOrEqual(view.byteLength);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('reads what it writes', () => {
    const view = new DataView(new ArrayBuffer(40));
    ipv6.setClassFlow(view, 0, 0xff, 0xfffff);
    ipv6.setHopLimit(view, 0, 255);
    ipv6.setAddress(view, ipv6.dstAt(0), ipv6.parseAddress('ff02::1')!);
    expect([ipv6.check(view, 0, 40), ipv6.trafficClass(view, 0), ipv6.flowLabel(view, 0)]).toEqual([0, 0xff, 0xfffff]);
    expect([ipv6.hopLimit(view, 0), ipv6.addressText(view, ipv6.dstAt(0))]).toEqual([255, 'ff02::1']);
  });

  test('reads a fragment header', () => {
    const view = viewOfHex('1100 05a9 0000 0007');
    expect([
      ipv6.fragmentNext(view, 0),
      ipv6.fragmentBytes(view, 0),
      ipv6.fragmentMore(view, 0),
      ipv6.fragmentId(view, 0),
    ]).toEqual([17, 1448, true, 7]);
  });
});

describe('icmp', () => {
  test('seals what then checks', () => {
    const view = viewOfHex('0800 0000 1234 0001 6162 63');
    icmp.seal(view, 0, 11);
    expect(icmp.checkSum(view, 0, 11)).toBe(Drop.None);
    expect([icmp.type(view, 0), icmp.code(view, 0), icmp.id(view, 0), icmp.seq(view, 0)]).toEqual([8, 0, 0x1234, 1]);
    expect(icmp.checkSum(view, 0, 10)).toBe(Drop.IcmpChecksum);
  });

  test('seals ICMPv6 with its pseudo-header', () => {
    const view = viewOfHex(IP6);
    icmp6.seal(view, 0, 40, 8);
    expect(icmp6.checkSum(view, 0, 40, 8)).toBe(Drop.None);
    ipv6.setAddress(view, ipv6.srcAt(0), ipv6.parseAddress('fe80::2')!);
    expect(icmp6.checkSum(view, 0, 40, 8)).toBe(Drop.IcmpChecksum);
  });

  test('walks the options of neighbour discovery', () => {
    const view = viewOfHex(`${NS} 0501 0000 0000 05dc 0000`);
    const kinds: number[] = [];
    const next = (from: number): number => icmp6.ndpOption(view, from, view.byteLength);
    for (let o = next(icmp6.NEIGHBOR_BYTES); o > 0; o = next(o + icmp6.ndpOptionBytes(view, o))) {
      kinds.push(view.getUint8(o));
    }
    expect(kinds).toEqual([icmp6.NdpOption.SourceMac, icmp6.NdpOption.Mtu]);
    expect(icmp6.ndpOption(viewOfHex('0100 0000 0000 0000'), 0, 8)).toBe(-1);
    expect(icmp6.ndpOption(viewOfHex('0102 0000 0000 0000'), 0, 8)).toBe(-1);
    expect(icmp6.typeName(135)).toBe('neighbor solicitation');
    expect(icmp6.typeName(200)).toBe('type 200');
  });
});

describe('tcp', () => {
  const options = (hex: string): string[] => {
    const header = bytesOf(hex).length / 4 + 5;
    const view = viewOfHex(`0000 0000 0000 0000 0000 0000 ${header.toString(16)}0 10 0000 0000 0000 ${hex}`);
    const out: string[] = [];
    const next = (from: number): number => tcp.nextOption(view, 0, from);
    for (let o = next(tcp.optionsAt(0)); o > 0; o = next(tcp.afterOption(view, o))) {
      out.push(`${tcp.optionKind(view, o)}:${tcp.optionBytes(view, o)}`);
    }
    return out;
  };

  test.each<[string, string, string[]]>([
    ['a SYN of Linux', '0204 05b4 0402 080a 0000 0001 0000 0002 0103 0307', ['2:4', '4:2', '8:10', '3:3']],
    ['the end of the list', '0204 05b4 0003 0307', ['2:4']],
    ['nothing but padding', '0101 0101', []],
    ['a length of zero', '0200 05b4', []],
    ['a length of one', '0201 05b4', []],
    ['a length past the header', '0205 05b4', []],
    ['a kind without a length', '0101 0108', []],
    ['an unknown kind', 'fe04 0000', ['254:4']],
    ['no options', '', []],
  ])('walks %s', (_name, hex, expected) => expect(options(hex)).toEqual(expected));

  test('reads what it writes', () => {
    const view = new DataView(new ArrayBuffer(60));
    tcp.setSrcPort(view, 0, 65535);
    tcp.setDstPort(view, 0, 1);
    tcp.setSeq(view, 0, 0xffffffff);
    tcp.setAck(view, 0, 0x80000000);
    tcp.setHeaderBytes(view, 0, 60);
    tcp.setFlags(view, 0, 0xff);
    tcp.setWindow(view, 0, 65535);
    tcp.setUrgent(view, 0, 7);
    expect([tcp.srcPort(view, 0), tcp.dstPort(view, 0), tcp.seq(view, 0), tcp.ack(view, 0)]).toEqual([
      65535, 1, 0xffffffff, 0x80000000,
    ]);
    expect([tcp.headerBytes(view, 0), tcp.flags(view, 0), tcp.window(view, 0), tcp.urgent(view, 0)]).toEqual([
      60, 0xff, 65535, 7,
    ]);
  });

  test('a walk over random options ends within the header', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 40, maxLength: 40 }), (bytes) => {
        for (const o of options(hexOf(bytes))) expect(Number(o.split(':')[1])).toBeLessThanOrEqual(40);
      }),
      { numRuns: 1000 },
    );
  });
});

test('arp and udp read what they write', () => {
  const view = new DataView(new ArrayBuffer(28));
  arp.writeFixed(view, 0, arp.Operation.Reply);
  ethernet.setMac(view, arp.senderMacAt(0), bytesOf('020000000001'));
  arp.setSenderIp(view, 0, 0x0a000001);
  ethernet.setMac(view, arp.targetMacAt(0), bytesOf('020000000002'));
  arp.setTargetIp(view, 0, 0x0a000002);
  expect(arp.check(view, 0, 28)).toBe(Drop.None);
  expect(hexOf(new Uint8Array(view.buffer))).toBe('00010800060400020200000000010a0000010200000000020a000002');
  expect([arp.operation(view, 0), arp.senderIp(view, 0), arp.targetIp(view, 0)]).toEqual([2, 0x0a000001, 0x0a000002]);

  udp.setSrcPort(view, 0, 68);
  udp.setDstPort(view, 0, 67);
  udp.setLength(view, 0, 8);
  udp.setChecksum(view, 0, 0xffff);
  expect([udp.srcPort(view, 0), udp.dstPort(view, 0), udp.length(view, 0), udp.checksum(view, 0)]).toEqual([
    68, 67, 8, 0xffff,
  ]);
});
