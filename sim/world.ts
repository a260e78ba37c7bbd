// The world: one clock, one slab, nodes joined by links, and everything in one order that a seed decides.

import { assert, Bug } from '../core/assert.ts';
import { Burst } from '../core/burst.ts';
import { Drop } from '../core/drop.ts';
import type { Rng } from '../core/rng.ts';
import { NONE, Slab } from '../core/slab.ts';
import { NEVER } from '../core/time.ts';
import { NO_TIMER, TimerWheel } from '../core/timer-wheel.ts';
import { Offloader } from '../wire/offload.ts';
import { type Actor, EventQueue } from './event-queue.ts';
import { FrameStore } from './frame-store.ts';
import type { Lane, LaneHost, LaneTarget } from './lane.ts';
import { Link, type LinkOptions } from './link.ts';
import { type Rule, Rules } from './rules.ts';
import type { End, Fate, Hop, Observer, SimPort } from './sim-port.ts';
import { Purpose, streamOf } from './stream.ts';

const BURST_FRAMES = 64;
const SEGMENT_BYTES = 1 << 18; // the frames of one super-frame with their headers
const SEGMENTS_MAX = 2048;
const STEPS_AT_ONE_TIME_MAX = 1_000_000; // more is a node whose deadline does not move
const PUMPS_MAX = 1_000_000;

/** Bounds and the seed. */
export interface WorldOptions {
  /** A whole number below 2^53: everything that happens follows from it. */
  readonly seed: number;
  readonly slabBytes: number;
  readonly nodesMax?: number;
  readonly eventsMax?: number;
  /** Frames that wait and travel. */
  readonly framesMax?: number;
}

/** A thing with ports that share their state: a host, a router, a switch. */
export interface SimNode {
  readonly number: number;
  readonly name: string;
  readonly ports: readonly SimPort[];
}

/** Port number `port` of a node. */
export interface Socket {
  readonly node: SimNode;
  readonly port: number;
}

/** Why a run ended. */
export const Ending = { Idle: 'idle', Time: 'time', Condition: 'condition', Programs: 'programs' } as const;
export type Ending = (typeof Ending)[keyof typeof Ending];

/** When a run ends: at a time, when a condition holds after a step; in any case when nothing is left to happen. */
export interface RunOptions {
  /** What happens at this time still happens; then the clock stands there. */
  readonly untilUs?: number;
  readonly until?: () => boolean;
}

/** See the head of `sim/sim.ts`. */
export class World {
  readonly seed: number;
  readonly slab: Slab;
  readonly nodes: SimNode[] = [];
  readonly links: Link[] = [];
  /** Whole µs since the world began. */
  nowUs = 0;
  private readonly events: EventQueue;
  private readonly timers: TimerWheel;
  private readonly nodesMax: number;
  private readonly lanes: (Lane | undefined)[][] = []; // by node and port
  private readonly dirty: boolean[] = [];
  private dirtyNodes: number[] = [];
  private readonly burst = new Burst(BURST_FRAMES);
  private readonly rules: Rules;
  private readonly observers: Observer[] = [];
  private readonly afterSteps: (() => void)[] = [];
  private readonly calls: Calls;
  private readonly host: LaneHost;
  private stepsAtNow = 0;
  private programs = 0;
  private readonly failures: unknown[] = [];

  constructor({ seed, slabBytes, nodesMax = 1024, eventsMax = 1 << 22, framesMax = 1 << 20 }: WorldOptions) {
    this.seed = seed;
    this.slab = new Slab({ bytesMax: slabBytes });
    this.nodesMax = nodesMax;
    this.events = new EventQueue({ eventsMax });
    this.timers = new TimerWheel({ timersMax: nodesMax });
    this.rules = new Rules(seed);
    this.calls = new Calls(() => this.touchAll());
    const segmentsAt = this.slab.alloc(SEGMENT_BYTES);
    assert(segmentsAt !== NONE, `a slab of ${slabBytes} bytes has room for a super-frame`);
    this.host = {
      slab: this.slab,
      events: this.events,
      frames: new FrameStore(this.slab, { framesMax }),
      rules: this.rules,
      offloader: new Offloader(this.slab),
      segments: { burst: new Burst(SEGMENTS_MAX), at: segmentsAt, bytes: SEGMENT_BYTES },
      tell: (what, hop, fate, nowUs) => this.tell(what, hop, fate, nowUs),
    };
  }

  /** Adds a node. Its name is its own; its ports live in this world's slab. */
  node(name: string, ports: readonly SimPort[]): SimNode {
    const number = this.nodes.length;
    assert(number < this.nodesMax, `more than ${this.nodesMax} nodes`);
    assert(!this.nodes.some((other) => other.name === name), `two nodes called ${name}`);
    const node = { number, name, ports };
    this.nodes.push(node);
    this.lanes.push(ports.map(() => undefined));
    this.dirty.push(false);
    this.touch(node);
    return node;
  }

  /** Joins two free ports; `a` is end 0. A node alone means its first port. */
  link(a: SimNode | Socket, b: SimNode | Socket, options: LinkOptions = {}): Link {
    const sockets = [socketOf(a), socketOf(b)] as const;
    const ends = [sockets[0].node.name, sockets[1].node.name] as const;
    const number = this.links.length;
    const plain = `${ends[0]}-${ends[1]}`;
    const like = this.links.filter((link) => link.ends[0] === ends[0] && link.ends[1] === ends[1]).length;
    const name = like === 0 ? plain : `${plain}-${like + 1}`;
    const link = new Link(this.host, this.seed, { number, name, ends }, options);
    this.plug(sockets[0], link.lanes[0], link.lanes[1]);
    this.plug(sockets[1], link.lanes[1], link.lanes[0]);
    this.links.push(link);
    return link;
  }

  /** Installs a rule behind the others, for all links; the function that it returns removes it. */
  rule(rule: Rule): () => void {
    return this.rules.add(rule);
  }

  /** Shows every frame to `observer`, of all links or of one. */
  observe(observer: Observer, link?: Link): void {
    (link?.observers ?? this.observers).push(observer);
  }

  /** A stream of chance of the node's own; `purpose` is any whole number, one for each use. */
  random(node: SimNode, purpose = 0): Rng {
    return streamOf(this.seed, node.number * 2 ** 16 + purpose, Purpose.Node);
  }

  /** Calls `call` at a time; it may do anything to the nodes. A time in the past is now. */
  at(timeUs: number, call: () => void): void {
    this.events.add(Math.max(this.nowUs, timeUs), this.calls, this.calls.add(call));
  }

  /** For programs: resolves `us` later. */
  sleep(us: number): Promise<void> {
    return new Promise((resolve) => this.at(this.nowUs + us, resolve));
  }

  /** Calls `call` after every step and before the first one of a run. It may use any node's sockets. */
  afterStep(call: () => void): void {
    this.afterSteps.push(call);
  }

  /** Counts an async program, so that `runPrograms` knows when it is done. */
  start(program: Promise<unknown>): void {
    this.programs++;
    program
      .catch((error: unknown) => this.failures.push(error))
      .finally(() => {
        this.programs--;
      });
  }

  /** Says that a node was used from outside, so that what it has to send is fetched. `run` and `step` do so for all. */
  touch(node: SimNode): void {
    if (this.dirty[node.number]) return;
    this.dirty[node.number] = true;
    this.dirtyNodes.push(node.number);
  }

  /** When the next thing happens, or `NEVER`. */
  nextUs(): number {
    return Math.min(this.events.nextUs, Math.max(this.nowUs, this.timers.deadlineUs()));
  }

  /** Jumps to the next thing that happens and lets it; false if there is none. */
  step(): boolean {
    this.settleNodes();
    return this.advance(NEVER);
  }

  /** Runs synchronously. */
  run(options: RunOptions = {}): Ending {
    this.settleNodes();
    while (!options.until?.()) {
      if (!this.advance(options.untilUs ?? NEVER)) return this.stop(options.untilUs);
    }
    return Ending.Condition;
  }

  /**
   * Runs with async programs: `settle` is awaited between steps and resolves when no program can go on by itself. Ends when
   * all programs are done, too. A program that fails fails the run.
   */
  async runPrograms(settle: () => Promise<void>, options: RunOptions = {}): Promise<Ending> {
    for (;;) {
      await settle();
      if (this.failures.length > 0) throw this.failures.shift();
      if (options.until?.()) return Ending.Condition;
      if (this.programs === 0) return Ending.Programs;
      this.settleNodes();
      if (!this.advance(options.untilUs ?? NEVER)) return this.stop(options.untilUs);
    }
  }

  private stop(untilUs: number | undefined): Ending {
    if (untilUs === undefined || untilUs === NEVER) return Ending.Idle;
    const isIdle = this.nextUs() === NEVER;
    this.nowUs = Math.max(this.nowUs, untilUs);
    this.stepsAtNow = 0;
    return isIdle ? Ending.Idle : Ending.Time;
  }

  /** One event or one deadline, at `untilUs` or before. Events come before deadlines of the same time. */
  private advance(untilUs: number): boolean {
    const timeUs = this.nextUs();
    if (timeUs === NEVER || timeUs > untilUs) return false;
    this.stepsAtNow = timeUs === this.nowUs ? this.stepsAtNow + 1 : 0;
    this.nowUs = timeUs;
    if (this.events.nextUs <= timeUs) this.events.fire(timeUs);
    else this.expire();
    this.pump();
    if (this.afterSteps.length > 0) {
      for (const call of this.afterSteps) call();
      this.touchAll();
      this.pump();
    }
    return true;
  }

  private expire(): void {
    const number = this.timers.expire(this.nowUs);
    if (number === NO_TIMER) return;
    const node = this.nodes[number]!;
    if (this.stepsAtNow > STEPS_AT_ONE_TIME_MAX) throw new Bug(`${node.name}: its deadline stays at ${this.nowUs} µs`);
    for (const port of node.ports) if (port.deadlineUs() <= this.nowUs) port.expire(this.nowUs);
    this.touch(node);
  }

  private settleNodes(): void {
    for (const call of this.afterSteps) call();
    this.touchAll();
    this.pump();
  }

  private touchAll(): void {
    for (const node of this.nodes) this.touch(node);
  }

  /** Fetches what touched nodes have to send, until there is no more. Nothing arrives meanwhile: arrivals are events. */
  private pump(): void {
    if (this.dirtyNodes.length === 0) return;
    const numbers = this.dirtyNodes;
    this.dirtyNodes = [];
    for (const number of numbers) {
      this.dirty[number] = false;
      this.pumpNode(this.nodes[number]!);
    }
  }

  private pumpNode(node: SimNode): void {
    let deadlineUs: number = NEVER;
    const lanes = this.lanes[node.number]!;
    for (let p = 0; p < node.ports.length; p++) this.fetch(node, node.ports[p]!, lanes[p]);
    for (const port of node.ports) deadlineUs = Math.min(deadlineUs, port.deadlineUs());
    if (deadlineUs !== this.timers.deadlineOf(node.number)) this.timers.set(node.number, deadlineUs);
  }

  private fetch(node: SimNode, port: SimPort, lane: Lane | undefined): void {
    const { burst } = this;
    let hasMore = true;
    for (let turn = 0; hasMore; turn++) {
      if (turn > PUMPS_MAX) throw new Bug(`${node.name}: never done sending at ${this.nowUs} µs`);
      burst.count = 0;
      hasMore = port.receive(burst, this.nowUs);
      for (let i = 0; i < burst.count; i++) {
        lane?.send(burst.at[i]!, burst.length[i]!, burst.offload[i]!, this.nowUs);
      }
    }
  }

  private plug({ node, port }: Socket, out: Lane, into: Lane): void {
    const lanes = this.lanes[node.number]!;
    const simPort = node.ports[port];
    assert(simPort !== undefined, `${node.name} has a port ${port}`);
    assert(lanes[port] === undefined, `port ${port} of ${node.name} is free`);
    lanes[port] = out;
    into.target = this.targetOf(node, simPort);
  }

  private targetOf(node: SimNode, port: SimPort): LaneTarget {
    return {
      takesOffload: port.takesOffload,
      deliver: (at, length, offload, nowUs) => {
        this.touch(node);
        if (length > port.frameBytesMax) return Drop.TxTooLong;
        const why = port.queue(at, length, offload);
        port.flush(nowUs);
        return why;
      },
    };
  }

  private tell(what: keyof Observer, hop: Hop, fate: Fate | undefined, nowUs: number): void {
    for (const observer of this.links[hop.link]?.observers ?? []) show(observer, what, hop, fate, nowUs);
    for (const observer of this.observers) show(observer, what, hop, fate, nowUs);
  }

  /** What `end` of the link is joined to. */
  nodeAt(link: Link, end: End): SimNode {
    return this.nodes.find((node) => node.name === link.ends[end])!;
  }
}

function show(observer: Observer, what: keyof Observer, hop: Hop, fate: Fate | undefined, nowUs: number): void {
  if (what === 'dropped') observer.dropped?.(hop, fate!, nowUs);
  else observer[what]?.(hop, nowUs);
}

const socketOf = (end: SimNode | Socket): Socket => ('node' in end ? end : { node: end, port: 0 });

/** Functions that wait for their time. */
class Calls implements Actor {
  private readonly waiting: (() => void)[] = [];
  private readonly free: number[] = [];
  private readonly after: () => void;

  constructor(after: () => void) {
    this.after = after;
  }

  add(call: () => void): number {
    const number = this.free.pop() ?? this.waiting.length;
    this.waiting[number] = call;
    return number;
  }

  fire(number: number): void {
    const call = this.waiting[number]!;
    this.free.push(number);
    call();
    this.after();
  }
}
