// A stack under a packet script: its frames are the script's, its socket calls are the script's words.
//
//   limit NAME N              before anything else: a bound of `Limits`
//   option NAME N             of the current socket, which is made if there is none; names as in TcpOption
//   bind PORT · listen PORT [BACKLOG] · connect PORT [N] · accept      N bytes are written before the SYN goes out
//   write N [more] · read N · shutdown read|write|both · close · abort
//   state · error · ready · queued · info NAME
//   connections · timewaits · isn (`greater`, `less` or `same`: the last SYN's number against the one before) · isn-is-new
//
// `accept` makes the accepted socket the current one and returns its number, 1 for the first; `#N` before a call means
// socket N instead, `#0` the listener. `connect` makes number 1, and after `close` a new one may be made.

import { Burst } from '../../core/burst.ts';
import { Slab } from '../../core/slab.ts';
import { type ScriptHost, scriptByte, scriptEnds, segmentIn } from '../../sim/sim.ts';
import { type Address, of4, parse } from '../../stack/address.ts';
import { errnoName } from '../../stack/errno.ts';
import { ANY_IFACE } from '../../stack/ip.ts';
import type { Limits } from '../../stack/limits.ts';
import type { NetworkInterface, Stack } from '../../stack/stack.ts';
import { How, Ready, SendFlag, STATE_NAMES, type TcpInfo, TcpOption } from '../../stack/tcp/tcp.ts';
import { viewOf } from '../../wire/bytes.ts';
import { Flag } from '../../wire/tcp.ts';
import { newHost } from './stack-kit.ts';

const START_US = 1_000_000_000;
const FRAME_BYTES_MAX = 1 << 16;
const DEAD = -1;

/** A socket of the script: a connection's number, and how far its streams are. */
interface ScriptSocket {
  c: number;
  written: number;
  read: number;
}

const optionOf = (name: string): TcpOption => {
  const [, value] = Object.entries(TcpOption).find(([key]) => key.toLowerCase() === name.toLowerCase()) ?? [];
  if (value === undefined) throw new Error(`no option ${name}`);
  return value;
};

/** What a call returns: a count or the name of an error. */
const resultOf = (result: number): string | number => (result < 0 ? errnoName(result) : result);

/** 192.0.2.1 or 2001:db8::1, whose neighbour .2 is known. The path and the clock are the script's. */
export class StackScriptHost implements ScriptHost {
  nowUs = START_US;
  private readonly slab = new Slab({ bytesMax: 64 << 20 });
  private readonly isIp6: boolean;
  private readonly frameAt: number;
  private readonly burst = new Burst(64);
  private readonly frames: Uint8Array[] = [];
  private readonly sockets: ScriptSocket[] = [];
  private readonly isns: number[] = [];
  private limits: Partial<Limits> = {};
  private current = 0;
  private made: { stack: Stack; iface: NetworkInterface } | undefined;

  constructor(isIp6: boolean) {
    this.isIp6 = isIp6;
    this.frameAt = this.slab.alloc(FRAME_BYTES_MAX);
  }

  /** The stack, made when it is first needed. */
  private get host(): { stack: Stack; iface: NetworkInterface } {
    if (this.made) return this.made;
    const addresses = ['192.0.2.1/24', '2001:db8::1/64'];
    const { stack } = newHost(this.slab, 1, { addresses, limits: this.limits });
    const iface = [...stack.interfaces.all()].find((one) => !one.isLoopback)!;
    stack.tick(this.nowUs);
    const { remoteMac } = scriptEnds({ isIp6: this.isIp6 });
    stack.autoconf.neighbors.setStatic(iface.number, this.peer, remoteMac);
    this.made = { stack, iface };
    return this.made;
  }

  private get stack(): Stack {
    return this.host.stack;
  }

  private get peer(): Address {
    return this.isIp6 ? parse('2001:db8::2')! : of4(0xc0000202);
  }

  private get any(): Address {
    return parse(this.isIp6 ? '::' : '0.0.0.0')!;
  }

  inject(frame: Uint8Array): void {
    const { stack, iface } = this.host;
    this.slab.bytes.set(frame, this.frameAt);
    stack.receive(iface, this.frameAt, frame.length, 0, this.nowUs);
    this.pump();
  }

  takeFrame(): Uint8Array | undefined {
    return this.frames.shift();
  }

  deadlineUs(): number {
    return this.made ? this.stack.deadlineUs() : Infinity;
  }

  expire(nowUs: number): void {
    this.nowUs = nowUs;
    if (!this.made) return;
    this.stack.expire(nowUs);
    this.pump();
  }

  /** Everything that may be sent is. */
  private pump(): void {
    const { stack, iface } = this.host;
    let isMore = true;
    while (isMore) {
      isMore = stack.poll(this.nowUs);
      this.burst.count = 0;
      if (iface.output.drain(this.burst)) isMore = true;
      for (let i = 0; i < this.burst.count; i++) {
        const at = this.burst.at[i]!;
        this.take(this.slab.bytes.slice(at, at + this.burst.length[i]!));
      }
    }
  }

  private take(frame: Uint8Array): void {
    this.frames.push(frame);
    const segment = segmentIn(viewOf(frame), 0, frame.length);
    if (segment === undefined || (segment.flags & Flag.Syn) === 0) return;
    this.isns.push(segment.seq);
  }

  call(words: readonly string[]): string | number {
    const [first = ''] = words;
    const isNamed = first.startsWith('#');
    const number = isNamed ? Number(first.slice(1)) : this.current;
    const [name = '', ...rest] = isNamed ? words.slice(1) : words;
    const result = this.perform(name, rest, number);
    this.pump();
    return result;
  }

  private perform(name: string, words: readonly string[], number: number): string | number {
    const act = this.actions[name];
    if (act) return act(words, number);
    throw new Error(`no call ${name}`);
  }

  private readonly actions: Readonly<Record<string, (words: readonly string[], number: number) => string | number>> = {
    limit: ([name, value]) => {
      if (this.made) throw new Error('limits come first');
      this.limits = { ...this.limits, [name!]: Number(value) };
      return 0;
    },
    option: ([name, value]) =>
      resultOf(this.tcp.setOption(this.socket(this.current).c, optionOf(name!), Number(value))),
    bind: ([port]) => resultOf(this.tcp.bind(this.socket(this.current).c, this.any, Number(port), ANY_IFACE)),
    listen: ([port, backlog = '5']) => this.listen(Number(port), Number(backlog)),
    connect: ([port, count = '0']) => {
      const socket = this.socket(this.current);
      const result = this.tcp.connect(socket.c, this.peer, Number(port), ANY_IFACE);
      if (Number(count) > 0) this.write(socket, Number(count), false);
      return resultOf(result);
    },
    accept: () => this.accept(),
    write: ([count, more], number) => this.write(this.socket(number), Number(count), more === 'more'),
    read: ([count], number) => this.read(this.socket(number), Number(count)),
    shutdown: ([how], number) => {
      const hows: Readonly<Record<string, number>> = { read: How.Read, write: How.Write, both: How.Both };
      return resultOf(this.tcp.shutdown(this.socket(number).c, hows[how!]!));
    },
    close: (_words, number) => this.end(number, (c) => this.tcp.close(c)),
    abort: (_words, number) => this.end(number, (c) => this.tcp.abort(c)),
    state: (_words, number) => STATE_NAMES[this.tcp.stateOf(this.socket(number).c)]!,
    error: (_words, number) => {
      const error = this.tcp.takeError(this.socket(number).c);
      return error === 0 ? 'none' : errnoName(error);
    },
    ready: (_words, number) => {
      const bits = this.tcp.readiness(this.socket(number).c);
      const names = Object.entries(Ready).filter(([, bit]) => (bits & bit) !== 0);
      return names.map(([word]) => word.toLowerCase()).join(',') || 'nothing';
    },
    queued: (_words, number) => this.tcp.available(this.socket(number).c),
    info: ([name], number) => String(this.tcp.info(this.socket(number).c)[name as keyof TcpInfo]),
    connections: () => this.tcp.connections,
    timewaits: () => this.tcp.timeWaits,
    isn: () => {
      const [before, last] = this.isns.slice(-2) as [number, number];
      const step = (last - before) | 0;
      return step === 0 ? 'same' : step > 0 ? 'greater' : 'less';
    },
    'isn-is-new': () => (new Set(this.isns).size === this.isns.length ? 'yes' : 'no'),
  };

  private get tcp() {
    return this.stack.tcp;
  }

  /** Socket `number`, made if it is the next. */
  private socket(number: number): ScriptSocket {
    let socket = this.sockets[number];
    if (socket === undefined || socket.c === DEAD) {
      socket = { c: this.tcp.open(this.isIp6), written: 0, read: 0 };
      this.sockets[number] = socket;
    }
    return socket;
  }

  private listen(port: number, backlog: number): string | number {
    const { c } = this.socket(0);
    const bound = this.tcp.localPort(c) === 0 ? this.tcp.bind(c, this.any, port, ANY_IFACE) : 0;
    return resultOf(bound < 0 ? bound : this.tcp.listen(c, backlog));
  }

  private accept(): string | number {
    const c = this.tcp.accept(this.socket(0).c);
    if (c < 0) return errnoName(c);
    this.current = this.sockets.push({ c, written: 0, read: 0 }) - 1;
    return this.current;
  }

  private write(socket: ScriptSocket, count: number, isMore: boolean): string | number {
    const bytes = Uint8Array.from({ length: count }, (_, i) => scriptByte(socket.written + i));
    const sent = this.tcp.send(socket.c, bytes, 0, count, isMore ? SendFlag.More : 0);
    if (sent > 0) socket.written += sent;
    return resultOf(sent);
  }

  private read(socket: ScriptSocket, count: number): string | number {
    const bytes = new Uint8Array(count);
    const got = this.tcp.receive(socket.c, bytes, 0, count, 0);
    for (let i = 0; i < got; i++) {
      if (bytes[i] !== scriptByte(socket.read + i)) return `byte-${socket.read + i}-is-wrong`;
    }
    if (got > 0) socket.read += got;
    return resultOf(got);
  }

  private end(number: number, act: (c: number) => void): number {
    act(this.socket(number).c);
    this.sockets[number]!.c = DEAD;
    return 0;
  }
}
