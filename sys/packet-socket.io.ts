// A device read and written whole, below the host's IP: packet(7) with the same 10-byte virtio_net_hdr as a TAP.

import { callMemory } from './call-memory.io.ts';
import { check, sys } from './libc.io.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
const PACKET_MR_PROMISC = 1;
const ETH_P_ALL = 3;

const BUFFER_BYTES = 4 * 1024 * 1024; // the host grants less: net.core.rmem_max and wmem_max

/**
 * A non-blocking, close-on-exec socket that gets every frame arriving at the device `index` and sends from it; what it sends
 * does not come back. Throws `SysError`; needs CAP_NET_RAW in the device's namespace.
 *
 * The kernel strips 802.1Q tags from what arrives here (they would be in PACKET_AUXDATA): a trunk needs a TAP.
 */
export function openPacketSocket(index: number): number {
  // Protocol 0 receives nothing until it is bound: no frame of another device can slip in before.
  const fd = check(sys().socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'packet socket');
  try {
    check(setOption(fd, SOL_PACKET, PACKET_VNET_HDR, 1), 'PACKET_VNET_HDR');
    check(setOption(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1), 'PACKET_IGNORE_OUTGOING');
    setOption(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
    setOption(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
    const memory = callMemory();
    const membership = memory.zeros(16); // struct packet_mreq: index, type, address
    memory.view.setInt32(membership, index, true);
    memory.view.setUint16(membership + 4, PACKET_MR_PROMISC, true);
    const join = sys().setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, memory.base + membership, 16);
    check(join, 'PACKET_ADD_MEMBERSHIP');
    const address = memory.zeros(20); // struct sockaddr_ll: family, protocol (network order), index, ...
    memory.view.setUint16(address, AF_PACKET, true);
    memory.view.setUint16(address + 2, ETH_P_ALL);
    memory.view.setInt32(address + 4, index, true);
    check(sys().bind(fd, memory.base + address, 20), 'bind packet socket');
    return fd;
  } catch (error) {
    sys().close(fd);
    throw error;
  }
}

function setOption(fd: number, level: number, name: number, value: number): number {
  const memory = callMemory();
  const at = memory.zeros(4);
  memory.view.setInt32(at, value, true);
  return sys().setsockopt(fd, level, name, memory.base + at, 4);
}
