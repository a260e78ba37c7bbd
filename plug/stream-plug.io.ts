// Stream cables on AF_UNIX sockets: a listener that makes a port of every connection, a client that comes back by itself.

import { SUPER_FRAME_BYTES } from '../core/port.ts';
import type { Rng } from '../core/rng.ts';
import { US_PER_MS } from '../core/time.ts';
import { Errno, SysError } from '../sys/libc.io.ts';
import { AF_UNIX, type PeerCredentials, SOCK_STREAM, type Sockets } from '../sys/socket.io.ts';
import { CableHello, OFFLOAD_BYTES, UNPROVEN, unixIdentity } from './cable-hello.ts';
import type { NativeHost } from './native-host.ts';
import { StreamPort } from './stream-port.io.ts';

const BUFFER_BYTES = 1 << 20;
const RETRY_US_MIN = 50 * US_PER_MS;
const RETRY_US_MAX = 500 * US_PER_MS;

/** The negotiation for a connection whose other end the kernel vouches for. */
export function unixHello(peer: PeerCredentials, rng: Rng): CableHello {
  return new CableHello({
    identity: unixIdentity(process.pid),
    peerIdentity: peer.pid > 0 ? unixIdentity(peer.pid) : UNPROVEN,
    recordBytesMax: SUPER_FRAME_BYTES + OFFLOAD_BYTES,
    rng,
  });
}

/** What a stream cable's ends agree on with the operator. */
export interface StreamSettings {
  rng: Rng;
  isPlain: boolean;
  /** What is kept for a peer that reads slowly. */
  queueBytesMax: number;
}

/** A port on a connection that is up. `isPlain`: never negotiate. */
export function streamPort(
  host: NativeHost,
  sockets: Sockets,
  fd: number,
  { rng, isPlain, queueBytesMax, onDead }: StreamSettings & { onDead: () => void },
): StreamPort {
  sockets.setBuffers(fd, BUFFER_BYTES);
  const options = { backlogBytesMax: queueBytesMax };
  return new StreamPort(host, fd, onDead, isPlain ? options : { ...options, hello: unixHello(sockets.peer(fd), rng) });
}

export interface StreamPlugOptions extends StreamSettings {
  path: string;
  /** Do not come back when the connection is lost. */
  isOnce: boolean;
}

export interface StreamEvents {
  onPort(port: StreamPort): void;
  onLost(port: StreamPort): void;
  tell(text: string): void;
}

/** The connecting end: tries until `close`. */
export class StreamPlug {
  private readonly host: NativeHost;
  private readonly sockets: Sockets;
  private readonly options: StreamPlugOptions;
  private readonly events: StreamEvents;
  private port: StreamPort | undefined;
  private timer = 0;
  private retryUs = RETRY_US_MIN;
  private isClosed = false;
  private lastTold = '';

  constructor(host: NativeHost, sockets: Sockets, options: StreamPlugOptions, events: StreamEvents) {
    this.host = host;
    this.sockets = sockets;
    this.options = options;
    this.events = events;
    this.connect();
  }

  close(): void {
    this.isClosed = true;
    this.host.cancel(this.timer);
    const { port } = this;
    this.port = undefined;
    if (port) this.events.onLost(port);
  }

  private connect(): void {
    const { path, rng, isPlain, queueBytesMax } = this.options;
    let fd = -1;
    let port: StreamPort;
    try {
      fd = this.sockets.open(AF_UNIX, SOCK_STREAM);
      const code = this.sockets.connectUnix(fd, path);
      if (code !== 0) throw new SysError(path, code === Errno.EAGAIN ? Errno.ECONNREFUSED : code);
      port = streamPort(this.host, this.sockets, fd, {
        rng,
        isPlain,
        queueBytesMax,
        onDead: () => this.lost(port),
      });
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      if (fd >= 0) this.sockets.close(fd);
      this.again(error.message);
      return;
    }
    this.retryUs = RETRY_US_MIN;
    this.port = port;
    this.tell(`connected to ${path}`);
    this.events.onPort(port);
    port.start();
  }

  private lost(port: StreamPort): void {
    if (this.port !== port) return;
    this.port = undefined;
    this.events.onLost(port);
    if (this.isClosed) return;
    if (this.options.isOnce) this.tell(`${this.options.path}: the connection was closed`);
    else this.again(`${this.options.path}: the connection was closed`);
  }

  private again(why: string): void {
    this.tell(`${why}; trying again`);
    this.timer = this.host.at(this.host.nowUs() + this.retryUs, () => this.connect());
    this.retryUs = Math.min(RETRY_US_MAX, this.retryUs * 2);
  }

  private tell(text: string): void {
    if (text !== this.lastTold) this.events.tell(text);
    this.lastTold = text;
  }
}
