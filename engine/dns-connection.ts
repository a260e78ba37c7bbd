// A TCP connection to a name server: queries and answers with their lengths before them, RFC 1035 §4.2.2, RFC 7766.

import { NONE, type Slab } from '../core/slab.ts';
import { Span } from '../core/span.ts';
import { US_PER_S } from '../core/time.ts';
import { HostReady, type HostSockets, type HostUser } from '../slirp/slirp.ts';
import { type Address, ANY_ADDRESS, Errno, type Stack } from '../stack/stack.ts';

/** How long it may say nothing. RFC 7766 §6.2.3: a client closes soon what it does not need. */
export const IDLE_US = 10 * US_PER_S;
/** Queries that wait to leave. */
export const OUTPUT_BYTES = 32_768;
/** The longest answer with its length, and as much of the next one as comes with it. */
const INPUT_BYTES = 131_072;
const LENGTH_BYTES = 2;

/** Who it is for. */
export interface DnsConnectionUser {
  /** A message came, in the slab. */
  answered(at: number, count: number): void;
  /** It is gone, and no more is called: with queries that have no answer or not. Never from within `send`. */
  closed(isUnanswered: boolean): void;
}

export class DnsConnection implements HostUser {
  /** When `expire` ends it. */
  deadlineUs = 0;
  private readonly stack: Stack;
  private readonly host: HostSockets;
  private readonly slab: Slab;
  private readonly user: DnsConnectionUser;
  private readonly h: number;
  private readonly input: number;
  private readonly output: number;
  private readonly span = new Span();
  private have = 0;
  private queued = 0;
  private unanswered = 0;
  private isOpen = true;
  private isConnecting = true;

  private constructor(parts: ConnectionParts, h: number, input: number, output: number, user: DnsConnectionUser) {
    this.stack = parts.stack;
    this.host = parts.host;
    this.slab = parts.slab;
    this.h = h;
    this.input = input;
    this.output = output;
    this.user = user;
    this.touch();
    this.host.claim(h, this);
    this.host.want(h, HostReady.Out);
  }

  /** Begins to connect; undefined if the host has no socket or memory for it. */
  static open(
    parts: ConnectionParts,
    address: Address,
    port: number,
    user: DnsConnectionUser,
  ): DnsConnection | undefined {
    const { slab, host } = parts;
    const input = slab.alloc(INPUT_BYTES);
    const output = slab.alloc(OUTPUT_BYTES);
    const h = input === NONE || output === NONE ? -Errno.ENOBUFS : host.connectTcp(address, port, ANY_ADDRESS);
    if (h >= 0) return new DnsConnection(parts, h, input, output, user);
    slab.release(input, INPUT_BYTES);
    slab.release(output, OUTPUT_BYTES);
    return undefined;
  }

  /** Queues a query; false if too much waits. */
  send(bytes: Uint8Array, at: number, count: number): boolean {
    if (!this.isOpen || this.queued + LENGTH_BYTES + count > OUTPUT_BYTES) return false;
    const { bytes: memory } = this.slab;
    let to = this.output + this.queued;
    memory[to++] = count >>> 8;
    memory[to++] = count;
    for (let i = 0; i < count; i++) memory[to++] = bytes[at + i]!;
    this.queued += LENGTH_BYTES + count;
    this.unanswered++;
    this.touch();
    return true;
  }

  /** What is queued leaves, if it can. */
  flush(): void {
    if (!this.isOpen || this.isConnecting || this.queued === 0) return;
    this.span.set(this.output, this.queued);
    const sent = this.host.send(this.h, this.span);
    if (sent < 0 && sent !== -Errno.EAGAIN) {
      this.end();
      return;
    }
    if (sent > 0) {
      this.slab.bytes.copyWithin(this.output, this.output + sent, this.output + this.queued);
      this.queued -= sent;
    }
    this.host.want(this.h, this.queued > 0 ? HostReady.In | HostReady.Out : HostReady.In);
  }

  ready(_h: number, events: number): void {
    if ((events & HostReady.Error) !== 0 && this.host.takeError(this.h) !== 0) {
      this.end();
      return;
    }
    if ((events & HostReady.Out) !== 0) {
      if (this.isConnecting && this.host.takeError(this.h) !== 0) {
        this.end();
        return;
      }
      this.isConnecting = false;
      this.host.want(this.h, HostReady.In);
      this.flush();
    }
    if (this.isOpen && (events & (HostReady.In | HostReady.Hup)) !== 0) this.read();
  }

  /** It was idle. */
  expire(): void {
    if (this.isOpen) this.end();
  }

  /** Closes it; nobody is told. */
  drop(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.host.close(this.h);
    this.slab.release(this.input, INPUT_BYTES);
    this.slab.release(this.output, OUTPUT_BYTES);
  }

  private read(): void {
    this.span.set(this.input + this.have, INPUT_BYTES - this.have);
    const got = this.host.receive(this.h, this.span);
    if (got === -Errno.EAGAIN) return;
    if (got <= 0) {
      this.end();
      return;
    }
    this.have += got;
    this.touch();
    const { view, bytes } = this.slab;
    let at = this.input;
    const end = this.input + this.have;
    while (this.isOpen && end - at >= LENGTH_BYTES) {
      const count = view.getUint16(at);
      if (end - at < LENGTH_BYTES + count) break;
      this.unanswered = Math.max(0, this.unanswered - 1);
      this.user.answered(at + LENGTH_BYTES, count);
      at += LENGTH_BYTES + count;
    }
    if (!this.isOpen) return;
    bytes.copyWithin(this.input, at, end);
    this.have = end - at;
  }

  private end(): void {
    this.drop();
    this.user.closed(this.unanswered > 0);
  }

  private touch(): void {
    this.deadlineUs = this.stack.shared.nowUs + IDLE_US;
  }
}

/** What it works with. */
export interface ConnectionParts {
  readonly stack: Stack;
  readonly host: HostSockets;
  readonly slab: Slab;
}
