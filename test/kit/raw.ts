// Raw sockets as a stranger would make them, and a fabric with a network in the test's own process.

import { Buffer } from 'node:buffer';
import { Slab } from '../../core/slab.ts';
import { Fabric } from '../../engine/fabric.io.ts';
import { type NetworkOptions, NetworkService } from '../../engine/network-service.io.ts';
import { writeRequest } from '../../plug/vde-request.ts';
import { addressOf, Errno, errno, sys } from '../../sys/libc.io.ts';
import { AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_DGRAM, SOCK_STREAM, Sockets } from '../../sys/socket.io.ts';
import { skipIf } from './skip.ts';
import { tempDir } from './test-host.ts';

const BUFFER_BYTES = 1 << 20;

const slab = new Slab({ bytesMax: 4 << 20 });
const base = addressOf(slab);
const buffer = slab.alloc(BUFFER_BYTES);

export const raw = new Sockets(slab);

/** A connected socket; throws the errno if it cannot be. */
export function connect(type: number, path: string): number {
  const fd = raw.open(AF_UNIX, type);
  const code = raw.connectUnix(fd, path);
  if (code === 0) return fd;
  raw.close(fd);
  throw new Error(`connect ${path}: errno ${code}`);
}

/** Bytes taken by the kernel, or minus the errno. */
export function send(fd: number, bytes: Uint8Array): number {
  slab.bytes.set(bytes, buffer);
  const n = sys().send(fd, base + buffer, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
  return n < 0 ? -errno() : n;
}

/** What came; undefined if nothing did; no bytes at the end of the connection. */
export function receive(fd: number): Uint8Array | undefined {
  const n = sys().recv(fd, base + buffer, BUFFER_BYTES, MSG_DONTWAIT);
  if (n < 0) return errno() === Errno.EAGAIN ? undefined : new Uint8Array(0);
  return slab.bytes.slice(buffer, buffer + n);
}

/** True once the other end closed the connection: what was still in it is thrown away. */
export function isClosed(fd: number): boolean {
  for (let bytes = receive(fd); bytes !== undefined; bytes = receive(fd)) if (bytes.length === 0) return true;
  return false;
}

let names = 0;

/** A plug's datagram socket at a path or an abstract name: its descriptor and its 110-byte sockaddr_un. */
export function dataSocket(path?: string): { fd: number; address: Uint8Array } {
  const fd = raw.open(AF_UNIX, SOCK_DGRAM);
  const address = new Uint8Array(110);
  address[0] = AF_UNIX;
  if (path === undefined) address.set(Buffer.from(`weft-test-${process.pid}-${names++}`), 3);
  else address.set(Buffer.from(path), 2);
  slab.bytes.set(address, buffer);
  const length = path === undefined ? 110 : 2 + Buffer.byteLength(path) + 1;
  if (sys().bind(fd, base + buffer, length) < 0) throw new Error(`bind: errno ${errno()}`);
  return { fd, address };
}

/** A version 3 request with any address. */
export function vdeRequest(port: number, address: Uint8Array, description = ''): Uint8Array {
  const bytes = writeRequest(port, new Uint8Array(0), description);
  bytes.set(address, 12);
  return bytes;
}

/** Connects a datagram socket to the address that a switch replied. */
export function connectData(fd: number, reply: Uint8Array): void {
  slab.bytes.set(reply, buffer);
  if (raw.connectRaw(fd, buffer) !== 0) throw new Error('connect to the switch’s data socket');
}

/** One plug with a port: `frames` go through `data`. */
export interface Plug {
  readonly control: number;
  readonly data: number;
}

export function closePlug({ control, data }: Plug): void {
  raw.close(control);
  raw.close(data);
}

/** A fabric that turns when told, with one switch served in a directory of its own. */
export class TestFabric {
  readonly fabric: Fabric;
  readonly service: NetworkService;
  readonly events: { event: string; text?: string }[] = [];
  private readonly home = tempDir();
  readonly directory: string;

  constructor(options: Partial<NetworkOptions> = {}) {
    this.fabric = new Fabric();
    this.directory = this.home.file('net');
    const network: NetworkOptions = {
      name: 'test',
      directory: this.directory,
      kind: 'switch',
      ports: 16,
      mode: 0o600,
      dirMode: 0o700,
      ...options,
    };
    this.service = new NetworkService(this.fabric, network, (event) => this.events.push(event), 1);
  }

  file(name: string): string {
    return this.home.file(name);
  }

  /** Turns without waiting, as often as it takes for everything on its way to arrive. */
  turn(times = 4): void {
    for (let i = 0; i < times; i++) this.fabric.turn(0);
  }

  /** Turns until `isTrue`; fails when many turns did not help. */
  until(isTrue: () => boolean, what: string): void {
    for (let i = 0; i < 5000; i++) {
      if (isTrue()) return;
      this.fabric.turn(0);
    }
    throw new Error(`turned 5000 times for: ${what}`);
  }

  /** What is attached, by port number. */
  get ports() {
    return [...this.service.network.attachments()];
  }

  /** Drops of all ports together. */
  get drops(): Record<string, number> {
    const all: Record<string, number> = {};
    for (const { port } of this.ports) {
      for (const [name, n] of Object.entries(port.counters.drops.byName())) all[name] = (all[name] ?? 0) + n;
    }
    return all;
  }

  /** Joins as a VDE plug would. */
  join(port = -1): Plug {
    const control = connect(SOCK_STREAM, `${this.directory}/ctl`);
    const { fd, address } = dataSocket();
    send(control, vdeRequest(port, address, 'test'));
    this.turn();
    const reply = receive(control);
    if (reply?.length !== 110) throw new Error('no reply');
    connectData(fd, reply);
    return { control, data: fd };
  }

  close(): void {
    this.service.close();
    this.fabric.turn(0);
    this.fabric.stop();
    this.home.remove();
  }
}

/** Skips the test for a reason, if there is one, or fails it where nothing may be skipped. */
export function needsNative(ctx: { skip(reason: string): void }, why: string | undefined): void {
  skipIf(ctx, why);
}
