// TAP devices of the kernel's tun driver: one frame a read, each behind a 10-byte virtio_net_hdr.

import { type CallMemory, callMemory } from './call-memory.io.ts';
import { check, sys } from './libc.io.ts';

const O_RDWR = 0o2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETVNETHDRSZ = 0x400454d8;
const TUNGETIFF = 0x800454d2;
const TUNGETVNETHDRSZ = 0x800454d7;
const TUNSETPERSIST = 0x400454cb;
const IFF_TAP = 0x2;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFNAMSIZ = 16;
const IFREQ_BYTES = 40;

/** What the reader of a TAP can complete itself, TUN_F_*: checksums, long TCP segments, long UDP datagrams. */
export const TapOffload = { Csum: 0x01, Tso4: 0x02, Tso6: 0x04, TsoEcn: 0x08, Uso4: 0x20, Uso6: 0x40 } as const;

const TCP = TapOffload.Csum | TapOffload.Tso4 | TapOffload.Tso6;

// Best first: kernels before 6.2 have no USO.
const OFFLOADS = [
  TCP | TapOffload.TsoEcn | TapOffload.Uso4 | TapOffload.Uso6,
  TCP | TapOffload.TsoEcn,
  TCP,
  TapOffload.Csum,
  0,
];

/** An open TAP: non-blocking, close-on-exec. `offloads` are the TUN_F_* bits that the kernel granted. */
export interface Tap {
  readonly fd: number;
  readonly name: string;
  readonly offloads: number;
}

/** Bytes of the struct virtio_net_hdr before every frame. */
export const VNET_HDR_BYTES = 10;

/**
 * Lets the device outlive its descriptor, for a namespace that ends with its program: then the kernel removes the device in
 * the background. Otherwise whoever closes the last descriptor waits for that, tens of milliseconds.
 */
export function persistTap({ fd, name }: Tap): void {
  check(sys().ioctl(fd, TUNSETPERSIST, 1), `TAP ${name}: TUNSETPERSIST`);
}

/** Opens a new TAP, or the persistent one called `name`. Throws `SysError`: `EACCES` and `ENOENT` are about /dev/net/tun. */
export function openTap(name: string): Tap {
  const memory = callMemory();
  const path = memory.text('/dev/net/tun');
  const fd = check(sys().open(memory.base + path, O_RDWR | O_NONBLOCK | O_CLOEXEC, 0), '/dev/net/tun');
  try {
    const request = memory.zeros(IFREQ_BYTES); // struct ifreq: name[16], u16 flags
    memory.bytes.set(new TextEncoder().encode(name).subarray(0, IFNAMSIZ - 1), request);
    memory.view.setUint16(request + IFNAMSIZ, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, true);
    check(sys().ioctl(fd, TUNSETIFF, memory.base + request), `TAP ${name}`);
    const size = memory.zeros(4);
    memory.view.setInt32(size, VNET_HDR_BYTES, true);
    check(sys().ioctl(fd, TUNSETVNETHDRSZ, memory.base + size), `TAP ${name}: header size`);
    const given = memory.bytes.subarray(request, request + IFNAMSIZ);
    const granted = OFFLOADS.find((offloads) => sys().ioctl(fd, TUNSETOFFLOAD, offloads) === 0) ?? 0;
    return { fd, name: new TextDecoder().decode(given.slice(0, given.indexOf(0))), offloads: granted };
  } catch (error) {
    sys().close(fd);
    throw error;
  }
}

const SOL_SOCKET = 1;
const SO_DOMAIN = 39;
const AF_PACKET = 17;
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
const F_GETFL = 3;
const F_SETFL = 4;

/** What somebody else's descriptor is, as the kernel says. */
export interface Device {
  readonly kind: 'tap' | 'packet';
  /** True if a 10-byte virtio_net_hdr stands before every frame. */
  readonly hasHeader: boolean;
}

/** Looks at a descriptor that a stranger handed over and makes it non-blocking; undefined if frames cannot be read from it. */
export function inspectDevice(fd: number): Device | undefined {
  const memory = callMemory();
  const request = memory.zeros(IFREQ_BYTES);
  const size = memory.zeros(4);
  const device = inspectTap(fd, memory, request, size) ?? inspectPacketSocket(fd, memory, request, size);
  // Flags are the open file's, so its owner could undo this: it would stop his own engine.
  if (device) sys().fcntl(fd, F_SETFL, sys().fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
  return device;
}

function inspectTap(fd: number, { view, base }: CallMemory, request: number, size: number): Device | undefined {
  if (sys().ioctl(fd, TUNGETIFF, base + request) !== 0) return undefined;
  const flags = view.getUint16(request + IFNAMSIZ, true);
  if ((flags & IFF_TAP) === 0 || (flags & IFF_NO_PI) === 0) return undefined;
  const hasHeader = (flags & IFF_VNET_HDR) !== 0;
  if (!hasHeader) return { kind: 'tap', hasHeader };
  const isReadable = sys().ioctl(fd, TUNGETVNETHDRSZ, base + size) === 0;
  return isReadable && view.getInt32(size, true) === VNET_HDR_BYTES ? { kind: 'tap', hasHeader } : undefined;
}

function inspectPacketSocket(fd: number, memory: CallMemory, value: number, size: number): Device | undefined {
  const { view, base } = memory;
  const option = (level: number, name: number): number => {
    view.setInt32(value, 0, true);
    view.setUint32(size, 4, true);
    return sys().getsockopt(fd, level, name, base + value, base + size) === 0 ? view.getInt32(value, true) : -1;
  };
  if (option(SOL_SOCKET, SO_DOMAIN) !== AF_PACKET) return undefined;
  return { kind: 'packet', hasHeader: option(SOL_PACKET, PACKET_VNET_HDR) === 1 };
}
