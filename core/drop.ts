// Why a frame went no further: numbered reasons, counted per port, shown by name.

/** A drop is a value, not an exception: no peer may make us throw. `None` means that the frame went on. */
export const Drop = {
  None: 0,
  // Layer 2, as the switch sees it.
  Runt: 1, // shorter than an Ethernet header
  Giant: 2, // longer than the port or the network takes
  SamePort: 3, // the destination lives behind the ingress port, IEEE 802.1Q §8.6.1
  NoPort: 4, // the ingress port does not exist or is down
  NotMember: 5, // tagged with a VLAN that the ingress port does not carry
  Untagged: 6, // untagged on a port that takes tagged frames only
  NoEgress: 7, // nobody else is in the VLAN
  Storm: 8, // above the storm guard's rate
  Moved: 9, // the source MAC moved too fast between ports
  Reserved: 10, // a source MAC that no station may have (group address)
  // Ports.
  TxFull: 11, // the egress queue was full
  TxCongested: 12, // the port has not been writable for a while
  TxError: 13, // the host's system call failed
  TxTooLong: 14, // longer than the medium behind the egress port can carry
  RxTruncated: 15, // the host cut the frame: it was longer than a cell
  RxLength: 16, // a length prefix out of range
  RxOffload: 17, // an offload header that contradicts its frame
  RxSource: 18, // a datagram from somebody who is not our peer
  NoMemory: 19, // the slab had no room
  Blocked: 20, // the port is administratively blocked
  // Headers, as wire/ reads them.
  EthTruncated: 21,
  VlanTruncated: 22,
  ArpTruncated: 23,
  ArpFormat: 24,
  Ip4Truncated: 25,
  Ip4Version: 26,
  Ip4HeaderLength: 27,
  Ip4TotalLength: 28,
  Ip4Checksum: 29,
  Ip6Truncated: 30,
  Ip6Version: 31,
  Ip6PayloadLength: 32,
  Ip6Extension: 33,
  IcmpTruncated: 34,
  IcmpChecksum: 35,
  UdpTruncated: 36,
  UdpLength: 37,
  UdpChecksum: 38,
  TcpTruncated: 39,
  TcpDataOffset: 40,
  TcpChecksum: 41,
  // Networks of one thread.
  TooManyHops: 42, // through more patch cables than a breath follows: a loop of networks
  // A stack, link and network layer.
  EtherType: 43, // a protocol that the stack does not speak
  NotForUs: 44, // addressed to another host, and this one does not forward
  BadSource: 45, // a source address that no packet may have, RFC 1122 §3.2.1.3
  BadTarget: 46, // a target that no packet may have here: loopback from outside, IPv4 in a group frame (RFC 1122 §3.3.6)
  HopLimit: 47, // no hops left
  NoRoute: 48, // no way to the target
  NoNeighbor: 49, // the next hop did not answer
  TooBig: 50, // longer than the next link takes, and not to be cut
  UnknownProtocol: 51, // nothing in the stack takes this protocol
  Ip4Option: 52, // a malformed or refused IPv4 option
  Ip6Option: 53, // an option that asks for its packet to be discarded, RFC 8200 §4.2
  Ip6Routing: 54, // a routing header that is not passed on, RFC 5095
  FragmentFormat: 55, // a piece that fits no packet
  FragmentOverlap: 56, // pieces that overlap, RFC 5722
  FragmentLimit: 57, // more pieces or packets than are kept
  FragmentTimeout: 58, // the rest did not come
  NdpInvalid: 59, // failed the validity checks of RFC 4861 §6.1, §7.1, §8.1
  RateLimited: 60, // an error message above the limit, RFC 4443 §2.4 (f)
  // A stack, transport layer.
  NoSocket: 61, // nobody listens there
  SocketFull: 62, // the socket's receive buffer was full
  Filtered: 63, // the socket is connected to somebody else, or did not join the group
  TcpSequence: 64, // outside of the window, RFC 9293 §3.10.7.4
  TcpPaws: 65, // an old duplicate, RFC 7323 §5
  TcpAck: 66, // acknowledges what was never sent, or misses the ACK
  TcpReset: 67, // a reset or SYN that fails RFC 5961
  TcpBacklog: 68, // the listener's queue was full
  TcpMemory: 69, // no room for what came
} as const;
export type Drop = (typeof Drop)[keyof typeof Drop];

/** The reasons by number, in the spelling of metrics and listings: `TxFull` is `tx-full`. */
export const DROP_NAMES: readonly string[] = Object.keys(Drop).map((name) =>
  name.replace(/[A-Z]/g, (letter, at: number) => (at === 0 ? '' : '-') + letter.toLowerCase()),
);

/** One counter per reason. Whole numbers, exact to 2^53. */
export class DropCounters {
  readonly counts = new Float64Array(DROP_NAMES.length);

  add(reason: Drop, frames = 1): void {
    this.counts[reason]! += frames;
  }

  total(): number {
    let sum = 0;
    for (let reason = 1; reason < this.counts.length; reason++) sum += this.counts[reason]!;
    return sum;
  }

  /** The reasons that happened, by name. */
  byName(): Record<string, number> {
    const out: Record<string, number> = {};
    for (let reason = 1; reason < this.counts.length; reason++) {
      if (this.counts[reason] !== 0) out[DROP_NAMES[reason]!] = this.counts[reason]!;
    }
    return out;
  }
}
