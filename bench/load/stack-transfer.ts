// One TCP connection between two stacks, as fast as it goes: every byte is written from a program's buffer and read into one.

import { assert } from '../../core/assert.ts';
import { Errno, Family, parseAddress, type SocketHandle, SocketType, type Stack } from '../../stack/stack.ts';
import { type LanOptions, lanAddress, StackLan } from './stack-lan.ts';

const PORT = 5201;
const BUFFER_BYTES = 128 << 10; // as iperf3's
const BACKLOG = 64;
const CONNECT_SECONDS_MAX = 2;
const WARM_MS_MAX = 8000;
const TURNS_A_LOOK = 100;

/** What is on the wire: byte `n` of a stream. 251 is prime, so that a piece in the wrong place shows. */
const byteAt = (n: number): number => n % 251;

/** A listening socket that hands over what it accepts. */
export function serve(stack: Stack, isIp6: boolean, port: number, accept: (handle: SocketHandle) => void): void {
  const { sockets, streams } = stack;
  const h = sockets.socket(isIp6 ? Family.Inet6 : Family.Inet, SocketType.Stream);
  sockets.bind(h, parseAddress(isIp6 ? '::' : '0.0.0.0')!, port);
  assert(sockets.listen(h, BACKLOG) === 0, 'a listener');
  streams.adopt(h).onReadable = () => {
    for (let n = sockets.accept(h); n >= 0; n = sockets.accept(h)) {
      const handle = streams.adopt(n);
      accept(handle);
      handle.react(); // its news from before it was accepted
    }
  };
}

/** Begins to connect. */
export function dial(stack: Stack, address: string, port: number): SocketHandle {
  const { sockets, streams } = stack;
  const h = sockets.socket(address.includes(':') ? Family.Inet6 : Family.Inet, SocketType.Stream);
  const result = sockets.connect(h, parseAddress(address)!, port);
  assert(result === 0 || result === -Errno.EINPROGRESS, `connect: ${result}`);
  const handle = streams.adopt(h);
  streams.wake();
  return handle;
}

/** An open transfer. `checks` compares every byte, which costs more than the stacks do. */
export class Transfer {
  readonly lan: StackLan;
  /** Bytes that the receiving program has read. */
  received = 0;
  private readonly chunk: Uint8Array;
  private readonly into = new Uint8Array(BUFFER_BYTES);
  private readonly checks: boolean;
  private readonly client: SocketHandle;
  private sent = 0;
  private isStopped = false;

  constructor(options: LanOptions & { isIp6: boolean; checks?: boolean }) {
    this.checks = options.checks ?? false;
    // Two periods longer than a buffer, so that a write may begin at any byte of the pattern.
    this.chunk = Uint8Array.from({ length: BUFFER_BYTES + 251 }, (_, i) => byteAt(i));
    this.lan = new StackLan(options);
    const [a, b] = [this.lan.add(), this.lan.add()];
    let isAccepted = false;
    serve(b, options.isIp6, PORT, (handle) => {
      isAccepted = true;
      handle.onReadable = () => this.read(handle);
    });
    this.client = dial(a, lanAddress(2, options.isIp6), PORT);
    this.client.onWritable = () => this.write();
    assert(
      this.lan.until(() => isAccepted, CONNECT_SECONDS_MAX),
      'the stacks connect',
    );
  }

  /** Transfers until this process has used so many seconds of CPU time: on a busy machine the clock says nothing of warmth. */
  warm(seconds: number): void {
    const cpu = process.cpuUsage();
    const endMs = performance.now() + WARM_MS_MAX;
    let usedUs = 0;
    while (usedUs < seconds * 1e6 && performance.now() < endMs) {
      for (let i = 0; i < TURNS_A_LOOK; i++) this.lan.turn();
      const { user, system } = process.cpuUsage(cpu);
      usedUs = user + system;
    }
  }

  /** Transfers for so long; bits per second, and per second of this process's CPU time. */
  run(seconds: number): { bitsPerSecond: number; bitsPerCpuSecond: number } {
    const before = this.received;
    const cpu = process.cpuUsage();
    const startMs = performance.now();
    const endMs = startMs + seconds * 1000;
    while (performance.now() < endMs) this.lan.turn();
    const bits = (this.received - before) * 8;
    const { user, system } = process.cpuUsage(cpu);
    return {
      bitsPerSecond: (bits * 1000) / (performance.now() - startMs),
      bitsPerCpuSecond: (bits * 1e6) / (user + system),
    };
  }

  /** Writes no more, and waits until all that was written has come. */
  drain(secondsMax: number): boolean {
    this.isStopped = true;
    return this.lan.until(() => this.received === this.sent, secondsMax);
  }

  private write(): void {
    while (!this.isStopped) {
      const n = this.client.write(this.chunk, byteAt(this.sent), BUFFER_BYTES);
      if (n <= 0) return;
      this.sent += n;
    }
  }

  private read(handle: SocketHandle): void {
    for (;;) {
      const n = handle.read(this.into, 0, BUFFER_BYTES);
      if (n <= 0) return;
      if (this.checks) this.check(n);
      this.received += n;
    }
  }

  private check(count: number): void {
    for (let i = 0; i < count; i++) {
      assert(this.into[i] === byteAt(this.received + i), `byte ${this.received + i} is as it was written`);
    }
  }
}
