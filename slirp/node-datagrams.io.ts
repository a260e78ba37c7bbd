// UDP sockets of the host as Node has them: no hops, no traffic class, and of errors only those of the host itself.

import { Buffer } from 'node:buffer';
import * as dgram from 'node:dgram';
import type { Slab } from '../core/slab.ts';
import { type Address, Errno, formatAddress, parseAddress, type SocketName } from '../stack/stack.ts';
import { BATCH_DATAGRAMS, type DatagramBatch } from './datagram-batch.ts';
import { type HostError, HostReady } from './host-sockets.ts';
import { errnoOf, type NodeHandle } from './node-handle.io.ts';
import { readName } from './node-streams.io.ts';
import type { ReadyTable } from './ready-table.ts';

const { In, Out, Error: Failed } = HostReady;

/** Of one socket; what comes when it is full is lost, as in a kernel's buffer. */
const BUFFER_BYTES = 512 * 1024;
const BUFFER_DATAGRAMS = 1024;
const ERRORS_MAX = 32;
const PAYLOAD4_BYTES_MAX = 65535 - 20 - 8;
const PAYLOAD6_BYTES_MAX = 65535 - 8;

interface Received {
  readonly bytes: Buffer;
  readonly address: string;
  readonly port: number;
}

interface Failure {
  readonly errno: number;
  readonly target: Address;
  readonly port: number;
}

type Lookup = (host: string, family: number, done: (error: null, address: string, family: number) => void) => void;

// Every name is an address already; at once, so that `bind` and `send` are done when they return.
const lookup: Lookup = (host, family, done) => done(null, host, family);

/** One UDP socket. */
export class NodeDatagrams implements NodeHandle {
  private readonly table: ReadyTable;
  private readonly slab: Slab;
  private readonly h: number;
  private readonly isIp6: boolean;
  private readonly socket: dgram.Socket;
  private received: Received[] = [];
  private first = 0; // of `received` that nobody took yet
  private bytes = 0;
  private readonly errors: Failure[] = [];
  private readonly target: Address = new Int32Array(4);
  private error = 0;
  private hops = -1;
  private isGone = false;

  constructor(table: ReadyTable, slab: Slab, h: number, isIp6: boolean) {
    this.table = table;
    this.slab = slab;
    this.h = h;
    this.isIp6 = isIp6;
    const type = isIp6 ? 'udp6' : 'udp4';
    this.socket = dgram.createSocket({ type, ipv6Only: isIp6, lookup: lookup as unknown as never });
    this.socket.on('message', (bytes, { address, port }) => this.arrived({ bytes, address, port }));
    this.socket.on('error', (error) => this.failed(error));
  }

  /** 0 or -errno: known at once. */
  bind(local: Address, port: number): number {
    const isAny = local.every((word, i) => word === 0 || (i === 2 && word === 0xffff));
    const address = isAny ? (this.isIp6 ? '::' : '0.0.0.0') : formatAddress(local);
    try {
      this.socket.bind({ address, port, exclusive: true });
    } catch (error) {
      return -errnoOf(error as Error);
    }
    const { error } = this;
    this.takeError();
    if (error === 0) this.table.mark(this.h, Out);
    return -error;
  }

  receive(into: DatagramBatch): number {
    let n = 0;
    for (; n < BATCH_DATAGRAMS && this.first < this.received.length; n++) {
      const { bytes, address, port } = this.received[this.first++]!;
      this.bytes -= bytes.length;
      into.at[n] = into.cellAt(n);
      into.bytes[n] = bytes.length;
      this.slab.bytes.set(bytes, into.cellAt(n));
      into.address.set(parseAddress(address.replace(/%.*$/, '')) ?? this.target.fill(0), 4 * n);
      into.port[n] = port;
      into.hops[n] = -1;
      into.trafficClass[n] = -1;
    }
    into.count = n;
    if (this.first === this.received.length) {
      this.received = [];
      this.first = 0;
      this.table.clear(this.h, In);
    }
    return n === 0 ? -Errno.EAGAIN : n;
  }

  send(batch: DatagramBatch, from: number, count: number): number {
    const { bytes } = this.slab;
    const bytesMax = this.isIp6 ? PAYLOAD6_BYTES_MAX : PAYLOAD4_BYTES_MAX;
    for (let i = 0; i < count; i++) {
      const row = from + i;
      const length = batch.bytes[row]!;
      if (length > bytesMax || batch.port[row] === 0) {
        if (i > 0) return i;
        return length > bytesMax ? -Errno.EMSGSIZE : -Errno.EINVAL;
      }
      if (this.socket.getSendQueueSize() >= BUFFER_BYTES) {
        this.table.clear(this.h, Out);
        return i > 0 ? i : -Errno.EAGAIN;
      }
      const target = batch.address.slice(4 * row, 4 * row + 4);
      const port = batch.port[row]!;
      const payload = Buffer.from(bytes.subarray(batch.at[row]!, batch.at[row]! + length));
      this.socket.send(payload, port, formatAddress(target), (error) => this.sent(error, target, port));
    }
    return count;
  }

  receiveError(into: HostError): boolean {
    const failure = this.errors.shift();
    if (!failure) {
      this.table.clear(this.h, Failed);
      return false;
    }
    into.errno = failure.errno;
    into.type = -1;
    into.code = 0;
    into.info = 0;
    into.isIp6 = this.isIp6;
    into.reporter.fill(0);
    into.target.set(failure.target);
    into.port = failure.port;
    into.at = 0;
    into.bytes = 0;
    return true;
  }

  setHops(hops: number): void {
    if (this.hops === hops) return;
    this.hops = hops;
    try {
      this.socket.setTTL(hops);
    } catch {
      // The host's own number of hops then.
    }
  }

  takeError(): number {
    const { error } = this;
    this.error = 0;
    if (this.errors.length === 0) this.table.clear(this.h, Failed);
    return error;
  }

  local(name: SocketName): number {
    try {
      const { address, port } = this.socket.address();
      readName(name, address, port);
      return 0;
    } catch (error) {
      return -errnoOf(error as Error);
    }
  }

  wanted(): void {}

  close(): void {
    this.isGone = true;
    this.received = [];
    this.socket.close();
  }

  abort(): void {
    this.close();
  }

  private arrived(datagram: Received): void {
    const waiting = this.received.length - this.first;
    if (this.isGone || waiting >= BUFFER_DATAGRAMS || this.bytes + datagram.bytes.length > BUFFER_BYTES) return;
    this.received.push(datagram);
    this.bytes += datagram.bytes.length;
    this.table.mark(this.h, In);
  }

  private sent(error: Error | null, target: Address, port: number): void {
    if (this.isGone) return;
    this.table.mark(this.h, Out);
    if (!error || this.errors.length >= ERRORS_MAX) return;
    this.errors.push({ errno: errnoOf(error), target, port });
    this.table.mark(this.h, Failed);
  }

  private failed(error: Error): void {
    this.error = errnoOf(error);
    if (!this.isGone) this.table.mark(this.h, Failed);
  }
}
