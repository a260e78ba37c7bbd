import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { viewOf } from '../../wire/bytes.ts';
import { type CapturedFrame, PcapReader, SNAPLEN, writePcapHeader, writePcapRecord } from '../../wire/pcap.ts';
import {
  Direction,
  PcapngReader,
  writePcapngInterface,
  writePcapngPacket,
  writePcapngSection,
} from '../../wire/pcapng.ts';
import { frame } from '../kit/frames.ts';
import { bytesOf, hexOf } from '../kit/hex.ts';
import { needTool, runTool } from '../kit/tool.ts';

const TIME_US = 1_700_000_000_123_456;
const FRAMES = [frame({ payload: 10 }), frame({ payload: 1460, v6: true }), frame({ payload: 3, udp: true, tags: 1 })];

const concat = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

const PCAP = concat(
  writePcapHeader(),
  ...FRAMES.map(({ bytes }, i) => writePcapRecord(viewOf(bytes), 0, bytes.length, TIME_US + i)),
);
const PCAPNG = concat(
  writePcapngSection(),
  writePcapngInterface('port-α'),
  writePcapngInterface('port 2'),
  ...FRAMES.map(({ bytes }, i) =>
    writePcapngPacket(viewOf(bytes), 0, bytes.length, TIME_US + i, {
      id: i % 2,
      direction: i % 2 === 0 ? Direction.Inbound : Direction.Outbound,
    }),
  ),
);

type Reader = PcapReader | PcapngReader;

function readAll(reader: Reader, bytes: Uint8Array, chunkBytes: number): (CapturedFrame & { hex: string })[] {
  const out: (CapturedFrame & { hex: string })[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    reader.push(bytes.subarray(at, at + chunkBytes));
    for (let f = reader.next(); f; f = reader.next()) out.push({ ...f, hex: hexOf(f.bytes) });
  }
  return out;
}

const FORMATS: [string, Uint8Array, () => Reader][] = [
  ['pcap', PCAP, () => new PcapReader()],
  ['pcapng', PCAPNG, () => new PcapngReader()],
];

describe.each(FORMATS)('%s', (format, file, make) => {
  test.each([1, 7, 100, 1 << 20])('reads what it writes, in chunks of %i', (chunkBytes) => {
    const reader = make();
    const read = readAll(reader, file, chunkBytes);
    expect(reader.error).toBeUndefined();
    expect(reader.pendingBytes).toBe(0);
    expect(read.map((f) => f.hex)).toEqual(FRAMES.map((f) => hexOf(f.bytes)));
    expect(read.map((f) => f.timeUs)).toEqual([TIME_US, TIME_US + 1, TIME_US + 2]);
    expect(read.every((f) => f.linkType === 1 && f.originalBytes === f.bytes.length)).toBe(true);
  });

  test('a file cut anywhere gives the frames before the cut and no error', () => {
    for (let cut = 0; cut < file.length; cut += cut < 400 ? 1 : 13) {
      const reader = make();
      const read = readAll(reader, file.subarray(0, cut), 1 << 20);
      expect(reader.error).toBeUndefined();
      expect(read.map((f) => f.hex)).toEqual(FRAMES.slice(0, read.length).map((f) => hexOf(f.bytes)));
      expect(read.length).toBeLessThan(3);
    }
  });

  test('random bytes and spoilt files end in frames or an error, never a throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(300), fc.boolean(), (noise, at, isSpoilt) => {
        const bytes = isSpoilt ? file.slice() : noise;
        if (isSpoilt) bytes.set(noise, at);
        const reader = make();
        for (const f of readAll(reader, bytes, 64)) expect(f.bytes.length).toBeLessThanOrEqual(bytes.length);
        expect(['string', 'undefined']).toContain(typeof reader.error);
      }),
      { numRuns: 1000 },
    );
  });

  test('tcpdump reads it', (ctx) => {
    needTool(ctx, 'tcpdump');
    const lines = runTool('tcpdump', ['-nn', '-tt', '-e', '-r', '-'], file).trim().split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toContain('1700000000.123456');
    expect(lines[0]).toContain('10.0.0.1.40000 > 10.0.0.2.5201');
    expect(lines[2]).toContain('vlan 5');
  });

  test('tshark reads it, and finds every checksum right', (ctx) => {
    needTool(ctx, 'tshark');
    const checks = ['ip.check_checksum', 'tcp.check_checksum', 'udp.check_checksum'].flatMap((o) => [
      '-o',
      `${o}:TRUE`,
    ]);
    const fields = [
      'frame.len',
      'frame.time_epoch',
      'frame.interface_name',
      'frame.packet_flags_direction',
      'tcp.checksum.status',
      'udp.checksum.status',
    ];
    const args = ['-r', '-', ...checks, '-T', 'fields', ...fields.flatMap((f) => ['-e', f])];
    const rows = runTool('tshark', args, file)
      .trim()
      .split('\n')
      .map((line) => line.split('\t'));
    expect(rows.map((r) => Number(r[0]))).toEqual(FRAMES.map((f) => f.bytes.length));
    expect(rows[0]![1]).toContain('1700000000.123456');
    if (format === 'pcapng') {
      expect(rows.map((r) => r[2])).toEqual(['port-α', 'port 2', 'port-α']);
      expect(rows.map((r) => Number(r[3]))).toEqual([1, 2, 1]);
    }
    expect(rows.map((r) => r[4] || r[5])).toEqual(['1', '1', '1']); // 1: good
  });
});

describe('pcap from others', () => {
  const build = (magic: number, isLittle: boolean, length = 2): Uint8Array => {
    const view = new DataView(new ArrayBuffer(24 + 16 + 2));
    view.setUint32(0, magic, isLittle);
    view.setUint16(4, 2, isLittle);
    view.setUint32(20, 0x2400_0001, isLittle); // FCS bits above the link type
    view.setUint32(24, 7, isLittle);
    view.setUint32(28, 123_456, isLittle);
    view.setUint32(32, length, isLittle);
    view.setUint32(36, 60, isLittle);
    return new Uint8Array(view.buffer);
  };

  test.each([
    ['µs, little-endian', 0xa1b2c3d4, true, 7_123_456],
    ['µs, big-endian', 0xa1b2c3d4, false, 7_123_456],
    ['ns, little-endian', 0xa1b23c4d, true, 7_000_123],
    ['ns, big-endian', 0xa1b23c4d, false, 7_000_123],
  ])('reads %s', (_name, magic, isLittle, timeUs) => {
    const [read] = readAll(new PcapReader(), build(magic, isLittle), 5);
    expect([read?.timeUs, read?.originalBytes, read?.linkType]).toEqual([timeUs, 60, 1]);
  });

  test.each([
    ['no magic', bytesOf('00'.repeat(24)), 'not a capture: it begins with 0x00000000'],
    [
      'a record of 4 GiB',
      build(0xa1b2c3d4, true, 0xffffffff),
      `record 0: 4294967295 bytes, at most ${SNAPLEN} are read`,
    ],
    ['one byte too many', build(0xa1b2c3d4, true, SNAPLEN + 1), `record 0: 262145 bytes, at most ${SNAPLEN} are read`],
    ['another version', build(0xa1b2c3d4, true).fill(9, 4, 6), 'version 2313, only 2 is read'],
  ])('refuses %s for good', (_name, bytes, error) => {
    const reader = new PcapReader();
    expect(readAll(reader, bytes, 1000)).toEqual([]);
    expect(reader.error).toBe(error);
    expect(readAll(reader, PCAP, 1000)).toEqual([]);
  });

  test('takes a record of the largest size', () => {
    const big = new Uint8Array(SNAPLEN);
    const bytes = concat(writePcapHeader(), writePcapRecord(viewOf(big), 0, SNAPLEN, 0));
    expect(readAll(new PcapReader(), bytes, 4096)[0]?.bytes.length).toBe(SNAPLEN);
  });

  test('pcapng takes a frame of the largest size, and none longer', () => {
    for (const [length, error] of [
      [SNAPLEN, undefined],
      [SNAPLEN + 1, `block 2: ${SNAPLEN + 1} bytes captured, at most ${SNAPLEN} are read`],
    ] as const) {
      const packet = writePcapngPacket(viewOf(new Uint8Array(length)), 0, length, 0);
      const reader = new PcapngReader();
      const read = readAll(reader, concat(writePcapngSection(), writePcapngInterface('a'), packet), 1 << 16);
      expect([read.length, reader.error]).toEqual([error === undefined ? 1 : 0, error]);
    }
  });

  test('reads what tshark converts', (ctx) => {
    needTool(ctx, 'tshark');
    for (const type of ['nsecpcap', 'pcap']) {
      const bytes = Buffer.from(runTool('sh', ['-c', `cat | tshark -r - -F ${type} -w - | base64`], PCAPNG), 'base64');
      expect(readAll(new PcapReader(), bytes, 1000).map((f) => f.hex)).toEqual(FRAMES.map((f) => hexOf(f.bytes)));
    }
    const bytes = Buffer.from(runTool('sh', ['-c', 'cat | tshark -r - -F pcapng -w - | base64'], PCAP), 'base64');
    const read = readAll(new PcapngReader(), bytes, 1000);
    expect(read.map((f) => [f.hex, f.timeUs])).toEqual(FRAMES.map((f, i) => [hexOf(f.bytes), TIME_US + i]));
  });
});

describe('pcapng from others', () => {
  const section = '0a0d0d0a 0000001c 1a2b3c4d 0001 0000 ffffffffffffffff 0000001c';
  const nano = '00000001 00000020 0001 0000 00000000 0009 0001 09000000 0000 0000 00000020';
  const packet = '00000006 00000024 00000000 00000001 00000000 00000002 00000040 abcd0000 00000024';

  test('reads big-endian, nanoseconds, and skips blocks that it does not know', () => {
    const unknown = '00000bad 00000010 12345678 00000010';
    const read = readAll(new PcapngReader(), bytesOf(section + unknown + nano + unknown + packet), 3);
    expect(read.map((f) => [f.hex, f.timeUs, f.originalBytes, f.direction])).toEqual([['abcd', 4_294_967, 64, 0]]);
  });

  test('numbers the interfaces of each section anew', () => {
    const reader = new PcapngReader();
    readAll(reader, bytesOf(section + nano + section), 1000);
    expect(reader.interfaces).toEqual([]);
    expect(readAll(reader, bytesOf(packet), 1000)).toEqual([]);
    expect(reader.error).toBe('block 3: a packet on interface 0 of 0');
  });

  test('reads a simple packet', () => {
    const simple = '00000003 00000014 00000002 abcd0000 00000014';
    expect(readAll(new PcapngReader(), bytesOf(section + nano + simple), 1000)[0]?.hex).toBe('abcd');
  });

  test.each([
    ['no section', packet, 'not a pcapng file'],
    ['a length of 8', `${section} 00000bad 00000008 00000008`, 'block 1: a length of 8'],
    ['a length that is no multiple of 4', `${section} 00000bad 0000000d 0000000d`, 'block 1: a length of 13'],
    ['a block of 4 GiB', `${section} 00000bad fffffffc 00000000`, 'block 1: 4294967292 bytes'],
    ['a block one step too long', `${section} 00000bad 00050004 00000000`, 'block 1: 327684 bytes, at most 327680'],
    ['two lengths', `${section} 00000bad 0000000c 0000000d`, 'its two lengths differ'],
    ['no byte order', section.replace('1a2b3c4d', '1a2b3c4e'), 'a section with no byte order'],
    ['another version', section.replace('0001 0000', '0002 0000'), 'version 2'],
    [
      'captured bytes past the block',
      section + nano + packet.replace('00000002 00000040', '00000005 00000040'),
      '5 bytes captured',
    ],
  ])('refuses %s', (_name, hex, error) => {
    const reader = new PcapngReader();
    expect(readAll(reader, bytesOf(hex), 1000)).toEqual([]);
    expect(reader.error).toContain(error);
  });
});
