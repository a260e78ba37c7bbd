// ICMP errors between the families, for guests of one whose targets are of the other: RFC 7915 §4.2 and §5.2.
//
// Only what is told beside the quoted packet is here: type, code and the word after the checksum. The quoted packet is built
// anew by the stack, as the guest had sent it.

import * as icmp from '../wire/icmp.ts';
import * as icmp6 from '../wire/icmp6.ts';

/** An IPv6 header is that much longer than an IPv4 header. */
const HEADERS_DIFFER_BYTES = 20;
/** RFC 8200 §5: no IPv6 host takes a path's MTU below it seriously. */
export const MTU6_MIN = 1280;
const MTU4_MIN = 68;
const MTU4_MAX = 65535;
/** RFC 1191 §7.1: what a link below may take, of routers that do not say. */
const PLATEAUS: readonly number[] = [32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296];

const NONE = -1;
const NEXT_HEADER_AT = 6; // in the IPv6 header
const PARAMETER_NEXT_HEADER = 1; // "unrecognized next header", RFC 4443 §3.4
const NO_ROUTE = 0;
const PROHIBITED = 1;
const PORT = 4;

/** By the code of ICMPv4 "unreachable", 0 … 15: the code of ICMPv6 "unreachable"; those of other types are not in it. */
const UNREACHABLE_TO6: readonly number[] = [
  NO_ROUTE,
  NO_ROUTE,
  NONE, // protocol: a parameter problem
  PORT,
  NONE, // fragmentation needed: "packet too big"
  NO_ROUTE,
  NO_ROUTE,
  NO_ROUTE,
  NO_ROUTE,
  PROHIBITED,
  PROHIBITED,
  NO_ROUTE,
  NO_ROUTE,
  PROHIBITED,
  NONE, // host precedence violation
  PROHIBITED,
];
/** By the code of ICMPv6 "unreachable", 0 … 4. */
const UNREACHABLE_TO4: readonly number[] = [1, 10, 1, 1, 3];

/** RFC 7915 figure 3: by the byte of the IPv4 header that is wrong, that of the IPv6 header. */
const POINTER_TO6: readonly number[] = [
  0,
  1,
  4,
  4,
  NONE,
  NONE,
  NONE,
  NONE,
  7,
  6,
  NONE,
  NONE,
  8,
  8,
  8,
  8,
  24,
  24,
  24,
  24,
];

/** RFC 7915 figure 6. */
function pointerTo4(pointer: number): number {
  if (pointer < 0 || pointer >= 40) return NONE;
  if (pointer >= 24) return 16;
  if (pointer >= 8) return 12;
  return [0, 1, NONE, NONE, 2, 2, 9, 8][pointer]!;
}

/** An error as ICMP or ICMPv6 says it. One is reused for all. */
export class IcmpMeaning {
  type = 0;
  code = 0;
  /** The 4 bytes after the checksum, unsigned. */
  word = 0;

  /** Always true, so that a translation ends with it. */
  set(type: number, code: number, word = 0): boolean {
    this.type = type;
    this.code = code;
    this.word = word >>> 0;
    return true;
  }
}

/** True for "fragmentation needed" and "packet too big". */
export const isTooBig = (type: number, code: number, isIp6: boolean): boolean =>
  isIp6
    ? type === icmp6.Type.PacketTooBig
    : type === icmp.Type.Unreachable && code === icmp.Unreachable.FragmentationNeeded;

/**
 * What an error that the host heard is to a guest: writes it to `into`. `info` is what beside type and code is told: the MTU
 * of "too big", the pointer of a parameter problem. `bytes` is the length of the packet that failed, with its IP header, as
 * the host sent it: a guess is made by it where a router says no MTU. False if it means nothing there.
 */
export function meaningOf(
  type: number,
  code: number,
  info: number,
  bytes: number,
  isFrom6: boolean,
  isTo6: boolean,
  into: IcmpMeaning,
): boolean {
  if (isTooBig(type, code, isFrom6)) return tooBig(mtuSaid(info, bytes, isFrom6), isFrom6, isTo6, into);
  if (isFrom6) return isTo6 ? plain6(type, code, info, into) : to4(type, code, info, into);
  return isTo6 ? to6(type, code, info, into) : plain4(type, code, info, into);
}

/** "Too big" of a path that takes `mtuBytes` on the host's side. */
export function tooBig(mtuBytes: number, isFrom6: boolean, isTo6: boolean, into: IcmpMeaning): boolean {
  const differ = isFrom6 === isTo6 ? 0 : isTo6 ? HEADERS_DIFFER_BYTES : -HEADERS_DIFFER_BYTES;
  const mtu = mtuBytes + differ;
  if (isTo6) return into.set(icmp6.Type.PacketTooBig, 0, Math.max(MTU6_MIN, mtu));
  const { Type, Unreachable } = icmp;
  return into.set(Type.Unreachable, Unreachable.FragmentationNeeded, Math.min(MTU4_MAX, Math.max(MTU4_MIN, mtu)));
}

/** RFC 7915 §4.2: routers before RFC 1191 say nothing; a plateau below the packet is as good a guess as any. */
function mtuSaid(info: number, bytes: number, isFrom6: boolean): number {
  if (info > 0) return info;
  if (isFrom6) return MTU6_MIN;
  for (const mtu of PLATEAUS) if (mtu < bytes) return mtu;
  return MTU4_MIN;
}

function plain4(type: number, code: number, info: number, into: IcmpMeaning): boolean {
  switch (type) {
    case icmp.Type.Unreachable:
    case icmp.Type.TimeExceeded:
      return into.set(type, code);
    case icmp.Type.ParameterProblem:
      return into.set(type, code, info << 24);
  }
  return false; // redirects and quenches are the host's own business
}

function plain6(type: number, code: number, info: number, into: IcmpMeaning): boolean {
  switch (type) {
    case icmp6.Type.Unreachable:
    case icmp6.Type.TimeExceeded:
      return into.set(type, code);
    case icmp6.Type.ParameterProblem:
      return into.set(type, code, info);
  }
  return false;
}

/** RFC 7915 §4.2. */
function to6(type: number, code: number, info: number, into: IcmpMeaning): boolean {
  switch (type) {
    case icmp.Type.Unreachable: {
      if (code === icmp.Unreachable.Protocol)
        return into.set(icmp6.Type.ParameterProblem, PARAMETER_NEXT_HEADER, NEXT_HEADER_AT);
      const code6 = UNREACHABLE_TO6[code] ?? NONE;
      return code6 !== NONE && into.set(icmp6.Type.Unreachable, code6);
    }
    case icmp.Type.TimeExceeded:
      return into.set(icmp6.Type.TimeExceeded, code);
    case icmp.Type.ParameterProblem: {
      const pointer = code === 0 || code === 2 ? (POINTER_TO6[info] ?? NONE) : NONE;
      return pointer !== NONE && into.set(icmp6.Type.ParameterProblem, 0, pointer);
    }
  }
  return false;
}

/** RFC 7915 §5.2. */
function to4(type: number, code: number, info: number, into: IcmpMeaning): boolean {
  switch (type) {
    case icmp6.Type.Unreachable: {
      const code4 = UNREACHABLE_TO4[code] ?? NONE;
      return code4 !== NONE && into.set(icmp.Type.Unreachable, code4);
    }
    case icmp6.Type.TimeExceeded:
      return into.set(icmp.Type.TimeExceeded, code);
    case icmp6.Type.ParameterProblem: {
      if (code === PARAMETER_NEXT_HEADER) return into.set(icmp.Type.Unreachable, icmp.Unreachable.Protocol);
      const pointer = code === 0 ? pointerTo4(info) : NONE;
      return pointer !== NONE && into.set(icmp.Type.ParameterProblem, 0, pointer << 24);
    }
  }
  return false;
}
