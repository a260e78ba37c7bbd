// Descriptors that travel between processes: AF_UNIX packet sockets with SCM_RIGHTS, unix(7).

import { type CallMemory, callMemory } from './call-memory.io.ts';
import { check, Errno, errno, SysError, sys } from './libc.io.ts';

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SCM_RIGHTS = 1;
const MSG_NOSIGNAL = 0x4000;
const MSG_CTRUNC = 0x8;
const MSG_TRUNC = 0x20;
const MSG_CMSG_CLOEXEC = 0x40000000;
const SOCKADDR_UN_PATH_BYTES = 108;
const MSGHDR_BYTES = 56;
const CMSGHDR_BYTES = 16;

const PACKET_BYTES_MAX = 65536;
const DESCRIPTORS_MAX = 8;

/** One packet as it arrived. Its descriptors are close-on-exec and belong to the receiver. */
export interface Packet {
  readonly bytes: Uint8Array;
  readonly descriptors: readonly number[];
}

/** Two connected packet sockets, close-on-exec and blocking. */
export function packetPair(): [number, number] {
  const memory = callMemory();
  const at = memory.zeros(8);
  check(sys().socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, memory.base + at), 'socketpair');
  return [memory.view.getInt32(at, true), memory.view.getInt32(at + 4, true)];
}

/** A packet socket connected to `path`, non-blocking. Throws `SysError` with the errno of connect(2). */
export function connectPacket(path: string): number {
  return onNewSocket((socket) => {
    const memory = callMemory();
    const { at, length } = unixAddress(memory, path);
    check(sys().connect(socket, memory.base + at, length), path);
  });
}

/** A packet socket that listens on `path`, which must not exist; non-blocking. */
export function listenPacket(path: string, { backlog }: { backlog: number }): number {
  return onNewSocket((socket) => {
    const memory = callMemory();
    const { at, length } = unixAddress(memory, path);
    check(sys().bind(socket, memory.base + at, length), path);
    check(sys().listen(socket, backlog), path);
  });
}

/** The next connection of a listening socket, non-blocking, or undefined if there is none. */
export function acceptPacket(socket: number): number | undefined {
  const connection = sys().accept4(socket, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return connection < 0 ? undefined : connection;
}

/** The user at the other end of a connected socket, SO_PEERCRED. */
export function peerUid(socket: number): number {
  const memory = callMemory();
  const at = memory.zeros(12);
  const length = memory.zeros(4);
  memory.view.setUint32(length, 12, true);
  check(sys().getsockopt(socket, SOL_SOCKET, SO_PEERCRED, memory.base + at, memory.base + length), 'SO_PEERCRED');
  return memory.view.getUint32(at + 4, true);
}

/** Sends one packet with copies of `descriptors`. Throws `SysError`; a full queue of a non-blocking socket is `EAGAIN`. */
export function sendPacket(socket: number, bytes: Uint8Array, descriptors: readonly number[] = []): void {
  const memory = callMemory();
  const message = messageHeader(memory, memory.copy(bytes), bytes.length);
  if (descriptors.length > 0) {
    const length = CMSGHDR_BYTES + 4 * descriptors.length;
    const control = memory.zeros(length);
    memory.view.setUint32(control, length, true);
    memory.view.setInt32(control + 8, SOL_SOCKET, true);
    memory.view.setInt32(control + 12, SCM_RIGHTS, true);
    for (const [i, fd] of descriptors.entries()) memory.view.setInt32(control + CMSGHDR_BYTES + 4 * i, fd, true);
    memory.setPointer(message + 32, control);
    memory.view.setUint32(message + 40, length, true);
  }
  check(sys().sendmsg(socket, memory.base + message, MSG_NOSIGNAL), 'sendmsg');
}

/**
 * The next packet, at most 64 KiB and 8 descriptors; undefined if a non-blocking socket has none.
 * The end of the connection is a packet of 0 bytes. A packet that was cut is refused: its descriptors are closed, `EMSGSIZE`.
 */
export function receivePacket(socket: number): Packet | undefined {
  const memory = callMemory();
  const buffer = memory.zeros(PACKET_BYTES_MAX);
  const message = messageHeader(memory, buffer, PACKET_BYTES_MAX);
  const controlBytes = CMSGHDR_BYTES + 4 * DESCRIPTORS_MAX;
  const control = memory.zeros(controlBytes);
  memory.setPointer(message + 32, control);
  memory.view.setUint32(message + 40, controlBytes, true);
  const length = retryInterrupted(() => sys().recvmsg(socket, memory.base + message, MSG_CMSG_CLOEXEC));
  if (length < 0 && errno() === Errno.EAGAIN) return undefined;
  if (length < 0 && errno() === Errno.ECONNRESET) return { bytes: new Uint8Array(0), descriptors: [] };
  check(length, 'recvmsg');
  const descriptors = readDescriptors(memory, control, memory.view.getUint32(message + 40, true));
  if (memory.view.getUint32(message + 48, true) & (MSG_TRUNC | MSG_CTRUNC)) {
    for (const fd of descriptors) sys().close(fd);
    throw new SysError('recvmsg: the packet was cut', Errno.EMSGSIZE);
  }
  return { bytes: memory.bytes.slice(buffer, buffer + length), descriptors };
}

function readDescriptors(memory: CallMemory, control: number, controlBytes: number): number[] {
  const { view } = memory;
  const descriptors: number[] = [];
  if (controlBytes < CMSGHDR_BYTES || view.getInt32(control + 12, true) !== SCM_RIGHTS) return descriptors;
  const end = Math.min(controlBytes, view.getUint32(control, true));
  for (let at = CMSGHDR_BYTES; at + 4 <= end; at += 4) descriptors.push(view.getInt32(control + at, true));
  return descriptors;
}

/** struct msghdr with one iovec. */
function messageHeader(memory: CallMemory, buffer: number, length: number): number {
  const iovec = memory.zeros(16);
  memory.setPointer(iovec, buffer);
  memory.view.setUint32(iovec + 8, length, true);
  const message = memory.zeros(MSGHDR_BYTES);
  memory.setPointer(message + 16, iovec);
  memory.view.setUint32(message + 24, 1, true);
  return message;
}

function unixAddress(memory: CallMemory, path: string): { at: number; length: number } {
  const bytes = new TextEncoder().encode(path);
  if (bytes.length >= SOCKADDR_UN_PATH_BYTES) {
    throw new SysError(`${path} is longer than ${SOCKADDR_UN_PATH_BYTES - 1} bytes`, Errno.ENAMETOOLONG);
  }
  const at = memory.zeros(2 + SOCKADDR_UN_PATH_BYTES);
  memory.view.setUint16(at, AF_UNIX, true);
  memory.bytes.set(bytes, at + 2);
  return { at, length: 2 + bytes.length + 1 };
}

/** A new non-blocking packet socket on which `use` succeeded; closed if it did not. */
function onNewSocket(use: (socket: number) => void): number {
  const socket = check(sys().socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket');
  try {
    use(socket);
    return socket;
  } catch (error) {
    sys().close(socket);
    throw error;
  }
}

function retryInterrupted(call: () => number): number {
  for (;;) {
    const result = call();
    if (result >= 0 || errno() !== Errno.EINTR) return result;
  }
}
