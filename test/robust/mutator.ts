// Mutations of frames, from a seed: bits, lengths, fields, splices, answers made of questions.

import type { Rng } from '../../core/rng.ts';
import { repair } from './packets.ts';

const LIVE_FRAMES = 256;
export const FRAME_BYTES_MAX = 9000;
const INTERESTING = [0, 1, 0x7f, 0x80, 0xff, 0xfe, 4, 8, 40, 60];

/** Makes frames out of a corpus and of frames that were seen lately. */
export class Mutator {
  /** The frame that `next` made, in its first `length` bytes. */
  readonly frame = new Uint8Array(FRAME_BYTES_MAX);
  length = 0;
  private readonly rng: Rng;
  private readonly corpus: readonly Uint8Array[];
  private readonly live: Uint8Array[] = [];
  private liveAt = 0;

  constructor(rng: Rng, corpus: readonly Uint8Array[]) {
    this.rng = rng;
    this.corpus = corpus;
  }

  /** Remembers a frame that passed. `isAnswered`: its sender is the host, so that it is turned into an answer sometimes. */
  note(bytes: Uint8Array, isFromHost: boolean): void {
    const frame = bytes.slice();
    if (isFromHost && frame.length >= 34) reflect(frame, this.rng);
    this.live[this.liveAt] = frame;
    this.liveAt = (this.liveAt + 1) % LIVE_FRAMES;
  }

  private pick(): Uint8Array {
    const { rng, corpus, live } = this;
    return live.length > 0 && rng.chance(0.5) ? live[rng.below(live.length)]! : corpus[rng.below(corpus.length)]!;
  }

  /** Makes the next frame. */
  next(): void {
    const { rng, frame } = this;
    const from = this.pick();
    this.length = Math.min(FRAME_BYTES_MAX, from.length);
    frame.set(from.subarray(0, this.length));
    const times = rng.below(4); // now and then none
    for (let i = 0; i < times; i++) this.change();
    if (rng.chance(0.5)) repair(frame, this.length, rng.chance(0.7));
  }

  private change(): void {
    const { rng, frame } = this;
    const { length } = this;
    if (length === 0) return;
    // Most hits behind the Ethernet header, or all would be for somebody else.
    const at =
      length > 14 && rng.chance(0.97)
        ? 14 + rng.below(Math.min(length - 14, rng.chance(0.7) ? 80 : length))
        : rng.below(length);
    switch (rng.below(10)) {
      case 0:
        frame[at]! ^= 1 << rng.below(8);
        break;
      case 1:
        frame[at] = rng.u32();
        break;
      case 2:
        frame[at] = INTERESTING[rng.below(INTERESTING.length)]!;
        break;
      case 3: {
        const by = (rng.below(9) - 4) | 0;
        const to = at & ~1;
        const value = ((frame[to]! << 8) | frame[to + 1]!) + by;
        frame[to] = value >>> 8;
        frame[to + 1] = value;
        break;
      }
      case 4: {
        const to = at & ~3;
        const value = rng.chance(0.5) ? rng.u32() : rng.chance(0.5) ? 0xffffffff : 0x80000000;
        for (let i = 0; i < 4 && to + i < length; i++) frame[to + i] = value >>> (24 - 8 * i);
        break;
      }
      case 5:
        this.length = rng.chance(0.5) ? at : Math.max(0, length - rng.below(16));
        break;
      case 6:
        this.extend();
        break;
      case 7:
        this.splice(at);
        break;
      case 8:
        this.move(at);
        break;
      default:
        this.changeField();
    }
  }

  private extend(): void {
    const { rng, frame } = this;
    const more = Math.min(FRAME_BYTES_MAX - this.length, rng.chance(0.9) ? rng.below(64) : rng.below(FRAME_BYTES_MAX));
    const fill = rng.chance(0.5) ? 0 : rng.u32();
    for (let i = 0; i < more; i++) frame[this.length + i] = fill === 0 ? 0 : Math.imul(fill, i) >>> 8;
    this.length += more;
  }

  /** Another frame's end behind `at`. */
  private splice(at: number): void {
    const { rng, frame } = this;
    const other = this.pick();
    const from = rng.chance(0.5) ? Math.min(at, other.length) : rng.below(other.length + 1);
    const count = Math.min(other.length - from, FRAME_BYTES_MAX - at);
    frame.set(other.subarray(from, from + count), at);
    this.length = at + count;
  }

  /** A piece once more, or taken out. */
  private move(at: number): void {
    const { rng, frame } = this;
    const size = 1 << rng.below(6);
    if (rng.chance(0.5)) {
      frame.copyWithin(at + size, at, Math.min(this.length, FRAME_BYTES_MAX - size));
      this.length = Math.min(FRAME_BYTES_MAX, this.length + size);
    } else if (at + size < this.length) {
      frame.copyWithin(at, at + size, this.length);
      this.length -= size;
    }
  }

  /** A field that decides: type, protocol, flags, sequence numbers near the right ones, fragment words, options. */
  private changeField(): void {
    const { rng, frame } = this;
    const type = (frame[12]! << 8) | frame[13]!;
    const is6 = type === 0x86dd;
    const at = is6 ? 54 : 14 + 4 * (frame[14]! & 15);
    const protocol = is6 ? frame[20]! : frame[23]!;
    if (type === 0x0806) {
      frame[21] = rng.below(4);
      return;
    }
    if (at + 20 > this.length || rng.chance(0.2)) this.changeProtocol(is6);
    else if (protocol === 6) this.changeTcp(at);
    else if (protocol === 1 || protocol === 58) {
      if (rng.chance(0.5)) frame[at] = rng.chance(0.5) ? 128 + rng.below(32) : rng.below(20);
      else frame[at + 1] = rng.below(16);
    } else if (protocol === 44 && is6) {
      frame[at + 2] = rng.u32();
      frame[at + 3] = rng.u32();
    } else frame[at + rng.below(4)] = rng.u32();
  }

  private changeProtocol(is6: boolean): void {
    const { rng, frame } = this;
    if (is6) frame[20] = [0, 6, 17, 43, 44, 58, 59, 60, 135][rng.below(9)]!;
    else if (rng.chance(0.5)) frame[20] = rng.below(64);
    else frame[23] = [1, 2, 6, 17, 41, 58][rng.below(6)]!;
  }

  private changeTcp(at: number): void {
    const { rng, frame } = this;
    switch (rng.below(5)) {
      case 0:
        frame[at + 13] = rng.u32();
        break;
      case 1:
        frame[at + 12] = rng.below(16) << 4;
        break;
      case 2: {
        // Sequence or acknowledgment number, by little or much.
        const field = at + (rng.chance(0.5) ? 4 : 8);
        const old = (frame[field]! << 24) | (frame[field + 1]! << 16) | (frame[field + 2]! << 8) | frame[field + 3]!;
        const value = old + (rng.below(2 ** (1 + rng.below(20))) - rng.below(3000));
        for (let i = 0; i < 4; i++) frame[field + i] = value >>> (24 - 8 * i);
        break;
      }
      case 3:
        frame[at + 14] = rng.chance(0.5) ? 0 : rng.u32();
        frame[at + 15] = rng.chance(0.5) ? 0 : rng.u32();
        break;
      default:
        for (let i = at + 20; i < at + 60 && i < this.length; i++) {
          if (rng.chance(0.2)) frame[i] = rng.chance(0.5) ? rng.below(35) : rng.u32();
        }
    }
  }
}

function swap(frame: Uint8Array, a: number, b: number, size: number): void {
  for (let i = 0; i < size; i++) {
    const kept = frame[a + i]!;
    frame[a + i] = frame[b + i]!;
    frame[b + i] = kept;
  }
}

/** Turns what a host sent into something like its answer. */
function reflect(frame: Uint8Array, rng: Rng): void {
  swap(frame, 0, 6, 6);
  const type = (frame[12]! << 8) | frame[13]!;
  if (type === 0x0806) {
    frame[21] = 2;
    swap(frame, 22, 32, 10);
    frame.set([2, 0, 0, 0, 0, 2], 22);
    return;
  }
  const is6 = type === 0x86dd;
  if (is6 ? frame.length < 62 : frame.length < 42) return;
  swap(frame, is6 ? 22 : 26, is6 ? 38 : 30, is6 ? 16 : 4);
  const at = is6 ? 54 : 14 + 4 * (frame[14]! & 15);
  const protocol = is6 ? frame[20]! : frame[23]!;
  if (protocol === 6 || protocol === 17) swap(frame, at, at + 2, 2);
  if (protocol === 6 && frame.length >= at + 20) swap(frame, at + 4, at + 8, 4);
  if (protocol === 58) frame[at] = ANSWERS6.get(frame[at]!) ?? frame[at]!;
  if (protocol === 1 && frame[at] === 8) frame[at] = 0;
  if (protocol === 17 && frame.length > at + 16) answerUdp(frame, at, rng);
  repair(frame, frame.length, false);
}

const ANSWERS6: ReadonlyMap<number, number> = new Map([
  [135, 136],
  [133, 134],
  [128, 129],
]);

/** Of DHCP and DNS: what a server says. */
function answerUdp(frame: Uint8Array, at: number, rng: Rng): void {
  const port = (frame[at]! << 8) | frame[at + 1]!;
  if (port === 547) frame[at + 8] = rng.chance(0.5) ? 2 : 7;
  if (port === 53 || port === 5353) frame[at + 10]! |= 0x84;
  if (port !== 67) return;
  frame[at + 8] = 2;
  frame.set([10, 0, 0, 60], at + 8 + 16);
  if (frame.length > at + 8 + 243) frame[at + 8 + 242] = rng.chance(0.5) ? 2 : 5;
  frame.fill(255, 0, 6);
  frame.set([10, 0, 0, 2], 26);
  frame.set([255, 255, 255, 255], 30);
}
