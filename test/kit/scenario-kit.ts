// Hosts and routers of scenarios: stacks in a simulated world that can be replaced by their own snapshots while they run.

import type { Burst } from '../../core/burst.ts';
import type { Drop } from '../../core/drop.ts';
import type { Slab } from '../../core/slab.ts';
import {
  type Checker,
  checksumChecker,
  type End,
  type Hop,
  type Observer,
  opposite,
  type SimNode,
  type SimPort,
  segmentIn,
  tcpCheckers,
  World,
} from '../../sim/sim.ts';
import { Stack, StackPort } from '../../stack/stack.ts';
import * as tcp from '../../wire/tcp.ts';
import type { Program } from './bulk.ts';
import { addAddress, type HostOptions, secretOf } from './stack-kit.ts';

/** A stack's interface: what has to be the same when it is made again. */
export interface InterfaceSpec {
  readonly addresses?: readonly string[];
  readonly forwards?: boolean;
}

/** What a host is made of. */
export interface HostSpec extends Pick<HostOptions, 'mtuBytes' | 'limits' | 'dadTransmits' | 'takesOffload'> {
  /** Follow MACs and secrets. */
  readonly number: number;
  readonly seed?: number;
  readonly interfaces: readonly InterfaceSpec[];
  /** Routes, and whatever else is to be done once. */
  readonly setUp?: (stack: Stack) => void;
}

/** A port whose stack may be replaced. It shows the stack a clock of its own. */
class ScenarioPort implements SimPort {
  inner: StackPort;
  offsetUs = 0;
  private readonly afterFlush: (nowUs: number) => void;
  constructor(inner: StackPort, afterFlush: (nowUs: number) => void) {
    this.inner = inner;
    this.afterFlush = afterFlush;
  }
  get counters() {
    return this.inner.counters;
  }
  get takesOffload(): boolean {
    return this.inner.takesOffload;
  }
  get frameBytesMax(): number {
    return this.inner.frameBytesMax;
  }
  receive(burst: Burst, nowUs: number): boolean {
    return this.inner.receive(burst, nowUs + this.offsetUs);
  }
  queue(at: number, length: number, offload: number): Drop {
    return this.inner.queue(at, length, offload);
  }
  flush(nowUs: number): boolean {
    const isDone = this.inner.flush(nowUs + this.offsetUs);
    this.afterFlush(nowUs); // programs read at once what they are told of
    return isDone;
  }
  pause(isPaused: boolean): void {
    this.inner.pause(isPaused);
  }
  deadlineUs(): number {
    return this.inner.deadlineUs() - this.offsetUs;
  }
  expire(nowUs: number): void {
    this.inner.expire(nowUs + this.offsetUs);
  }
  close(): void {
    this.inner.close();
  }
}

/** A stack in a world, with its programs. */
export class ScenarioHost {
  stack: Stack;
  readonly ports: readonly ScenarioPort[];
  readonly programs: Program[] = [];
  readonly spec: HostSpec;
  /** What the host's clock shows less the world's. */
  offsetUs = 0;
  private readonly slab: Slab;

  constructor(slab: Slab, spec: HostSpec) {
    this.slab = slab;
    this.spec = spec;
    const made = this.make(0);
    this.stack = made.stack;
    this.ports = made.ports.map((port) => new ScenarioPort(port, (nowUs) => this.run(nowUs)));
    for (const [i, { addresses = [] }] of spec.interfaces.entries()) {
      for (const text of addresses) addAddress(this.stack, i + 2, text);
    }
    spec.setUp?.(this.stack);
  }

  /** Lets the programs do what they can now. */
  run(nowUs: number): void {
    for (const program of this.programs) program.run(this.stack, nowUs);
  }

  /** Ends the stack and goes on with a new one made of `snapshot`, on a clock that shows `offsetUs` more than the world's. */
  restore(snapshot: Uint8Array, nowUs: number, offsetUs = this.offsetUs): void {
    this.stack.close();
    const { stack, ports } = this.make(nowUs + offsetUs);
    stack.load(snapshot, nowUs + offsetUs);
    this.stack = stack;
    this.offsetUs = offsetUs;
    for (const [i, port] of this.ports.entries()) {
      port.inner.close();
      port.inner = ports[i]!;
      port.offsetUs = offsetUs;
    }
  }

  /** The stack and its ports, with nothing configured. */
  private make(nowUs: number): { stack: Stack; ports: StackPort[] } {
    const { number, seed = 1, limits, mtuBytes = 1500, takesOffload = false, dadTransmits = 0 } = this.spec;
    const stack = new Stack({ slab: this.slab, secret: secretOf(seed, number), nowUs, ...(limits && { limits }) });
    const ports = this.spec.interfaces.map(({ forwards = false }, i) => {
      const mac = Uint8Array.of(2, 0, 0, i, number >> 8, number & 255);
      const roles = { forwards4: forwards, forwards6: forwards };
      const iface = stack.addInterface({ name: `eth${i}`, mac, mtuBytes, takesOffload, dadTransmits, ...roles });
      return new StackPort(stack, iface);
    });
    return { stack, ports };
  }
}

const isSyn = ({ view, at, length }: Hop): boolean => ((segmentIn(view, at, length)?.flags ?? 0) & tcp.Flag.Syn) !== 0;

/** A world with hosts whose programs run after every step, and checkers that watch all links. */
export class Scenario {
  readonly world: World;
  readonly hosts: ScenarioHost[] = [];
  readonly checkers: (Checker & Observer)[] = [];
  private readonly routers = new Set<string>();

  constructor({ seed, slabBytes = 1 << 27, checks = true }: { seed: number; slabBytes?: number; checks?: boolean }) {
    this.world = new World({ seed, slabBytes });
    if (checks) this.checkers.push(checksumChecker(), ...tcpCheckers());
    for (const [i, checker] of this.checkers.entries()) this.world.observe(i === 0 ? checker : this.atHosts(checker));
    this.world.afterStep(() => {
      for (const host of this.hosts) if (host.programs.length > 0) host.run(this.world.nowUs);
    });
  }

  /** Adds a host as node `name`. */
  host(name: string, spec: HostSpec): { node: SimNode; host: ScenarioHost } {
    const host = new ScenarioHost(this.world.slab, { seed: this.world.seed, ...spec });
    const node = this.world.node(name, host.ports);
    host.stack.onWake(() => this.world.touch(node));
    this.hosts.push(host);
    if (spec.interfaces.some(({ forwards }) => forwards)) this.routers.add(name);
    return { node, host };
  }

  /** What an end of a connection says and hears is seen at its own link: on the way things change their order. SYNs say how to read it. */
  private atHosts(checker: Observer): Observer {
    const isHost = (hop: Hop, end: End): boolean => !this.routers.has(hop.ends[end]);
    return {
      sent: (hop, nowUs) => {
        if (isHost(hop, hop.from) || isSyn(hop)) checker.sent?.(hop, nowUs);
      },
      delivered: (hop, nowUs) => {
        if (isHost(hop, opposite(hop.from))) checker.delivered?.(hop, nowUs);
      },
    };
  }

  /** What the checkers have to say. */
  violations(): string[] {
    return this.checkers.map((checker) => checker.report()).filter((line) => line !== undefined);
  }
}
