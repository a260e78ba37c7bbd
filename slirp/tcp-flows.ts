// Connections that guests open: each is withheld until the host has connected to where it wants to go, so that the guest's
// connect() succeeds when the host's did, and fails as it did. The bytes are the relay's.
//
//   SYN of a guest ─▶ withheld ─▶ targets.decide, caps.take ─▶ host.connect… ┬ stands ─▶ SYN-ACK, relay
//                                                                           └ failed ─▶ reset, ICMP or silence (refusal.ts)

import { UsageError } from '../core/assert.ts';
import {
  type Address,
  Errno,
  errnoName,
  Family,
  isIp4,
  RESET,
  Ready,
  SILENT,
  SocketName,
  SocketType,
  type SocketUser,
  type Stack,
} from '../stack/stack.ts';
import { FlowFlag, FlowState, NO_FLOW } from './connection-table.ts';
import { FlowViews } from './flow-view.ts';
import { HostReady, type HostUser } from './host-sockets.ts';
import { FlowKind, type FlowParts, type FlowView, NO_STATION, Protocol, Verdict } from './parts.ts';
import { isHostFull, NO_ROUTE, refusalOf } from './refusal.ts';
import type { Relay } from './relay.ts';

/** Connections that wait for being looked at; they are looked at in every turn. */
const BACKLOG = 1024;

export class TcpFlows implements SocketUser, HostUser {
  private readonly parts: FlowParts;
  private readonly relay: Relay;
  private readonly sockets: Stack['sockets'];
  private readonly interceptor: number;
  private readonly views: FlowViews;
  private readonly guest = new SocketName();
  private readonly target = new SocketName();
  private readonly place: Address = new Int32Array(4);

  /** Takes every connection that comes in by the interface and is for no listener. Throws `UsageError` if somebody else does. */
  constructor(parts: FlowParts, relay: Relay) {
    this.parts = parts;
    this.relay = relay;
    this.sockets = parts.stack.sockets;
    this.views = new FlowViews(parts, relay.flows);
    this.interceptor = this.sockets.socket(Family.Inet6, SocketType.Stream);
    const result = this.intercept();
    if (result < 0) throw new UsageError(`gateway: interface ${parts.iface} cannot be taken: ${errnoName(result)}`);
  }

  private intercept(): number {
    const { sockets, interceptor, relay } = this;
    if (interceptor < 0) return interceptor;
    relay.setOptions(interceptor);
    const result = sockets.gateway.intercept(interceptor, this.parts.iface, BACKLOG);
    return result < 0 ? result : sockets.claim(interceptor, this);
  }

  /** Those that guests opened. */
  flows(): Iterable<FlowView> {
    return this.views.of('out');
  }

  /** No more are taken. Those that there are are the relay's to close. */
  close(): void {
    this.sockets.close(this.interceptor);
  }

  changed(h: number): void {
    if (h === this.interceptor) {
      for (let c = this.sockets.accept(h); c >= 0; c = this.sockets.accept(h)) this.take(c);
      return;
    }
    // The guest gave up, or has waited for longer than a SYN is worth.
    const f = this.relay.flows.ofStack(h);
    if (f !== NO_FLOW && (this.sockets.poll(h) & (Ready.Error | Ready.Hup)) !== 0) this.relay.drop(f);
  }

  ready(hh: number, events: number): void {
    const { flows } = this.relay;
    const f = flows.ofHost(hh);
    if (f === NO_FLOW) return;
    const errno = this.parts.host.takeError(hh);
    // Nobody refuses so: it was connected, and reset since. So it is for the guest.
    const isReset = errno === Errno.ECONNRESET;
    if (errno !== 0 && !isReset) {
      const h = flows.col.stackHandle[f]!;
      flows.otherInto(f, this.place);
      this.refuse(h, errno, !isIp4(this.place), flows.has(f, FlowFlag.Unix));
      this.parts.host.close(hh);
      this.relay.free(f);
    } else if (isReset || (events & HostReady.Out) !== 0) {
      if (this.sockets.gateway.admit(flows.col.stackHandle[f]!) !== 0)
        this.relay.drop(f); // the guest is gone, and we are about to hear of it
      else if (isReset) this.relay.openReset(f);
      else this.relay.open(f);
    }
  }

  /** Decides about a connection that is withheld. */
  private take(h: number): void {
    const { guest, target, place, parts, sockets } = this;
    const { counters, senders, targets } = parts;
    const mac = sockets.gateway.senderOf(h);
    if (sockets.peer(h, guest) < 0 || sockets.local(h, target) < 0) {
      sockets.close(h);
      return;
    }
    if (senders.isForged(guest.address, mac)) {
      counters.forged++;
      sockets.gateway.refuse(h, SILENT);
      return;
    }
    const verdict = targets.decide(Protocol.Tcp, guest.address, target.address, target.port, place);
    if (verdict !== Verdict.Go) {
      this.forbid(h, verdict);
      return;
    }
    this.connect(h, mac);
  }

  /** The target is known; the caps are asked. */
  private connect(h: number, mac: number): void {
    const { guest, target, parts, relay } = this;
    const { caps, counters } = parts;
    const station = caps.take(FlowKind.Tcp, guest.address, mac);
    if (station === NO_STATION || relay.flows.isFull) {
      caps.give(FlowKind.Tcp, station);
      counters.guestFull++;
      this.sockets.gateway.refuse(h, RESET);
      return;
    }
    if (!caps.takeFor(FlowKind.Connecting, station)) {
      caps.give(FlowKind.Tcp, station);
      counters.guestFull++;
      this.sockets.gateway.refuse(h, SILENT); // it asks again, when others may have connected
      return;
    }
    const { hostPath } = parts.targets;
    const isUnix = hostPath !== '';
    let hh = this.connectHost(hostPath);
    if (hh < 0 && isHostFull(-hh) && caps.relieve(FlowKind.Tcp, guest.address, mac)) hh = this.connectHost(hostPath);
    if (hh < 0) {
      caps.give(FlowKind.Connecting, station);
      caps.give(FlowKind.Tcp, station);
      this.refuse(h, -hh, !isIp4(target.address), isUnix);
      return;
    }
    this.connecting(h, hh, isUnix, station);
  }

  private connectHost(path: string): number {
    const { host, targets } = this.parts;
    if (path !== '') return host.connectUnix(path);
    return host.connectTcp(this.place, targets.hostPort, targets.source(!isIp4(this.place)));
  }

  private connecting(h: number, hh: number, isUnix: boolean, station: number): void {
    const { guest, target, relay, parts } = this;
    const { flows } = relay;
    const { HostConnecting } = FlowState;
    const f = flows.take(HostConnecting, guest.address, guest.port, target.address, target.port, relay.nowUs);
    flows.col.station[f] = station;
    if (isUnix) flows.set(f, FlowFlag.Unix);
    flows.setStackHandle(f, h);
    flows.setHostHandle(f, hh);
    this.sockets.claim(h, this);
    parts.host.claim(hh, this);
    parts.host.want(hh, HostReady.Out);
  }

  private forbid(h: number, verdict: Verdict): void {
    const { counters } = this.parts;
    if (verdict === Verdict.Prohibited) counters.prohibited++;
    else counters.tcpFailed++;
    if (verdict === Verdict.Unreachable) counters.errorsToGuests++;
    this.sockets.gateway.refuse(h, verdict === Verdict.Unreachable ? NO_ROUTE : RESET);
  }

  /** The host could not connect: `errno`, positive. A Unix socket that is not there has no network to blame. */
  private refuse(h: number, errno: number, isIp6: boolean, isUnix: boolean): void {
    const { counters } = this.parts;
    if (isHostFull(errno)) counters.hostFull++;
    else counters.tcpFailed++;
    const code = isUnix && errno !== Errno.ETIMEDOUT ? RESET : refusalOf(errno, isIp6);
    if (code >= 0) counters.errorsToGuests++;
    if (this.sockets.gateway.refuse(h, code) < 0) this.sockets.close(h); // the guest is gone already
  }
}
