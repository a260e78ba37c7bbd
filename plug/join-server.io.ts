// `DIR/join`: programs of ours hand over a TAP or packet socket that they opened in a namespace, and keep the connection
// as long as they want the port. One packet asks, one answers, both JSON. Who asks for a lease gets addresses with the port
// where the network has any to give, and has them as long as the port.

import { Buffer } from 'node:buffer';
import { US_PER_S } from '../core/time.ts';
import { EPOLLIN } from '../sys/epoll.io.ts';
import { type Packet, receivePacket, sendPacket } from '../sys/fd-passing.io.ts';
import { SysError, sys } from '../sys/libc.io.ts';
import { type PeerCredentials, SOCK_SEQPACKET, type Sockets } from '../sys/socket.io.ts';
import { inspectDevice } from '../sys/tap.io.ts';
import { type Caller, Door, type Visit } from './door.io.ts';
import type { NativeHost, Watcher } from './native-host.ts';
import { ANY_PORT, type JoinLease, type PortRoom } from './port-room.ts';
import { TapPort } from './tap-port.io.ts';

const CONNECTIONS_MAX = 4096;
const ASK_US_MAX = 60 * US_PER_S; // the asker starts a program first, on a host that may be busy
const TEXT_CHARS_MAX = 120;
const HAD_MAX = 16; // addresses of one device

interface JoinRequest {
  kind: 'tap' | 'packet';
  offload: boolean;
  name: string;
  wanted: number;
  /** Of the station that wants addresses; undefined where nobody wants any. */
  leaseFor: Uint8Array | undefined;
  /** Addresses that it has of a lease: who comes back when we were started anew. */
  had: readonly string[];
}

export interface JoinServerOptions {
  directory: string;
  mode: number;
  gid?: number | undefined;
}

/** Serves `DIR/join`. */
export function openJoinDoor(host: NativeHost, sockets: Sockets, room: PortRoom, options: JoinServerOptions): Door {
  const { directory, mode, gid } = options;
  const door = {
    path: `${directory}/join`,
    type: SOCK_SEQPACKET,
    mode,
    gid,
    callersMax: CONNECTIONS_MAX,
    askUsMax: ASK_US_MAX,
  };
  return new Door(host, sockets, room, door, (fd, peer, visit) => new JoinConnection(host, room, fd, peer, visit));
}

class JoinConnection implements Watcher, Caller {
  private readonly host: NativeHost;
  private readonly room: PortRoom;
  private readonly fd: number;
  private readonly peer: PeerCredentials;
  private readonly visit: Visit;
  private port: TapPort | undefined;
  private lease: JoinLease | undefined;
  private isClosed = false;

  constructor(host: NativeHost, room: PortRoom, fd: number, peer: PeerCredentials, visit: Visit) {
    this.host = host;
    this.room = room;
    this.fd = fd;
    this.peer = peer;
    this.visit = visit;
    host.watch(fd, EPOLLIN, this);
  }

  ready(): void {
    const packet = this.receive();
    if (packet === undefined) return;
    if (packet.bytes.length === 0 || this.port) {
      for (const descriptor of packet.descriptors) sys().close(descriptor);
      this.close();
      return;
    }
    const request = readJoin(packet.bytes);
    const [descriptor, ...rest] = packet.descriptors;
    for (const other of rest) sys().close(other);
    if (typeof request === 'string') this.refuse(request, descriptor);
    else if (descriptor === undefined) this.refuse('a descriptor must come with the request', undefined);
    else this.join(request, descriptor);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.port) this.room.detach(this.port);
    this.lease?.release();
    this.host.unwatch(this.fd);
    sys().close(this.fd);
    this.visit.ended();
  }

  /** Undefined if there is nothing yet. A packet that was cut, by its size or for want of descriptors, is the end. */
  private receive(): Packet | undefined {
    try {
      return receivePacket(this.fd);
    } catch {
      return { bytes: new Uint8Array(0), descriptors: [] };
    }
  }

  private join(request: JoinRequest, descriptor: number): void {
    const number = this.room.reserve(request.wanted, this.peer.uid);
    const device = inspectDevice(descriptor);
    if (typeof number === 'string') this.refuse(number, descriptor);
    else if (!device) this.refuse('the descriptor is neither a TAP nor a packet socket', descriptor);
    else if (device.hasHeader !== request.offload) {
      this.refuse(
        `'offload' is ${request.offload}, the descriptor ${device.hasHeader ? 'has' : 'has no'} vnet header`,
        descriptor,
      );
    } else this.attach(request, descriptor, number);
  }

  private attach(request: JoinRequest, descriptor: number, number: number): void {
    const lease = request.leaseFor && this.room.lease?.(request.leaseFor, request.name, request.had);
    if (typeof lease === 'string') {
      this.refuse(lease, descriptor);
      return;
    }
    this.lease = lease;
    let port: TapPort;
    try {
      port = new TapPort(this.host, descriptor, () => this.close(), { offload: request.offload });
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      this.refuse(error.message, descriptor);
      return;
    }
    this.port = port;
    this.visit.entered();
    const { uid, pid } = this.peer;
    this.room.attach(port, number, { kind: request.kind, description: request.name, uid, pid });
    port.start();
    const { release: _, ...leased } = lease ?? { release: undefined };
    this.answer({ port: number, ...leased });
  }

  private refuse(error: string, descriptor: number | undefined): void {
    if (descriptor !== undefined) sys().close(descriptor);
    this.answer({ error });
    this.close();
  }

  private answer(body: object): void {
    try {
      sendPacket(this.fd, Buffer.from(JSON.stringify({ v: 1, ...body })));
    } catch {
      this.close();
    }
  }
}

/** The request, or one line that says what is wrong with it. */
function readJoin(bytes: Uint8Array): JoinRequest | string {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
  } catch {
    return 'the request is not JSON';
  }
  if (typeof value !== 'object' || value === null || value.v !== 1) return 'the request is not of version 1';
  const { kind, offload, name, port, mac, lease, had } = value;
  if (kind !== 'tap' && kind !== 'packet') return "kind must be 'tap' or 'packet'";
  if (port !== undefined && !(Number.isInteger(port) && Number(port) >= 0)) return 'port must be a whole number';
  const station = typeof mac === 'string' ? readMac(mac) : undefined;
  if (lease === true && !station) return "a lease is for a station: 'mac' must be one, as 02:00:00:00:00:01";
  return {
    kind,
    offload: offload === true,
    name: typeof name === 'string' ? name.slice(0, TEXT_CHARS_MAX).replace(/[^ -~]/g, '?') : '',
    wanted: port === undefined ? ANY_PORT : Number(port),
    leaseFor: lease === true ? station : undefined,
    had: Array.isArray(had) ? had.slice(0, HAD_MAX).filter((one) => typeof one === 'string') : [],
  };
}

/** Undefined for what is no MAC address of a single station. */
function readMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return undefined;
  const mac = Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
  return mac[0]! & 1 ? undefined : mac;
}
