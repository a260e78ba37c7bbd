// The block-structured capture file: sections, named interfaces, packets with a direction. draft-ietf-opsawg-pcapng.
//
//   type(4) | length(4) | body, padded to 4 | length(4)      in the byte order of the section

import { setU8 } from './bytes.ts';
import { Chunks } from './chunks.ts';
import { type CapturedFrame, LINKTYPE_ETHERNET, SNAPLEN } from './pcap.ts';

const Block = { Interface: 1, SimplePacket: 3, EnhancedPacket: 6, Section: 0x0a0d0d0a } as const;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const BLOCK_BYTES_MIN = 12;
const Option = { End: 0, InterfaceName: 2, PacketFlags: 2, TimeResolution: 9, TimeOffset: 14 } as const;
const TSRESOL_US = 6; // 10^-6 s

// Ours: enough for a frame of SNAPLEN with 64 KiB of options.
const BLOCK_BYTES_MAX = SNAPLEN + 65536;
const INTERFACES_MAX = 4096;

/** Which way a frame went, as seen from its interface. */
export const Direction = { Unknown: 0, Inbound: 1, Outbound: 2 } as const;

/** What a file begins with. */
export function writePcapngSection(): Uint8Array {
  return block(Block.Section, 16, (view, at) => {
    view.setUint32(at, BYTE_ORDER_MAGIC, true);
    view.setUint16(at + 4, 1, true);
    view.setUint32(at + 8, 0xffff_ffff, true); // the section's length is not given
    view.setUint32(at + 12, 0xffff_ffff, true);
  });
}

/** An Ethernet interface called `name`; the first one of the section is number 0. Times are in µs. */
export function writePcapngInterface(name: string): Uint8Array {
  const text = new TextEncoder().encode(name).subarray(0, 255);
  return block(Block.Interface, 8 + 4 + padded(text.length) + 8 + 4, (view, at) => {
    view.setUint16(at, LINKTYPE_ETHERNET, true);
    view.setUint32(at + 4, SNAPLEN, true);
    let p = writeOption(view, at + 8, Option.InterfaceName, text);
    p = writeOption(view, p, Option.TimeResolution, Uint8Array.of(TSRESOL_US));
    writeOption(view, p, Option.End, new Uint8Array(0));
  });
}

/** The frame of `length` bytes at `at` on interface number `id`; `timeUs` since 1970, `direction` of `Direction`. */
export function writePcapngPacket(
  frame: DataView,
  at: number,
  length: number,
  timeUs: number,
  { id = 0, direction = Direction.Unknown }: { id?: number; direction?: number } = {},
): Uint8Array {
  return block(Block.EnhancedPacket, 20 + padded(length) + 8 + 4, (view, body) => {
    view.setUint32(body, id, true);
    view.setUint32(body + 4, Math.floor(timeUs / 2 ** 32), true);
    view.setUint32(body + 8, timeUs % 2 ** 32, true);
    view.setUint32(body + 12, length, true);
    view.setUint32(body + 16, length, true);
    const bytes = new Uint8Array(frame.buffer, frame.byteOffset + at, length);
    new Uint8Array(view.buffer).set(bytes, body + 20);
    const p = writeOption(view, body + 20 + padded(length), Option.PacketFlags, Uint8Array.of(direction, 0, 0, 0));
    writeOption(view, p, Option.End, new Uint8Array(0));
  });
}

const padded = (bytes: number): number => (bytes + 3) & ~3;

function block(type: number, bodyBytes: number, fill: (view: DataView, at: number) => void): Uint8Array {
  const length = BLOCK_BYTES_MIN + bodyBytes;
  const view = new DataView(new ArrayBuffer(length));
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  fill(view, 8);
  view.setUint32(length - 4, length, true);
  return new Uint8Array(view.buffer);
}

function writeOption(view: DataView, at: number, code: number, value: Uint8Array): number {
  view.setUint16(at, code, true);
  view.setUint16(at + 2, value.length, true);
  for (let i = 0; i < value.length; i++) setU8(view, at + 4 + i, value[i]!);
  return at + 4 + padded(value.length);
}

/** An interface as its section describes it. */
export interface CapturedInterface {
  readonly name: string;
  readonly linkType: number;
  readonly snaplen: number; // 0: no limit
  readonly unitsPerSecond: bigint;
  readonly offsetSeconds: bigint;
}

/** Reads a file of either byte order in chunks of any size. Drain `next` after every `push`. Unknown blocks are skipped. */
export class PcapngReader {
  /** What is wrong with the file, once something is; from then on nothing more is read. */
  error: string | undefined;
  /** The interfaces of the section that is being read; packets refer to them by number. */
  interfaces: CapturedInterface[] = [];
  private readonly chunks = new Chunks({ bytesMax: BLOCK_BYTES_MAX });
  private isLittle = true;
  private hasSection = false;
  private blocks = 0;

  /** Takes a copy of `chunk`. */
  push(chunk: Uint8Array): void {
    if (this.error === undefined) this.chunks.push(chunk);
  }

  /** The next frame, or undefined until more is pushed. */
  next(): CapturedFrame | undefined {
    while (this.error === undefined && this.chunks.length >= BLOCK_BYTES_MIN) {
      const length = this.blockLength();
      if (this.error !== undefined || this.chunks.length < length) return undefined;
      const view = this.chunks.peek(length);
      this.chunks.skip(length);
      if (view.getUint32(length - 4, this.isLittle) !== length) this.fail('its two lengths differ');
      else {
        const frame = this.readBlock(view, length);
        this.blocks++;
        if (frame) return frame;
      }
    }
    return undefined;
  }

  /** Bytes of a block that is not complete: at the end of a file that was cut, more than 0. */
  get pendingBytes(): number {
    return this.chunks.length;
  }

  private fail(what: string): undefined {
    this.error ??= `block ${this.blocks}: ${what}`;
    return undefined;
  }

  /** The length of the block that begins here, within bounds unless `error` is set; learns a new section's byte order. */
  private blockLength(): number {
    const head = this.chunks.peek(BLOCK_BYTES_MIN);
    if (head.getUint32(0) === Block.Section) {
      this.isLittle = head.getUint32(8, true) === BYTE_ORDER_MAGIC;
      if (head.getUint32(8, this.isLittle) !== BYTE_ORDER_MAGIC) this.fail('a section with no byte order');
      this.hasSection = true;
    }
    if (!this.hasSection) this.fail('not a pcapng file: it does not begin with a section');
    const length = head.getUint32(4, this.isLittle);
    if (length < BLOCK_BYTES_MIN || length % 4 !== 0) this.fail(`a length of ${length}`);
    if (length > BLOCK_BYTES_MAX) this.fail(`${length} bytes, at most ${BLOCK_BYTES_MAX} are read`);
    return length;
  }

  private readBlock(view: DataView, length: number): CapturedFrame | undefined {
    switch (view.getUint32(0, this.isLittle)) {
      case Block.Section:
        return this.readSection(view, length);
      case Block.Interface:
        return this.readInterface(view, length);
      case Block.EnhancedPacket:
        return this.readPacket(view, length);
      case Block.SimplePacket:
        return this.readSimplePacket(view, length);
      default:
        return undefined;
    }
  }

  private readSection(view: DataView, length: number): undefined {
    if (length < 28) return this.fail('a section cut short');
    const major = view.getUint16(12, this.isLittle);
    if (major !== 1) return this.fail(`version ${major}, only 1 is read`);
    this.interfaces = [];
    return undefined;
  }

  private readInterface(view: DataView, length: number): undefined {
    if (length < 20) return this.fail('an interface cut short');
    if (this.interfaces.length === INTERFACES_MAX) return this.fail(`more than ${INTERFACES_MAX} interfaces`);
    let name = '';
    let unitsPerSecond = 1_000_000n;
    let offsetSeconds = 0n;
    this.eachOption(view, 16, length - 4, (code, at, bytes) => {
      if (code === Option.InterfaceName)
        name = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at, bytes));
      else if (code === Option.TimeResolution && bytes === 1) unitsPerSecond = resolution(view.getUint8(at));
      else if (code === Option.TimeOffset && bytes === 8) offsetSeconds = view.getBigInt64(at, this.isLittle);
    });
    const linkType = view.getUint16(8, this.isLittle);
    const snaplen = view.getUint32(12, this.isLittle);
    this.interfaces.push({ name, linkType, snaplen, unitsPerSecond, offsetSeconds });
    return undefined;
  }

  private readPacket(view: DataView, length: number): CapturedFrame | undefined {
    if (length < 32) return this.fail('a packet cut short');
    const id = view.getUint32(8, this.isLittle);
    const on = this.interfaces[id];
    if (!on) return this.fail(`a packet on interface ${id} of ${this.interfaces.length}`);
    const captured = view.getUint32(20, this.isLittle);
    if (captured > SNAPLEN) return this.fail(`${captured} bytes captured, at most ${SNAPLEN} are read`);
    if (captured > length - 32) return this.fail(`${captured} bytes captured in a block of ${length}`);
    const units = (BigInt(view.getUint32(12, this.isLittle)) << 32n) | BigInt(view.getUint32(16, this.isLittle));
    let direction: number = Direction.Unknown;
    this.eachOption(view, 28 + padded(captured), length - 4, (code, at, bytes) => {
      if (code === Option.PacketFlags && bytes === 4) direction = view.getUint32(at, this.isLittle) & 3;
    });
    return {
      bytes: new Uint8Array(view.buffer, view.byteOffset + 28, captured),
      timeUs: Number((units * 1_000_000n) / on.unitsPerSecond + on.offsetSeconds * 1_000_000n),
      originalBytes: view.getUint32(24, this.isLittle),
      linkType: on.linkType,
      interface: id,
      direction,
    };
  }

  /** A packet without a time, on the first interface; its captured length is what fits. */
  private readSimplePacket(view: DataView, length: number): CapturedFrame | undefined {
    const on = this.interfaces[0];
    if (length < 16 || !on) return this.fail('a simple packet cut short or without an interface');
    const originalBytes = view.getUint32(8, this.isLittle);
    const captured = Math.min(originalBytes, length - 16, on.snaplen || originalBytes);
    const bytes = new Uint8Array(view.buffer, view.byteOffset + 12, captured);
    return { bytes, timeUs: 0, originalBytes, linkType: on.linkType, interface: 0, direction: Direction.Unknown };
  }

  /** Visits the options between `at` and `end`; stops at the first that does not fit, as the packet itself is good. */
  private eachOption(
    view: DataView,
    at: number,
    end: number,
    visit: (code: number, at: number, bytes: number) => void,
  ): void {
    let p = at;
    while (p + 4 <= end) {
      const code = view.getUint16(p, this.isLittle);
      const bytes = view.getUint16(p + 2, this.isLittle);
      if (code === Option.End || p + 4 + bytes > end) return;
      visit(code, p + 4, bytes);
      p += 4 + padded(bytes);
    }
  }
}

/** if_tsresol: a power of ten, or of two if the high bit is set. */
const resolution = (value: number): bigint => (value & 0x80 ? 2n : 10n) ** BigInt(value & 0x7f);
