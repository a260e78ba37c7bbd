// Our side of a VDE control directory: vde_plug, vdens, QEMU, UML and everything on libvdeplug joins here.

import { Buffer } from 'node:buffer';
import { chmodSync, chownSync, lstatSync, unlinkSync } from 'node:fs';
import { US_PER_S } from '../core/time.ts';
import { EPOLLIN } from '../sys/epoll.io.ts';
import { Errno, errno, sys } from '../sys/libc.io.ts';
import {
  AF_UNIX,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  type PeerCredentials,
  SOCK_DGRAM,
  SOCK_STREAM,
  type Sockets,
} from '../sys/socket.io.ts';
import { allocFor, DatagramPort } from './datagram-port.io.ts';
import { type Caller, Door, type Visit } from './door.io.ts';
import type { NativeHost, Watcher } from './native-host.ts';
import type { PortRoom } from './port-room.ts';
import { addressPath, REQUEST_BYTES_MAX, readRequest, requestBytes, writeReply } from './vde-request.ts';

const ASK_US_MAX = 5 * US_PER_S;
const BUFFER_BYTES = 1 << 20;

export interface VdeServerOptions {
  directory: string;
  /** Permissions of `ctl`. A data socket gets the owner's part of it, or all of it for a plug of another user. */
  mode: number;
  gid?: number | undefined;
  /** Connections at once, half-open ones included. */
  connectionsMax: number;
}

/** Serves `DIR/ctl`. Every request is answered or its connection closed: nobody waits for ever. */
export function openVdeDoor(host: NativeHost, sockets: Sockets, room: PortRoom, options: VdeServerOptions): Door {
  const { directory, mode, gid, connectionsMax } = options;
  const door = {
    path: `${directory}/ctl`,
    type: SOCK_STREAM,
    mode,
    gid,
    callersMax: connectionsMax,
    askUsMax: ASK_US_MAX,
  };
  return new Door(host, sockets, room, door, (fd, peer, visit) => {
    return new VdeConnection(host, sockets, room, options, fd, peer, visit);
  });
}

/** One plug: first a request, then a port that lives as long as the connection does. */
class VdeConnection implements Watcher, Caller {
  private readonly host: NativeHost;
  private readonly sockets: Sockets;
  private readonly room: PortRoom;
  private readonly options: VdeServerOptions;
  private readonly fd: number;
  private readonly peer: PeerCredentials;
  private readonly visit: Visit;
  private readonly request: number; // REQUEST_BYTES_MAX bytes in the slab
  private have = 0;
  private port: DatagramPort | undefined;
  private dataPath: string | undefined;
  private isClosed = false;

  constructor(
    host: NativeHost,
    sockets: Sockets,
    room: PortRoom,
    options: VdeServerOptions,
    fd: number,
    peer: PeerCredentials,
    visit: Visit,
  ) {
    this.host = host;
    this.sockets = sockets;
    this.room = room;
    this.options = options;
    this.fd = fd;
    this.peer = peer;
    this.visit = visit;
    this.request = allocFor(host, REQUEST_BYTES_MAX);
    host.watch(fd, EPOLLIN, this);
  }

  ready(): void {
    const room = REQUEST_BYTES_MAX - this.have;
    const to = this.host.address + this.request + this.have;
    const n = sys().recv(
      this.fd,
      this.port ? this.host.address + this.request : to,
      this.port ? REQUEST_BYTES_MAX : room,
      MSG_DONTWAIT,
    );
    if (n < 0 && (errno() === Errno.EAGAIN || errno() === Errno.EINTR)) return;
    if (n <= 0) {
      this.close();
      return;
    }
    if (this.port) return; // a plug with a port has nothing more to say
    this.have += n;
    const bytes = this.host.slab.bytes.slice(this.request, this.request + this.have);
    if (this.have >= requestBytes(bytes)) this.open(bytes);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.host.unwatch(this.fd);
    this.sockets.close(this.fd);
    this.host.slab.release(this.request, REQUEST_BYTES_MAX);
    if (this.port) this.room.detach(this.port);
    if (this.dataPath) remove(this.dataPath);
    this.visit.ended();
  }

  private open(bytes: Uint8Array): void {
    const request = readRequest(bytes);
    if (typeof request === 'string') {
      this.close();
      return;
    }
    const path = addressPath(bytes, request.addressAt);
    const number = this.room.reserve(request.port, this.peer.uid);
    if (!path || !this.mayUse(path) || typeof number === 'string') {
      this.close();
      return;
    }
    this.join(number, this.request + request.addressAt, request.description);
  }

  /** A plug may only name a datagram socket that is its own: the switch must not be made to write to somebody else's. */
  private mayUse(path: Uint8Array): boolean {
    if (path[0] === 0) return true; // abstract: connect() will tell
    const { uid } = this.peer;
    try {
      const found = lstatSync(Buffer.from(path));
      return found.isSocket() && (uid === 0 || found.uid === uid);
    } catch {
      return false; // not there, or behind a directory that we may not enter
    }
  }

  private join(number: number, addressAt: number, description: string): void {
    let data = -1;
    let path = '';
    let port: DatagramPort;
    try {
      data = this.sockets.open(AF_UNIX, SOCK_DGRAM);
      path = `${this.options.directory}/${String(number).padStart(3, '0')}.${data}`;
      // Connected before it is bound: nobody but the plug can ever send to it.
      if (this.sockets.connectRaw(data, addressAt) !== 0) throw new Error('connect');
      remove(path);
      this.sockets.bindUnix(data, path);
      this.admit(path);
      port = new DatagramPort(this.host, data, () => this.close());
    } catch {
      // No descriptor left, no address, the directory is gone: all the same to the plug, which tries again.
      if (data >= 0) this.sockets.close(data);
      if (path) remove(path);
      this.close();
      return;
    }
    this.dataPath = path;
    this.sockets.setBuffers(data, BUFFER_BYTES);
    this.port = port;
    this.visit.entered();
    this.room.attach(port, number, { kind: 'vde', description, uid: this.peer.uid, pid: this.peer.pid });
    port.start();
    this.reply(writeReply(Buffer.from(path)));
  }

  /** Lets the plug's user send to the data socket. */
  private admit(path: string): void {
    const { mode, gid } = this.options;
    const uid = process.geteuid!();
    const isForeign = this.peer.uid !== uid && uid !== 0;
    // Only root can give it away; who cannot opens it as far as `ctl`.
    chmodSync(path, isForeign ? mode : mode & 0o700);
    if (uid === 0 && this.peer.uid !== 0) chownSync(path, this.peer.uid, this.peer.gid);
    else if (gid !== undefined) chownSync(path, uid, gid);
  }

  private reply(bytes: Uint8Array): void {
    const { slab, address } = this.host;
    slab.bytes.set(bytes, this.request);
    const sent = sys().send(this.fd, address + this.request, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent !== bytes.length) this.close();
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It may be gone already: the directory is the user's.
  }
}
