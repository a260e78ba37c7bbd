// The servers of a DNS forwarder over the host's sockets.
//
// UDP. Ports are the host's choice and change: a few sockets of each family are in use, one by chance for each batch of queries,
// and each is replaced after a while or some queries, so that port and identification are unpredictable (RFC 5452 §9.2); the one
// that was replaced listens on for what is still to come. Queries of one turn leave by one call.
//
// TCP. One connection for each server, queries one behind the other (RFC 7766 §6.2), closed when it is idle.

import { sipHash } from '../core/siphash.ts';
import type { Slab } from '../core/slab.ts';
import { NEVER, US_PER_S } from '../core/time.ts';
import type { DnsUpstream, DnsUpstreamUser } from '../service/service.ts';
import {
  BATCH_DATAGRAMS,
  DatagramBatch,
  HostError,
  HostReady,
  type HostSockets,
  type HostUser,
} from '../slirp/slirp.ts';
import { type Address, ANY_ADDRESS, Errno, isIp4, isLinkLocal, type Stack, type StackUser } from '../stack/stack.ts';
import { DnsConnection } from './dns-connection.ts';
import type { NameServerAddress } from './resolv-conf.ts';

/** Who is asked. */
export interface NameServers {
  /** Now; the same array as long as `generation` is the same, or equal ones. */
  current(): readonly NameServerAddress[];
  /** Another number whenever they are others. */
  readonly generation: number;
}

/** Servers that do not change. */
export const fixedServers = (servers: readonly NameServerAddress[]): NameServers => ({
  current: () => servers,
  generation: 0,
});

/** Sockets of a family that queries leave by, and how long, and for how many. */
export const SOCKETS = 4;
export const SOCKET_US = 5 * US_PER_S;
export const SOCKET_QUERIES_MAX = 4096;
/** How long, and how many, that were replaced listen on: as long as the forwarder waits. */
export const RETIRED_US = 7 * US_PER_S;
export const RETIRED_MAX = 64;

const QUERY_BYTES_MAX = 1024;
const ERRORS_MAX = 64; // that one turn reads

/** What it works with. */
export interface DnsUpstreamParts {
  readonly stack: Stack;
  readonly host: HostSockets;
  readonly slab: Slab;
  /** For what comes in; anybody's between two calls. */
  readonly batch: DatagramBatch;
  readonly servers: NameServers;
}

interface Socket {
  readonly h: number;
  readonly untilUs: number;
  queries: number;
}

export class HostDnsUpstream implements DnsUpstream, StackUser, HostUser {
  /** Datagrams of somebody who is no server. */
  ignored = 0;
  private readonly parts: DnsUpstreamParts;
  private readonly out: DatagramBatch;
  private outTo: Socket | undefined; // of what is in it
  private outIs6 = false;
  private list: readonly NameServerAddress[] = [];
  private seen: number | undefined;
  private user: DnsUpstreamUser | undefined;
  private readonly sockets: readonly [(Socket | undefined)[], (Socket | undefined)[]] = [[], []];
  private readonly retired: { h: number; untilUs: number }[] = [];
  private readonly connections: (DnsConnection | undefined)[] = [];
  private readonly error = new HostError();
  private readonly draw = new Int32Array(2);

  /** Has its turns in the stack's from now on. */
  constructor(parts: DnsUpstreamParts) {
    this.parts = parts;
    this.out = new DatagramBatch(parts.slab);
    parts.stack.addUser(this);
  }

  get generation(): number {
    return this.parts.servers.generation;
  }

  /** For listings. */
  current(): readonly NameServerAddress[] {
    return this.parts.servers.current();
  }

  setUser(user: DnsUpstreamUser): void {
    this.user = user;
  }

  servers(): number {
    const { servers } = this.parts;
    const list = servers.current();
    if (servers.generation !== this.seen) {
      if (this.seen !== undefined) this.closeAll();
      this.seen = servers.generation;
      this.list = list;
    }
    return this.list.length;
  }

  send(server: number, bytes: Uint8Array, at: number, count: number, isTcp: boolean): boolean {
    const to = this.list[server];
    if (!to || count > QUERY_BYTES_MAX) return false;
    return isTcp ? this.sendTcp(server, to, bytes, at, count) : this.sendUdp(to, bytes, at, count);
  }

  flush(): void {
    const { out, parts, outTo } = this;
    const { count } = out;
    out.count = 0;
    if (outTo && count > 0) {
      // What does not go now is lost, as any datagram may be: the forwarder asks again.
      for (let from = 0; from < count; ) {
        const sent = parts.host.sendDatagrams(outTo.h, out, from, count - from);
        if (sent === -Errno.EAGAIN) break;
        from += sent > 0 ? sent : 1;
      }
    }
    for (const connection of this.connections) connection?.flush();
  }

  /** What a turn of others left. */
  turn(): void {
    if (this.out.count > 0) this.flush();
  }

  deadlineUs(): number {
    let least = this.retired[0]?.untilUs ?? NEVER;
    for (const connection of this.connections) if (connection) least = Math.min(least, connection.deadlineUs);
    return least;
  }

  expire(): void {
    const { nowUs } = this;
    while (this.retired.length > 0 && this.retired[0]!.untilUs <= nowUs) this.parts.host.close(this.retired.shift()!.h);
    for (const connection of this.connections) if (connection && connection.deadlineUs <= nowUs) connection.expire();
  }

  /** A socket for datagrams has news. */
  ready(h: number, events: number): void {
    const { host, batch } = this.parts;
    if ((events & HostReady.Error) !== 0) this.readErrors(h);
    if ((events & HostReady.In) === 0) return;
    const count = host.receiveDatagrams(h, batch);
    for (let i = 0; i < count; i++) {
      const server = this.serverAt(batch.address, 4 * i, batch.port[i]!);
      if (server < 0) this.ignored++;
      else this.user?.answered(server, batch.slab.bytes, batch.at[i]!, batch.bytes[i]!, false);
    }
    this.flush();
  }

  close(): void {
    this.parts.stack.removeUser(this);
    this.closeAll();
    this.out.close();
  }

  private get nowUs(): number {
    return this.parts.stack.shared.nowUs;
  }

  private sendUdp(to: NameServerAddress, bytes: Uint8Array, at: number, count: number): boolean {
    const { out } = this;
    const isIp6 = !isIp4(to.address);
    if (out.count === BATCH_DATAGRAMS || (out.count > 0 && isIp6 !== this.outIs6)) this.flush();
    if (out.count === 0) {
      const socket = this.socketFor(isIp6);
      if (!socket) return false;
      this.outTo = socket;
      this.outIs6 = isIp6;
    }
    this.outTo!.queries++;
    const row = out.count++;
    const cell = out.cellAt(row);
    const { bytes: memory } = out.slab;
    for (let i = 0; i < count; i++) memory[cell + i] = bytes[at + i]!;
    out.at[row] = cell;
    out.bytes[row] = count;
    out.address.set(to.address, 4 * row);
    out.port[row] = to.port;
    return true;
  }

  /** One of the family's sockets by chance, a new one if it served long enough. */
  private socketFor(isIp6: boolean): Socket | undefined {
    const { host, stack } = this.parts;
    const { draw, nowUs } = this;
    draw[0] = draw[0]! + 1;
    const slot = sipHash(stack.shared.secret, draw, 0, 2) & (SOCKETS - 1);
    const sockets = this.sockets[isIp6 ? 1 : 0];
    const known = sockets[slot];
    if (known && known.untilUs > nowUs && known.queries < SOCKET_QUERIES_MAX) return known;
    const h = host.openUdp(isIp6, ANY_ADDRESS, 0);
    if (h < 0) return known;
    if (known) this.retire(known.h);
    host.claim(h, this);
    host.want(h, HostReady.In);
    const socket = { h, untilUs: nowUs + SOCKET_US, queries: 0 };
    sockets[slot] = socket;
    return socket;
  }

  private retire(h: number): void {
    const { retired, parts } = this;
    if (retired.length >= RETIRED_MAX) parts.host.close(retired.shift()!.h);
    retired.push({ h, untilUs: this.nowUs + RETIRED_US });
  }

  private sendTcp(server: number, to: NameServerAddress, bytes: Uint8Array, at: number, count: number): boolean {
    let connection = this.connections[server];
    if (!connection) {
      connection = DnsConnection.open(this.parts, to.address, to.port, {
        answered: (from, bytesOf) => this.user?.answered(server, this.parts.slab.bytes, from, bytesOf, true),
        closed: (isUnanswered) => {
          this.connections[server] = undefined;
          if (isUnanswered) this.user?.failed(server, true);
        },
      });
      this.connections[server] = connection;
    }
    return connection?.send(bytes, at, count) ?? false;
  }

  /** Errors name the server that the query was for. */
  private readErrors(h: number): void {
    const { error, parts } = this;
    for (let i = 0; i < ERRORS_MAX && parts.host.receiveError(h, error); i++) {
      const server = this.serverAt(error.target, 0, error.port);
      if (server >= 0 && error.errno !== Errno.EMSGSIZE) this.user?.failed(server, false);
    }
  }

  private serverAt(address: Address, at: number, port: number): number {
    for (let s = 0; s < this.list.length; s++) {
      const server = this.list[s]!;
      if (server.port === port && isSame(server.address, address, at)) return s;
    }
    return -1;
  }

  private closeAll(): void {
    const { host } = this.parts;
    this.out.count = 0;
    for (const sockets of this.sockets) {
      for (const socket of sockets) if (socket) host.close(socket.h);
      sockets.length = 0;
    }
    for (const { h } of this.retired) host.close(h);
    this.retired.length = 0;
    for (const connection of this.connections) connection?.drop();
    this.connections.length = 0;
  }
}

/** True if they are one address; the interface of a link-local one, if it is told, does not count. */
function isSame(server: Address, address: Address, at: number): boolean {
  if (server[1] !== address[at + 1] || server[2] !== address[at + 2] || server[3] !== address[at + 3]) return false;
  const differs = server[0]! ^ address[at]!;
  return differs === 0 || (differs >>> 16 === 0 && !isIp4(server) && isLinkLocal(server));
}
