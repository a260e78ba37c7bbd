// The client of a network's `join` socket: hands a device's descriptor to the engine and stays connected for the port's life.
//
//   request, one packet with the descriptor by SCM_RIGHTS:
//     {"v":1,"kind":"tap"|"packet","offload":true,"name":"ping","pid":123,"mtu":1500,"mac":"02:…","lease":true}
//     who has a lease already, of an engine that is gone, says so: "had":["10.0.0.5/24","fd00::5/64"]
//   answer, one packet: {"v":1,"port":7} or {"v":1,"error":"one line"}
//     who asked for a lease may get with the port: "addresses":["10.0.0.5/24","fd00::5/64"],"gateways":["10.0.0.1","fd00::1"],
//     "mtu":1500,"dns":["10.0.0.1"],"search":["example.org"]
//
// A client connects first and asks when its device is ready, tens of milliseconds later. The descriptor is non-blocking; every frame in it has a 10-byte virtio_net_hdr in front. The connection's end is the port's end.

import { connectPacket, peerUid, receivePacket, sendPacket } from '../sys/fd-passing.io.ts';
import { pollReadable, SysError, sys } from '../sys/libc.io.ts';
import { formatPrefixed, type Prefixed, parseAddress, parsePrefixed } from './address.ts';

const ANSWER_MS_MAX = 5_000;
const LEASES_MAX = 16; // addresses of one device
const MTU_MIN = 68;
const MTU_MAX = 65521;
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 250;

/** What the engine is told about the port. `pid` is the program's. */
export interface JoinRequest {
  readonly kind: 'tap' | 'packet';
  readonly name: string;
  readonly pid: number;
  readonly mtu: number;
  /** The device's, `02:00:00:00:00:01`. */
  readonly mac: string;
  /** Addresses are wanted with the port. */
  readonly lease: boolean;
  /** What was leased before: `10.0.2.15/24`. */
  readonly had?: readonly string[];
}

/** The port that the engine gave, and what it leases to it: addresses and gateways of both families, often none. */
export interface Joined {
  readonly port: number;
  readonly addresses: Prefixed[];
  readonly gateways: Uint8Array[];
  /** In bytes; 0: nothing was said. */
  readonly mtu: number;
  /** Addresses of name servers, as text. */
  readonly dns: string[];
  readonly search: string[];
}

type Answer = Joined | { readonly error: string };

/** One connection to an engine. */
export class JoinConnection {
  /** Settles when the engine is gone or `close` was called. */
  readonly closed: Promise<void>;
  private readonly socket: number;
  private readonly polling: { close(): void };
  private isOpen = true;
  private settleClosed: () => void = () => {};
  private settleAnswer: (answer: Answer) => void = () => {};

  /** Connects. Throws `SysError`: `ENOENT` and `ECONNREFUSED` if nobody serves `path`. */
  constructor(path: string) {
    this.socket = connectPacket(path);
    this.closed = new Promise((resolve) => {
      this.settleClosed = resolve;
    });
    this.polling = pollReadable(this.socket, () => this.read());
  }

  /** The user that serves the other end. */
  get uid(): number {
    return peerUid(this.socket);
  }

  /** Hands over a device. Rejects with one line if the engine refuses, leaves or is silent. */
  async join(request: JoinRequest, descriptor: number): Promise<Joined> {
    let timer: NodeJS.Timeout | undefined;
    const answered = new Promise<Answer>((resolve) => {
      this.settleAnswer = resolve;
      timer = setTimeout(() => resolve({ error: `no answer in ${ANSWER_MS_MAX} ms` }), ANSWER_MS_MAX);
    });
    sendPacket(this.socket, new TextEncoder().encode(JSON.stringify({ v: 1, offload: true, ...request })), [
      descriptor,
    ]);
    const answer = await Promise.race([answered, this.closed.then(() => ({ error: 'the engine went away' }))]);
    clearTimeout(timer);
    if ('error' in answer) throw new Error(answer.error);
    return answer;
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.polling.close();
    sys().close(this.socket);
    this.settleClosed();
  }

  private read(): void {
    if (!this.isOpen) return;
    const packet = receivePacket(this.socket);
    if (!packet) return;
    for (const fd of packet.descriptors) sys().close(fd); // nobody asked for any
    if (packet.bytes.length === 0) this.close();
    else this.settleAnswer(readAnswer(packet.bytes));
  }
}

function readAnswer(bytes: Uint8Array): Answer {
  let answer: unknown;
  try {
    answer = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    // said below
  }
  if (typeof answer === 'object' && answer !== null) {
    if ('error' in answer && typeof answer.error === 'string') return { error: answer.error };
    if ('port' in answer && typeof answer.port === 'number') return readJoined(answer.port, answer);
  }
  return { error: 'the engine gave an answer that cannot be read' };
}

function readJoined(port: number, { addresses, gateways, mtu, dns, search }: Record<string, unknown>): Joined {
  return {
    port,
    addresses: readTexts(addresses, parsePrefixed),
    gateways: readTexts(gateways, parseAddress),
    mtu: typeof mtu === 'number' && mtu >= MTU_MIN && mtu <= MTU_MAX ? Math.trunc(mtu) : 0,
    dns: readTexts(dns, (text) => (parseAddress(text) ? text : undefined)),
    search: readTexts(search, (text) => (DOMAIN.test(text) ? text : undefined)),
  };
}

const DOMAIN = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}$/;

/** The elements of a list that `parse` understands, at most `LEASES_MAX`. */
function readTexts<T>(list: unknown, parse: (text: string) => T | undefined): T[] {
  if (!Array.isArray(list)) return [];
  const texts = list.slice(0, LEASES_MAX).filter((text: unknown) => typeof text === 'string');
  return texts.map(parse).filter((value) => value !== undefined);
}

const isAbsence = (error: unknown): boolean =>
  error instanceof SysError && ['ENOENT', 'ECONNREFUSED', 'EAGAIN', 'ENOTDIR'].includes(error.code);

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Connects to `path`; if nobody serves it, tries again for `waitMs`. Throws the last `SysError`. */
export async function reachJoin(path: string, waitMs: number): Promise<JoinConnection> {
  const lastTryMs = performance.now() + waitMs;
  for (let pauseMs = RETRY_MS_MIN; ; pauseMs = Math.min(pauseMs * 2, RETRY_MS_MAX)) {
    try {
      return new JoinConnection(path);
    } catch (error) {
      if (!isAbsence(error) || performance.now() >= lastTryMs) throw error;
    }
    await sleep(Math.max(1, Math.min(pauseMs, lastTryMs - performance.now())));
  }
}

/** A port that outlives the engine: joins again whenever the connection ends, until `close`. */
export class Membership {
  private readonly path: string;
  private readonly request: JoinRequest;
  private readonly descriptor: number;
  private connection: JoinConnection;
  private isOver = false;

  /** `connection` has joined with the same request and descriptor; both belong to the membership from now on. */
  constructor(
    path: string,
    request: JoinRequest,
    descriptor: number,
    connection: JoinConnection,
    leased: readonly Prefixed[],
  ) {
    this.path = path;
    this.request = leased.length > 0 ? { ...request, had: leased.map(formatPrefixed) } : request;
    this.descriptor = descriptor;
    this.connection = connection;
    void this.stay();
  }

  /** The engine still holds its copy of the device then: whoever closes the last one waits for the kernel. */
  close(): void {
    this.isOver = true;
    sys().close(this.descriptor);
    this.connection.close();
  }

  private async stay(): Promise<void> {
    let pauseMs = 0;
    for (;;) {
      await this.connection.closed;
      if (this.isOver) return;
      await new Promise((resolve) => setTimeout(resolve, pauseMs).unref()); // the program's end need not wait for it
      pauseMs = (await this.rejoin()) ? 0 : Math.min(Math.max(RETRY_MS_MIN, pauseMs * 2), RETRY_MS_MAX);
    }
  }

  /** False leaves a closed connection behind, so that `stay` comes back. */
  private async rejoin(): Promise<boolean> {
    if (this.isOver) return true;
    try {
      this.connection = new JoinConnection(this.path);
      await this.connection.join(this.request, this.descriptor);
      return true;
    } catch {
      this.connection.close();
      return false;
    }
  }
}
