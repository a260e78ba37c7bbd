import { describe, expect, test } from 'vitest';
import { Drop } from '../../core/drop.ts';
import { HOPS_MAX } from '../../engine/breath.ts';
import { type Attachment, Cable, type Network } from '../../engine/network.ts';
import type { Switch } from '../../switch/switch.ts';
import { Gso, writeGso, writeNeedsChecksum } from '../../wire/offload.ts';
import { ether, type FakePort, World } from '../kit/breath-kit.ts';
import { faultOf, partialFrame, type Shape } from '../kit/frames.ts';

type End = Attachment & { fake: FakePort };

const HOLD_US = 2000;
const switchOf = (network: Network): Switch => network.forwarder as Switch;
const dropsOf = (end: Attachment): Record<string, number> => end.port.counters.drops.byName();

/** A world with one network and plain ports 1 … n; stations of the same numbers are known. */
function lan(ports: number): { world: World; network: Network; ends: End[] } {
  const world = new World();
  const network = world.network('lan', { portsMax: 64 });
  const ends = Array.from({ length: ports }, (_, i) => world.attach(network, i + 1));
  for (const [i, end] of ends.entries()) world.send(end, ether(0, i + 1));
  for (const { fake } of ends) fake.sent.length = 0;
  return { world, network, ends };
}

describe('a breath forwards', () => {
  test('a known station’s frames to its port alone, floods others, and counts both', () => {
    const { world, ends } = lan(3);
    const [a, b, c] = ends as [End, End, End];
    world.send(a, ether(2, 1, { length: 100 }));
    expect(ends.map(({ fake }) => fake.sent.length)).toEqual([0, 1, 0]);
    expect(b.fake.sent[0]!.bytes).toEqual(ether(2, 1, { length: 100 }));
    world.send(a, ether(99, 1));
    expect(ends.map(({ fake }) => fake.sent.length)).toEqual([0, 2, 1]);
    expect([a.port.counters.rxFrames, a.port.counters.rxBytes]).toEqual([3, 220]);
    expect([world.breath.frames, c.port.counters.rxFrames]).toEqual([5, 1]);
  });

  test('everything that a port brings, burst after burst', () => {
    const { world, ends } = lan(2);
    for (let n = 0; n < 3000; n++) world.bring(ends[0]!, ether(2, 1));
    world.breathe(ends[0]!);
    expect(ends[1]!.fake.sent).toHaveLength(3000);
    const frame = ether(2, 1).join();
    expect(ends[1]!.fake.sent.filter(({ bytes }) => bytes.join() !== frame)).toEqual([]);
  });

  test('to all who share a number, none of whom hears the others', () => {
    const { world, network, ends } = lan(2);
    const twin = world.attach(network, 2);
    world.send(ends[0]!, ether(2, 1));
    world.send(ends[0]!, ether(0, 1));
    expect([ends[1]!.fake.sent.length, twin.fake.sent.length]).toEqual([2, 2]);
    world.send(twin, ether(0, 2));
    expect([ends[0]!.fake.sent.length, ends[1]!.fake.sent.length, twin.fake.sent.length]).toEqual([1, 2, 2]);
    network.remove(twin);
    world.send(ends[0]!, ether(2, 1));
    expect([ends[1]!.fake.sent.length, twin.fake.sent.length]).toEqual([3, 2]);
  });

  test('between the two ends of a cable', () => {
    const world = new World();
    const network = world.networkOf(new Cable());
    const a = world.attach(network, 0);
    world.send(a, ether(2, 1));
    expect(dropsOf(a)).toEqual({ 'no-egress': 1 });
    const b = world.attach(network, 1);
    world.send(a, ether(2, 1));
    world.send(a, ether(2, 1).subarray(0, 13));
    expect([b.fake.sent.length, dropsOf(a)]).toEqual([1, { 'no-egress': 1, runt: 1 }]);
  });

  test('nothing of a port that left during its own breath', () => {
    const { world, ends } = lan(2);
    world.bring(ends[0]!, ether(2, 1));
    world.breath.forget(ends[0]!);
    world.breathe(ends[0]!);
    expect(ends[1]!.fake.sent).toHaveLength(0);
  });
});

describe('a drop is counted', () => {
  test.each<[string, (l: ReturnType<typeof lan>) => void, Record<string, number>, Record<string, number>]>([
    ['too short for a header', ({ world, ends }) => world.send(ends[0]!, new Uint8Array(13)), { runt: 1 }, {}],
    ['of no bytes', ({ world, ends }) => world.send(ends[0]!, new Uint8Array(0)), { runt: 1 }, {}],
    ['to its own port', ({ world, ends }) => world.send(ends[0]!, ether(1, 1)), { 'same-port': 1 }, {}],
    [
      'cut in its tag',
      ({ world, ends }) => world.send(ends[0]!, ether(2, 1, { tci: 5 }).subarray(0, 16)),
      { 'vlan-truncated': 1 },
      {},
    ],
    [
      'longer than the egress takes',
      ({ world, ends }) => world.send(ends[0]!, ether(2, 1, { length: 9235 })),
      {},
      { 'tx-too-long': 1 },
    ],
    [
      'for a full port',
      ({ world, ends }) => {
        ends[1]!.fake.isFull = true;
        world.send(ends[0]!, ether(2, 1));
      },
      {},
      { 'tx-full': 1 },
    ],
    [
      'of a VLAN that the ingress does not carry',
      ({ world, network, ends }) => {
        switchOf(network).setAccess(1, 7);
        world.send(ends[0]!, ether(2, 1, { tci: 5 }));
      },
      { 'not-member': 1 },
      {},
    ],
    [
      'with an offload header that contradicts it, where it would have to be completed',
      ({ world, network }) => {
        const rich = world.attach(network, 9, { offload: true });
        world.send(rich, ether(2, 9), new Uint8Array([1, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0]));
      },
      {},
      { 'rx-offload': 1 },
    ],
  ])('for a frame %s', (_name, act, ingress, egress) => {
    const made = lan(2);
    act(made);
    expect([dropsOf(made.ends[0]!), dropsOf(made.ends[1]!)]).toEqual([ingress, egress]);
  });
});

describe('a full port', () => {
  test('makes its ingress wait for at most 2 ms, nobody else, and is then congested', () => {
    const { world, ends } = lan(3);
    const [a, b, c] = ends as [End, End, End];
    b.fake.isStuck = true;
    world.send(a, ether(2, 1));
    expect([a.fake.pauses, c.fake.pauses, b.fake.pauses]).toEqual([[true], [], []]);
    expect(world.breath.deadlineUs()).toBe(world.nowUs + HOLD_US);
    world.send(c, ether(1, 3));
    expect(c.fake.pauses).toEqual([]);
    world.breath.expire(world.nowUs + HOLD_US - 1);
    expect([a.fake.pauses, b.isCongested]).toEqual([[true], false]);
    world.breath.expire(world.nowUs + HOLD_US);
    expect([a.fake.pauses, b.isCongested, world.breath.deadlineUs()]).toEqual([[true, false], true, Infinity]);
    b.fake.isFull = true;
    world.send(a, ether(2, 1));
    expect([a.fake.pauses, dropsOf(b)]).toEqual([[true, false], { 'tx-congested': 1 }]);
    b.fake.isStuck = b.fake.isFull = false;
    world.breath.drained(b);
    expect(b.isCongested).toBe(false);
    b.fake.isStuck = true;
    world.send(a, ether(2, 1));
    expect(a.fake.pauses).toEqual([true, false, true]);
    world.breath.drained(b);
    expect(a.fake.pauses).toEqual([true, false, true, false]);
  });

  test('is waited for by each who feeds it, once, and they all go on together', () => {
    const { world, ends } = lan(4);
    const [a, b, c, d] = ends as [End, End, End, End];
    d.fake.isStuck = true;
    for (const end of [a, b, a, b]) world.send(end, ether(4, ends.indexOf(end) + 1));
    expect([a.fake.pauses, b.fake.pauses, c.fake.pauses]).toEqual([[true], [true], []]);
    world.breath.drained(d);
    expect([a.fake.pauses, b.fake.pauses]).toEqual([
      [true, false],
      [true, false],
    ]);
  });

  test('does not let an ingress go on that waits for another one too', () => {
    const { world, ends } = lan(3);
    const [a, b, c] = ends as [End, End, End];
    b.fake.isStuck = c.fake.isStuck = true;
    world.bring(a, ether(2, 1));
    world.send(a, ether(3, 1));
    expect([a.pauses, a.fake.pauses]).toEqual([2, [true]]);
    world.breath.drained(b);
    expect([a.pauses, a.fake.pauses]).toEqual([1, [true]]);
    world.breath.forget(c);
    expect([a.pauses, a.fake.pauses]).toEqual([0, [true, false]]);
  });

  test('is never waited for by a flood', () => {
    const { world, ends } = lan(3);
    ends[1]!.fake.isStuck = ends[2]!.fake.isStuck = true;
    world.send(ends[0]!, ether(0, 1));
    world.send(ends[0]!, ether(77, 1));
    expect([ends[0]!.fake.pauses, world.breath.deadlineUs()]).toEqual([[], Infinity]);
  });

  test('does not wake an ingress that left meanwhile', () => {
    const { world, ends } = lan(2);
    ends[1]!.fake.isStuck = true;
    world.send(ends[0]!, ether(2, 1));
    world.breath.forget(ends[0]!);
    world.breath.drained(ends[1]!);
    expect(ends[0]!.fake.pauses).toEqual([true]);
  });
});

describe('a tag', () => {
  const cases: [string, number | undefined, (s: Switch) => void, Uint8Array][] = [
    ['is kept', 0x6005, () => {}, ether(2, 1, { tci: 0x6005 })],
    ['is popped', 0x6005, (s) => s.setAccess(2, 5), untagged(ether(2, 1, { tci: 0x6005 }))],
    [
      'is pushed',
      undefined,
      (s) => {
        s.setAccess(1, 5);
        s.setTrunk(2, { native: 0, allowed: [5] });
      },
      tagged(ether(2, 1), 5),
    ],
    [
      'of priority is replaced',
      0xa000,
      (s) => {
        s.setTrunk(1, { native: 5, allowed: [9] });
        s.setTrunk(2, { native: 0, allowed: [5] });
      },
      ether(2, 1, { tci: 0xa005 }),
    ],
  ];
  test.each(cases)('%s', (_name, tci, configure, expected) => {
    const world = new World();
    const network = world.network('lan');
    const a = world.attach(network, 1);
    const b = world.attach(network, 2);
    configure(switchOf(network));
    world.send(a, ether(2, 1, tci === undefined ? {} : { tci }));
    expect(b.fake.sent.map(({ bytes }) => [...bytes])).toEqual([[...expected]]);
  });

  test('is edited once for all: the frame that stays as it is does not change', () => {
    const { world, network, ends } = lan(40);
    for (let port = 2; port <= 40; port += 2) switchOf(network).setAccess(port, 5);
    const frame = ether(0, 1, { tci: 5, length: 9000 });
    world.send(ends[0]!, frame);
    for (const [i, { fake }] of ends.entries()) {
      if (i > 0) expect(fake.sent.map(({ bytes }) => bytes)).toEqual([i % 2 === 1 ? untagged(frame) : frame]);
    }
  });

  test('moves the offsets of an offload header with it', () => {
    const world = new World();
    const network = world.network('lan');
    const a = world.attach(network, 1, { offload: true });
    const b = world.attach(network, 2, { offload: true });
    const c = world.attach(network, 3);
    switchOf(network).setAccess(1, 5);
    const { bytes, header } = superFrame({ payload: 20_000 }, 1000);
    world.send(a, bytes, header);
    expect(b.fake.sent[0]!.bytes).toEqual(tagged(bytes, 5));
    expect([...b.fake.sent[0]!.offload!]).toEqual([1, 1, 58, 0, 232, 3, 38, 0, 16, 0]);
    expect(c.fake.sent).toHaveLength(20);
    expect(c.fake.sent.map((sent) => fault(sent.bytes))).toEqual(new Array(20).fill(''));
    expect(c.fake.sent[0]!.bytes.subarray(12, 16)).toEqual(new Uint8Array([0x81, 0, 0, 5]));
  });

  test('beyond the scratch memory is flushed between frames: none is lost', () => {
    const { world, network, ends } = lan(2);
    switchOf(network).setAccess(2, 5);
    for (let n = 0; n < 700; n++) world.bring(ends[0]!, ether(0, 1, { tci: 5, length: 9000 }));
    world.breathe(ends[0]!);
    expect([ends[1]!.fake.sent.length, dropsOf(ends[1]!)]).toEqual([700, {}]);
    const expected = untagged(ether(0, 1, { tci: 5, length: 9000 }));
    expect(ends[1]!.fake.sent.every(({ bytes }) => Buffer.compare(bytes, expected) === 0)).toBe(true);
  });

  test('is counted as no memory where even that is not enough', () => {
    const world = new World();
    const [one, other] = [world.network('one'), world.network('other')];
    const a = world.attach(one, 1, { offload: true });
    world.patch(one, 2, other, 1);
    const b = world.attach(other, 2);
    switchOf(other).setAccess(2, 5);
    const { bytes, header } = superFrame({ payload: 60_000, tags: 1 }, 1000);
    for (let n = 0; n < 90; n++) world.bring(a, bytes, header);
    world.breathe(a);
    const lost = dropsOf(b)['no-memory'] ?? 0;
    expect(lost).toBeGreaterThan(0);
    expect(b.fake.sent).toHaveLength((90 - lost) * 60);
  });
});

describe('a super-frame', () => {
  test.each<[string, Shape]>([
    ['tcp4', { payload: 60_000 }],
    ['tcp6', { payload: 50_000, v6: true }],
    ['udp4', { payload: 30_001, udp: true }],
  ])('of %s passes to a port that takes it, and is split for others', (_name, shape) => {
    const world = new World();
    const network = world.network('lan');
    const [a, b] = [world.attach(network, 1, { offload: true }), world.attach(network, 2, { offload: true })];
    const plain = [3, 4].map((number) => world.attach(network, number));
    const { bytes, header } = superFrame(shape, 1448);
    world.send(a, bytes, header);
    expect(b.fake.sent).toEqual([{ bytes, offload: header }]);
    for (const { fake } of plain) {
      expect(fake.sent).toHaveLength(Math.ceil(shape.payload / 1448));
      expect(fake.sent.map((sent) => [sent.offload, fault(sent.bytes)])).toEqual(fake.sent.map(() => [undefined, '']));
    }
    expect(plain[0]!.fake.sent).toEqual(plain[1]!.fake.sent);
  });

  test('that splits into too many is dropped, and the next one is not', () => {
    const world = new World();
    const network = world.network('lan');
    const [a, b] = [world.attach(network, 1, { offload: true }), world.attach(network, 2)];
    const bad = superFrame({ payload: 60_000 }, 1);
    world.bring(a, bad.bytes, bad.header);
    const good = superFrame({ payload: 3000 }, 1000);
    world.send(a, good.bytes, good.header);
    expect([b.fake.sent.length, dropsOf(b)]).toEqual([3, { 'no-memory': 1 }]);
  });

  test('between two frames of the same place is split anew', () => {
    const world = new World();
    const network = world.network('lan');
    const [a, b] = [world.attach(network, 1, { offload: true }), world.attach(network, 2)];
    for (const seq of [1, 1000]) {
      const { bytes, header } = superFrame({ payload: 2000, seq }, 1000);
      const at = world.slab.alloc(8192) + 64;
      world.slab.bytes.set(bytes, at);
      world.slab.bytes.set(header, at - 10);
      a.fake.bring(at, bytes.length, at - 10);
      world.slab.release(at - 64, 8192);
      world.breathe(a);
    }
    const seqs = b.fake.sent.map(({ bytes }) => new DataView(bytes.buffer).getUint32(38));
    expect(seqs).toEqual([1, 1001, 1000, 2000]);
  });
});

describe('a checksum that is to be completed', () => {
  test('is, in a flood to ports of both kinds in any order', () => {
    for (const kinds of [
      [true, false, true],
      [false, true, false],
    ]) {
      const world = new World();
      const network = world.network('lan');
      const a = world.attach(network, 1, { offload: true });
      const others = kinds.map((offload, i) => world.attach(network, i + 2, { offload }));
      const { bytes, transport } = partialFrame({ payload: 777 });
      const header = headerOf(transport, 16);
      bytes.fill(0xff, 0, 6);
      world.send(a, bytes, header);
      for (const { fake } of others) {
        const [sent] = fake.sent as [FakePort['sent'][0]];
        const stillDue = sent.offload !== undefined && (sent.offload[0]! & 1) !== 0;
        expect(fault(sent.bytes)).toBe(stillDue ? 'transport checksum' : '');
      }
    }
  });
});

describe('patch cables', () => {
  test('carry frames to another network within the breath', () => {
    const world = new World();
    const [one, other] = [world.network('one'), world.network('other')];
    const a = world.attach(one, 1);
    const [, there] = world.patch(one, 2, other, 1);
    const b = world.attach(other, 2);
    world.send(a, ether(0, 1));
    world.send(b, ether(1, 2));
    expect([a.fake.sent.length, b.fake.sent.length]).toEqual([1, 1]);
    expect(there.port.counters).toMatchObject({ rxFrames: 1, txFrames: 1, txBytes: 60 });
  });

  test('lose what is sent after the other end left', () => {
    const world = new World();
    const [one, other] = [world.network('one'), world.network('other')];
    const a = world.attach(one, 1);
    const [, there] = world.patch(one, 2, other, 1);
    world.breath.forget(there);
    world.send(a, ether(0, 1));
    there.port.close();
    world.send(a, ether(0, 1));
    expect(world.breath.frames).toBe(2);
  });

  test.each([2, 3])('in a loop of two networks, %i of them, end in the breath', (cables) => {
    const world = new World();
    const [one, other] = [world.network('one'), world.network('other')];
    const a = world.attach(one, 1);
    const b = world.attach(other, 1);
    const ends = Array.from({ length: cables }, (_, i) => world.patch(one, i + 2, other, i + 2)).flat();
    world.send(a, ether(0, 1));
    const drops = ends.map((end) => dropsOf(end)['too-many-hops'] ?? 0).reduce((sum, n) => sum + n, 0);
    expect(drops).toBeGreaterThan(0);
    expect(b.fake.sent.length).toBeGreaterThan(0);
    const before = world.breath.frames;
    world.breathe(a);
    expect([world.breath.frames, world.breath.hops]).toEqual([before, 0]);
  });

  test(`in a row carry frames through ${HOPS_MAX}, counting those that go further`, () => {
    const world = new World();
    const networks = Array.from({ length: HOPS_MAX + 2 }, (_, i) => world.network(`n${i}`));
    const ends = networks.map((network) => world.attach(network, 1));
    const patches = networks.slice(1).map((network, i) => world.patch(networks[i]!, 3, network, 2));
    world.send(ends[0]!, ether(0, 1));
    expect(ends.map(({ fake }) => fake.sent.length)).toEqual([0, ...new Array(HOPS_MAX).fill(1), 0]);
    expect(dropsOf(patches.at(-1)![0])).toEqual({ 'too-many-hops': 1 });
  });

  test('let the true ingress wait for a full port of the other network', () => {
    const world = new World();
    const [one, other] = [world.network('one'), world.network('other')];
    const a = world.attach(one, 1);
    world.patch(one, 2, other, 1);
    const b = world.attach(other, 2);
    world.send(b, ether(0, 2));
    b.fake.isStuck = true;
    world.send(a, ether(2, 1));
    expect(a.fake.pauses).toEqual([true]);
  });

  test('count what a burst brings too much', () => {
    const world = new World();
    const [one, other] = [world.network('one'), world.network('other')];
    const [a, c] = [world.attach(one, 1), world.attach(one, 4)];
    const [here] = world.patch(one, 2, other, 1);
    world.patch(one, 3, other, 2);
    for (let n = 0; n < 1024; n++) world.bring(a, ether(0, 1));
    world.breathe(a);
    expect(c.fake.sent.length).toBeGreaterThanOrEqual(1024);
    expect(Object.keys(dropsOf(here))).toContain('too-many-hops');
    expect(here.port.counters.drops.counts[Drop.NoMemory]).toBe(0);
  });
});

function untagged(frame: Uint8Array): Uint8Array {
  return new Uint8Array([...frame.subarray(0, 12), ...frame.subarray(16)]);
}

function tagged(frame: Uint8Array, vid: number): Uint8Array {
  return new Uint8Array([...frame.subarray(0, 12), 0x81, 0, vid >> 8, vid & 0xff, ...frame.subarray(12)]);
}

function headerOf(start: number, offset: number): Uint8Array {
  const header = new Uint8Array(10);
  writeNeedsChecksum(new DataView(header.buffer), 0, start, offset);
  return header;
}

function superFrame(shape: Shape, segmentBytes: number): { bytes: Uint8Array; header: Uint8Array } {
  const { bytes, transport, headerBytes } = partialFrame(shape);
  const header = headerOf(transport, shape.udp ? 6 : 16);
  const type = shape.udp ? Gso.UdpL4 : shape.v6 ? Gso.Tcp6 : Gso.Tcp4;
  writeGso(new DataView(header.buffer), 0, type, headerBytes, segmentBytes);
  return { bytes, header };
}

const fault = (bytes: Uint8Array): string => faultOf(new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length);
