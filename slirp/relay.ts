// Connections between guests and the host, once both sides stand: bytes go from the stack's ring to the host's socket, and
// from there into the ring, without being copied in between.
//
//   guest ─▶ ring of `received` ─▶ host.send ─▶ consume          the window opens as the host's socket takes
//   guest ◀─ ring of `room` ◀───── host.receive ◀ commit         the socket is not asked while the ring has no room
//
// Nothing is polled: the stack tells of its sockets (`changed`), the host of its (`ready`). Whoever cannot go on is not
// listened to until it can: a full host's socket is waited for to be writable, a full ring to have room; so what a slow
// reader makes wait is bounded by the ring and the host's socket buffer. A flow moves at most `turnBytesMax` a turn.
//
// Ends are passed on when all before them is: the end of a stream as one, in each direction alone; a reset as a reset. A
// reset from the host follows what the host's socket still had to read, as a program on the host could have read it too;
// a reset from the guest is passed on at once. When both streams have ended the host's socket is closed, and the flow
// counts until the guest has acknowledged everything, so that a guest that does not read holds no more than its share.

import { Span } from '../core/span.ts';
import { NEVER, US_PER_MS, US_PER_S } from '../core/time.ts';
import { Errno, Ready, type SocketUser, type Stack, type StackUser, TcpOption, TcpState } from '../stack/stack.ts';
import { ConnectionTable, FlowFlag, FlowState, NO_FLOW } from './connection-table.ts';
import { HostReady, type HostUser } from './host-sockets.ts';
import { FlowKind, type FlowParts } from './parts.ts';

/** Bounds of a relay. */
export interface RelayOptions {
  /** Connections at a time, of both directions; 16,384. */
  readonly flowsMax?: number;
  /** Bytes that one flow moves each way before the others have their turn; 256 KiB. */
  readonly turnBytesMax?: number;
  /** How long a guest may be silent before it is asked whether it is there; 2 h, which RFC 5382 REQ-5 asks for at least. */
  readonly keepIdleUs?: number;
}

const FLOWS_MAX = 16384;
const TURN_BYTES_MAX = 256 << 10;
const KEEP_IDLE_US = 7200 * US_PER_S;
const READ_LOG2_MIN = 12;
const READ_LOG2_MAX = 18;
/** When a flow tries again for which the slab had no room. */
const STARVED_US = 50 * US_PER_MS;
/** Buffers take nearly all they may: whoever has not moved for so long, and holds so much, may have to go. */
const RINGS_FULL = 0.75;
const STUCK_US = 10 * US_PER_S;
const STUCK_BYTES_MIN = 4096;
const STUCK_LOOKS = 256;
/** What the host's socket is waited for is yet to be said. */
const UNKNOWN = 255;
/** How `shutdown` shuts writing. */
const WRITE = 1;

/** States in which our FIN, or what is before it, is not acknowledged yet. */
const WITH_FIN: ReadonlySet<number> = new Set([
  TcpState.SynReceived,
  TcpState.FinWait1,
  TcpState.LastAck,
  TcpState.Closing,
]);

const { GuestEnded, HostEnded, Blocked, Full, Starved, Broken, Queued } = FlowFlag;

export class Relay implements SocketUser, HostUser, StackUser {
  readonly flows: ConnectionTable;
  /** Called when a flow has gone: there is room for another. */
  onFree: () => void = () => {};
  private readonly parts: FlowParts;
  private readonly sockets: Stack['sockets'];
  private readonly turnBytesMax: number;
  private readonly keepIdleUs: number;
  private readonly span = new Span();
  private queuedFirst = NO_FLOW;
  private queuedLast = NO_FLOW;
  private queued = 0;
  private starvedUs = NEVER;

  constructor(parts: FlowParts, options: RelayOptions = {}) {
    this.parts = parts;
    this.sockets = parts.stack.sockets;
    this.flows = new ConnectionTable(options.flowsMax ?? FLOWS_MAX);
    this.turnBytesMax = options.turnBytesMax ?? TURN_BYTES_MAX;
    this.keepIdleUs = options.keepIdleUs ?? KEEP_IDLE_US;
    const { caps } = parts;
    caps.setGiver(FlowKind.Tcp, (station) => this.evict((f) => this.flows.col.station[f] === station));
    caps.setGiver(FlowKind.Connecting, (station) =>
      this.evict((f) => this.flows.col.station[f] === station && this.isConnecting(f)),
    );
  }

  /** Memory is nearly exhausted: of the next few flows that have not moved for long, the one whose buffers are longest goes. */
  private evictStuck(): void {
    const { flows, nowUs } = this;
    const { col } = flows;
    let worst = NO_FLOW;
    let most = STUCK_BYTES_MIN;
    for (let n = Math.min(flows.end, STUCK_LOOKS); n > 0; n--) {
      const f = flows.step();
      if (col.state[f] === FlowState.Free || nowUs - col.usedUs[f]! < STUCK_US) continue;
      const bytes = this.sockets.gateway.ringBytes(col.stackHandle[f]!);
      if (bytes <= most) continue;
      worst = f;
      most = bytes;
    }
    if (worst === NO_FLOW) return;
    this.parts.counters.evicted++;
    this.drop(worst);
  }

  private isConnecting(f: number): boolean {
    return this.flows.col.state[f] === FlowState.HostConnecting;
  }

  /** Ends a flow for which `isMeant`: false if there is none. */
  private evict(isMeant: (f: number) => boolean): boolean {
    const f = this.flows.findIdle(isMeant);
    if (f === NO_FLOW) return false;
    this.parts.counters.evicted++;
    this.drop(f);
    return true;
  }

  get nowUs(): number {
    return this.parts.stack.shared.nowUs;
  }

  /** What a socket to guests is like; connections of an interceptor inherit it. */
  setOptions(h: number): void {
    this.sockets.setTcpOption(h, TcpOption.NoDelay, 1);
    this.sockets.setTcpOption(h, TcpOption.KeepAlive, 1);
    this.sockets.setTcpOption(h, TcpOption.KeepIdleUs, this.keepIdleUs);
  }

  /** Both sides of `f` stand: from now on its handles are the relay's. */
  open(f: number): void {
    const { col } = this.flows;
    if (col.state[f] === FlowState.HostConnecting) this.parts.caps.give(FlowKind.Connecting, col.station[f]!);
    col.state[f] = FlowState.Open;
    col.wanted[f] = UNKNOWN;
    this.parts.counters.tcpOpened++;
    this.sockets.claim(col.stackHandle[f]!, this);
    this.parts.host.claim(col.hostHandle[f]!, this);
    this.listen(f);
  }

  /** As `open`, but the host's side was reset at once: the guest gets what there is to read, and the reset. */
  openReset(f: number): void {
    this.open(f);
    this.flows.set(f, Broken);
    this.goIn(f);
  }

  /** Ends `f`, which may be opening: what it still has of the two sides is reset. */
  drop(f: number): void {
    const { stackHandle, hostHandle } = this.flows.col;
    if (hostHandle[f]! >= 0) this.parts.host.abort(hostHandle[f]!);
    if (stackHandle[f]! >= 0) this.sockets.abort(stackHandle[f]!);
    this.free(f);
  }

  /** `f` is no more; its handles are closed, or somebody else's. */
  free(f: number): void {
    const { flows } = this;
    if (flows.has(f, Queued)) this.unqueue(f);
    const station = flows.col.station[f]!;
    this.parts.caps.give(FlowKind.Tcp, station);
    if (flows.col.state[f] === FlowState.HostConnecting) this.parts.caps.give(FlowKind.Connecting, station);
    flows.give(f);
    this.onFree();
  }

  /** Resets everything. */
  close(): void {
    for (let f = 0; f < this.flows.end; f++) if (this.flows.col.state[f] !== FlowState.Free) this.drop(f);
  }

  // What the two sides tell.

  changed(h: number): void {
    const f = this.flows.ofStack(h);
    if (f === NO_FLOW) return;
    const ready = this.sockets.poll(h);
    const state = this.flows.col.state[f];
    if ((ready & Ready.Error) !== 0) this.drop(f);
    else if (state === FlowState.Draining) this.finishDrained(f);
    else if (state === FlowState.Ending) this.finishEnding(f, ready);
    else {
      if ((ready & Ready.In) !== 0 && this.mayGoOut(f) && !this.flows.has(f, Queued)) this.goOut(f);
      if ((ready & Ready.Out) !== 0 && this.flows.has(f, Full)) this.roomAgain(f);
    }
  }

  ready(hh: number, events: number): void {
    const f = this.flows.ofHost(hh);
    if (f === NO_FLOW) return;
    const { flows } = this;
    if (flows.has(f, Blocked) && (events & (HostReady.Out | HostReady.Error)) !== 0) {
      flows.unset(f, Blocked);
      this.goOut(f);
      if (flows.ofHost(hh) !== f) return;
    }
    if (flows.has(f, HostEnded)) {
      if ((events & HostReady.Error) !== 0 && this.parts.host.takeError(hh) !== 0) this.hostReset(f);
      else this.listen(f);
    } else if (flows.has(f, Full)) this.listen(f);
    else this.goIn(f, (events & HostReady.End) !== 0);
  }

  turn(): void {
    const { tcp, limits } = this.parts.stack;
    if (tcp.ringBytes > limits.ringBytesMax * RINGS_FULL) this.evictStuck();
    for (let left = this.queued; left > 0 && this.queuedFirst !== NO_FLOW; left--) {
      const f = this.queuedFirst;
      this.unqueue(f);
      if (this.mayGoOut(f)) this.goOut(f);
    }
  }

  deadlineUs(): number {
    return this.queuedFirst !== NO_FLOW ? this.nowUs : this.starvedUs;
  }

  expire(): void {
    if (this.nowUs >= this.starvedUs) {
      this.starvedUs = NEVER;
      for (let f = 0; f < this.flows.end; f++) if (this.isStarved(f)) this.roomAgain(f);
    }
    this.turn();
  }

  private isStarved(f: number): boolean {
    return this.flows.col.state[f] === FlowState.Open && this.flows.has(f, Starved);
  }

  // Guest to host.

  private mayGoOut(f: number): boolean {
    return this.flows.col.state[f] === FlowState.Open && !this.flows.has(f, Blocked | Broken | GuestEnded);
  }

  /** Sends what the guest sent, up to the bound. */
  private goOut(f: number): void {
    const { span, sockets, flows } = this;
    const { gateway } = sockets;
    const { host, counters } = this.parts;
    const h = flows.col.stackHandle[f]!;
    const hh = flows.col.hostHandle[f]!;
    for (let left = this.turnBytesMax; ; ) {
      const there = gateway.received(h, span);
      if (there <= 0) {
        if (there === 0) this.guestEnded(f);
        else if (there !== -Errno.EAGAIN) this.drop(f);
        return;
      }
      if (left === 0) {
        this.queue(f);
        return;
      }
      const offered = cut(span, left);
      const sent = host.send(hh, span);
      if (sent < 0 && sent !== -Errno.EAGAIN) {
        this.sendFailed(f);
        return;
      }
      if (sent > 0) {
        gateway.consume(h, sent);
        left -= sent;
        flows.col.bytesOut[f] = flows.col.bytesOut[f]! + sent;
        flows.col.usedUs[f] = this.nowUs;
        counters.tcpBytesOut += sent;
      }
      if (sent < offered) {
        flows.set(f, Blocked);
        this.listen(f);
        return;
      }
    }
  }

  private guestEnded(f: number): void {
    this.flows.set(f, GuestEnded);
    if (this.flows.has(f, HostEnded)) {
      this.startDraining(f); // its close ends our stream
      return;
    }
    this.parts.host.shutdown(this.flows.col.hostHandle[f]!);
    this.listen(f);
  }

  /** The host's socket takes nothing any more. What it has to read comes first, unless that had ended. */
  private sendFailed(f: number): void {
    this.flows.set(f, Broken);
    if (this.flows.has(f, HostEnded)) this.hostReset(f);
    else if (this.flows.has(f, Full)) this.listen(f);
    else this.goIn(f);
  }

  // Host to guest.

  private roomAgain(f: number): void {
    this.flows.unset(f, Full | Starved);
    this.goIn(f);
  }

  /** Reads what the host's socket has, up to the bound. `isEnding`: its end is known, and goes out with the last bytes. */
  private goIn(f: number, isEnding = false): void {
    const { flows, span, sockets } = this;
    const { gateway } = sockets;
    const { host, counters } = this.parts;
    const { col } = flows;
    const h = col.stackHandle[f]!;
    const hh = col.hostHandle[f]!;
    for (let left = this.turnBytesMax; left > 0; ) {
      const wanted = Math.min(left, 1 << col.readLog2[f]!);
      const room = gateway.room(h, span, wanted);
      if (room <= 0) {
        this.noRoom(f, room);
        return;
      }
      const got = host.receive(hh, span);
      gateway.commit(h, Math.max(0, got));
      if (got <= 0) {
        this.readEnded(f, got);
        return;
      }
      left -= got;
      col.bytesIn[f] = col.bytesIn[f]! + got;
      col.usedUs[f] = this.nowUs;
      counters.tcpBytesIn += got;
      if (got === wanted) col.readLog2[f] = Math.min(READ_LOG2_MAX, col.readLog2[f]! + 1);
      else if (4 * got < wanted) col.readLog2[f] = Math.max(READ_LOG2_MIN, col.readLog2[f]! - 1);
      // A short read has emptied the socket: to ask again would be a call for nothing.
      if (got < room && !isEnding && !flows.has(f, Broken)) break;
    }
    this.listen(f);
  }

  private noRoom(f: number, why: number): void {
    if (why === -Errno.EAGAIN) this.flows.set(f, Full);
    else if (why === -Errno.ENOBUFS) {
      this.flows.set(f, Full | Starved);
      this.starvedUs = Math.min(this.starvedUs, this.nowUs + STARVED_US);
    } else {
      this.drop(f);
      return;
    }
    this.listen(f);
  }

  /** Nothing was read: `got` is 0 or -errno. */
  private readEnded(f: number, got: number): void {
    const { flows } = this;
    if (got === -Errno.EAGAIN && !flows.has(f, Broken)) this.listen(f);
    else if (got !== 0 || flows.has(f, Broken)) this.hostReset(f);
    else {
      flows.set(f, HostEnded);
      this.sockets.shutdown(flows.col.stackHandle[f]!, WRITE);
      if (flows.has(f, GuestEnded)) this.startDraining(f);
      else this.listen(f);
    }
  }

  /** Says what the host's socket is waited for. */
  private listen(f: number): void {
    const { flows } = this;
    const { col } = flows;
    let wanted = flows.has(f, Full | HostEnded) ? 0 : HostReady.In;
    if (flows.has(f, Blocked)) wanted |= HostReady.Out;
    if (col.wanted[f] === wanted) return;
    col.wanted[f] = wanted;
    this.parts.host.want(col.hostHandle[f]!, wanted);
  }

  // Ends.

  private startDraining(f: number): void {
    this.parts.host.close(this.flows.col.hostHandle[f]!);
    this.flows.setHostHandle(f, NO_FLOW);
    this.flows.col.state[f] = FlowState.Draining;
    this.finishDrained(f);
  }

  private finishDrained(f: number): void {
    const h = this.flows.col.stackHandle[f]!;
    const state = this.sockets.gateway.state(h);
    if (state !== TcpState.Closed && state !== TcpState.TimeWait) return;
    this.sockets.close(h);
    this.free(f);
  }

  /** The host's side is gone with an error: the guest is reset when it was sent what is in the ring. */
  private hostReset(f: number): void {
    const { flows, sockets } = this;
    const h = flows.col.stackHandle[f]!;
    this.parts.host.abort(flows.col.hostHandle[f]!);
    flows.setHostHandle(f, NO_FLOW);
    flows.col.state[f] = FlowState.Ending;
    // Out says from now on that nothing is unsent.
    sockets.setTcpOption(h, TcpOption.NotSentLowat, 1);
    this.finishEnding(f, sockets.poll(h));
  }

  private finishEnding(f: number, ready: number): void {
    const h = this.flows.col.stackHandle[f]!;
    // Once the end of the stream was said, Out means nothing; then it must be acknowledged.
    const isSent = this.flows.has(f, HostEnded)
      ? !WITH_FIN.has(this.sockets.gateway.state(h))
      : (ready & Ready.Out) !== 0;
    if (isSent) this.drop(f);
  }

  // Those that go on in the next turn.

  private queue(f: number): void {
    const { flows } = this;
    if (flows.has(f, Queued)) return;
    flows.set(f, Queued);
    flows.col.next[f] = NO_FLOW;
    if (this.queuedLast === NO_FLOW) this.queuedFirst = f;
    else flows.col.next[this.queuedLast] = f;
    this.queuedLast = f;
    this.queued++;
  }

  private unqueue(f: number): void {
    const { flows } = this;
    const { next } = flows.col;
    let before = NO_FLOW;
    for (let i = this.queuedFirst; i !== f; i = next[i]!) before = i;
    if (before === NO_FLOW) this.queuedFirst = next[f]!;
    else next[before] = next[f]!;
    if (this.queuedLast === f) this.queuedLast = before;
    flows.unset(f, Queued);
    this.queued--;
  }
}

/** Shortens `span` to at most `bytes`: what it has then. */
function cut(span: Span, bytes: number): number {
  if (span.total <= bytes) return span.total;
  if (span.bytes >= bytes) span.set(span.at, bytes);
  else span.moreBytes = bytes - span.bytes;
  return bytes;
}
