// A client of iperf3's protocol on a stack of ours: one control connection with JSON, one connection with data.

import { Errno, type SocketHandle, type Stack } from '../../stack/stack.ts';
import { dial } from './stack-transfer.ts';

/** What a server says on the control connection, a byte each. */
const Word = {
  Start: 1,
  Running: 2,
  End: 4,
  Parameters: 9,
  CreateStreams: 10,
  Results: 13,
  Display: 14,
  Done: 16,
  AccessDenied: 255,
} as const;

const COOKIE_BYTES = 37; // 36 characters and a zero
const BUFFER_BYTES = 128 << 10;
const LENGTH_BYTES = 4;
const JSON_BYTES_MAX = 1 << 16;

/** A run against `iperf3 -s` at `host`. `isReverse`: the server sends. The driver turns until `isDone`. */
export class IperfClient {
  isDone = false;
  /** Bytes that the receiving side counted, and the seconds from the first to the last. */
  bytes = 0;
  seconds = 0;
  private readonly stack: Stack;
  private readonly host: string;
  private readonly port: number;
  private readonly wantedMs: number;
  private readonly isReverse: boolean;
  private readonly control: SocketHandle;
  private data: SocketHandle | undefined;
  private readonly cookie = new Uint8Array(COOKIE_BYTES).fill(0x77, 0, COOKIE_BYTES - 1);
  private readonly buffer = new Uint8Array(BUFFER_BYTES);
  private pending = new Uint8Array(0); // of the control connection, not understood yet
  private wantsResults = false;
  private isRunning = false;
  private startMs = 0;
  private sent = 0;

  constructor(stack: Stack, host: string, port: number, seconds: number, isReverse: boolean) {
    this.stack = stack;
    this.host = host;
    this.port = port;
    this.wantedMs = seconds * 1000;
    this.isReverse = isReverse;
    this.control = dial(stack, host, port);
    this.control.onWritable = once(() => this.say(this.cookie));
    this.control.onReadable = () => this.hear();
    this.control.onClose = () => this.fail('closed');
  }

  private fail(why: string): never {
    throw new Error(`iperf3 server: ${why}`);
  }

  private say(bytes: Uint8Array): void {
    const n = this.control.write(bytes, 0, bytes.length);
    if (n !== bytes.length) this.fail(`wrote ${n} of ${bytes.length}`);
  }

  private sayJson(value: object): void {
    const text = new TextEncoder().encode(JSON.stringify(value));
    const framed = new Uint8Array(LENGTH_BYTES + text.length);
    new DataView(framed.buffer).setUint32(0, text.length);
    framed.set(text, LENGTH_BYTES);
    this.say(framed);
  }

  private hear(): void {
    for (;;) {
      const n = this.control.read(this.buffer, 0, JSON_BYTES_MAX);
      if (n === -Errno.EAGAIN) break;
      if (n <= 0) this.fail(`ended with ${n}`);
      const more = new Uint8Array(this.pending.length + n);
      more.set(this.pending);
      more.set(this.buffer.subarray(0, n), this.pending.length);
      this.pending = more;
    }
    while (this.pending.length > 0 && !this.isDone && this.takeOne());
  }

  /** A word or a JSON value; false if it is not all here. */
  private takeOne(): boolean {
    const { pending } = this;
    if (!this.wantsResults) {
      this.pending = pending.subarray(1);
      this.obey(pending[0]!);
      return true;
    }
    if (pending.length < LENGTH_BYTES) return false;
    const end = LENGTH_BYTES + new DataView(pending.buffer, pending.byteOffset).getUint32(0);
    if (pending.length < end) return false;
    this.wantsResults = false;
    this.pending = pending.subarray(end);
    const results = JSON.parse(new TextDecoder().decode(pending.subarray(LENGTH_BYTES, end))) as Results;
    if (!this.isReverse) this.bytes = results.streams[0]!.bytes;
    return true;
  }

  private obey(word: number): void {
    switch (word) {
      case Word.Parameters: {
        const time = Math.ceil(this.wantedMs / 1000);
        const way = this.isReverse ? { reverse: true } : {};
        this.sayJson({ tcp: true, omit: 0, time, num: 0, blockcount: 0, parallel: 1, len: BUFFER_BYTES, ...way });
        break;
      }
      case Word.CreateStreams:
        this.data = dial(this.stack, this.host, this.port);
        this.data.onWritable = once(() => this.data!.write(this.cookie, 0, COOKIE_BYTES));
        break;
      case Word.Running:
        this.begin();
        break;
      case Word.Results:
        this.wantsResults = true;
        this.sayJson(ownResults(this.isReverse ? this.bytes : this.sent, this.seconds));
        break;
      case Word.Display:
        this.isDone = true;
        this.control.onClose = undefined;
        this.say(Uint8Array.of(Word.Done));
        this.control.close();
        break;
      case Word.Start:
        break;
      default:
        this.fail(word === Word.AccessDenied ? 'busy' : `said ${word}`);
    }
  }

  private begin(): void {
    this.isRunning = true;
    this.startMs = performance.now();
    const data = this.data!;
    data.onReadable = () => this.read(data);
    data.onWritable = this.isReverse ? undefined : () => this.write(data);
    if (this.isReverse) this.read(data);
    else this.write(data);
  }

  private write(data: SocketHandle): void {
    while (this.isRunning) {
      const n = data.write(this.buffer, 0, BUFFER_BYTES);
      if (n <= 0) return;
      this.sent += n;
      this.look();
    }
  }

  private read(data: SocketHandle): void {
    while (this.isRunning) {
      const n = data.read(this.buffer, 0, BUFFER_BYTES);
      if (n <= 0) return;
      this.bytes += n;
      this.look();
    }
  }

  private look(): void {
    const nowMs = performance.now();
    if (nowMs - this.startMs < this.wantedMs) return;
    this.isRunning = false;
    this.seconds = (nowMs - this.startMs) / 1000;
    this.say(Uint8Array.of(Word.End));
    // What is still on its way belongs to nobody.
    this.data!.onReadable = () => this.discard();
    this.discard();
  }

  private discard(): void {
    while (this.data!.read(this.buffer, 0, BUFFER_BYTES) > 0);
  }
}

interface Results {
  readonly streams: readonly { readonly bytes: number }[];
}

const ownResults = (bytes: number, seconds: number): object => ({
  cpu_util_total: 0,
  cpu_util_user: 0,
  cpu_util_system: 0,
  sender_has_retransmits: 0,
  streams: [{ id: 1, bytes, retransmits: -1, jitter: 0, errors: 0, packets: 0, start_time: 0, end_time: seconds }],
});

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    act();
  };
}
