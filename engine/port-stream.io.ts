// A port of a network as a byte stream: pcap, lines of hexadecimal text, or lines for people.

import { Buffer } from 'node:buffer';
import { createConnection, type Socket } from 'node:net';
import { FailedError } from '../core/assert.ts';
import { DROP_NAMES, Drop } from '../core/drop.ts';
import { JUMBO_FRAME_BYTES } from '../core/port.ts';
import { Rng } from '../core/rng.ts';
import { CableHello, UNPROVEN } from '../plug/plug.ts';
import { readAscii, writeAscii, writeHexdump } from '../wire/ascii.ts';
import { PcapReader, writePcapHeader, writePcapRecord } from '../wire/pcap.ts';
import { printFrame } from '../wire/print.ts';

export type PortForm = 'raw' | 'ascii' | 'hexdump' | 'print';

const PREFIX_BYTES = 4;
const RECORD_BYTES_MAX = 65536 + 64;
const LINE_CHARS_MAX = 1 << 20;

export interface PortStreamOptions {
  directory: string;
  form: PortForm;
  /** Lines start with the time, where the form has none of its own. */
  time: boolean;
  /** End after so many frames. */
  count: number;
  /** Writes output; false: call back `resume` when there is room again. */
  write(chunk: Uint8Array | string): boolean;
  /** A line for the operator. */
  tell(text: string): void;
}

/** Connected to a network; frames come out by `write`, and go in by `take`. */
export class PortStream {
  private readonly socket: Socket;
  private readonly options: PortStreamOptions;
  private readonly hello = new CableHello({ identity: 0, peerIdentity: UNPROVEN, recordBytesMax: 1, rng: new Rng(1) });
  private readonly pcap = new PcapReader();
  private rest: Buffer = Buffer.alloc(0);
  private line = '';
  private left: number;
  /** Resolves when the network is gone or `count` frames were seen. */
  readonly ended: Promise<void>;

  private constructor(socket: Socket, options: PortStreamOptions) {
    this.socket = socket;
    this.options = options;
    this.left = options.count;
    this.ended = new Promise((resolve) => socket.on('close', () => resolve()));
    socket.on('error', () => {});
    socket.on('data', (chunk) => this.receive(chunk));
    if (options.form === 'raw') options.write(writePcapHeader());
  }

  /** Joins the network that is served in a directory. Rejects with `FailedError` if none is. */
  static connect(options: PortStreamOptions): Promise<PortStream> {
    const path = `${options.directory}/stream`;
    return new Promise((resolve, reject) => {
      const socket = createConnection(path);
      socket.once('connect', () => resolve(new PortStream(socket, options)));
      socket.once('error', (error: NodeJS.ErrnoException) => {
        const why = `(${path}: ${error.code})`;
        if (error.code === 'EACCES') reject(new FailedError(`the network belongs to another user ${why}`));
        else reject(new FailedError(`no network is up there ${why}; start it with: weft up`));
      });
    });
  }

  /** Input in the form of the output: a pcap stream, or lines of text. */
  take(chunk: Uint8Array): void {
    if (this.options.form === 'raw') this.takePcap(chunk);
    else if (this.options.form === 'ascii') this.takeLines(chunk);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Sends what was given and leaves. */
  close(): void {
    this.socket.end(() => this.socket.destroy());
  }

  private takePcap(chunk: Uint8Array): void {
    const { pcap } = this;
    if (pcap.error !== undefined) return;
    pcap.push(chunk);
    for (let frame = pcap.next(); frame; frame = pcap.next()) this.send(frame.bytes);
    if (pcap.error !== undefined) this.options.tell(`stdin: ${pcap.error}; nothing more is read from it`);
  }

  private takeLines(chunk: Uint8Array): void {
    const parts = (this.line + Buffer.from(chunk).toString('latin1')).split('\n');
    this.line = parts.pop()!;
    if (this.line.length > LINE_CHARS_MAX) this.line = '';
    const frame = Buffer.alloc(JUMBO_FRAME_BYTES);
    for (const part of parts) {
      if (part.trim() === '') continue;
      const read = readAscii(part, frame, 0, frame.length);
      if (read.drop === Drop.None) this.send(frame.subarray(0, read.length));
      else this.options.tell(`stdin: a line is no frame (${DROP_NAMES[read.drop]})`);
    }
  }

  private send(frame: Uint8Array): void {
    if (frame.length > JUMBO_FRAME_BYTES) {
      this.options.tell(`stdin: a frame of ${frame.length} bytes; at most ${JUMBO_FRAME_BYTES}`);
      return;
    }
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(frame.length);
    this.socket.write(Buffer.concat([prefix, frame]));
  }

  private receive(chunk: Buffer): void {
    const bytes = this.rest.length > 0 ? Buffer.concat([this.rest, chunk]) : chunk;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 0;
    let hasRoom = true;
    while (at + PREFIX_BYTES <= bytes.length) {
      const length = view.getUint32(at);
      if (length > RECORD_BYTES_MAX) {
        this.socket.destroy();
        return;
      }
      if (at + PREFIX_BYTES + length > bytes.length) break;
      if (this.left > 0 && length > 0) hasRoom = this.show(view, at + PREFIX_BYTES, length) && hasRoom;
      at += PREFIX_BYTES + length;
    }
    this.rest = bytes.subarray(at);
    if (!hasRoom) this.socket.pause();
    if (this.left <= 0) this.socket.destroy();
  }

  /** False if the reader of our output is slow: the network then drops, counted, instead of memory growing here. */
  private show(view: DataView, at: number, length: number): boolean {
    if (this.hello.receive(view, at, length)) return true;
    this.left--;
    const { form, time, write } = this.options;
    const nowUs = Date.now() * 1000;
    if (form === 'raw') return write(writePcapRecord(view, at, length, nowUs));
    if (form === 'ascii') return write(writeAscii(view, at, length, time ? nowUs : undefined));
    if (form === 'hexdump') return write(writeHexdump(view, at, length));
    const clock = new Date().toISOString().slice(11, 23);
    return write(`${clock} ${printFrame(view, at, length)}\n`);
  }
}
