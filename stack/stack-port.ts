// A stack's interface as a port: frames of a network go in, what the stack wants to send comes out.

import { Burst } from '../core/burst.ts';
import { Drop } from '../core/drop.ts';
import { JUMBO_FRAME_BYTES, type Port, PortCounters, SUPER_FRAME_BYTES } from '../core/port.ts';
import { NEVER } from '../core/time.ts';
import type { NetworkInterface } from './link/interfaces.ts';
import type { Stack } from './stack.ts';

/** What a stack in a thread's loop is given by it. The simulator needs none: it asks `deadlineUs` and `receive` itself. */
export interface StackHost {
  /** Whole µs; the clock of the loop. */
  nowUs(): number;
  /** The port has frames, or wants its turn: `receive` follows soon, never from within. */
  wake(port: Port): void;
  /** Calls `act` once at `deadlineUs` or a little later; a handle for `cancel`. */
  at(deadlineUs: number, act: () => void): number;
  cancel(timer: number): void;
}

const NO_TIMER = -1;
const INBOX_FRAMES_MAX = 1024;

/**
 * One interface of a stack, plugged in. The stack receives what was queued when it is flushed, in one batch; answers and
 * what became due are sent in the turns that `wake` asks for. After every turn `dispatch` tells the programs.
 */
export class StackPort implements Port {
  readonly counters = new PortCounters();
  readonly takesOffload: boolean;
  readonly stack: Stack;
  private readonly iface: NetworkInterface;
  private readonly host: StackHost | undefined;
  private readonly inbox = new Burst(INBOX_FRAMES_MAX);
  private nowUs = 0;
  private timer = NO_TIMER;
  private timerUs = NEVER;
  private isPaused = false;
  private isClosed = false;

  constructor(stack: Stack, iface: NetworkInterface, host?: StackHost) {
    this.stack = stack;
    this.iface = iface;
    this.host = host;
    this.takesOffload = iface.takesOffload;
    if (host) this.nowUs = host.nowUs();
    stack.ports.push(this);
  }

  get frameBytesMax(): number {
    return this.takesOffload ? SUPER_FRAME_BYTES : JUMBO_FRAME_BYTES;
  }

  /** Reports what the stack has to send. Paused, it has nothing: its output fills, and then its sockets. */
  receive(burst: Burst, nowUs: number): boolean {
    this.nowUs = nowUs;
    if (this.isPaused || this.isClosed) return false;
    const { stack, iface } = this;
    // What was reported last is free now, so that there is room to send; what waits goes first.
    let isLeft = iface.output.drain(burst);
    const hasWork = stack.poll(nowUs);
    if (!burst.full) isLeft = iface.output.drainMore(burst);
    if (!stack.sockets.packets.isIdle) this.show(burst);
    stack.dispatch(nowUs);
    this.schedule();
    if (stack.ports.length > 1) this.wakeOthers();
    // Who was blocked has room in the next turn, when the frames of this one are free.
    const isAwaited = burst.count > 0 && stack.sockets.hasBlocked;
    return isLeft || hasWork || isAwaited || iface.output.pending > 0 || stack.hasWork;
  }

  queue(at: number, length: number, offload: number): Drop {
    if (this.inbox.full) this.read();
    this.inbox.push(at, length, offload);
    return Drop.None;
  }

  flush(nowUs: number): boolean {
    this.nowUs = nowUs;
    if (this.isClosed) return true;
    this.read();
    this.stack.dispatch(nowUs);
    this.wakeSenders();
    this.schedule();
    return true;
  }

  pause(isPaused: boolean): void {
    this.isPaused = isPaused;
    if (!isPaused) this.host?.wake(this);
  }

  /** When `expire` has something to do, on the host's clock. */
  deadlineUs(): number {
    if (this.isClosed) return NEVER;
    return this.stack.deadlineUs();
  }

  /** Does what is due; what it sends waits for `receive`. Early it does nothing. */
  expire(nowUs: number): void {
    if (this.isClosed) return;
    this.nowUs = nowUs;
    this.stack.expire(nowUs);
    this.stack.dispatch(nowUs);
    this.wakeSenders();
    this.schedule();
  }

  /** The programs called the stack outside of a turn: there may be something to send, or an earlier deadline. */
  nudge(): void {
    if (this.isClosed) return;
    this.host?.wake(this);
  }

  close(): void {
    this.isClosed = true;
    this.stack.ports.splice(this.stack.ports.indexOf(this), 1);
    if (this.timer !== NO_TIMER) this.host?.cancel(this.timer);
    this.timer = NO_TIMER;
  }

  /** Asks for the turns in which what the stack has to send now is fetched, by whatever interface it leaves. */
  private wakeSenders(): void {
    if (this.iface.output.pending > 0 || this.stack.hasWork) this.host?.wake(this);
    if (this.stack.ports.length > 1) this.wakeOthers();
  }

  private wakeOthers(): void {
    for (const port of this.stack.ports) if (port !== this && port.iface.output.pending > 0) port.host?.wake(port);
  }

  /** Packet sockets see what leaves, too. */
  private show(burst: Burst): void {
    const { packets } = this.stack.sockets;
    for (let i = 0; i < burst.count; i++) packets.hearFrame(this.iface.number, burst.at[i]!, burst.length[i]!, true);
  }

  /** The stack receives what was queued. */
  private read(): void {
    const { inbox, stack, iface, counters } = this;
    if (this.isClosed) inbox.count = 0;
    for (let i = 0; i < inbox.count; i++) {
      const length = inbox.length[i]!;
      counters.txFrames++;
      counters.txBytes += length;
      const why = stack.receive(iface, inbox.at[i]!, length, inbox.offload[i]!, this.nowUs);
      if (why !== Drop.None) counters.drops.add(why);
    }
    inbox.count = 0;
  }

  /** A timer that is early does nothing and is set anew, which is cheaper than moving it with every segment. */
  private schedule(): void {
    const { host } = this;
    if (!host || this.isClosed) return;
    const deadlineUs = this.stack.deadlineUs();
    if (this.timer !== NO_TIMER && this.timerUs <= deadlineUs) return;
    if (this.timer !== NO_TIMER) host.cancel(this.timer);
    this.timer = NO_TIMER;
    this.timerUs = deadlineUs;
    if (deadlineUs === NEVER) return;
    this.timer = host.at(deadlineUs, () => {
      this.timer = NO_TIMER;
      this.expire(host.nowUs());
    });
  }
}
