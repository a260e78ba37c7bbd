import { expect, test } from 'vitest';
import {
  ackChecker,
  type Checker,
  checksumChecker,
  hopLimitChecker,
  ipv4IdChecker,
  pair,
  payloadChecker,
  resetRateChecker,
  rightEdgeChecker,
  tcpCheckers,
  World,
  windowChecker,
} from '../../sim/sim.ts';
import { Flag } from '../../wire/tcp.ts';
import { type SegmentShape, tcpFrame } from './frames.ts';
import { stations } from './kit.ts';

/** Plays frames, 1 ms apart, and returns the checker's report; `'b'` before a frame means that b sends it. */
function report(checker: Checker, frames: readonly (SegmentShape | Uint8Array)[]): string {
  const world = new World({ seed: 1, slabBytes: 1 << 24 });
  const { make, by } = stations();
  pair(world, make, {});
  world.observe(checker);
  for (const [ms, shape] of frames.entries()) {
    const bytes = shape instanceof Uint8Array ? shape : tcpFrame(shape);
    world.at(ms * 1000, () => by.get(bytes[11] === 1 ? 'a' : 'b')![0]!.send(bytes));
  }
  world.run();
  return checker.report() ?? 'well';
}

const A = { from: 1, to: 2 };
const B = { from: 2, to: 1 };
const SCALE_2 = [3, 3, 2, 0];
const HANDSHAKE: SegmentShape[] = [
  { ...A, flags: Flag.Syn, seq: 99, options: SCALE_2 },
  { ...B, flags: Flag.Syn | Flag.Ack, seq: 499, ack: 100, window: 1000, options: SCALE_2 },
  { ...A, seq: 100, ack: 500, window: 1000 },
];
const BAD_SUM = tcpFrame(A).map((byte, i) => (i === 50 ? byte ^ 1 : byte));
const BAD_IP_SUM = tcpFrame(A).map((byte, i) => (i === 24 ? byte ^ 1 : byte));
const NO_HOPS = tcpFrame(A).map((byte, i) => (i === 22 ? 0 : byte));
const FREE = { ...A, fragment: 0, id: 7 };

test.each<[claim: string, checker: Checker, frames: (SegmentShape | Uint8Array)[], expected: string]>([
  ['right checksums', checksumChecker(), [A, B], 'well'],
  ['a wrong TCP checksum', checksumChecker(), [A, BAD_SUM], 'the tcp checksum is wrong: 0.001000 a-b from a 02:'],
  ['a wrong IP checksum', checksumChecker(), [BAD_IP_SUM], 'the ip checksum is wrong'],
  ['no hops left', hopLimitChecker(), [NO_HOPS], 'no hops left'],
  ['atomic packets with one identification', ipv4IdChecker(), [A, A], 'well'],
  [
    'an identification used twice',
    ipv4IdChecker(),
    [FREE, { ...FREE, id: 8 }, FREE],
    'identification 7 was used 2000 µs ago',
  ],
  ['an identification used again in time', ipv4IdChecker({ lifetimeUs: 1000 }), [FREE, FREE], 'well'],
  [
    'pieces of one packet',
    ipv4IdChecker(),
    [
      { ...FREE, fragment: 0x2000 },
      { ...FREE, fragment: 5 },
    ],
    'well',
  ],
  [
    'a piece twice',
    ipv4IdChecker(),
    [
      { ...FREE, fragment: 5 },
      { ...FREE, fragment: 5 },
    ],
    'identification 7',
  ],
  ['few resets', resetRateChecker({ perSecond: 2 }), [1, 2].map(() => ({ ...A, flags: Flag.Rst })), 'well'],
  [
    'many resets',
    resetRateChecker({ perSecond: 2 }),
    [1, 2, 3].map(() => ({ ...A, flags: Flag.Rst })),
    '3 resets within',
  ],
  ['data up to the window', windowChecker(), [...HANDSHAKE, { ...A, seq: 600, ack: 500, payload: 500 }], 'well'],
  [
    'data beyond it',
    windowChecker(),
    [...HANDSHAKE, { ...A, seq: 600, ack: 500, payload: 502 }],
    '2 bytes beyond the window',
  ],
  ['a probe of one byte', windowChecker(), [...HANDSHAKE, { ...A, seq: 1100, ack: 500, payload: 1 }], 'well'],
  [
    'data in a scaled window',
    windowChecker(),
    [...HANDSHAKE, { ...B, seq: 500, ack: 100, window: 300 }, { ...A, seq: 100, payload: 1200 }],
    'well',
  ],
  [
    'data beyond a scaled one',
    windowChecker(),
    [...HANDSHAKE, { ...B, seq: 500, ack: 100, window: 300 }, { ...A, seq: 100, payload: 1201 }],
    '1 bytes beyond',
  ],
  [
    'an acknowledgement that stays',
    ackChecker(),
    [
      { ...A, ack: 9 },
      { ...A, ack: 9 },
    ],
    'well',
  ],
  [
    'one that goes back over the end of the circle',
    ackChecker(),
    [
      { ...A, ack: 1 },
      { ...A, ack: 0xffff_ffff },
    ],
    '2 bytes back',
  ],
  ['a right edge that stays', rightEdgeChecker(), [...HANDSHAKE, { ...A, ack: 900, window: 900 }], 'well'],
  ['one that is rounded down', rightEdgeChecker(), [...HANDSHAKE, { ...A, ack: 903, window: 899 }], 'well'],
  [
    'one that goes back',
    rightEdgeChecker(),
    [...HANDSHAKE, { ...A, ack: 900, window: 899 }],
    'the right edge goes 4 bytes back',
  ],
  [
    'the same bytes again',
    payloadChecker(),
    [
      { ...A, seq: 5, payload: 9, fill: 1 },
      { ...A, seq: 7, payload: 9, fill: 1 },
    ],
    'well',
  ],
  [
    'other bytes',
    payloadChecker(),
    [
      { ...A, seq: 5, payload: 9, fill: 1 },
      { ...A, seq: 13, payload: 9, fill: 2 },
    ],
    'byte 8 was 1 and is 2',
  ],
  [
    'bytes that were not seen before',
    payloadChecker(),
    [
      { ...A, seq: 5, payload: 1 },
      { ...A, seq: 9, payload: 1 },
      { ...A, seq: 6, payload: 3, fill: 4 },
    ],
    'well',
  ],
  [
    'data behind the FIN',
    payloadChecker(),
    [
      { ...A, seq: 5, payload: 1, flags: Flag.Fin | Flag.Ack },
      { ...A, seq: 6, payload: 2 },
    ],
    'data behind its FIN',
  ],
])('%s', (_claim, checker, frames, expected) => {
  const text = report(checker, frames);
  if (expected === 'well') expect(text).toBe('well');
  else expect(text).toContain(expected);
});

test('only the first violation is kept, and all are counted', () => {
  const checker = hopLimitChecker();
  report(checker, [A, NO_HOPS, NO_HOPS]);
  expect(checker.violation).toMatchObject({ invariant: 'hop-limit', timeUs: 1000, link: 'a-b' });
  expect(checker.violations).toBe(2);
});

test('a well-behaved connection breaks no invariant of TCP', () => {
  for (const checker of tcpCheckers()) {
    expect(report(checker, [...HANDSHAKE, { ...A, seq: 100, ack: 500, window: 1000, payload: 100 }])).toBe('well');
  }
});
