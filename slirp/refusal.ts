// What a guest is told when the host could not connect, so that its connect() fails as it would have on the host.
//
// Linux ends a connection in SYN-SENT by any ICMP "unreachable" for its SYN (tcp_v4_err, tcp_v6_err), with the errno of
// icmp_err_convert, or of tab_unreach for ICMPv6; other stacks take those that are no hard errors for advice (RFC 1122
// §4.2.3.9) and report them when they give up. So each errno has the code that Linux makes that errno of. IPv4 has no code
// for EACCES and EPERM: "filtered" it is, as of a Linux router with a prohibiting route. Nor is there one for ENETDOWN.

import { Errno, RESET, SILENT } from '../stack/stack.ts';

// Errnos that a stack has no use for, Linux's numbers.
const ENFILE = 23;
const ENONET = 64;

/** RFC 792, RFC 1812 §5.2.7.1: codes of type 3. */
const Code4 = { Net: 0, Host: 1, Protocol: 2, SourceRoute: 5, HostUnknown: 7, Isolated: 8, Filtered: 13 } as const;
/** RFC 4443 §3.1: codes of type 1. */
const Code6 = { NoRoute: 0, Prohibited: 1, Address: 3 } as const;

const {
  EACCES,
  EADDRNOTAVAIL,
  EAFNOSUPPORT,
  EAGAIN,
  EHOSTDOWN,
  EHOSTUNREACH,
  EMFILE,
  ENETDOWN,
  ENETUNREACH,
  ENOBUFS,
  ENOMEM,
  ENOPROTOOPT,
  EOPNOTSUPP,
  EPERM,
  ETIMEDOUT,
} = Errno;

const REFUSALS_4: ReadonlyMap<number, number> = new Map<number, number>([
  [ENETUNREACH, Code4.Net],
  [ENETDOWN, Code4.Net],
  [EAFNOSUPPORT, Code4.Net],
  [EHOSTUNREACH, Code4.Host],
  [ENOPROTOOPT, Code4.Protocol],
  [EOPNOTSUPP, Code4.SourceRoute],
  [EHOSTDOWN, Code4.HostUnknown],
  [ENONET, Code4.Isolated],
  [EACCES, Code4.Filtered],
  [EPERM, Code4.Filtered],
  [ETIMEDOUT, SILENT],
]);

const REFUSALS_6: ReadonlyMap<number, number> = new Map<number, number>([
  [ENETUNREACH, Code6.NoRoute],
  [ENETDOWN, Code6.NoRoute],
  [EAFNOSUPPORT, Code6.NoRoute],
  [EHOSTUNREACH, Code6.Address],
  [EHOSTDOWN, Code6.Address],
  [ENONET, Code6.Address],
  [EACCES, Code6.Prohibited],
  [EPERM, Code6.Prohibited],
  [ETIMEDOUT, SILENT],
]);

const FULL: ReadonlySet<number> = new Set([EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL, EAGAIN]);

/** "No route", in both families. */
export const NO_ROUTE = 0;

/** How a connection is refused that the host could not make, `errno` positive: `RESET`, `SILENT`, or an ICMP code of the guest's family. */
export const refusalOf = (errno: number, isIp6: boolean): number =>
  (isIp6 ? REFUSALS_6 : REFUSALS_4).get(errno) ?? RESET;

/** True if the host had no descriptor, memory or port: nobody outside was asked. */
export const isHostFull = (errno: number): boolean => FULL.has(errno);
