// The classic capture file: a header, then records of a time, a length and a frame. draft-ietf-opsawg-pcap.

import { Chunks } from './chunks.ts';

const MAGIC_US = 0xa1b2c3d4;
const MAGIC_NS = 0xa1b23c4d;
const VERSION_MAJOR = 2;
const VERSION_MINOR = 4;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;

/** Ethernet frames, in both formats. */
export const LINKTYPE_ETHERNET = 1;
/** The longest frame that a capture may hold; tcpdump's own bound. */
export const SNAPLEN = 262144;

/** A frame out of a capture. `bytes` is valid until the reader's next `push`. */
export interface CapturedFrame {
  readonly bytes: Uint8Array;
  readonly timeUs: number; // since 1970, whole µs, rounded down
  readonly originalBytes: number; // on the wire; more than `bytes.length` if the capture was cut
  readonly linkType: number;
  readonly interface: number; // 0 in classic captures
  readonly direction: number; // 0 unknown, 1 inbound, 2 outbound
}

/** What a capture file begins with: little-endian, times in µs, Ethernet. */
export function writePcapHeader(): Uint8Array {
  const view = new DataView(new ArrayBuffer(FILE_HEADER_BYTES));
  view.setUint32(0, MAGIC_US, true);
  view.setUint16(4, VERSION_MAJOR, true);
  view.setUint16(6, VERSION_MINOR, true);
  view.setUint32(16, SNAPLEN, true);
  view.setUint32(20, LINKTYPE_ETHERNET, true);
  return new Uint8Array(view.buffer);
}

/** A record of the frame of `length` bytes at `at`, at most `SNAPLEN`; `timeUs` since 1970. */
export function writePcapRecord(frame: DataView, at: number, length: number, timeUs: number): Uint8Array {
  const out = new Uint8Array(RECORD_HEADER_BYTES + length);
  const view = new DataView(out.buffer);
  view.setUint32(0, Math.floor(timeUs / 1e6), true);
  view.setUint32(4, timeUs % 1e6, true);
  view.setUint32(8, length, true);
  view.setUint32(12, length, true);
  out.set(new Uint8Array(frame.buffer, frame.byteOffset + at, length), RECORD_HEADER_BYTES);
  return out;
}

/** Reads a capture of either byte order and either time unit, in chunks of any size. Drain `next` after every `push`. */
export class PcapReader {
  /** What is wrong with the file, once something is; from then on nothing more is read. */
  error: string | undefined;
  private readonly chunks = new Chunks({ bytesMax: RECORD_HEADER_BYTES + SNAPLEN });
  private headerIsRead = false;
  private isLittle = true;
  private unitsPerUs = 1;
  private linkType = 0;
  private records = 0;

  /** Takes a copy of `chunk`. */
  push(chunk: Uint8Array): void {
    if (this.error === undefined) this.chunks.push(chunk);
  }

  /** The next frame, or undefined until more is pushed. */
  next(): CapturedFrame | undefined {
    if (this.error !== undefined || (!this.headerIsRead && !this.readHeader())) return undefined;
    if (this.chunks.length < RECORD_HEADER_BYTES) return undefined;
    const header = this.chunks.peek(RECORD_HEADER_BYTES);
    const length = header.getUint32(8, this.isLittle);
    if (length > SNAPLEN) {
      this.error = `record ${this.records}: ${length} bytes, at most ${SNAPLEN} are read`;
      return undefined;
    }
    if (this.chunks.length < RECORD_HEADER_BYTES + length) return undefined;
    const record = this.chunks.peek(RECORD_HEADER_BYTES + length);
    this.chunks.skip(RECORD_HEADER_BYTES + length);
    this.records++;
    const fraction = Math.floor(record.getUint32(4, this.isLittle) / this.unitsPerUs);
    return {
      bytes: new Uint8Array(record.buffer, record.byteOffset + RECORD_HEADER_BYTES, length),
      timeUs: record.getUint32(0, this.isLittle) * 1e6 + fraction,
      originalBytes: record.getUint32(12, this.isLittle),
      linkType: this.linkType,
      interface: 0,
      direction: 0,
    };
  }

  /** Bytes of a record that is not complete: at the end of a file that was cut, more than 0. */
  get pendingBytes(): number {
    return this.chunks.length;
  }

  private readHeader(): boolean {
    if (this.chunks.length < FILE_HEADER_BYTES) return false;
    const view = this.chunks.peek(FILE_HEADER_BYTES);
    this.isLittle = isMagic(view.getUint32(0, true));
    const magic = view.getUint32(0, this.isLittle);
    if (!isMagic(magic))
      this.error = `not a capture: it begins with 0x${view.getUint32(0).toString(16).padStart(8, '0')}`;
    const major = view.getUint16(4, this.isLittle);
    if (this.error === undefined && major !== VERSION_MAJOR)
      this.error = `version ${major}, only ${VERSION_MAJOR} is read`;
    if (this.error !== undefined) return false;
    this.unitsPerUs = magic === MAGIC_NS ? 1000 : 1;
    this.linkType = view.getUint32(20, this.isLittle) & 0xffff; // above it: bits about the FCS
    this.headerIsRead = true;
    this.chunks.skip(FILE_HEADER_BYTES);
    return true;
  }
}

const isMagic = (magic: number): boolean => magic === MAGIC_US || magic === MAGIC_NS;
