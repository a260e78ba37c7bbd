// DNS over TCP for guests, RFC 7766: queries may be sent one behind the other, and are answered in the order in which answers
// come (§6.2.1.1). Connections are bounded, altogether and for one guest, and closed when they are idle (§6.2.3). A connection
// whose answers are not read is not read either.

import { NEVER, US_PER_S } from '../core/time.ts';
import type { Address } from '../stack/stack.ts';
import { Errno, equalAddresses, Family, isIp4, SocketName, SocketOption, SocketType } from '../stack/stack.ts';
import { DnsAsker, type QueryTaker, type Sockets, TCP_WAY } from './dns-asker.ts';
import type { DnsCounters } from './dns-parts.ts';
import { QUERY_BYTES_MAX } from './dns-query.ts';
import { type DnsReply, MESSAGE_BYTES_MAX } from './dns-reply.ts';

/** Connections at a time, and of one guest. */
export const CONNECTIONS_MAX = 128;
export const GUEST_CONNECTIONS_MAX = 16;
/** How long a connection may be idle: neither a whole query came, nor did answers go out. */
export const IDLE_US = 10 * US_PER_S;
/** Queries of a connection that are not answered; no more are read then. */
export const IN_FLIGHT_MAX = 64;
/** Answers that wait to be read, in bytes; a connection with more is reset. */
export const UNREAD_BYTES_MAX = 4 * MESSAGE_BYTES_MAX;

const BACKLOG = 64;
const INPUT_BYTES = 4 * (2 + QUERY_BYTES_MAX);

interface Connection {
  readonly slot: number;
  h: number; // -1: free
  generation: number;
  readonly guest: Address;
  port: number;
  readonly input: Uint8Array;
  have: number;
  inFlight: number;
  output: Uint8Array; // what the socket did not take
  outputBytes: number;
  isEnded: boolean;
  idleUs: number;
}

export class DnsTcp {
  private readonly sockets: Sockets;
  private readonly reply: DnsReply;
  private readonly counters: DnsCounters;
  private readonly taker: QueryTaker;
  private readonly nowUs: () => number;
  private readonly asker = new DnsAsker();
  private readonly name = new SocketName();
  private readonly listeners: number[] = [];
  private readonly connections: Connection[] = [];
  private readonly byHandle = new Map<number, Connection>();
  private hasResumed = false; // a connection may be read again
  private earliestUs = NEVER; // no connection is idle before

  constructor(sockets: Sockets, reply: DnsReply, counters: DnsCounters, taker: QueryTaker, nowUs: () => number) {
    this.sockets = sockets;
    this.reply = reply;
    this.counters = counters;
    this.taker = taker;
    this.nowUs = nowUs;
  }

  /** Listens at one more address: 0 or -errno. */
  open(address: Address, port: number): number {
    const { sockets } = this;
    const h = sockets.socket(isIp4(address) ? Family.Inet : Family.Inet6, SocketType.Stream);
    if (h < 0) return h;
    sockets.setOption(h, SocketOption.ReuseAddress, 1);
    const bound = sockets.bind(h, address, port);
    const listens = bound < 0 ? bound : sockets.listen(h, BACKLOG);
    if (listens < 0) {
      sockets.close(h);
      return listens;
    }
    this.listeners.push(h);
    sockets.claim(h, this);
    return 0;
  }

  /** Connections that are open. */
  get count(): number {
    return this.byHandle.size;
  }

  changed(h: number): void {
    if (this.listeners.includes(h)) {
      this.accept(h);
      return;
    }
    const connection = this.byHandle.get(h);
    if (!connection) return;
    if (this.drain(connection)) this.read(connection);
    this.taker.asked();
  }

  /** Sends the reply to who asked, if that connection is still there. Never reads more from within. */
  send(asker: DnsAsker): void {
    const connection = this.connections[asker.way - TCP_WAY]!;
    if (connection.h < 0 || connection.generation !== asker.generation) return;
    const { reply, sockets } = this;
    connection.inFlight--;
    connection.idleUs = this.nowUs() + IDLE_US;
    this.hasResumed = true;
    const bytes = reply.frame();
    const sent = connection.outputBytes > 0 ? 0 : sockets.send(connection.h, reply.bytes, 0, bytes);
    if (sent < 0 && sent !== -Errno.EAGAIN) this.abort(connection);
    else if (sent < bytes) this.keep(connection, Math.max(0, sent), bytes);
  }

  /** Reads on where answers made room. */
  turn(): void {
    if (!this.hasResumed) return;
    this.hasResumed = false;
    for (const connection of this.connections) {
      if (connection.h >= 0 && this.drain(connection)) this.read(connection);
    }
    this.taker.asked();
  }

  deadlineUs(): number {
    return this.earliestUs;
  }

  /** Ends connections that are idle. */
  expire(): void {
    const nowUs = this.nowUs();
    if (this.earliestUs > nowUs) return;
    this.earliestUs = NEVER;
    for (const connection of this.connections) {
      if (connection.h < 0) continue;
      if (connection.idleUs <= nowUs) {
        if (connection.outputBytes > 0) this.abort(connection);
        else this.end(connection);
      } else this.earliestUs = Math.min(this.earliestUs, connection.idleUs);
    }
  }

  close(): void {
    for (const connection of this.connections) if (connection.h >= 0) this.abort(connection);
    for (const h of this.listeners) this.sockets.close(h);
    this.listeners.length = 0;
  }

  private accept(listener: number): void {
    const { sockets, name } = this;
    for (;;) {
      const h = sockets.accept(listener);
      if (h < 0) return;
      sockets.peer(h, name);
      const slot = this.slotFor(name.address);
      if (slot < 0) {
        this.counters.full++;
        sockets.abort(h);
        continue;
      }
      const connection = this.connections[slot]!;
      connection.h = h;
      connection.generation++;
      connection.guest.set(name.address);
      connection.port = name.port;
      connection.have = connection.inFlight = connection.outputBytes = 0;
      connection.isEnded = false;
      connection.idleUs = this.nowUs() + IDLE_US;
      this.earliestUs = Math.min(this.earliestUs, connection.idleUs);
      this.byHandle.set(h, connection);
      sockets.claim(h, this);
    }
  }

  /** A place for a guest's connection, or -1. */
  private slotFor(guest: Address): number {
    const { connections } = this;
    let free = -1;
    let own = 0;
    for (const one of connections) {
      if (one.h < 0) free = one.slot;
      else if (equalAddresses(one.guest, guest)) own++;
    }
    if (own >= GUEST_CONNECTIONS_MAX) return -1;
    if (free >= 0 || connections.length >= CONNECTIONS_MAX) return free;
    connections.push({
      ...{ slot: connections.length, h: -1, generation: 0, guest: new Int32Array(4), port: 0, have: 0, inFlight: 0 },
      ...{ input: new Uint8Array(INPUT_BYTES), output: EMPTY, outputBytes: 0, isEnded: false, idleUs: 0 },
    });
    return connections.length - 1;
  }

  /** Takes queries, as many as may be in flight. */
  private read(connection: Connection): void {
    const { sockets } = this;
    const { input } = connection;
    while (connection.h >= 0 && this.take(connection) && !connection.isEnded) {
      const got = sockets.receive(connection.h, input, connection.have, input.length - connection.have);
      if (got === -Errno.EAGAIN) break;
      if (got < 0) this.abort(connection);
      else if (got === 0) connection.isEnded = true;
      else connection.have += got;
    }
    if (connection.h >= 0 && connection.isEnded && connection.inFlight === 0 && connection.outputBytes === 0)
      this.end(connection);
  }

  /** Takes the whole queries that came; false if no more may be read now. */
  private take(connection: Connection): boolean {
    const { asker } = this;
    const { input } = connection;
    let at = 0;
    while (connection.h >= 0 && connection.have - at >= 2) {
      if (connection.inFlight >= IN_FLIGHT_MAX || connection.outputBytes > 0) break;
      const bytes = (input[at]! << 8) | input[at + 1]!;
      if (bytes > QUERY_BYTES_MAX) {
        this.counters.malformed++;
        this.abort(connection);
        return false;
      }
      if (connection.have - at < 2 + bytes) break;
      asker.way = TCP_WAY + connection.slot;
      asker.generation = connection.generation;
      asker.address.set(connection.guest);
      asker.port = connection.port;
      asker.bytesMax = MESSAGE_BYTES_MAX;
      connection.idleUs = this.nowUs() + IDLE_US;
      connection.inFlight++;
      this.counters.queries++;
      this.counters.overTcp++;
      if (!this.taker.ask(input, at + 2, bytes, asker)) {
        this.counters.malformed++;
        this.abort(connection);
        return false;
      }
      at += 2 + bytes;
    }
    if (connection.h < 0) return false;
    input.copyWithin(0, at, connection.have);
    connection.have -= at;
    return connection.inFlight < IN_FLIGHT_MAX && connection.outputBytes === 0;
  }

  /** Keeps what the socket did not take. */
  private keep(connection: Connection, sent: number, bytes: number): void {
    const need = connection.outputBytes + bytes - sent;
    if (need > UNREAD_BYTES_MAX) {
      this.counters.unsent++;
      this.abort(connection);
      return;
    }
    if (need > connection.output.length) {
      const next = new Uint8Array(Math.min(UNREAD_BYTES_MAX, 2 * need));
      next.set(connection.output.subarray(0, connection.outputBytes));
      connection.output = next;
    }
    connection.output.set(this.reply.bytes.subarray(sent, bytes), connection.outputBytes);
    connection.outputBytes = need;
  }

  /** Sends what was kept; false if some is left. */
  private drain(connection: Connection): boolean {
    if (connection.outputBytes === 0) return true;
    const { output, outputBytes } = connection;
    const sent = this.sockets.send(connection.h, output, 0, outputBytes);
    if (sent < 0) {
      if (sent !== -Errno.EAGAIN) this.abort(connection);
      return false;
    }
    output.copyWithin(0, sent, outputBytes);
    connection.outputBytes -= sent;
    connection.idleUs = this.nowUs() + IDLE_US;
    if (connection.outputBytes > 0) return false;
    connection.output = EMPTY;
    return true;
  }

  private end(connection: Connection): void {
    const { h } = connection;
    this.forget(connection);
    this.sockets.close(h);
  }

  private abort(connection: Connection): void {
    const { h } = connection;
    this.forget(connection);
    this.sockets.abort(h);
  }

  private forget(connection: Connection): void {
    this.byHandle.delete(connection.h);
    connection.h = -1;
    connection.output = EMPTY;
    connection.outputBytes = 0;
  }
}

const EMPTY = new Uint8Array(0);
