// A guest, a gateway with flows, and a host in memory, in virtual time.

import { Slab } from '../../core/slab.ts';
import { DROP, Pair, type PairOptions } from '../../sim/sim.ts';
import {
  DatagramBatch,
  type FlowParts,
  type Protocol,
  Relay,
  type RelayOptions,
  Senders,
  SlirpCounters,
  StreamForwards,
  type Targets,
  TcpFlows,
  Verdict,
} from '../../slirp/slirp.ts';
import {
  type Address,
  assignAddress,
  Errno,
  Family,
  type Limits,
  parseAddress,
  SocketOption,
  SocketType,
  type Stack,
  type StackUser,
} from '../../stack/stack.ts';
import { SimHost, type SimHostOptions, type SimPeer, whereOf } from '../kit/sim-host.ts';
import { addGateway, newHost } from '../kit/stack-kit.ts';
import { TestCaps } from '../kit/test-caps.ts';

export const GATE_4 = parseAddress('10.0.0.2')!;
export const GATE_6 = parseAddress('fd00::2')!;

/** Everything goes where it wants to, but for what a test says. */
export class TestTargets implements Targets {
  hostPort = 0;
  hostPath = '';
  /** By `address:port` of the target. */
  readonly verdicts = new Map<string, Verdict>();
  readonly paths = new Map<string, string>();
  readonly asked: number[] = [];

  decide(protocol: Protocol, _guest: Address, target: Address, port: number, into: Address): Verdict {
    this.asked.push(protocol);
    const where = whereOf(target, port);
    this.hostPath = this.paths.get(where) ?? '';
    this.hostPort = port;
    assignAddress(into, target);
    return this.verdicts.get(where) ?? Verdict.Go;
  }

  source(): Address {
    return new Int32Array(4);
  }

  nameFor(): boolean {
    return false;
  }
}

export interface LabOptions {
  readonly link?: PairOptions;
  readonly host?: SimHostOptions;
  readonly relay?: RelayOptions;
  readonly limits?: Partial<Limits>;
  readonly takesOffload?: boolean;
  readonly mtuBytes?: number;
  readonly seed?: number;
}

/** The guest is 10.0.0.1 and fd00::1, the gateway 10.0.0.2 and fd00::2. */
export class Lab {
  readonly pair: Pair;
  readonly slab: Slab;
  readonly guest: Stack;
  readonly gate: Stack;
  readonly host: SimHost;
  readonly targets = new TestTargets();
  readonly caps = new TestCaps();
  readonly counters = new SlirpCounters();
  readonly relay: Relay;
  readonly tcp: TcpFlows;
  readonly forwards: StreamForwards;

  constructor(options: LabOptions = {}) {
    const { takesOffload = false, mtuBytes = 1500, limits, seed = 1 } = options;
    const stacks: Stack[] = [];
    this.pair = new Pair(
      (slab) => {
        const host = newHost(slab, stacks.length + 1, { takesOffload, mtuBytes, seed, ...(limits && { limits }) });
        stacks.push(host.stack);
        return host.port;
      },
      { delayUs: 100, ...options.link },
    );
    const { world } = this.pair;
    this.slab = world.slab;
    this.guest = stacks[0]!;
    this.gate = stacks[1]!;
    addGateway(this.guest, 2, '10.0.0.2');
    addGateway(this.guest, 2, 'fd00::2');
    this.gate.interfaces.get(2)!.acceptsAny = true;
    let isAwake = false;
    const wake = (): void => {
      if (isAwake) return;
      isAwake = true;
      world.at(world.nowUs, () => {
        isAwake = false;
      });
    };
    this.host = new SimHost(this.slab, { wake, ...options.host });
    const batchSlab = new Slab({ bytesMax: 4 << 20 });
    const parts: FlowParts = {
      stack: this.gate,
      iface: 2,
      host: this.host,
      targets: this.targets,
      caps: this.caps,
      senders: new Senders(this.gate, 2),
      batch: new DatagramBatch(batchSlab),
      counters: this.counters,
    };
    this.relay = new Relay(parts, options.relay);
    this.tcp = new TcpFlows(parts, this.relay);
    this.forwards = new StreamForwards(parts, this.relay, { gateway4: GATE_4, gateway6: GATE_6 });
    const users: StackUser[] = [this.forwards, this.relay];
    this.gate.addUser({ turn: () => this.host.dispatch(), deadlineUs: () => Infinity, expire: () => {} });
    for (const user of users) this.gate.addUser(user);
  }

  run(us = 50_000): void {
    const { world } = this.pair;
    world.touch(this.pair.a);
    world.touch(this.pair.b);
    this.pair.run(us);
  }

  /** A socket of the guest's that connects. */
  connect(to: string, port: number): Socket {
    const address = parseAddress(to)!;
    const h = this.guest.sockets.socket(to.includes(':') ? Family.Inet6 : Family.Inet, SocketType.Stream);
    const result = this.guest.sockets.connect(h, address, port);
    if (result !== -Errno.EINPROGRESS) throw new Error(`connect: ${result}`);
    return new Socket(this.guest, h);
  }

  /** From now on nothing of the link arrives. */
  cut(): void {
    this.pair.world.rule(() => DROP);
  }

  /** A guest's connection that stands, and its server. */
  open(to = '192.0.2.7', port = 80): { socket: Socket; peer: SimPeer } {
    const where = to.includes(':') ? `[${to}]:${port}` : `${to}:${port}`;
    this.host.answer(where, 'accept');
    const socket = this.connect(to, port);
    this.run();
    return { socket, peer: this.host.peers.at(-1)! };
  }
}

/** What a program reads that is always there to read. */
export class Reader {
  readonly pieces: Uint8Array[] = [];
  bytes = 0;
  /** 0 at the end of the stream, or -errno. */
  end = -Errno.EAGAIN;

  constructor(lab: Lab, socket: Socket) {
    lab.pair.world.afterStep(() => {
      while (this.end === -Errno.EAGAIN) {
        const got = socket.read();
        if (typeof got === 'number') {
          this.end = got;
          if (got === -Errno.EAGAIN) return;
        } else {
          this.pieces.push(got);
          this.bytes += got.length;
        }
      }
    });
  }

  get all(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.pieces));
  }
}

const buffer = new Uint8Array(1 << 20);

/** A stream socket of a stack. */
export class Socket {
  readonly stack: Stack;
  readonly h: number;

  constructor(stack: Stack, h: number) {
    this.stack = stack;
    this.h = h;
  }

  /** Bytes taken, or -errno. */
  write(bytes: Uint8Array): number {
    return this.stack.sockets.send(this.h, bytes, 0, bytes.length);
  }

  /** What is there, at most `bytesMax`; a number is 0 for the end, or -errno. */
  read(bytesMax = buffer.length): Uint8Array | number {
    const n = this.stack.sockets.receive(this.h, buffer, 0, Math.min(bytesMax, buffer.length));
    return n > 0 ? buffer.slice(0, n) : n;
  }

  end(): void {
    this.stack.sockets.shutdown(this.h, 1);
  }

  close(): void {
    this.stack.sockets.close(this.h);
  }

  abort(): void {
    this.stack.sockets.abort(this.h);
  }

  get ready(): number {
    return this.stack.sockets.poll(this.h);
  }

  get state(): number {
    return this.stack.sockets.gateway.state(this.h);
  }

  /** SO_ERROR. */
  takeError(): number {
    return this.stack.sockets.getOption(this.h, SocketOption.Error);
  }
}

export const text = (bytes: Uint8Array | number): string | number =>
  typeof bytes === 'number' ? bytes : new TextDecoder().decode(bytes);
export const bytesOf = (value: string): Uint8Array => new TextEncoder().encode(value);

/** Bytes that tell where they belong. */
export function pattern(count: number, from = 0): Uint8Array {
  const bytes = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const at = from + i;
    bytes[i] = (at * 7 + (at >>> 8) * 13 + (at >>> 16)) & 255;
  }
  return bytes;
}

/** True if `bytes` are what `pattern` makes. */
export const isPattern = (bytes: Uint8Array, from = 0): boolean =>
  Buffer.compare(bytes, pattern(bytes.length, from)) === 0;
