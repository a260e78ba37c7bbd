// A port on a TAP or an AF_PACKET socket with IFF_VNET_HDR / PACKET_VNET_HDR: 10-byte virtio_net_hdr, then the frame.

import { type Burst, PLAIN } from '../core/burst.ts';
import { Drop } from '../core/drop.ts';
import { JUMBO_FRAME_BYTES, type Port, PortCounters, SUPER_FRAME_BYTES } from '../core/port.ts';
import { EPOLLERR, EPOLLHUP, EPOLLIN } from '../sys/epoll.io.ts';
import { Errno, errno, sys } from '../sys/libc.io.ts';
import { allocFor, type OnDead } from './datagram-port.io.ts';
import type { NativeHost, Watcher } from './native-host.ts';

const OFFLOAD_BYTES = 10;
const PREFIX_BYTES = 4; // headroom for a stream cable, in front of the offload header
const FRAMES_A_BREATH = 64;
const IOVEC_BYTES = 16;
const ALIGN = 64;

/**
 * Owns `fd`. Every frame costs one read and one write, since a character device has no batch calls; super-frames
 * make up for it. Frames leave at `queue`: the kernel has copied them when it returns.
 */
export class TapPort implements Port, Watcher {
  readonly counters = new PortCounters();
  readonly takesOffload: boolean;
  readonly frameBytesMax: number;
  private readonly host: NativeHost;
  private readonly fd: number;
  private readonly onDead: OnDead;
  private readonly vector: number; // iovec[2], then an empty offload header
  private readonly empty: number;
  private events = EPOLLIN;
  private isClosed = false;

  constructor(host: NativeHost, fd: number, onDead: OnDead, { offload }: { offload: boolean }) {
    this.host = host;
    this.fd = fd;
    this.onDead = onDead;
    this.takesOffload = offload;
    this.frameBytesMax = offload ? SUPER_FRAME_BYTES : JUMBO_FRAME_BYTES;
    this.vector = allocFor(host, 2 * IOVEC_BYTES + OFFLOAD_BYTES);
    this.empty = this.vector + 2 * IOVEC_BYTES;
    const { view } = host.slab;
    view.setBigUint64(this.vector, BigInt(host.address + this.empty), true);
    view.setUint32(this.vector + 8, OFFLOAD_BYTES, true);
    view.setUint32(this.vector + IOVEC_BYTES + 4, Math.floor(host.address / 2 ** 32), true);
  }

  start(): void {
    this.host.watch(this.fd, this.events, this);
  }

  ready(events: number): void {
    // An error is what reading says: a packet socket has one whenever its device goes down, and lives on.
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) this.host.wake(this);
  }

  receive(burst: Burst): boolean {
    const { area, address } = this.host;
    area.claimBlock();
    const header = this.takesOffload ? OFFLOAD_BYTES : 0;
    const end = area.block + area.blockBytes;
    let at = area.block + PREFIX_BYTES;
    for (let i = 0; i < FRAMES_A_BREATH && at + header + SUPER_FRAME_BYTES <= end; i++) {
      const n = sys().read(this.fd, address + at, header + SUPER_FRAME_BYTES);
      if (n <= 0) {
        if (n === 0) this.onDead();
        else this.failed();
        return false;
      }
      if (n > header) burst.push(at + header, n - header, header === 0 ? PLAIN : at);
      at = ((at + n + ALIGN) & -ALIGN) + PREFIX_BYTES;
    }
    return false; // level-triggered: what is left wakes us again, after the others had their turn
  }

  queue(at: number, length: number, offload: number): Drop {
    const { address } = this.host;
    let sent: number;
    if (!this.takesOffload) sent = sys().write(this.fd, address + at, length);
    else if (offload === at - OFFLOAD_BYTES) {
      sent = sys().write(this.fd, address + offload, length + OFFLOAD_BYTES);
    } else sent = this.writeApart(at, length, offload);
    if (sent >= 0) {
      this.counters.txFrames++;
      this.counters.txBytes += length;
      return Drop.None;
    }
    return this.refused();
  }

  flush(): boolean {
    return true;
  }

  pause(isPaused: boolean): void {
    const events = isPaused ? 0 : EPOLLIN;
    if (events === this.events || this.isClosed) return;
    this.events = events;
    this.host.rewatch(this.fd, events);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.host.unwatch(this.fd);
    sys().close(this.fd);
    this.host.slab.release(this.vector, 2 * IOVEC_BYTES + OFFLOAD_BYTES);
  }

  private writeApart(at: number, length: number, offload: number): number {
    const { words, bytes } = this.host.slab;
    const iovec = (this.vector + IOVEC_BYTES) >> 2;
    if (offload === PLAIN) bytes.fill(0, this.empty, this.empty + OFFLOAD_BYTES);
    else bytes.copyWithin(this.empty, offload, offload + OFFLOAD_BYTES);
    words[iovec] = (this.host.address >>> 0) + at;
    words[iovec + 2] = length;
    words[iovec + 3] = 0;
    return sys().writev(this.fd, this.host.address + this.vector, 2);
  }

  private refused(): Drop {
    switch (errno()) {
      case Errno.EAGAIN:
      case Errno.ENOBUFS:
        return Drop.TxFull;
      case Errno.EMSGSIZE:
        return Drop.TxTooLong;
      default: // EIO: the device is down, which its owner may change at any time; EINVAL: it refused the offload header
        return Drop.TxError;
    }
  }

  private failed(): void {
    const code = errno();
    // EIO, ENETDOWN: the device is down for now. EBADFD (77): its namespace is gone.
    if (code === Errno.EAGAIN || code === Errno.EINTR || code === Errno.EIO || code === Errno.ENETDOWN) return;
    this.onDead();
  }
}
