// One thread's loop: epoll, timers and the breath. The blocking driver waits in epoll; the other one lives on libuv's loop.

import { assert, Bug } from '../core/assert.ts';
import type { Port } from '../core/port.ts';
import { Slab } from '../core/slab.ts';
import { NEVER, waitMs } from '../core/time.ts';
import { fillVector } from '../plug/datagram-port.io.ts';
import type { NativeHost, PortInfo, Watcher } from '../plug/plug.ts';
import { Epoll } from '../sys/epoll.io.ts';
import { addressOf, type Polling, pollReadable, sys, whyNoNative } from '../sys/libc.io.ts';
import { Sockets } from '../sys/socket.io.ts';
import { Breath } from './breath.ts';
import { Attachment, type Network } from './network.ts';
import { Area } from './receive-area.ts';

const SLAB_BYTES = 256 << 20; // address space; only what is touched costs memory
const EVENTS_A_TURN = 256;
const PR_SET_TIMERSLACK = 29;
const WAIT_MS_MAX = 1000; // a thread that blocks must look up now and then to be stopped
const HOUSEWORK_US_MAX = 1_000_000; // a switch that learned its first station since says when it is due

export interface FabricOptions {
  /** Wait this long between wake-ups, so that batches grow: 0 is lowest latency, 30 saves a third of the CPU. */
  rxUsecs?: number;
  /** A line for the operator. */
  tell?: (text: string) => void;
  /** On a program's loop: what it waits for does not keep the process alive. */
  isBackground?: boolean;
}

interface Timer {
  id: number;
  deadlineUs: number;
  act: () => void;
}

/** A thread's ports, networks and time. Native calls are optional: without them ports are Node's own. */
export class Fabric implements NativeHost {
  readonly slab: Slab;
  readonly breath: Breath;
  readonly networks = new Map<string, Network>();
  readonly isNative: boolean;
  readonly address: number;
  private readonly epoll: Epoll | undefined;
  private readonly area_: Area | undefined;
  private readonly sockets_: Sockets | undefined;
  private readonly watchers: (Watcher | undefined)[] = [];
  private readonly due = new Array<Watcher | undefined>(EVENTS_A_TURN).fill(undefined);
  private readonly attachments = new Map<Port, Attachment>();
  // Two lists that take turns, filled up to a count and never shortened, since an emptied array is allocated again.
  private readyPorts: (Attachment | undefined)[] = [];
  private readyCount = 0;
  private spare: (Attachment | undefined)[] = [];
  private readonly timers: Timer[] = [];
  private readonly leaving: Attachment[] = [];
  private readonly options: FabricOptions;
  private nextId = 1;
  private nowUs_ = 0;
  private houseworkUs = 0;
  private isStopped = false;
  private isInterrupted = false;
  private scheduled: NodeJS.Immediate | undefined;
  private timeout: NodeJS.Timeout | undefined;
  private poller: Polling | undefined;
  private isOnLoop = false;

  constructor(options: FabricOptions = {}) {
    this.options = options;
    this.isNative = whyNoNative() === undefined;
    this.slab = this.isNative ? slabWithinOneHighWord() : new Slab({ bytesMax: SLAB_BYTES });
    this.address = this.isNative ? addressOf(this.slab) : 0;
    this.breath = new Breath(this.slab);
    if (this.isNative) {
      this.epoll = new Epoll(this.slab, { eventsMax: EVENTS_A_TURN });
      this.sockets_ = new Sockets(this.slab);
      this.area_ = new Area(
        this.slab,
        this.address,
        (messages, count) => fillVector(this, messages, count),
        () => this.exhale(),
      );
    }
    this.readClock();
  }

  get area(): Area {
    assert(this.area_ !== undefined, 'no receive area without native calls');
    return this.area_;
  }

  get sockets(): Sockets {
    assert(this.sockets_ !== undefined, 'no sockets without native calls');
    return this.sockets_;
  }

  nowUs(): number {
    return this.nowUs_;
  }

  tell(_port: Port, text: string): void {
    this.options.tell?.(text);
  }

  // Descriptors.

  /** Throws `SysError` (`EPERM`: a file that is always ready) and then watches nothing. */
  watch(fd: number, events: number, watcher: Watcher): void {
    this.epoll!.add(fd, events);
    this.watchers[fd] = watcher;
  }

  rewatch(fd: number, events: number): void {
    if (this.watchers[fd]) this.epoll!.modify(fd, events);
  }

  unwatch(fd: number): void {
    if (!this.watchers[fd]) return;
    this.watchers[fd] = undefined;
    this.epoll!.remove(fd);
  }

  // Timers: few, so a list is enough.

  at(deadlineUs: number, act: () => void): number {
    const id = this.nextId++;
    this.timers.push({ id, deadlineUs, act });
    if (this.isOnLoop) this.scheduleTimeout();
    return id;
  }

  cancel(timer: number): void {
    const i = this.timers.findIndex((t) => t.id === timer);
    if (i >= 0) this.timers.splice(i, 1);
  }

  // Ports.

  attach(port: Port, network: Network, number: number, info: PortInfo): Attachment {
    const attachment = new Attachment(port, network, number, info, this.nextId++);
    this.attachments.set(port, attachment);
    network.add(attachment, this.nowUs_);
    return attachment;
  }

  /** Takes a port out at once and closes it when the breath is over. */
  detach(port: Port): void {
    const attachment = this.attachments.get(port);
    if (!attachment || attachment.isGone) return;
    attachment.network.remove(attachment);
    this.breath.forget(attachment);
    this.attachments.delete(port);
    this.leaving.push(attachment);
    if (this.isOnLoop) this.schedule();
  }

  attachmentOf(port: Port): Attachment | undefined {
    return this.attachments.get(port);
  }

  wake(port: Port): void {
    const attachment = this.attachments.get(port);
    if (!attachment || attachment.isReady) return;
    attachment.isReady = true;
    this.readyPorts[this.readyCount++] = attachment;
    if (this.isOnLoop) this.schedule();
  }

  drained(port: Port): void {
    const attachment = this.attachments.get(port);
    if (attachment) this.breath.drained(attachment);
  }

  // The turn.

  /** Waits at most `msMax` for something to do, does it all once. */
  turn(msMax: number): void {
    if (this.epoll) this.inhale(msMax);
    else this.readClock();
    if (this.timers.length > 0) this.expireTimers();
    if (this.readyCount > 0) this.breatheAll();
    this.breath.expire(this.nowUs_);
    if (this.nowUs_ >= this.houseworkUs) this.doHousework();
    if (this.leaving.length > 0) this.closeLeaving();
  }

  private breatheAll(): void {
    const { readyPorts, readyCount, breath } = this;
    this.readyPorts = this.spare;
    this.spare = readyPorts;
    this.readyCount = 0;
    for (let i = 0; i < readyCount; i++) {
      const attachment = readyPorts[i]!;
      readyPorts[i] = undefined;
      attachment.isReady = false;
      if (!attachment.isGone) breath.breathe(attachment, this.nowUs_);
    }
    this.exhale();
  }

  /** Milliseconds until something is due without anything happening. */
  idleMs(): number {
    if (this.readyCount > 0) return 0;
    let deadlineUs = this.breath.deadlineUs();
    for (const timer of this.timers) deadlineUs = Math.min(deadlineUs, timer.deadlineUs);
    deadlineUs = Math.min(deadlineUs, this.houseworkUs);
    return waitMs(deadlineUs, this.nowUs_, WAIT_MS_MAX);
  }

  /** Blocks this thread until `stop` or `interrupt`. */
  runBlocking(): void {
    const { rxUsecs } = this.options;
    this.isInterrupted = false;
    if (rxUsecs) sys().prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); // by default a sleep may be 50 µs late
    while (!this.isStopped && !this.isInterrupted) {
      this.turn(this.idleMs());
      if (rxUsecs) sys().usleep(rxUsecs);
    }
  }

  /** Runs on this thread's libuv loop until `stop`. */
  runOnLoop(): void {
    this.isOnLoop = true;
    if (this.epoll) this.poller = pollReadable(this.epoll.fd, () => this.loopTurn());
    if (this.options.isBackground) this.poller?.unref();
    this.schedule();
  }

  /** `runBlocking` returns after this turn, and may be called again. */
  interrupt(): void {
    this.isInterrupted = true;
  }

  stop(): void {
    this.isStopped = true;
    this.poller?.close();
    clearTimeout(this.timeout);
    clearImmediate(this.scheduled);
  }

  /** Flushes every port; what was received is then nobody's. */
  private exhale(): void {
    this.breath.exhale();
    this.area_?.release();
  }

  private inhale(msMax: number): void {
    const { epoll, watchers, due } = this;
    const n = epoll!.wait(msMax);
    this.readClock();
    // Who closes a descriptor and gets its number anew in the same turn must not hear of what the old one was ready for.
    for (let i = 0; i < n; i++) due[i] = watchers[epoll!.readyFd(i)];
    for (let i = 0; i < n; i++) {
      const watcher = due[i];
      due[i] = undefined;
      if (watcher && watchers[epoll!.readyFd(i)] === watcher) watcher.ready(epoll!.readyEvents(i));
    }
  }

  private loopTurn(): void {
    if (this.isStopped) return;
    try {
      this.turn(0);
    } catch (error) {
      // Thrown inside a poll callback it would surface at some unrelated moment.
      process.nextTick(() => {
        throw error;
      });
    }
    if (this.readyCount > 0) this.schedule();
    else this.scheduleTimeout();
  }

  private schedule(): void {
    this.scheduled ??= setImmediate(() => {
      this.scheduled = undefined;
      this.loopTurn();
    });
  }

  private scheduleTimeout(): void {
    clearTimeout(this.timeout);
    const ms = this.idleMs();
    // A timer further away than the longest wait needs another look then; nothing else does.
    if (ms >= WAIT_MS_MAX && this.timers.length === 0) return;
    this.timeout = setTimeout(() => this.loopTurn(), ms);
    if (this.options.isBackground) this.timeout.unref();
  }

  private expireTimers(): void {
    for (let i = 0; i < this.timers.length; ) {
      const timer = this.timers[i]!;
      if (timer.deadlineUs > this.nowUs_) {
        i++;
        continue;
      }
      this.timers.splice(i, 1);
      timer.act();
      i = 0; // the act may have changed the list
    }
  }

  /** Lets the switches forget what is old: now and then while frames flow, exactly when due while nothing happens. */
  private doHousework(): void {
    let deadlineUs = NEVER;
    for (const { forwarder } of this.networks.values()) {
      const expiring = forwarder as Partial<Expiring>;
      expiring.expire?.(this.nowUs_);
      deadlineUs = Math.min(deadlineUs, expiring.deadlineUs?.() ?? NEVER);
    }
    this.houseworkUs = Math.min(deadlineUs, this.nowUs_ + HOUSEWORK_US_MAX);
  }

  private closeLeaving(): void {
    for (const attachment of this.leaving) attachment.port.close();
    this.leaving.length = 0;
  }

  private readClock(): number {
    this.nowUs_ = Math.trunc(performance.now() * 1000);
    return this.nowUs_;
  }
}

/** A slab that does not cross a 4 GiB line: pointers into it differ in their low word alone, and never carry. */
function slabWithinOneHighWord(): Slab {
  for (let tries = 0; tries < 16; tries++) {
    const slab = new Slab({ bytesMax: SLAB_BYTES });
    const address = addressOf(slab); // keeps it, so that the next one lies elsewhere
    if (Math.floor(address / 2 ** 32) === Math.floor((address + SLAB_BYTES - 1) / 2 ** 32)) return slab;
  }
  throw new Bug('every slab crosses a 4 GiB line');
}

/** A forwarder that forgets what is old. */
interface Expiring {
  deadlineUs(): number;
  expire(nowUs: number): void;
}
