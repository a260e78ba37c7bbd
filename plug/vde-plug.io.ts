// Our plug in somebody's VDE switch: a vde_switch, switch://, or another weft. It comes back by itself when the switch does.

import { Buffer } from 'node:buffer';
import { chmodSync, chownSync, existsSync, statSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { US_PER_MS, US_PER_S } from '../core/time.ts';
import { EPOLLHUP, EPOLLIN } from '../sys/epoll.io.ts';
import { Errno, errno, SysError, sys } from '../sys/libc.io.ts';
import { AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_DGRAM, SOCK_STREAM, type Sockets } from '../sys/socket.io.ts';
import { DatagramPort } from './datagram-port.io.ts';
import type { NativeHost, Watcher } from './native-host.ts';
import { ANY_PORT, REPLY_BYTES, REQUEST_BYTES_MAX, writeRequest } from './vde-request.ts';

const RETRY_US_MIN = 50 * US_PER_MS;
const RETRY_US_MAX = 500 * US_PER_MS; // back within a second of the switch's return
const REPLY_US_MAX = 5 * US_PER_S;
const BUFFER_BYTES = 1 << 20;

export interface VdePlugOptions {
  /** The switch's directory, or the path of a control socket itself. */
  path: string;
  /** A number, or `ANY_PORT`. */
  port: number;
  /** Permissions of our data socket; undefined: what the switch needs. */
  mode: number | undefined;
  description: string;
  /** Group of our data socket. */
  gid?: number;
  /** The name of a group of ports in the switch's directory, asked before `ctl`. */
  portGroup?: string;
}

/** Told of the port that stands while the switch is there. */
export interface PlugEvents {
  onPort(port: DatagramPort): void;
  onLost(port: DatagramPort): void;
  tell(text: string): void;
}

let sequence = 0;

/** A plug that tries for ever: `close` ends it. */
export class VdePlug implements Watcher {
  private readonly host: NativeHost;
  private readonly sockets: Sockets;
  private readonly options: VdePlugOptions;
  private readonly events: PlugEvents;
  private control = -1;
  private data = -1;
  private controlPath = '';
  private dataPath = '';
  private port: DatagramPort | undefined;
  private timer = 0;
  private retryUs = RETRY_US_MIN;
  private isClosed = false;
  private lastTold = '';

  constructor(host: NativeHost, sockets: Sockets, options: VdePlugOptions, events: PlugEvents) {
    this.host = host;
    this.sockets = sockets;
    this.options = options;
    this.events = events;
    this.connect();
  }

  ready(events: number): void {
    const { slab, address } = this.host;
    const at = slab.alloc(REQUEST_BYTES_MAX);
    const n = sys().recv(this.control, address + at, REQUEST_BYTES_MAX, MSG_DONTWAIT);
    const code = n < 0 ? errno() : 0;
    const reply = n > 0 ? slab.bytes.slice(at, at + n) : undefined;
    slab.release(at, REQUEST_BYTES_MAX);
    if (n < 0 && (code === Errno.EAGAIN || code === Errno.EINTR) && !(events & EPOLLHUP)) return;
    if (!reply) this.lost(this.port ? 'the switch closed the connection' : 'the switch refused the request');
    else if (!this.port) this.open(reply);
  }

  close(): void {
    this.isClosed = true;
    this.host.cancel(this.timer);
    this.drop();
  }

  private connect(): void {
    try {
      this.request();
    } catch (error) {
      this.lost(error instanceof SysError ? error.message : String(error));
    }
  }

  private request(): void {
    const { path, port } = this.options;
    this.control = this.sockets.open(AF_UNIX, SOCK_STREAM);
    const { portGroup } = this.options;
    let control = `${path}/${portGroup ?? 'ctl'}`;
    let code = this.sockets.connectUnix(this.control, control);
    if (code !== 0 && portGroup !== undefined) {
      control = `${path}/ctl`; // the switch has no such group
      code = this.sockets.connectUnix(this.control, control);
    }
    if (code === 20) {
      control = path; // ENOTDIR: the control socket itself was named
      code = this.sockets.connectUnix(this.control, control);
    }
    this.controlPath = control;
    if (code !== 0) throw new SysError(control, code);
    this.data = this.sockets.open(AF_UNIX, SOCK_DGRAM);
    this.bindData();
    const bytes = writeRequest(port, Buffer.from(this.dataPath), this.options.description);
    const { slab, address } = this.host;
    const at = slab.alloc(REQUEST_BYTES_MAX);
    slab.bytes.set(bytes, at);
    const sent = sys().send(this.control, address + at, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    slab.release(at, REQUEST_BYTES_MAX);
    if (sent !== bytes.length) throw new SysError(control, Errno.EPIPE);
    this.host.watch(this.control, EPOLLIN, this);
    this.timer = this.host.at(this.host.nowUs() + REPLY_US_MAX, () => {
      if (!this.port) this.lost('no answer from the switch');
    });
  }

  /** In the switch's directory if we may write there, else where others put theirs. */
  private bindData(): void {
    const name = `${String(process.pid).padStart(5, '0')}-${String(sequence++).padStart(5, '0')}`;
    const places = [`${this.options.path}/.${name}`, `${tmpdir()}/vde.${name}`];
    for (const [i, place] of places.entries()) {
      try {
        if (existsSync(place)) unlinkSync(place);
        this.sockets.bindUnix(this.data, place);
        if (this.options.gid !== undefined) chownSync(place, process.geteuid!(), this.options.gid);
        if (this.options.mode === undefined) this.admitSwitch(place);
        else chmodSync(place, this.options.mode);
        this.dataPath = place;
        return;
      } catch (error) {
        if (i === places.length - 1) throw error;
      }
    }
  }

  /** Lets the switch send to us: if it runs as somebody else, by its group if we are in it. As libvdeplug does. */
  private admitSwitch(place: string): void {
    const { uid, gid } = statSync(this.controlPath);
    chmodSync(place, 0o700);
    if (uid === process.geteuid!() || uid === 0) return;
    try {
      chownSync(place, process.geteuid!(), gid);
      chmodSync(place, 0o770);
    } catch {
      chmodSync(place, 0o777); // until we are connected: then nobody else can send to it, and its name is removed
    }
  }

  private open(reply: Uint8Array): void {
    if (reply.length !== REPLY_BYTES || reply[0] !== 1 || reply[1] !== 0) {
      this.lost('the switch answered with something that is no address');
      return;
    }
    const { slab } = this.host;
    const at = slab.alloc(REPLY_BYTES);
    slab.bytes.set(reply, at);
    const code = this.sockets.connectRaw(this.data, at);
    slab.release(at, REPLY_BYTES);
    remove(this.dataPath);
    if (code !== 0) {
      this.lost(new SysError('the switch’s data socket', code).message);
      return;
    }
    this.host.cancel(this.timer);
    this.retryUs = RETRY_US_MIN;
    this.sockets.setBuffers(this.data, BUFFER_BYTES);
    const port = new DatagramPort(this.host, this.data, () => this.lost('the data socket failed'));
    this.data = -1; // the port owns it
    this.port = port;
    this.tell(`connected to ${this.options.path}`);
    this.events.onPort(port);
    port.start();
  }

  private lost(why: string): void {
    if (this.isClosed) return;
    this.drop();
    this.tell(`${this.options.path}: ${why}; trying again`);
    this.timer = this.host.at(this.host.nowUs() + this.retryUs, () => this.connect());
    this.retryUs = Math.min(RETRY_US_MAX, this.retryUs * 2);
  }

  private drop(): void {
    this.host.cancel(this.timer);
    if (this.control >= 0) {
      this.host.unwatch(this.control);
      this.sockets.close(this.control);
      this.control = -1;
    }
    if (this.data >= 0) {
      this.sockets.close(this.data);
      this.data = -1;
    }
    if (this.dataPath) remove(this.dataPath);
    this.dataPath = '';
    const { port } = this;
    this.port = undefined;
    if (port) this.events.onLost(port);
  }

  /** The same news only once: a switch that stays away is not worth a line every half second. */
  private tell(text: string): void {
    if (text !== this.lastTold) this.events.tell(text);
    this.lastTold = text;
  }
}

export { ANY_PORT };

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Already gone.
  }
}
