// Two wefts at the ends of one stream find each other, prove that nothing is between them, and agree on rich records.
//
//   dst 01:80:c2:00:00:0e | src (local, random) | 88b5 | "weft" | version u8 | kind u8 | capabilities u32
//   | record bytes max u32 | identity u32 | START: the peer's src, 6 bytes | zeros up to 60 bytes      (all big endian)
//
// Each side sends a HELLO as its first record: to anybody else it is one frame for a reserved address, which bridges do not
// forward (IEEE 802.1Q §8.6.3). Who reads a HELLO whose identity proves a direct connection sends START as its last plain
// record, then rich ones: u32be length | virtio_net_hdr (10 bytes) | frame. The two directions switch independently. START
// repeats the peer's random source, and only the first HELLO counts: no station of a network behind the peer can forge them.

import type { Rng } from '../core/rng.ts';

/** Bytes of a HELLO or START frame. */
export const HELLO_BYTES = 60;

/** Bytes of the offload header between a rich record's length and its frame. */
export const OFFLOAD_BYTES = 10;

/** The first four bytes of a HELLO's destination, big endian: a cheap question that almost every frame answers with no. */
export const HELLO_TAG = 0x0180c200;

/** Nothing is known of the peer, so it cannot prove anything. */
export const UNPROVEN = 0;

const TAG_LOW = 0x000e;
const ETHERTYPE = 0x88b5; // IEEE 802 local experimental ethertype 1
const MAGIC = 0x77656674; // "weft"
const VERSION = 1;
const KIND_HELLO = 0;
const KIND_START = 1;
const CAN_RICH = 1; // bit 0: records with an offload header, super-frames up to 64 KiB
const PAYLOAD = 14;
const ECHO = PAYLOAD + 18;
const MEANT_BYTES = ECHO + 6;

// A peer that takes less than a jumbo frame gains nothing from rich records.
const RECORD_BYTES_MIN = 9216 + 18 + OFFLOAD_BYTES;

/** What the end of an AF_UNIX connection says of itself: its process, 1 ... 2^32 - 1. */
export const unixIdentity = (pid: number): number => pid >>> 0;

/** What the end of a TCP connection says of itself. What it expects of its peer has the two ports swapped. */
export const tcpIdentity = (localPort: number, remotePort: number): number =>
  ((localPort << 16) | (remotePort & 0xffff)) >>> 0;

/** The negotiation on one connection. A new connection needs a new one. */
export class CableHello {
  /** True once what we send are rich records. */
  txRich = false;
  /** True once what we receive are rich records. */
  rxRich = false;
  /** True when START is to be sent; see `start`. */
  startDue = false;
  /** The longest record, offload header and frame, that may be sent once `txRich`. */
  txRecordBytesMax: number;
  private readonly identity: number;
  private readonly peerIdentity: number;
  private readonly recordBytesMax: number;
  private readonly source = new Uint8Array(6);
  private readonly peerSource = new Uint8Array(6);
  private hasHeard = false; // a HELLO: the peer's own is the first, and only that counts

  /**
   * @param identity what our end says of itself.
   * @param peerIdentity what a directly connected peer must say: SO_PEERCRED's pid or the mirrored ports; else `UNPROVEN`.
   * @param recordBytesMax the longest rich record that we take.
   */
  constructor(options: { identity: number; peerIdentity: number; recordBytesMax: number; rng: Rng }) {
    this.identity = options.identity;
    this.peerIdentity = options.peerIdentity;
    this.recordBytesMax = options.recordBytesMax;
    this.txRecordBytesMax = options.recordBytesMax;
    const view = new DataView(this.source.buffer);
    view.setUint32(0, options.rng.u32());
    view.setUint16(4, options.rng.u32() & 0xffff);
    this.source[0] = (this.source[0]! & 0xfc) | 2; // locally administered, individual
  }

  /** The first frame to send on the connection. */
  hello(): Uint8Array {
    return this.message(KIND_HELLO);
  }

  /** The last plain frame to send; from the next record on, everything must be rich. */
  start(): Uint8Array {
    this.startDue = false;
    this.txRich = true;
    return this.message(KIND_START);
  }

  /** True if the frame is one of ours: it is consumed and never reaches a switch. Any bytes are safe. */
  receive(view: DataView, at: number, length: number): boolean {
    if (length < MEANT_BYTES || view.getUint32(at) !== HELLO_TAG || view.getUint16(at + 4) !== TAG_LOW) return false;
    if (view.getUint16(at + 12) !== ETHERTYPE || view.getUint32(at + PAYLOAD) !== MAGIC) return false;
    const version = view.getUint8(at + PAYLOAD + 4);
    const kind = view.getUint8(at + PAYLOAD + 5);
    if (version < VERSION) return true; // a later version keeps the meaning of what is here
    if (kind === KIND_START && this.isEcho(view, at + ECHO)) this.rxRich = true;
    else if (kind === KIND_HELLO && !this.hasHeard) {
      this.hasHeard = true;
      for (let i = 0; i < 6; i++) this.peerSource[i] = view.getUint8(at + 6 + i);
      this.receiveHello(view, at + PAYLOAD + 6);
    }
    return true;
  }

  private isEcho(view: DataView, at: number): boolean {
    return this.source.every((byte, i) => byte === view.getUint8(at + i));
  }

  private receiveHello(view: DataView, at: number): void {
    const capabilities = view.getUint32(at);
    const bytesMax = view.getUint32(at + 4);
    const isDirect = this.peerIdentity !== UNPROVEN && view.getUint32(at + 8) === this.peerIdentity;
    if (!isDirect || this.txRich || (capabilities & CAN_RICH) === 0 || bytesMax < RECORD_BYTES_MIN) return;
    this.txRecordBytesMax = Math.min(this.recordBytesMax, bytesMax);
    this.startDue = true;
  }

  private message(kind: number): Uint8Array {
    const bytes = new Uint8Array(HELLO_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, HELLO_TAG);
    view.setUint16(4, TAG_LOW);
    bytes.set(this.source, 6);
    view.setUint16(12, ETHERTYPE);
    view.setUint32(PAYLOAD, MAGIC);
    view.setUint8(PAYLOAD + 4, VERSION);
    view.setUint8(PAYLOAD + 5, kind);
    view.setUint32(PAYLOAD + 6, CAN_RICH);
    view.setUint32(PAYLOAD + 10, this.recordBytesMax);
    view.setUint32(PAYLOAD + 14, this.identity);
    if (kind === KIND_START) bytes.set(this.peerSource, ECHO);
    return bytes;
  }
}
