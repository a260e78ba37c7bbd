// Programs for scenarios: bulk senders and receivers on socket handles, whose whole state is a few numbers. They look at the
// sockets after every step of the world, so that what they do follows from what happened, and go on with a restored stack.

import { type Address, Errno, Family, parseAddress, SocketType, type Stack, TcpOption } from '../../stack/stack.ts';

const PATTERN_BYTES = 1 << 16;
const CHUNK_BYTES = 1 << 15;
const PORT_FIRST = 20_000;

/** Byte `p` of flow `f` is `PATTERN[(p + 977 f) mod 65,536]`; a chunk more than that, so that no chunk wraps. */
const PATTERN = makePattern();

function makePattern(): Uint8Array {
  const bytes = new Uint8Array(PATTERN_BYTES + CHUNK_BYTES);
  let x = 1;
  for (let i = 0; i < PATTERN_BYTES; i++) {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = x >>> 24;
  }
  bytes.copyWithin(PATTERN_BYTES, 0, CHUNK_BYTES);
  return bytes;
}

const placeOf = (flow: number, position: number): number => (position + 977 * flow) % PATTERN_BYTES;

/** What sockets of a scenario are like; anything that is not given is the stack's default. */
export interface BulkOptions {
  /** Of the send and the receive buffer. */
  readonly bufferBytes?: number;
  /** 0 NewReno, 1 CUBIC. */
  readonly congestion?: number;
  readonly options?: readonly (readonly [TcpOption, number])[];
}

/** A program: it is called after every step, on whatever stack is its host's now. */
export interface Program {
  run(stack: Stack, nowUs: number): void;
}

function prepare(stack: Stack, h: number, { bufferBytes, congestion, options = [] }: BulkOptions): void {
  const set = (option: TcpOption, value: number): void => {
    const result = stack.sockets.setTcpOption(h, option, value);
    if (result < 0) throw new Error(`TCP option ${option}: ${result}`);
  };
  if (bufferBytes !== undefined) {
    set(TcpOption.SendBuffer, bufferBytes);
    set(TcpOption.ReceiveBuffer, bufferBytes);
  }
  if (congestion !== undefined) set(TcpOption.Congestion, congestion);
  for (const [option, value] of options) set(option, value);
}

const SenderState = { Waiting: 0, Open: 1, Ended: 2, Closed: 3, Failed: 4 } as const;

/** Connects at a time, writes so many bytes, at a rate if one is given, ends, and closes when the peer has ended. */
export class BulkSender implements Program {
  readonly flow: number;
  handle = -1;
  sentBytes = 0;
  errno = 0;
  private state: number = SenderState.Waiting;
  private readonly to: { address: Address; port: number };
  private readonly options: SenderOptions;
  private readonly into = new Uint8Array(1);

  constructor(flow: number, host: string, port: number, options: SenderOptions) {
    this.flow = flow;
    this.to = { address: parseAddress(host)!, port };
    this.options = options;
  }

  get isDone(): boolean {
    return this.state >= SenderState.Closed;
  }

  run(stack: Stack, nowUs: number): void {
    if (this.state === SenderState.Waiting && nowUs >= (this.options.startUs ?? 0)) this.open(stack);
    if (this.state === SenderState.Open) this.write(stack, nowUs);
    if (this.state === SenderState.Ended) this.finish(stack);
  }

  private open(stack: Stack): void {
    const { sockets } = stack;
    const isIp4 = this.to.address[2] === 0xffff && this.to.address[0] === 0;
    this.handle = sockets.socket(isIp4 ? Family.Inet : Family.Inet6, SocketType.Stream);
    prepare(stack, this.handle, this.options);
    const any = parseAddress(isIp4 ? '0.0.0.0' : '::')!;
    const bound = sockets.bind(this.handle, any, PORT_FIRST + this.flow);
    const result = bound < 0 ? bound : sockets.connect(this.handle, this.to.address, this.to.port);
    this.state = SenderState.Open;
    if (result !== -Errno.EINPROGRESS) this.fail(stack, result);
  }

  /** Bytes that the program has to send by now. */
  private dueBytes(nowUs: number): number {
    const { bytes, pace, startUs = 0 } = this.options;
    if (!pace) return bytes;
    const writes = Math.floor((nowUs - startUs) / pace.everyUs) + 1;
    return Math.min(bytes, writes * pace.writeBytes);
  }

  private write(stack: Stack, nowUs: number): void {
    const { bytes } = this.options;
    const due = this.dueBytes(nowUs);
    while (this.sentBytes < due) {
      const most = Math.min(CHUNK_BYTES, due - this.sentBytes);
      const n = stack.sockets.send(this.handle, PATTERN, placeOf(this.flow, this.sentBytes), most);
      if (n === -Errno.EAGAIN) return;
      if (n < 0) {
        this.fail(stack, n);
        return;
      }
      this.sentBytes += n;
    }
    if (this.sentBytes < bytes) return;
    const result = stack.sockets.shutdown(this.handle, 1);
    if (result === 0) this.state = SenderState.Ended;
    else if (result !== -Errno.ENOTCONN) this.fail(stack, result);
  }

  private finish(stack: Stack): void {
    const n = stack.sockets.receive(this.handle, this.into, 0, 1);
    if (n === -Errno.EAGAIN) return;
    if (n !== 0) {
      this.fail(stack, n > 0 ? -Errno.EINVAL : n);
      return;
    }
    stack.sockets.close(this.handle);
    this.state = SenderState.Closed;
  }

  private fail(stack: Stack, result: number): void {
    this.errno = -result;
    this.state = SenderState.Failed;
    stack.sockets.abort(this.handle);
  }
}

/** What a sender does. */
export interface SenderOptions extends BulkOptions {
  readonly bytes: number;
  readonly startUs?: number;
  /** A write of so many bytes, and again every so many µs: a source of constant rate. What does not fit waits. */
  readonly pace?: { readonly writeBytes: number; readonly everyUs: number };
}

/** Listens on both families, reads and compares everything, answers an end with an end. Flows are told apart by the peer's port. */
export class BulkReceiver implements Program {
  readonly gotBytes: number[] = [];
  readonly lastUs: number[] = [];
  /** Bytes of flow f that came before a time are of no interest to a measurement: see `mark`. */
  errors: string[] = [];
  ended = 0;
  private listener = -1;
  private handles: number[] = [];
  private flows: number[] = [];
  private readonly port: number;
  private readonly options: ReceiverOptions;
  private readonly into = new Uint8Array(CHUNK_BYTES);
  private readonly name = { address: new Int32Array(4), port: 0, iface: 0 };

  constructor(port: number, options: ReceiverOptions = {}) {
    this.port = port;
    this.options = options;
  }

  run(stack: Stack, nowUs: number): void {
    if (this.listener < 0) this.listen(stack);
    if (nowUs < (this.options.acceptUs ?? 0)) return;
    for (let h = stack.sockets.accept(this.listener); h >= 0; h = stack.sockets.accept(this.listener))
      this.add(stack, h);
    if (nowUs < (this.options.readUs ?? 0)) return;
    for (let i = 0; i < this.handles.length; i++) if (this.handles[i]! >= 0) this.read(stack, i, nowUs);
  }

  private listen(stack: Stack): void {
    this.listener = stack.sockets.socket(Family.Inet6, SocketType.Stream);
    prepare(stack, this.listener, this.options);
    const bound = stack.sockets.bind(this.listener, parseAddress('::')!, this.port);
    const result = bound < 0 ? bound : stack.sockets.listen(this.listener, this.options.backlog ?? 128);
    if (result < 0) throw new Error(`listen: ${result}`);
  }

  private add(stack: Stack, h: number): void {
    stack.sockets.peer(h, this.name);
    const flow = this.name.port - PORT_FIRST;
    this.handles.push(h);
    this.flows.push(flow);
    this.gotBytes[flow] = 0;
    this.lastUs[flow] = 0;
  }

  private read(stack: Stack, i: number, nowUs: number): void {
    const h = this.handles[i]!;
    const flow = this.flows[i]!;
    for (;;) {
      const n = stack.sockets.receive(h, this.into, 0, CHUNK_BYTES);
      if (n === -Errno.EAGAIN) return;
      if (n <= 0) {
        if (n < 0) this.errors.push(`flow ${flow}: ${n}`);
        stack.sockets.close(h);
        this.handles[i] = -1;
        this.ended++;
        return;
      }
      this.compare(flow, n);
      this.gotBytes[flow] = this.gotBytes[flow]! + n;
      this.lastUs[flow] = nowUs;
    }
  }

  private compare(flow: number, count: number): void {
    const start = placeOf(flow, this.gotBytes[flow]!);
    for (let i = 0; i < count; i++) {
      if (this.into[i] === PATTERN[start + i]) continue;
      this.errors.push(`flow ${flow}: byte ${this.gotBytes[flow]! + i} is ${this.into[i]}, not ${PATTERN[start + i]}`);
      return;
    }
  }
}

/** What a receiver does, and from when on. */
export interface ReceiverOptions extends BulkOptions {
  readonly backlog?: number;
  readonly acceptUs?: number;
  readonly readUs?: number;
}
