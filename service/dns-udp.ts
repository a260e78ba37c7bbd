// DNS over UDP for guests: one socket for each address. When the port takes no more, the answer that did not fit is held and no
// query is read until it went, so that a burst waits in the socket's queue, where it is bounded.

import type { Address } from '../stack/stack.ts';
import { Errno, Family, isIp4, Ready, SocketType } from '../stack/stack.ts';
import { DnsAsker, type QueryTaker, type Sockets } from './dns-asker.ts';
import type { DnsCounters } from './dns-parts.ts';
import { AT, type DnsReply, UDP_BYTES } from './dns-reply.ts';

const BUFFER_BYTES = 1500; // what is longer is no query, however much of it is read

export class DnsUdp {
  private readonly sockets: Sockets;
  private readonly reply: DnsReply;
  private readonly counters: DnsCounters;
  private readonly taker: QueryTaker;
  private readonly asker = new DnsAsker();
  private readonly buffer = new Uint8Array(BUFFER_BYTES);
  private readonly handles: number[] = [];
  // The answer that is held, and for whom.
  private readonly held = new Uint8Array(UDP_BYTES);
  private readonly heldFor = new DnsAsker();
  private heldBytes = 0;

  constructor(sockets: Sockets, reply: DnsReply, counters: DnsCounters, taker: QueryTaker) {
    this.sockets = sockets;
    this.reply = reply;
    this.counters = counters;
    this.taker = taker;
  }

  /** Opens one more way: 0 or -errno. */
  open(address: Address, port: number): number {
    const { sockets } = this;
    const h = sockets.socket(isIp4(address) ? Family.Inet : Family.Inet6, SocketType.Datagram);
    if (h < 0) return h;
    const bound = sockets.bind(h, address, port);
    if (bound < 0) {
      sockets.close(h);
      return bound;
    }
    this.handles.push(h);
    sockets.claim(h, this);
    return 0;
  }

  /** Reads queries as long as their answers go out. */
  changed(h: number): void {
    const { sockets, asker, buffer, counters } = this;
    const way = this.handles.indexOf(h);
    if (way < 0 || !this.sendHeld()) return;
    while (this.heldBytes === 0) {
      const count = sockets.receiveFrom(h, buffer, 0, BUFFER_BYTES);
      if (count === -Errno.EAGAIN) break;
      if (count < 0) continue; // a port unreachable for an answer
      const { message } = sockets;
      asker.way = way;
      asker.address.set(message.source);
      asker.port = message.port;
      asker.iface = message.iface;
      asker.bytesMax = UDP_BYTES;
      counters.queries++;
      if (!this.taker.ask(buffer, 0, count, asker)) counters.malformed++;
    }
    this.taker.asked();
  }

  /** Sends the reply. */
  send(asker: DnsAsker): void {
    const { reply, sockets } = this;
    const h = this.handles[asker.way]!;
    const sent = sockets.sendTo(h, reply.bytes, AT, reply.count, asker.address, asker.port, asker.iface);
    if (sent >= 0) return;
    if (sent === -Errno.EAGAIN && this.heldBytes === 0) this.hold(asker);
    else if (sent !== -Errno.EAGAIN) this.again(asker);
    else this.counters.unsent++;
  }

  /** Tells those whose queue was not read because of the answer that was held. */
  turn(): void {
    if (this.heldBytes === 0 || !this.sendHeld()) return;
    for (const h of this.handles) if ((this.sockets.poll(h) & Ready.In) !== 0) this.changed(h);
  }

  close(): void {
    for (const h of this.handles) this.sockets.close(h);
    this.handles.length = 0;
  }

  /** What was told was an error of another answer: this one can go. */
  private again({ way, address, port, iface }: DnsAsker): void {
    const { reply, sockets } = this;
    const sent = sockets.sendTo(this.handles[way]!, reply.bytes, AT, reply.count, address, port, iface);
    if (sent < 0) this.counters.unsent++;
  }

  private hold(asker: DnsAsker): void {
    const { reply, heldFor, held } = this;
    for (let i = 0; i < reply.count; i++) held[i] = reply.bytes[AT + i]!;
    this.heldBytes = reply.count;
    heldFor.way = asker.way;
    heldFor.address.set(asker.address);
    heldFor.port = asker.port;
    heldFor.iface = asker.iface;
  }

  /** False if it still does not go. */
  private sendHeld(): boolean {
    if (this.heldBytes === 0) return true;
    const { way, address, port, iface } = this.heldFor;
    const sent = this.sockets.sendTo(this.handles[way]!, this.held, 0, this.heldBytes, address, port, iface);
    if (sent === -Errno.EAGAIN) return false;
    if (sent < 0) this.counters.unsent++;
    this.heldBytes = 0;
    return true;
  }
}
