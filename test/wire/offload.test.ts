import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Burst, PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import { Slab } from '../../core/slab.ts';
import { setU16, setU16le, u16le } from '../../wire/bytes.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import {
  checkOffload,
  checksumStart,
  Gso,
  Offloader,
  OffloadFlag,
  offloadFlags,
  shiftOffload,
  writeGso,
  writeNeedsChecksum,
  writePlain,
} from '../../wire/offload.ts';
import { writePcapHeader, writePcapRecord } from '../../wire/pcap.ts';
import * as tcp from '../../wire/tcp.ts';
import { type Frame, faultOf, partialFrame, type Shape } from '../kit/frames.ts';
import { needTool, runTool } from '../kit/tool.ts';

const HDR = 64;
const AT = 128;
const INTO = 1 << 17;
const INTO_BYTES = 1 << 18;

const slab = new Slab({ bytesMax: 1 << 19 });
const offloader = new Offloader(slab);

function place(shape: Shape, segmentBytes: number): Frame {
  const made = partialFrame(shape);
  slab.bytes.set(made.bytes, AT);
  writeNeedsChecksum(slab.view, HDR, made.transport, shape.udp ? 6 : 16);
  const type = shape.udp ? Gso.UdpL4 : shape.v6 ? Gso.Tcp6 : Gso.Tcp4;
  if (segmentBytes > 0) writeGso(slab.view, HDR, type, made.headerBytes, segmentBytes);
  return made;
}

const checked = (length: number): Drop => checkOffload(slab.view, HDR, AT, length);

describe('checkOffload', () => {
  test.each<[string, Shape]>([
    ['tcp4', { payload: 3000 }],
    ['tcp6', { payload: 3000, v6: true }],
    ['udp4', { payload: 3000, udp: true }],
    ['udp6 in two tags', { payload: 3000, udp: true, v6: true, tags: 2 }],
    ['tcp4 with options', { payload: 3000, options: 12, ipOptions: 8 }],
  ])('takes a super-frame of %s, and no truncation of its headers', (_name, shape) => {
    const made = place(shape, 1000);
    expect(checked(made.bytes.length)).toBe(Drop.None);
    for (let length = 0; length < made.bytes.length; length += length < 120 ? 1 : 97) {
      expect(checked(length)).toBe(Drop.RxOffload);
    }
  });

  test.each<[string, number, () => void]>([
    ['a size of zero', Drop.RxOffload, () => setU16le(slab.view, HDR + 4, 0)],
    ['an unknown type', Drop.RxOffload, () => slab.view.setUint8(HDR + 1, 3)],
    ['the ECN bit alone', Drop.RxOffload, () => slab.view.setUint8(HDR + 1, 0x80)],
    ['the ECN bit with TCP', Drop.None, () => slab.view.setUint8(HDR + 1, 0x81)],
    ['the ECN bit with UDP', Drop.RxOffload, () => slab.view.setUint8(HDR + 1, 0x85)],
    ['a type of the other family', Drop.RxOffload, () => slab.view.setUint8(HDR + 1, Gso.Tcp6)],
    ['a type of the other protocol', Drop.RxOffload, () => slab.view.setUint8(HDR + 1, Gso.UdpL4)],
    ['headers longer than the frame', Drop.RxOffload, () => setU16le(slab.view, HDR + 2, 2000)],
    ['a checksum elsewhere', Drop.RxOffload, () => setU16le(slab.view, HDR + 6, 33)],
    ['a checksum field elsewhere', Drop.RxOffload, () => setU16le(slab.view, HDR + 8, 15)],
    ['a checksum past the end', Drop.RxOffload, () => setU16le(slab.view, HDR + 8, 0xffff)],
    ['no checksum to complete', Drop.None, () => slab.view.setUint8(HDR, 0)],
    ['a fragment', Drop.RxOffload, () => ipv4.setFragment(slab.view, AT + 14, ipv4.MORE_FRAGMENTS)],
    ['another ethertype', Drop.RxOffload, () => setU16(slab.view, AT + 12, 0x0806)],
    ['a total length past the end', Drop.RxOffload, () => ipv4.setTotalLength(slab.view, AT + 14, 1500)],
    ['a total length within the headers', Drop.RxOffload, () => ipv4.setTotalLength(slab.view, AT + 14, 30)],
  ])('judges %s', (_name, expected, spoil) => {
    const made = place({ payload: 1000 }, 500);
    spoil();
    expect(checked(made.bytes.length)).toBe(expected);
  });

  test('judges a frame that is not split by its checksum only', () => {
    const made = place({ payload: 10 }, 0);
    expect(checked(made.bytes.length)).toBe(Drop.None);
    setU16le(slab.view, HDR + 6, made.bytes.length - 17);
    expect(checked(made.bytes.length)).toBe(Drop.RxOffload);
    setU16le(slab.view, HDR + 6, made.bytes.length - 18);
    expect(checked(made.bytes.length)).toBe(Drop.None);
    setU16le(slab.view, HDR + 6, 13);
    expect(checked(made.bytes.length)).toBe(Drop.RxOffload);
    writePlain(slab.view, HDR);
    expect(checked(14)).toBe(Drop.None);
    expect(checked(13)).toBe(Drop.RxOffload);
  });

  test('survives random headers and frames, and what it takes can be worked on', () => {
    const out = new Burst(64);
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 10, maxLength: 10 }),
        fc.uint8Array({ maxLength: 200 }),
        fc.boolean(),
        (header, bytes, isSeeded) => {
          const made = place({ payload: 200 }, 100);
          if (!isSeeded) slab.bytes.set(header, HDR);
          slab.bytes.set(bytes, AT + (isSeeded ? 12 : 0));
          out.count = 0;
          if (checked(made.bytes.length) !== Drop.None) return;
          if (offloader.isSuper(HDR)) offloader.segment(HDR, AT, made.bytes.length, INTO, INTO_BYTES, out);
          else expect(offloader.complete(HDR, AT, made.bytes.length)).toBe(Drop.None);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

test.each<Shape>([
  { payload: 0 },
  { payload: 1 },
  { payload: 1460 },
  { payload: 77, v6: true },
  { payload: 5, udp: true, tags: 1 },
])('completes a checksum once, however often it is asked: %o', (shape) => {
  const { length } = place(shape, 0).bytes;
  for (let i = 0; i < 3; i++) {
    expect(offloader.complete(HDR, AT, length)).toBe(Drop.None);
    expect(faultOf(slab.view, AT, length)).toBe('');
    expect(offloadFlags(slab.view, HDR)).toBe(OffloadFlag.DataValid);
  }
});

test('a UDP checksum that computes to zero is written as ones', () => {
  const made = place({ payload: 2, udp: true }, 0);
  setU16(slab.view, AT + made.headerBytes, 0);
  offloader.complete(HDR, AT, made.bytes.length);
  const sum = slab.view.getUint16(AT + made.transport + 6);
  place({ payload: 2, udp: true }, 0);
  setU16(slab.view, AT + made.headerBytes, sum); // now the whole sums to 0xffff before it is inverted
  offloader.complete(HDR, AT, made.bytes.length);
  expect(slab.view.getUint16(AT + made.transport + 6)).toBe(0xffff);
  expect(faultOf(slab.view, AT, made.bytes.length)).toBe('');
});

test('a tag that is pushed and popped moves the offsets there and back', () => {
  const made = place({ payload: 3000 }, 1000);
  shiftOffload(slab.view, HDR, 4);
  expect([checksumStart(slab.view, HDR), u16le(slab.view, HDR + 2)]).toEqual([
    made.transport + 4,
    made.headerBytes + 4,
  ]);
  shiftOffload(slab.view, HDR, -4);
  expect(checked(made.bytes.length)).toBe(Drop.None);
  writePlain(slab.view, HDR);
  shiftOffload(slab.view, HDR, 4);
  expect(slab.bytes.subarray(HDR, HDR + 10)).toEqual(new Uint8Array(10));
});

describe('segment', () => {
  const { Fin, Psh, Ack, Cwr, Ece } = tcp.Flag;

  test('FIN and PSH go with the last segment, CWR with the first, the rest with all', () => {
    const { length } = place({ payload: 2500, flags: Fin | Psh | Ack | Cwr | Ece, seq: 0xffff_fc00 }, 1000).bytes;
    const out = new Burst(8);
    expect(offloader.segment(HDR, AT, length, INTO, INTO_BYTES, out)).toBe(Drop.None);
    const rows = [0, 1, 2].map((k) => {
      const t = out.at[k]! + 34;
      return [
        out.length[k],
        tcp.seq(slab.view, t),
        tcp.flags(slab.view, t),
        ipv4.id(slab.view, t - 20),
        out.offload[k],
      ];
    });
    expect(rows).toEqual([
      [1054, 0xffff_fc00, Ack | Cwr | Ece, 0xfffe, PLAIN],
      [1054, 0xffff_ffe8, Ack | Ece, 0xffff, PLAIN],
      [554, 0x3d0, Fin | Psh | Ack | Ece, 0, PLAIN],
    ]);
  });

  test('needs exactly the memory that it fills, and takes no part of too little', () => {
    const made = place({ payload: 2500 }, 1000);
    const bytes = 3 * (4 + made.headerBytes) + 2500;
    const out = new Burst(3);
    expect(offloader.segment(HDR, AT, made.bytes.length, INTO, bytes - 1, out)).toBe(Drop.NoMemory);
    expect(out.count).toBe(0);
    slab.bytes.fill(0xee, INTO + bytes, INTO + bytes + 64);
    expect(offloader.segment(HDR, AT, made.bytes.length, INTO, bytes, out)).toBe(Drop.None);
    expect(slab.bytes.subarray(INTO + bytes, INTO + bytes + 64).every((b) => b === 0xee)).toBe(true);
    expect(offloader.segment(HDR, AT, made.bytes.length, INTO, bytes, out)).toBe(Drop.NoMemory); // the burst is full
    expect(out.count).toBe(3);
  });

  test('leaves out the padding of a short frame', () => {
    const made = place({ payload: 1 }, 1000);
    const out = new Burst(1);
    expect(offloader.segment(HDR, AT, made.bytes.length + 5, INTO, INTO_BYTES, out)).toBe(Drop.None);
    expect(out.length[0]).toBe(made.bytes.length);
  });

  test('every frame is right, and together they are the super-frame', () => {
    const out = new Burst(1024);
    const shapes = fc.record({
      v6: fc.boolean(),
      udp: fc.boolean(),
      tags: fc.nat(2),
      options: fc.nat(10).map((n) => 4 * n),
      ipOptions: fc.nat(10).map((n) => 4 * n),
      payload: fc.oneof(fc.nat(4000), fc.nat(65000)),
      flags: fc.nat(255),
      seq: fc.nat(0xffff_ffff),
      id: fc.nat(0xffff),
    });
    fc.assert(
      fc.property(shapes, fc.integer({ min: 100, max: 9000 }), (shape, segmentBytes) => {
        const made = place(shape, segmentBytes);
        out.count = 0;
        expect(checked(made.bytes.length)).toBe(Drop.None);
        expect(offloader.segment(HDR, AT, made.bytes.length, INTO, INTO_BYTES, out)).toBe(Drop.None);
        expect(out.count).toBe(Math.max(1, Math.ceil(shape.payload / segmentBytes)));
        let next = INTO + 4;
        let done = 0;
        for (let k = 0; k < out.count; k++) {
          const at = out.at[k]!;
          const length = out.length[k]!;
          const payload = length - made.headerBytes;
          expect(at).toBe(next);
          expect(faultOf(slab.view, at, length)).toBe('');
          const sent = slab.bytes.subarray(at + made.headerBytes, at + length);
          const given = made.bytes.subarray(made.headerBytes + done, made.headerBytes + done + payload);
          expect(Buffer.compare(sent, given)).toBe(0);
          next = at + length + 4;
          done += payload;
        }
        expect(done).toBe(shape.payload);
        expect(Buffer.compare(slab.bytes.subarray(AT, AT + made.bytes.length), made.bytes)).toBe(0);
      }),
      { numRuns: 400 },
    );
  });

  test('tshark finds every checksum right and no frame malformed', (ctx) => {
    needTool(ctx, 'tshark');
    const parts: Uint8Array[] = [writePcapHeader()];
    const out = new Burst(64);
    let frames = 0;
    for (const shape of [{}, { v6: true }, { udp: true }, { udp: true, v6: true, tags: 2 }, { options: 12, tags: 1 }]) {
      const made = place({ ...shape, payload: 4001, flags: Fin | Ack }, 1448);
      out.count = 0;
      expect(offloader.segment(HDR, AT, made.bytes.length, INTO, INTO_BYTES, out)).toBe(Drop.None);
      for (let k = 0; k < out.count; k++) parts.push(writePcapRecord(slab.view, out.at[k]!, out.length[k]!, frames++));
    }
    const checks = ['ip.check_checksum', 'tcp.check_checksum', 'udp.check_checksum'].flatMap((o) => [
      '-o',
      `${o}:TRUE`,
    ]);
    const args = [
      '-r',
      '-',
      ...checks,
      '-T',
      'fields',
      '-e',
      'ip.checksum.status',
      '-e',
      'tcp.checksum.status',
      '-e',
      'udp.checksum.status',
      '-e',
      '_ws.malformed',
    ];
    const rows = runTool('tshark', args, Buffer.concat(parts))
      .split('\n')
      .filter((row) => row !== '')
      .map((row) => row.split('\t'));
    expect(rows).toHaveLength(frames);
    for (const [ip, tcpSum, udpSum, malformed] of rows) {
      expect(['1', '']).toContain(ip); // IPv6 has none
      expect(`${tcpSum}${udpSum}`).toBe('1');
      expect(malformed ?? '').toBe('');
    }
  });
});
