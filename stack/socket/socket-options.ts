// Socket options: which there are, what values they take, and where each is kept.

import { Errno } from '../errno.ts';
import { HOP_LIMIT_DEFAULT } from '../ip.ts';
import type { Limits } from '../limits.ts';
import { TcpOption } from '../tcp/tcp.ts';
import type { Endpoints } from './endpoints.ts';
import { EndpointFlag, Field, Kind } from './endpoints.ts';
import { mayMoveChecksum } from './raw.ts';

/** Options of SOL_SOCKET, IPPROTO_IP and IPPROTO_IPV6 by numbers of our own. Switches are 0 or 1, sizes bytes, times µs. */
export const SocketOption = {
  ReuseAddress: 1,
  ReusePort: 2,
  Broadcast: 3,
  KeepAlive: 4,
  LingerUs: 5, // -1: off
  ReceiveBuffer: 6, // not doubled, unlike Linux
  SendBuffer: 7,
  Error: 8, // read: the pending error, which is then forgotten
  Type: 9, // read
  Protocol: 10, // read
  Device: 11, // SO_BINDTODEVICE: the interface's number, 0: none
  NoChecksum: 12,
  Ttl: 20, // 1 … 255, -1: the default
  Tos: 21,
  MulticastIface: 22,
  MulticastTtl: 23,
  MulticastLoop: 24,
  MulticastAll: 25,
  MtuDiscover: 26, // a value of `Discover`
  ReceiveErrors: 27,
  PacketInfo: 28,
  ReceiveTtl: 29,
  ReceiveTos: 30,
  HeaderIncluded: 31,
  FreeBind: 32,
  V6Only: 40,
  UnicastHops: 41,
  TrafficClass: 42,
  MulticastIface6: 43,
  MulticastHops: 44,
  MulticastLoop6: 45,
  MulticastAll6: 46,
  MtuDiscover6: 47,
  ReceiveErrors6: 48,
  PacketInfo6: 49,
  ReceiveHops: 50,
  ReceiveClass: 51,
  ChecksumOffset: 52, // IPV6_CHECKSUM of raw sockets, -1: none
  NoChecksum6Send: 53, // RFC 6935
  NoChecksum6Receive: 54,
} as const;

/** The first number of IPPROTO_IPV6's. */
const FIRST6 = SocketOption.V6Only;
const BUFFER_BYTES_MIN = 2304;

const FLAGS: ReadonlyMap<number, number> = new Map([
  [SocketOption.ReuseAddress, EndpointFlag.ReuseAddress],
  [SocketOption.ReusePort, EndpointFlag.ReusePort],
  [SocketOption.Broadcast, EndpointFlag.Broadcast],
  [SocketOption.KeepAlive, EndpointFlag.KeepAlive],
  [SocketOption.NoChecksum, EndpointFlag.NoChecksum],
  [SocketOption.MulticastLoop, EndpointFlag.Loop4],
  [SocketOption.MulticastAll, EndpointFlag.All4],
  [SocketOption.ReceiveErrors, EndpointFlag.Errors4],
  [SocketOption.PacketInfo, EndpointFlag.PacketInfo4],
  [SocketOption.ReceiveTtl, EndpointFlag.Hops4],
  [SocketOption.ReceiveTos, EndpointFlag.Class4],
  [SocketOption.HeaderIncluded, EndpointFlag.HeaderIncluded],
  [SocketOption.FreeBind, EndpointFlag.FreeBind],
  [SocketOption.V6Only, EndpointFlag.V6Only],
  [SocketOption.MulticastLoop6, EndpointFlag.Loop6],
  [SocketOption.MulticastAll6, EndpointFlag.All6],
  [SocketOption.ReceiveErrors6, EndpointFlag.Errors6],
  [SocketOption.PacketInfo6, EndpointFlag.PacketInfo6],
  [SocketOption.ReceiveHops, EndpointFlag.Hops6],
  [SocketOption.ReceiveClass, EndpointFlag.Class6],
  [SocketOption.NoChecksum6Send, EndpointFlag.NoChecksum6Tx],
  [SocketOption.NoChecksum6Receive, EndpointFlag.NoChecksum6Rx],
]);

/** Field, least and most value, and what -1 stands for. */
const FIELDS: ReadonlyMap<number, readonly [field: number, min: number, max: number, unset: number]> = new Map([
  [SocketOption.Device, [Field.Device, 0, 65_535, 0]],
  [SocketOption.Ttl, [Field.Hops4, 1, 255, -1]],
  [SocketOption.Tos, [Field.Class4, 0, 255, 0]],
  [SocketOption.MulticastIface, [Field.GroupIface4, 0, 65_535, 0]],
  [SocketOption.MulticastTtl, [Field.GroupHops4, 0, 255, 1]],
  [SocketOption.MtuDiscover, [Field.Discover4, 0, 5, 1]],
  [SocketOption.UnicastHops, [Field.Hops6, 0, 255, -1]],
  [SocketOption.TrafficClass, [Field.Class6, 0, 255, 0]],
  [SocketOption.MulticastIface6, [Field.GroupIface6, 0, 65_535, 0]],
  [SocketOption.MulticastHops, [Field.GroupHops6, 0, 255, 1]],
  [SocketOption.MtuDiscover6, [Field.Discover6, 0, 5, 1]],
]);

const TCP: ReadonlyMap<number, TcpOption> = new Map<number, TcpOption>([
  [SocketOption.ReuseAddress, TcpOption.ReuseAddress],
  [SocketOption.ReusePort, TcpOption.ReusePort],
  [SocketOption.KeepAlive, TcpOption.KeepAlive],
  [SocketOption.LingerUs, TcpOption.LingerUs],
  [SocketOption.ReceiveBuffer, TcpOption.ReceiveBuffer],
  [SocketOption.SendBuffer, TcpOption.SendBuffer],
  [SocketOption.Device, TcpOption.BindIface],
  [SocketOption.Ttl, TcpOption.HopLimit],
  [SocketOption.UnicastHops, TcpOption.HopLimit],
  [SocketOption.Tos, TcpOption.TrafficClass],
  [SocketOption.TrafficClass, TcpOption.TrafficClass],
  [SocketOption.V6Only, TcpOption.V6Only],
]);

/** The option of TCP that a socket option of a stream is, or undefined. */
export const tcpOptionOf = (option: number): TcpOption | undefined => TCP.get(option);

/** True for the options that name an interface. */
export const namesIface = (option: number): boolean =>
  option === SocketOption.Device || option === SocketOption.MulticastIface || option === SocketOption.MulticastIface6;

/** Sets an option of an endpoint: 0, -ENOPROTOOPT (no such, or IPv6's on an IPv4 socket), -EINVAL (value, or too late). */
export function setEndpointOption(
  endpoints: Endpoints,
  limits: Limits,
  e: number,
  option: number,
  value: number,
): number {
  if (!Number.isInteger(value)) return -Errno.EINVAL;
  if (option >= FIRST6 && !endpoints.isIp6(e)) return -Errno.ENOPROTOOPT;
  const flag = FLAGS.get(option);
  if (flag !== undefined) return setFlag(endpoints, e, option, flag, value);
  const field = FIELDS.get(option);
  if (field) return setField(endpoints, e, field, value);
  if (option === SocketOption.ReceiveBuffer)
    return setBuffer(endpoints, e, Field.ReceiveMax, value, limits.receiveBufferBytesMax);
  if (option === SocketOption.SendBuffer)
    return setBuffer(endpoints, e, Field.SendMax, value, limits.sendBufferBytesMax);
  if (option === SocketOption.ChecksumOffset) return setChecksumOffset(endpoints, e, value);
  return option === SocketOption.LingerUs ? 0 : -Errno.ENOPROTOOPT;
}

/** The value of an option of an endpoint, or -ENOPROTOOPT. ChecksumOffset -1 and LingerUs -1 are values. */
export function getEndpointOption(endpoints: Endpoints, e: number, option: number): number {
  if (option >= FIRST6 && !endpoints.isIp6(e)) return -Errno.ENOPROTOOPT;
  const flag = FLAGS.get(option);
  if (flag !== undefined) return endpoints.has(e, flag) ? 1 : 0;
  const field = FIELDS.get(option);
  if (field) {
    const value = endpoints.get(e, field[0]);
    return value < 0 ? HOP_LIMIT_DEFAULT : value;
  }
  if (option === SocketOption.ReceiveBuffer) return endpoints.get(e, Field.ReceiveMax);
  if (option === SocketOption.SendBuffer) return endpoints.get(e, Field.SendMax);
  if (option === SocketOption.Error) return endpoints.takeError(e);
  if (option === SocketOption.Protocol) return endpoints.get(e, Field.Protocol);
  if (option === SocketOption.LingerUs) return -1;
  if (option === SocketOption.ChecksumOffset && endpoints.get(e, Field.Kind) === Kind.Raw) {
    return endpoints.get(e, Field.ChecksumOffset);
  }
  return -Errno.ENOPROTOOPT;
}

function setFlag(endpoints: Endpoints, e: number, option: number, flag: number, value: number): number {
  // RFC 3493 §5.3: before it is bound.
  if (option === SocketOption.V6Only && endpoints.has(e, EndpointFlag.Bound)) return -Errno.EINVAL;
  const isRaw4 = endpoints.get(e, Field.Kind) === Kind.Raw && !endpoints.isIp6(e);
  if (option === SocketOption.HeaderIncluded && !isRaw4) return -Errno.ENOPROTOOPT;
  endpoints.mark(e, flag, value !== 0);
  return 0;
}

function setField(
  endpoints: Endpoints,
  e: number,
  [field, min, max, unset]: readonly [number, number, number, number],
  value: number,
): number {
  if (value !== -1 && (value < min || value > max)) return -Errno.EINVAL;
  endpoints.set(e, field, value === -1 ? unset : value);
  return 0;
}

function setBuffer(endpoints: Endpoints, e: number, field: number, value: number, max: number): number {
  endpoints.set(e, field, Math.min(max, Math.max(BUFFER_BYTES_MIN, value)));
  return 0;
}

function setChecksumOffset(endpoints: Endpoints, e: number, value: number): number {
  if (endpoints.get(e, Field.Kind) !== Kind.Raw) return -Errno.ENOPROTOOPT;
  if (!mayMoveChecksum(endpoints, e, value)) return -Errno.EINVAL;
  endpoints.set(e, Field.ChecksumOffset, value);
  return 0;
}
