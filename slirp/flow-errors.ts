// What guests are told of datagrams that failed: by a rule, by the host, or by somebody outside.

import { type Address, ANY_ADDRESS, assignAddress, Errno, equalAddresses, GuestError, isIp4 } from '../stack/stack.ts';
import * as icmp from '../wire/icmp.ts';
import * as icmp6 from '../wire/icmp6.ts';
import type { HostError } from './host-sockets.ts';
import { IcmpMeaning, meaningOf } from './icmp-translation.ts';
import { type FlowParts, Verdict } from './parts.ts';

const IP_HEADERS_BYTES = 28; // of IPv4 and UDP, or echo

/** Codes of "unreachable" in ICMP and ICMPv6. RFC 792, RFC 1812 §5.2.7.1, RFC 4443 §3.1. */
const Code = {
  Net: [icmp.Unreachable.Net, 0],
  Host: [icmp.Unreachable.Host, 3],
  Port: [icmp.Unreachable.Port, 4],
  Prohibited: [icmp.Unreachable.Prohibited, 1],
} as const;
type Code = (typeof Code)[keyof typeof Code];

/** `about` says which datagram it is, then one of the others what became of it. */
export class FlowErrors {
  private readonly parts: FlowParts;
  private readonly error = new GuestError();
  private readonly meaning = new IcmpMeaning();
  private readonly name: Address = new Int32Array(4);

  constructor(parts: FlowParts) {
    this.parts = parts;
    this.error.iface = parts.iface;
  }

  /** All as the guest sees it; `bytes` at `at` are the payload as far as it is known. */
  about(
    protocol: number,
    guest: Address,
    guestPort: number,
    target: Address,
    targetPort: number,
    at: number,
    bytes: number,
  ): void {
    const { error } = this;
    error.protocol = protocol;
    assignAddress(error.guest, guest);
    error.guestPort = guestPort;
    assignAddress(error.target, target);
    error.targetPort = targetPort;
    error.at = at;
    error.bytes = bytes;
  }

  /** It may not go where it wants to. */
  refuse(verdict: Verdict): void {
    const { error } = this;
    if (verdict === Verdict.Prohibited) this.unreachable(Code.Prohibited, ANY_ADDRESS);
    else if (verdict === Verdict.Refused) this.unreachable(Code.Port, error.target);
    else if (verdict === Verdict.Unreachable) this.unreachable(Code.Net, ANY_ADDRESS);
  }

  /** The host did not send it: `errno` positive, `info` the path's MTU of EMSGSIZE if it is known, else 0. */
  fail(errno: number, info: number, isHost6: boolean): void {
    switch (errno) {
      case Errno.EMSGSIZE: {
        const type = isHost6 ? icmp6.Type.PacketTooBig : icmp.Type.Unreachable;
        const code = isHost6 ? 0 : icmp.Unreachable.FragmentationNeeded;
        this.translate(type, code, info, isHost6, ANY_ADDRESS);
        return;
      }
      case Errno.ENETUNREACH:
      case Errno.ENETDOWN:
        this.unreachable(Code.Net, ANY_ADDRESS);
        return;
      case Errno.EHOSTUNREACH:
      case Errno.EHOSTDOWN:
        this.unreachable(Code.Host, ANY_ADDRESS);
        return;
      case Errno.EACCES:
      case Errno.EPERM:
        this.unreachable(Code.Prohibited, ANY_ADDRESS);
        return;
      case Errno.ECONNREFUSED:
        this.unreachable(Code.Port, this.error.target);
        return;
      default:
        this.parts.counters.lost++;
    }
  }

  /**
   * The host heard of it. Who reported it has the name that the guest knows it by; without one the gateway speaks for it, as
   * RFC 6791 has it, so that path MTU discovery works past it.
   */
  relay(heard: HostError): void {
    if (heard.type < 0) {
      this.fail(heard.errno, heard.info, heard.isIp6);
      return;
    }
    const { error, name } = this;
    const { targets } = this.parts;
    let reporter: Address = error.target;
    if (!equalAddresses(heard.reporter, heard.target)) {
      const isNamed = targets.nameFor(heard.reporter, error.target, name) && isIp4(name) === isIp4(error.guest);
      reporter = isNamed ? name : ANY_ADDRESS;
    }
    this.translate(heard.type, heard.code, heard.info, heard.isIp6, reporter);
  }

  private translate(type: number, code: number, info: number, isHost6: boolean, reporter: Address): void {
    const { meaning, error } = this;
    const isGuest6 = !isIp4(error.guest);
    if (!meaningOf(type, code, info, error.bytes + IP_HEADERS_BYTES, isHost6, isGuest6, meaning)) return;
    this.tell(meaning.type, meaning.code, meaning.word, reporter);
  }

  private unreachable(code: Code, reporter: Address): void {
    const isIp6 = !isIp4(this.error.guest);
    this.tell(isIp6 ? icmp6.Type.Unreachable : icmp.Type.Unreachable, code[isIp6 ? 1 : 0], 0, reporter);
  }

  private tell(type: number, code: number, word: number, reporter: Address): void {
    const { error, parts } = this;
    assignAddress(error.reporter, reporter);
    error.type = type;
    error.code = code;
    error.word = word;
    if (parts.stack.sockets.gateway.sendError(error) === 0) parts.counters.errorsToGuests++;
  }
}
