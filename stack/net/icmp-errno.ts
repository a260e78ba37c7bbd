// What an ICMP error means to a socket. RFC 1122 §4.2.3.9, RFC 5461; numbers as Linux has them.

import * as icmp from '../../wire/icmp.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import { Errno } from '../errno.ts';

const EPROTO = 71;
const { ENETUNREACH, EHOSTUNREACH, ENOPROTOOPT, ECONNREFUSED, EMSGSIZE, EOPNOTSUPP, EHOSTDOWN, EACCES } = Errno;

/** By the code of "unreachable", 0 … 15. */
const UNREACHABLE4: readonly number[] = [
  ENETUNREACH,
  EHOSTUNREACH,
  ENOPROTOOPT,
  ECONNREFUSED,
  EMSGSIZE,
  EOPNOTSUPP,
  ENETUNREACH,
  EHOSTDOWN,
  ENETUNREACH,
  ENETUNREACH,
  EHOSTUNREACH,
  ENETUNREACH,
  EHOSTUNREACH,
  EHOSTUNREACH,
  EHOSTUNREACH,
  EHOSTUNREACH,
];

const UNREACHABLE6: readonly number[] = [ENETUNREACH, EACCES, EHOSTUNREACH, EHOSTUNREACH, ECONNREFUSED, EACCES, EACCES];

/** The error number of an ICMP error. */
export function errnoOf4(type: number, code: number): number {
  if (type === icmp.Type.Unreachable) return UNREACHABLE4[code] ?? EHOSTUNREACH;
  return type === icmp.Type.ParameterProblem ? EPROTO : EHOSTUNREACH;
}

/** True if it tells that nobody will ever answer there. */
export const isHard4 = (type: number, code: number): boolean =>
  type === icmp.Type.Unreachable && (code === icmp.Unreachable.Protocol || code === icmp.Unreachable.Port);

/** The error number of an ICMPv6 error. */
export function errnoOf6(type: number, code: number): number {
  switch (type) {
    case icmp6.Type.Unreachable:
      return UNREACHABLE6[code] ?? EHOSTUNREACH;
    case icmp6.Type.PacketTooBig:
      return EMSGSIZE;
    case icmp6.Type.TimeExceeded:
      return EHOSTUNREACH;
    default:
      return EPROTO;
  }
}

/** Port unreachable, and "unrecognized next header", which is IPv6's protocol unreachable. */
export const isHard6 = (type: number, code: number): boolean =>
  (type === icmp6.Type.Unreachable && code === 4) || (type === icmp6.Type.ParameterProblem && code === 1);

/** RFC 1191 §7.1: the next lower MTU that some link has, for routers that do not say theirs. */
export function plateauBelow(bytes: number): number {
  for (const mtu of [32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296]) if (mtu < bytes) return mtu;
  return 68;
}
