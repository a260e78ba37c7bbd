// Connections from outside: the host listens, by TCP or a Unix socket, and who connects there is connected to a guest.
//
//   client ─▶ host.listen…, accept ─▶ caps.take ─▶ connect to the guest ┬ stands ─▶ relay
//                                                                      └ refused, or no answer ─▶ the client is reset
//
// The guest sees the gateway's address, or the client's own where it is asked for and can be: an address of the guest's
// own network or of the gateway would not find its way back, and the host's loopback means another host to the guest. While
// the caps are full, or the host has no descriptor, nobody is accepted: clients wait in the listener's backlog.

import { NEVER, US_PER_S } from '../core/time.ts';
import {
  type Address,
  Errno,
  Family,
  isAnyAddress,
  isIp4,
  isLinkLocal,
  isLoopback,
  isMulticast,
  Ready,
  SocketName,
  SocketOption,
  SocketType,
  type SocketUser,
  type Stack,
  type StackUser,
} from '../stack/stack.ts';
import { FlowFlag, FlowState, NO_FLOW } from './connection-table.ts';
import { endpointText, FlowViews } from './flow-view.ts';
import { HostReady, type HostUser } from './host-sockets.ts';
import { FlowKind, type FlowParts, type FlowView, NO_STATION } from './parts.ts';
import type { Relay } from './relay.ts';

/** Where the host listens, and whom that leads to. */
export interface StreamForward {
  /** Of a Unix socket; then address and port mean nothing. '' for TCP. */
  readonly path: string;
  /** All zero: any address of the family. */
  readonly address: Address;
  /** 0: one that is free. */
  readonly port: number;
  readonly guest: Address;
  readonly guestPort: number;
  /** The guest sees the client's own address and port where that is possible. */
  readonly keepSource: boolean;
}

/** A forward that is there. */
export interface StreamForwardView {
  readonly id: number;
  /** `127.0.0.1:8080`, or `unix:/path`. */
  readonly listens: string;
  readonly guest: string;
  readonly keepSource: boolean;
  /** Clients that were accepted. */
  readonly accepted: number;
}

export interface StreamForwardsOptions {
  /** Who the guest sees: the gateway's addresses. */
  readonly gateway4: Address;
  readonly gateway6: Address;
  /** 1,024. */
  readonly forwardsMax?: number;
}

const FORWARDS_MAX = 1024;
/** Clients that wait to be accepted. */
const BACKLOG = 511;
/** Clients of one listener in a turn: then the others have theirs. */
const ACCEPTS_MAX = 64;
/** When a listener that paused is looked at, whether or not a flow has gone. */
const RETRY_US = US_PER_S;

interface Listener {
  readonly id: number;
  readonly forward: StreamForward;
  readonly listens: string;
  accepted: number;
  isPaused: boolean;
}

export class StreamForwards implements SocketUser, HostUser, StackUser {
  private readonly parts: FlowParts;
  private readonly relay: Relay;
  private readonly sockets: Stack['sockets'];
  private readonly gateway4: Address;
  private readonly gateway6: Address;
  private readonly forwardsMax: number;
  private readonly views: FlowViews;
  private readonly listeners = new Map<number, Listener>(); // by handle of the host
  private readonly client = new SocketName();
  private nextId = 1;
  private paused = 0;
  private retryUs = NEVER;

  constructor(parts: FlowParts, relay: Relay, options: StreamForwardsOptions) {
    this.parts = parts;
    this.relay = relay;
    this.sockets = parts.stack.sockets;
    this.gateway4 = options.gateway4;
    this.gateway6 = options.gateway6;
    this.forwardsMax = options.forwardsMax ?? FORWARDS_MAX;
    this.views = new FlowViews(parts, relay.flows);
    relay.onFree = () => {
      if (this.paused > 0) this.retryUs = this.relay.nowUs;
    };
  }

  /** Begins to listen: the forward's number, 1 and up; -EADDRINUSE and its like, -ENOBUFS if there are too many. */
  add(forward: StreamForward): number {
    const { host } = this.parts;
    if (this.listeners.size >= this.forwardsMax) return -Errno.ENOBUFS;
    const { path, address, port } = forward;
    const hh = path !== '' ? host.listenUnix(path, BACKLOG) : host.listenTcp(address, port, BACKLOG);
    if (hh < 0) return hh;
    host.local(hh, this.client);
    const listens = path !== '' ? `unix:${path}` : endpointText(this.client.address, this.client.port);
    const id = this.nextId++;
    this.listeners.set(hh, { id, forward, listens, accepted: 0, isPaused: false });
    host.claim(hh, this);
    host.want(hh, HostReady.In);
    return id;
  }

  /** Stops listening; connections that stand go on. False if there is no such forward. */
  remove(id: number): boolean {
    for (const [hh, listener] of this.listeners) {
      if (listener.id !== id) continue;
      if (listener.isPaused) this.paused--;
      this.listeners.delete(hh);
      this.parts.host.close(hh);
      return true;
    }
    return false;
  }

  list(): StreamForwardView[] {
    return [...this.listeners.values()].map(({ id, forward, listens, accepted }) => ({
      id,
      listens,
      guest: endpointText(forward.guest, forward.guestPort),
      keepSource: forward.keepSource,
      accepted,
    }));
  }

  /** Connections that came from outside. */
  flows(): Iterable<FlowView> {
    return this.views.of('in');
  }

  /** Nobody listens any more. Connections are the relay's to close. */
  close(): void {
    for (const hh of this.listeners.keys()) this.parts.host.close(hh);
    this.listeners.clear();
    this.paused = 0;
    this.retryUs = NEVER;
  }

  turn(): void {
    if (this.retryUs <= this.relay.nowUs) this.resume();
  }

  deadlineUs(): number {
    return this.retryUs;
  }

  expire(): void {
    this.turn();
  }

  // What the host tells: a listener has clients, or a client is gone before the guest answered.

  ready(hh: number, _events: number): void {
    const listener = this.listeners.get(hh);
    if (listener) {
      for (let n = 0; n < ACCEPTS_MAX && !listener.isPaused; n++) if (!this.acceptOne(hh, listener)) return;
      return;
    }
    // A client that ended in order may have sent something before; one that was reset has not.
    const f = this.relay.flows.ofHost(hh);
    if (f !== NO_FLOW && this.parts.host.takeError(hh) !== 0) this.fail(f);
  }

  // What the stack tells: the guest answered, or not.

  changed(h: number): void {
    const f = this.relay.flows.ofStack(h);
    if (f === NO_FLOW) return;
    const ready = this.sockets.poll(h);
    if ((ready & (Ready.Error | Ready.Hup)) !== 0) this.fail(f);
    else if ((ready & Ready.Out) !== 0) this.relay.open(f);
  }

  private fail(f: number): void {
    this.parts.counters.forwardsFailed++;
    this.relay.drop(f);
  }

  /** Accepts a client and begins to connect to the guest; false if there is none, or no room for one. */
  private acceptOne(hh: number, listener: Listener): boolean {
    const { parts, relay, client } = this;
    const { caps, host, counters } = parts;
    const { guest } = listener.forward;
    const station = caps.take(FlowKind.Tcp, guest, 0);
    if (station === NO_STATION || relay.flows.isFull) {
      caps.give(FlowKind.Tcp, station);
      counters.guestFull++;
      this.pause(hh, listener);
      return false;
    }
    const accepted = host.accept(hh, client);
    if (accepted < 0) {
      caps.give(FlowKind.Tcp, station);
      if (accepted === -Errno.EAGAIN) return false;
      if (accepted === -Errno.ECONNABORTED) return true;
      counters.hostFull++;
      this.pause(hh, listener);
      return false;
    }
    counters.forwardsAccepted++;
    listener.accepted++;
    this.connect(accepted, listener.forward, station);
    return true;
  }

  private connect(hh: number, forward: StreamForward, station: number): void {
    const { sockets, relay, client, parts } = this;
    const { flows } = relay;
    const { guest, guestPort } = forward;
    const { GuestConnecting } = FlowState;
    const f = flows.take(GuestConnecting, guest, guestPort, client.address, client.port, relay.nowUs);
    flows.col.station[f] = station;
    flows.set(f, FlowFlag.Inbound | (forward.path !== '' ? FlowFlag.Unix : 0));
    flows.setHostHandle(f, hh);
    const h = this.connectTo(forward);
    if (h < 0) {
      this.fail(f);
      return;
    }
    flows.setStackHandle(f, h);
    sockets.claim(h, this);
    parts.host.claim(hh, this);
    parts.host.want(hh, 0);
  }

  /**
   * A socket that connects to the guest, or -errno. The client's port may be in use there still, by a connection of its that
   * is ending or by one to another forward; then its address is what can be kept.
   */
  private connectTo(forward: StreamForward): number {
    const { client, gateway4, gateway6 } = this;
    const { guest, keepSource } = forward;
    if (!keepSource || !this.canKeep(guest)) return this.connectFrom(isIp4(guest) ? gateway4 : gateway6, 0, forward);
    const h = this.connectFrom(client.address, client.port, forward);
    return h >= 0 ? h : this.connectFrom(client.address, 0, forward);
  }

  private connectFrom(source: Address, port: number, { guest, guestPort }: StreamForward): number {
    const { sockets, relay, parts } = this;
    const h = sockets.socket(isIp4(guest) ? Family.Inet : Family.Inet6, SocketType.Stream);
    if (h < 0) return h;
    relay.setOptions(h);
    sockets.setOption(h, SocketOption.ReuseAddress, 1);
    const bound = sockets.bind(h, source, port);
    const result = bound < 0 ? bound : sockets.connect(h, guest, guestPort, parts.iface);
    if (result === -Errno.EINPROGRESS) return h;
    sockets.close(h);
    return result;
  }

  /** True if the guest would answer the client's address by way of the gateway. */
  private canKeep(guest: Address): boolean {
    const { address, port } = this.client;
    const { stack, iface } = this.parts;
    if (port === 0 || isIp4(address) !== isIp4(guest) || isAnyAddress(address)) return false;
    if (isLoopback(address) || isLinkLocal(address) || isMulticast(address)) return false;
    return !stack.addresses.isOurs(address, 0) && !stack.routes.isOnLink(address, iface);
  }

  private pause(hh: number, listener: Listener): void {
    listener.isPaused = true;
    this.paused++;
    this.parts.host.want(hh, 0);
    this.retryUs = Math.min(this.retryUs, this.relay.nowUs + RETRY_US);
  }

  private resume(): void {
    this.retryUs = NEVER;
    for (const [hh, listener] of this.listeners) {
      if (!listener.isPaused) continue;
      listener.isPaused = false;
      this.paused--;
      this.parts.host.want(hh, HostReady.In);
    }
  }
}
