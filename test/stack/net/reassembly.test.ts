import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { StateReader, StateWriter } from '../../../core/state.ts';
import { ip, NetKit, packet4, packet6, UDP, udpData } from '../kit-net.ts';

const S = 1_000_000;

interface Piece {
  readonly start: number;
  readonly bytes: number;
  readonly more: boolean;
  readonly id?: number;
  readonly ecn?: number;
}

/** A piece of `whole`. */
function piece(isIp6: boolean, whole: Uint8Array, { start, bytes, more, id = 1, ecn = 0 }: Piece): Uint8Array {
  const data = whole.slice(start, start + bytes);
  if (!isIp6) return packet4({ id, data, tos: ecn, fragment: (start >>> 3) | (more ? 0x2000 : 0) });
  const word = start | (more ? 1 : 0);
  const header = [UDP, 0, word >>> 8, word & 255, 0, 0, 0, id];
  return packet6({ next: 44, trafficClass: ecn, data: Uint8Array.of(...header, ...data) });
}

const give = (kit: NetKit, isIp6: boolean, whole: Uint8Array, ...pieces: Piece[]): Drop[] =>
  pieces.map((one) => kit.receive(piece(isIp6, whole, one)));

const THREE: Piece[] = [
  { start: 0, bytes: 64, more: true },
  { start: 64, bytes: 64, more: true },
  { start: 128, bytes: 13, more: false },
];
const WHOLE = udpData(141);
const FAMILIES = [['IPv4', false] as const, ['IPv6', true] as const];
const orders = [
  [0, 1, 2],
  [2, 1, 0],
  [1, 0, 2],
  [1, 2, 0],
  [0, 2, 1],
  [2, 0, 1],
];

for (const [family, isIp6] of FAMILIES) {
  test.each(orders)(
    `RFC 791 §3.2, RFC 8200 §4.5: ${family} pieces in the order %i %i %i are one packet`,
    (...order) => {
      const kit = new NetKit();
      const used = kit.slab.usedBytes;
      expect(give(kit, isIp6, WHOLE, ...order.map((i) => THREE[i]!))).toEqual([0, 0, 0]);
      expect(kit.udp.packets).toMatchObject([{ bytes: WHOLE, protocolOffset: isIp6 ? 6 : 9 }]);
      expect(kit.slab.usedBytes).toBe(used);
      expect(kit.reassembly.deadlineUs()).toBe(Infinity);
    },
  );

  test(`RFC 5722 §4: an ${family} packet whose pieces overlap is discarded whole`, () => {
    const kit = new NetKit();
    const overlap = { start: 56, bytes: 72, more: true };
    expect(give(kit, isIp6, WHOLE, THREE[0]!, overlap)).toEqual([Drop.None, Drop.FragmentOverlap]);
    give(kit, isIp6, WHOLE, THREE[1]!, THREE[2]!);
    expect(kit.udp.packets).toEqual([]);
    expect(kit.sent()).toEqual([]);
  });

  test(`RFC 8200 §4.5: an ${family} piece that came twice does no harm`, () => {
    const kit = new NetKit();
    give(kit, isIp6, WHOLE, THREE[0]!, THREE[0]!, THREE[2]!, THREE[2]!, THREE[1]!);
    expect(kit.udp.packets).toMatchObject([{ bytes: WHOLE }]);
  });

  test(`RFC 5722: a part of what came is an overlap, not a repetition (${family})`, () => {
    const kit = new NetKit();
    expect(give(kit, isIp6, WHOLE, THREE[0]!, { start: 16, bytes: 16, more: true })).toEqual([0, Drop.FragmentOverlap]);
  });

  test.each([
    ['a second end', [THREE[2]!, { start: 128, bytes: 5, more: false }]],
    [
      'an end before what came',
      [
        { start: 136, bytes: 8, more: true },
        { start: 8, bytes: 8, more: false },
      ],
    ],
    ['data behind the end', [THREE[2]!, { start: 136, bytes: 8, more: true }]],
  ])(`${family}: %s makes the packet go`, (_, pieces) => {
    const kit = new NetKit();
    expect(give(kit, isIp6, udpData(200), ...pieces)).toEqual([Drop.None, Drop.FragmentOverlap]);
    expect(kit.reassembly.usedBytes).toBe(0);
  });

  const wait = 60 * S;
  test.each([
    ['with', [THREE[0]!], 1],
    ['without', [THREE[1]!], 0],
  ])(`RFC 1122 §3.3.2, RFC 8200 §4.5: ${family} time is over, told %s the first piece`, (_, pieces, count) => {
    const kit = new NetKit();
    give(kit, isIp6, WHOLE, ...pieces);
    expect(kit.reassembly.deadlineUs()).toBe(wait);
    kit.shared.nowUs = wait - 1;
    kit.reassembly.expire();
    expect(kit.sent().length).toBe(0);
    expect(kit.reassembly.usedBytes).toBeGreaterThan(0);
    kit.shared.nowUs = wait;
    kit.reassembly.expire();
    const sent = kit.sent();
    expect(sent.length).toBe(count);
    expect(kit.reassembly.usedBytes).toBe(0);
    if (count === 0) return;
    const at = isIp6 ? 40 : 20;
    expect([...sent[0]!.slice(at, at + 2)]).toEqual(isIp6 ? [3, 1] : [11, 1]);
    expect(sent[0]!.slice(at + 8)).toEqual(piece(isIp6, WHOLE, THREE[0]!)); // as it came
  });

  test.each([
    [[2, 3, 2], 3],
    [[1, 2, 1], -1],
    [[0, 3, 2], undefined],
    [[0, 0, 0], 0],
  ])(`RFC 3168 §5.3: ${family} pieces with ECN %j`, (marks, ecn) => {
    const kit = new NetKit();
    give(kit, isIp6, WHOLE, ...THREE.map((one, i) => ({ ...one, ecn: marks[i]! })));
    if (ecn === undefined) expect(kit.udp.packets).toEqual([]);
    else expect(kit.udp.packets[0]!.trafficClass).toBe(ecn < 0 ? marks[0] : ecn);
  });

  test(`${family}: memory and packets are bounded, the oldest goes`, () => {
    const kit = new NetKit({ limits: { reassembliesMax: 4, reassemblyBytesMax: 1 << 14 } });
    for (let id = 1; id <= 20; id++) {
      kit.shared.nowUs = id;
      give(kit, isIp6, udpData(2000), { start: 0, bytes: 1024, more: true, id });
      expect(kit.reassembly.usedBytes).toBeLessThanOrEqual(1 << 14);
    }
    give(kit, isIp6, udpData(1040), { start: 1024, bytes: 16, more: false, id: 20 });
    expect(kit.udp.packets.length).toBe(1);
    give(kit, isIp6, udpData(1040), { start: 1024, bytes: 16, more: false, id: 1 });
    expect(kit.udp.packets.length).toBe(1);
  });

  test(`${family}: any cut of any packet in any order is put together`, () => {
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: 499 }), { maxLength: 12 });
    fc.assert(
      fc.property(cuts, fc.integer({ min: 4001, max: 4400 }), fc.integer(), (at, length, seed) => {
        const kit = new NetKit();
        const whole = udpData(length);
        const ends = [...at.map((c) => 8 * c).sort((a, b) => a - b), length];
        const pieces = ends.map((end, i) => {
          const start = i === 0 ? 0 : ends[i - 1]!;
          return { start, bytes: end - start, more: end !== length };
        });
        pieces.sort((a, b) => Math.imul(a.start + 1, seed | 1) - Math.imul(b.start + 1, seed | 1));
        give(kit, isIp6, whole, ...pieces);
        expect(kit.udp.packets).toMatchObject([{ bytes: whole }]);
        expect(kit.reassembly.usedBytes).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  test(`${family}: random pieces never throw and never leak`, () => {
    const one = fc.record({
      start: fc.integer({ min: 0, max: 40 }).map((n) => 8 * n),
      bytes: fc.integer({ min: 0, max: 80 }),
      more: fc.boolean(),
      id: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 40 }), (pieces) => {
        const kit = new NetKit({ limits: { reassembliesMax: 2 } });
        const used = kit.slab.usedBytes;
        give(kit, isIp6, udpData(600), ...pieces);
        kit.shared.nowUs = 100 * S;
        kit.reassembly.expire();
        expect(kit.reassembly.usedBytes).toBe(0);
        kit.sent();
        kit.eth0.output.close();
        expect(kit.slab.usedBytes).toBeLessThanOrEqual(used);
      }),
      { numRuns: 60 },
    );
  });

  test(`${family}: a restored table goes on as the old one does`, () => {
    const kit = new NetKit();
    give(kit, isIp6, WHOLE, THREE[2]!, THREE[0]!);
    const state = new StateWriter();
    kit.reassembly.save(state);
    const copy = new NetKit();
    copy.reassembly.load(new StateReader(state.finish()));
    expect(copy.reassembly.deadlineUs()).toBe(kit.reassembly.deadlineUs());
    expect(copy.reassembly.usedBytes).toBe(kit.reassembly.usedBytes);
    give(copy, isIp6, WHOLE, THREE[1]!);
    expect(copy.udp.packets).toMatchObject([{ bytes: WHOLE }]);
  });
}

const problem = (kit: NetKit): number[] => {
  const [sent] = kit.sent();
  return sent ? [sent[40]!, sent[41]!, new DataView(sent.buffer).getUint32(44)] : [];
};

test('RFC 8200 §4.5: a length that is no multiple of 8 is told with a pointer to the payload length', () => {
  const kit = new NetKit();
  expect(give(kit, true, WHOLE, { start: 0, bytes: 63, more: true })).toEqual([Drop.FragmentFormat]);
  expect(problem(kit)).toEqual([4, 0, 4]);
});

test('RFC 8200 §4.5: a packet above 65,535 bytes is told with a pointer to the fragment offset', () => {
  const kit = new NetKit();
  expect(give(kit, true, udpData(65600), { start: 65528, bytes: 8, more: false })).toEqual([Drop.FragmentFormat]);
  expect(problem(kit)).toEqual([4, 0, 42]);
});

test('RFC 791: an IPv4 packet above 65,535 bytes is discarded', () => {
  const kit = new NetKit();
  expect(give(kit, false, udpData(65600), { start: 65528, bytes: 8, more: false })).toEqual([Drop.FragmentFormat]);
  expect(kit.sent()).toEqual([]);
});

test('RFC 7112 §5: a first piece without all headers is told with code 3', () => {
  const kit = new NetKit();
  const header = [60, 0, 0, 1, 0, 0, 0, 1]; // destination options follow, whose header says 24 bytes
  const data = Uint8Array.of(...header, UDP, 2, 1, 4, 0, 0, 0, 0);
  expect(kit.receive(packet6({ next: 44, data }))).toBe(Drop.FragmentFormat);
  expect(problem(kit)).toEqual([4, 3, 0]);
});

test('RFC 6946 §4: an atomic fragment does not touch pieces with its identification', () => {
  const kit = new NetKit();
  give(kit, true, WHOLE, THREE[0]!, { start: 0, bytes: 141, more: false }, THREE[1]!, THREE[2]!);
  expect(kit.udp.packets.map((p) => p.bytes)).toEqual([WHOLE, WHOLE]);
});

test('RFC 8200 §4.5: headers before the fragment header stay, and pointers are those of the packet put together', () => {
  const kit = new NetKit();
  const options = (next: number): number[] => [next, 0, 1, 4, 0, 0, 0, 0];
  const fragment = (word: number): number[] => [201, 0, word >>> 8, word & 255, 0, 0, 0, 1];
  kit.receive(packet6({ next: 60, data: Uint8Array.of(...options(44), ...fragment(1), ...WHOLE.slice(0, 8)) }));
  const last = Uint8Array.of(...options(44), ...fragment(8), ...WHOLE.slice(8, 16));
  expect(kit.receive(packet6({ next: 60, data: last }))).toBe(Drop.UnknownProtocol);
  expect(problem(kit)).toEqual([4, 1, 40]);
});

test('pieces of others are kept apart by source', () => {
  const kit = new NetKit();
  kit.receive(packet4({ id: 1, from: '10.0.0.2', data: WHOLE.slice(0, 64), fragment: 0x2000 }));
  kit.receive(packet4({ id: 1, from: '10.0.0.3', data: WHOLE.slice(64, 141), fragment: 8 }));
  expect(kit.udp.packets).toEqual([]);
  expect(ip('10.0.0.2')[3]).not.toBe(ip('10.0.0.3')[3]);
});
