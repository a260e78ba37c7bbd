import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Drop } from '../../core/drop.ts';
import { readAscii, writeAscii, writeHexdump } from '../../wire/ascii.ts';
import { viewOf } from '../../wire/bytes.ts';
import { writePcapHeader, writePcapRecord } from '../../wire/pcap.ts';
import { printFrame } from '../../wire/print.ts';
import { Flag } from '../../wire/tcp.ts';
import { frame } from '../kit/frames.ts';
import { bytesOf, hexOf, viewOfHex } from '../kit/hex.ts';
import { needTool, runTool } from '../kit/tool.ts';

const ETH = '020000000002 020000000001';
const MACS = '02:00:00:00:00:01 > 02:00:00:00:00:02';
const ARP = '0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002';
const ip4 = (protocol: string, payload: string, fragment = '0000'): string => {
  const total = (20 + bytesOf(payload).length).toString(16).padStart(4, '0');
  const fixed = `4500 ${total} 0007 ${fragment} 40${protocol} 0000 0a000001 0a000002`;
  let sum = 0;
  const view = viewOfHex(fixed);
  for (let i = 0; i < 20; i += 2) sum += view.getUint16(i);
  sum = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
  return `${ETH} 0800 4500 ${total} 0007 ${fragment} 40${protocol} ${sum.toString(16).padStart(4, '0')} 0a000001 0a000002 ${payload}`;
};
const ip6 = (next: string, payload: string): string => {
  const bytes = bytesOf(payload).length.toString(16).padStart(4, '0');
  return `${ETH} 86dd 6000 0000 ${bytes} ${next} ff fe80000000000000 0000000000000001 ff020000000000000000000000000001 ${payload}`;
};
const DHCP = `0044 0043 00fc 0000 ${'00'.repeat(236)} 63825363 350101 ff`;

const LINES: [string, string][] = [
  [
    `ffffffffffff 020000000001 8100 6005 0806 ${ARP}`,
    '02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff vlan 5 p 3 arp who-has 10.0.0.2 tell 10.0.0.1',
  ],
  [`${ETH} 88a8 1064 8100 0005 88b5 00`, `${MACS} vlan 100 p 0 dei vlan 5 p 0 type 0x88b5 length 1`],
  [`${ETH} 0806 ${ARP.replace('04 0001', '04 0002')}`, `${MACS} arp 10.0.0.1 is-at 02:00:00:00:00:01`],
  [`${ETH} 0806 ${ARP.replace('0001 0800', '0006 0800')}`, `${MACS} arp [arp-format]`],
  [`${ETH} 0026 42 42 03`, `${MACS} llc length 38`],
  ['0200', '[eth-truncated] length 2'],
  [`${ETH} 8100 0005`, `${MACS} [vlan-truncated]`],
  [ip4('01', '0800 0000 1234 0001 6162'), `${MACS} ip 10.0.0.1 > 10.0.0.2 icmp echo request id 4660 seq 1 length 10`],
  [
    ip4('01', '0304 0000 0000 05dc'),
    `${MACS} ip 10.0.0.1 > 10.0.0.2 icmp unreachable fragmentation needed mtu 1500 length 8`,
  ],
  [ip4('01', '0303 0000 0000 0000'), `${MACS} ip 10.0.0.1 > 10.0.0.2 icmp unreachable port length 8`],
  [ip4('01', '0800 00'), `${MACS} ip 10.0.0.1 > 10.0.0.2 icmp [icmp-truncated]`],
  [ip4('11', '0035 9c40 000a 0000 0102'), `${MACS} ip 10.0.0.1.53 > 10.0.0.2.40000 udp length 2`],
  [ip4('11', '0035 9c40 000b 0000 0102'), `${MACS} ip 10.0.0.1 > 10.0.0.2 udp [udp-length]`],
  [ip4('11', DHCP), `${MACS} ip 10.0.0.1.68 > 10.0.0.2.67 dhcp discover length 244`],
  [ip4('11', '0044 0043 0008 0000'), `${MACS} ip 10.0.0.1.68 > 10.0.0.2.67 bootp length 0`],
  [ip4('11', '0000 0000 0000 0000', '20b9'), `${MACS} ip 10.0.0.1 > 10.0.0.2 protocol 17 length 8 frag 7@1480+`],
  [ip4('11', '0035 9c40 000a 0000 0102', '2000'), `${MACS} ip 10.0.0.1.53 > 10.0.0.2.40000 udp length 2 frag 7@0+`],
  [ip4('2f', '0000'), `${MACS} ip 10.0.0.1 > 10.0.0.2 protocol 47 length 2`],
  [ip4('06', '9c40'), `${MACS} ip 10.0.0.1 > 10.0.0.2 tcp [tcp-truncated]`],
  [
    ip4('06', '9c40 1451 00000001 00000000 a002 ffff 0000 0000 020405b4 0402 080a 00000001 00000002 01 030307'),
    `${MACS} ip 10.0.0.1.40000 > 10.0.0.2.5201 tcp [S] seq 1 win 65535 <mss 1460,sackOK,ts 1 2,wscale 7> length 0`,
  ],
  [
    ip4('06', '9c40 1451 ffffffff 00000002 8018 0001 0000 0000 0101 050a 00000005 00000009 6162'),
    `${MACS} ip 10.0.0.1.40000 > 10.0.0.2.5201 tcp [P.] seq 4294967295:1 ack 2 win 1 <sack 5:9> length 2`,
  ],
  [ip4('06', '0000').replace(/.{4} 0a000001/, 'ffff 0a000001'), `${MACS} ip [ip4-checksum]`],
  [
    ip6('3a', `8700 0000 0000 0000 fe80000000000000 0000000000000002`),
    `${MACS} ip6 fe80::1 > ff02::1 icmp6 neighbor solicitation who-has fe80::2 length 24`,
  ],
  [ip6('3a', '8500 0000 0000 0000'), `${MACS} ip6 fe80::1 > ff02::1 icmp6 router solicitation length 8`],
  [ip6('3a', '0200 0000 0000 0500'), `${MACS} ip6 fe80::1 > ff02::1 icmp6 packet too big mtu 1280 length 8`],
  [ip6('3a', '8700 0000 0000 0000'), `${MACS} ip6 fe80::1 > ff02::1 icmp6 [icmp-truncated]`],
  [
    ip6('00', '3a00 0502 0000 0100 8f00 0000 0000 0000'),
    `${MACS} ip6 fe80::1 > ff02::1 icmp6 listener report v2 length 8`,
  ],
  [ip6('2c', '1100 05a9 00000007 0000'), `${MACS} ip6 fe80::1 > ff02::1 protocol 17 length 10 frag 7@1448+`],
  [ip6('00', '3a01 0502 0000 0100'), `${MACS} ip6 fe80::1 > ff02::1 [ip6-extension]`],
  [ip6('11', '0222 0223 0009 0000 01'), `${MACS} ip6 fe80::1.546 > ff02::1.547 dhcp6 solicit length 1`],
];

test.each(LINES)('%s', (hex, line) => {
  const view = viewOfHex(hex);
  expect(printFrame(view, 0, view.byteLength)).toBe(line);
});

test('names a reason or the frame, cut at any byte', () => {
  for (const [hex] of LINES) {
    const bytes = bytesOf(hex);
    for (let cut = 0; cut < bytes.length; cut++) {
      // A view that ends at the cut: reading further would throw.
      expect(printFrame(new DataView(bytes.buffer, 0, cut), 0, cut)).not.toContain('\n');
    }
  }
});

test('says something about every sequence of bytes', () => {
  const types = fc.constantFrom('0800 45', '86dd 60', '0806', '8100 0001 0800 45', '88a8 0001 8100 0002 86dd 60', '');
  fc.assert(
    fc.property(types, fc.uint8Array({ maxLength: 120 }), (type, tail) => {
      const view = viewOf(new Uint8Array([...bytesOf(ETH), ...bytesOf(type), ...tail]));
      expect(printFrame(view, 0, view.byteLength).length).toBeGreaterThan(0);
    }),
    { numRuns: 2000 },
  );
});

test('the fields are those that tcpdump sees', (ctx) => {
  needTool(ctx, 'tcpdump');
  const { bytes } = frame({ payload: 100, flags: Flag.Psh | Flag.Ack, seq: 1000, tags: 1 });
  const capture = Buffer.concat([writePcapHeader(), writePcapRecord(viewOf(bytes), 0, bytes.length, 0)]);
  const theirs = runTool('tcpdump', ['-nn', '-S', '-e', '-vv', '-r', '-'], capture);
  const ours = printFrame(viewOf(bytes), 0, bytes.length);
  expect(ours).toBe(
    `${MACS} vlan 5 p 0 ip 10.0.0.1.40000 > 10.0.0.2.5201 tcp [P.] seq 1000:1100 ack 2 win 502 length 100`,
  );
  for (const part of [
    '02:00:00:00:00:01 > 02:00:00:00:00:02',
    'vlan 5, p 0',
    '10.0.0.1.40000 > 10.0.0.2.5201',
    '[P.]',
    'seq 1000:1100',
    'ack 2',
    'win 502',
    '(correct)',
  ]) {
    expect(theirs).toContain(part);
  }
  expect(theirs).not.toContain('bad cksum');
});

test('writes a frame in the form of EtherPIPE', () => {
  const view = viewOfHex(`${ETH} 88b5 0a ff`);
  expect(writeAscii(view, 0, 16)).toBe('020000000002 020000000001 88B5 0A FF\n');
  expect(writeAscii(view, 0, 16, 0x1234)).toBe('0000000000001234 020000000002 020000000001 88B5 0A FF\n');
});

test.each<[string, string, string, number | undefined]>([
  ['its own form', '020000000002 020000000001 88B5 0A FF', '02000000000202000000000188b50aff', undefined],
  ['a time', '0000000000001234 020000000002 020000000001 88B5', '02000000000202000000000188b5', 0x1234],
  [
    'lower case, odd blanks, a return and a comment',
    ' 02 0000 000002\t020000000001 88 b5 # hello\r',
    '02000000000202000000000188b5',
    undefined,
  ],
  ['no blanks at all', '02000000000202000000000188b500010203', '02000000000202000000000188b500010203', undefined],
  ['nothing', '', '', undefined],
  ['a comment', '  # nothing here', '', undefined],
])('reads %s', (_name, line, hex, timeUs) => {
  const target = new Uint8Array(64);
  const read = readAscii(line, target, 3, 61);
  expect([read.drop, read.timeUs]).toEqual([Drop.None, timeUs]);
  expect(hexOf(target.subarray(3, 3 + read.length))).toBe(hex);
});

test.each([
  ['an odd digit', '020000000002 020000000001 88B5 0', Drop.RxLength],
  ['a letter that is no digit', '020000000002 02000000000G 88B5', Drop.RxLength],
  ['less than a header', '020000000002 020000000001 88', Drop.Runt],
  ['more than there is room for', `020000000002 020000000001 88B5 ${'00'.repeat(51)}`, Drop.RxLength],
])('refuses %s', (_name, line, drop) => {
  expect(readAscii(line, new Uint8Array(64), 0, 64)).toEqual({ drop, length: 0, timeUs: undefined });
});

test('what is written is read again', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 14, maxLength: 200 }),
      fc.option(fc.nat(2 ** 31), { nil: undefined }),
      (bytes, timeUs) => {
        const target = new Uint8Array(200);
        const read = readAscii(writeAscii(viewOf(bytes), 0, bytes.length, timeUs).trimEnd(), target, 0, 200);
        expect([read.drop, read.length, read.timeUs]).toEqual([Drop.None, bytes.length, timeUs]);
        expect(target.subarray(0, read.length)).toEqual(bytes);
      },
    ),
    { numRuns: 300 },
  );
});

test('no line makes the reader throw or write past its room', () => {
  const alphabet = fc.constantFrom('0', 'A', 'f', ' ', '#', 'x', '\t', '020000000002 ', '0000000000000001 ');
  fc.assert(
    fc.property(fc.array(alphabet, { maxLength: 60 }), (parts) => {
      const target = new Uint8Array(32);
      const read = readAscii(parts.join(''), target, 0, 20);
      expect(read.length).toBeLessThanOrEqual(20);
      expect(target.subarray(20).every((b) => b === 0)).toBe(true);
    }),
    { numRuns: 1000 },
  );
});

test('a hexdump is read by text2pcap', (ctx) => {
  needTool(ctx, 'text2pcap');
  needTool(ctx, 'tcpdump');
  const view = viewOf(frame({ payload: 30 }).bytes);
  const dump = writeHexdump(view, 0, view.byteLength) + writeHexdump(view, 0, view.byteLength);
  const capture = Buffer.from(runTool('sh', ['-c', 'text2pcap -q -F pcap - - | base64'], dump), 'base64');
  const lines = runTool('tcpdump', ['-nn', '-r', '-'], capture).trim().split('\n');
  expect(lines).toHaveLength(2);
  for (const line of lines) expect(line).toContain('10.0.0.1.40000 > 10.0.0.2.5201');
});
