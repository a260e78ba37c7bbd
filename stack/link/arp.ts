// ARP for IPv4 over Ethernet: RFC 826 word for word, RFC 1122 §2.3.2, and the hook of RFC 5227.

import { Drop } from '../../core/drop.ts';
import * as wire from '../../wire/arp.ts';
import * as ethernet from '../../wire/ethernet.ts';
import { ADDRESS_WORDS, type Address, ip4Of, isIp4, read4 } from '../address.ts';
import type { Addresses } from '../autoconf/addresses.ts';
import type { Shared } from '../shared.ts';
import type { ConflictDetection } from './acd.ts';
import { BROADCAST_MAC, type ControlFrames } from './control-frames.ts';
import type { NetworkInterface } from './interfaces.ts';
import { NO_NEIGHBOR } from './neighbor-table.ts';
import type { Neighbors, Solicitor } from './neighbors.ts';
import { NO_ADDRESS, sourceFor } from './own-addresses.ts';

const NO_MAC = new Uint8Array(6);
const MULTICAST_MIN = 0xe0000000;

/** Answers and asks. Entries live in the one neighbour cache. */
export class Arp implements Solicitor {
  private readonly shared: Shared;
  private readonly addresses: Addresses;
  private readonly neighbors: Neighbors;
  private readonly conflicts: ConflictDetection;
  private readonly frames: ControlFrames;
  private readonly sender: Address = new Int32Array(ADDRESS_WORDS);
  private readonly target: Address = new Int32Array(ADDRESS_WORDS);
  private readonly mac = new Uint8Array(6);

  constructor(
    shared: Shared,
    addresses: Addresses,
    neighbors: Neighbors,
    conflicts: ConflictDetection,
    frames: ControlFrames,
  ) {
    this.shared = shared;
    this.addresses = addresses;
    this.neighbors = neighbors;
    this.conflicts = conflicts;
    this.frames = frames;
  }

  /** Takes the packet at `at`, behind the Ethernet header; `avail` bytes are there. RFC 826, "Packet Reception". */
  receive(iface: NetworkInterface, at: number, avail: number): Drop {
    const { view } = this.shared;
    // "?Do I have the hardware type in ar$hrd? … ?Do I speak the protocol in ar$pro?", lengths checked too.
    const wrong = wire.check(view, at, avail);
    if (wrong !== Drop.None) return wrong;
    const operation = wire.operation(view, at);
    if (operation !== wire.Operation.Request && operation !== wire.Operation.Reply) return Drop.ArpFormat;
    const isRequest = operation === wire.Operation.Request;
    const macAt = wire.senderMacAt(at);
    const sender = wire.senderIp(view, at);
    const target = wire.targetIp(view, at);
    if (ethernet.isGroup(view, macAt) || !isUnicast(sender)) return Drop.BadSource;
    const isForeign = !isMac(view, macAt, iface.mac);
    if (!this.conflicts.heard(iface, sender, target, isRequest, isForeign) || !isForeign) return Drop.BadSource;
    read4(view, macAt + 6, this.sender);
    read4(view, wire.targetMacAt(at) + 6, this.target);
    // "Merge_flag := false. If the pair is already in my translation table, update … and set Merge_flag to true."
    const merged = sender !== 0 && this.merge(iface.number, macAt, !isRequest);
    // "?Am I the target protocol address?"
    if (!this.addresses.isOurs(this.target, iface.number)) return Drop.None;
    if (!merged && sender !== 0) this.neighbors.learn(iface.number, this.sender, macAt);
    // "?Is the opcode ares_op$REQUEST? (NOW look at the opcode!!)"
    if (isRequest) this.reply(iface, macAt, sender, target);
    return Drop.None;
  }

  /** Asks for `target` by broadcast, or whether it is still at `mac`: RFC 1122 §2.3.2.1 (2). */
  solicit(iface: NetworkInterface, target: Address, source: Address, mac: Uint8Array | undefined): void {
    let own = source;
    if (!isIp4(source) || !this.addresses.isOurs(source, iface.number)) {
      const a = sourceFor(this.addresses, iface.number, target);
      if (a === NO_ADDRESS) return; // a sender of 0 would be a probe
      own = this.addresses.addressOf(a);
    }
    const to = mac ?? BROADCAST_MAC;
    this.frames.sendArp(iface, wire.Operation.Request, ip4Of(own), ip4Of(target), mac ?? NO_MAC, to);
  }

  private merge(iface: number, macAt: number, isReply: boolean): boolean {
    const n = this.neighbors.lookup(iface, this.sender);
    if (n === NO_NEIGHBOR) return false;
    const isAnswer = isReply && this.neighbors.isAwaited(n) && this.addresses.isOurs(this.target, iface);
    if (isAnswer) this.neighbors.answered(n, macAt);
    else this.neighbors.learn(iface, this.sender, macAt);
    return true;
  }

  private reply(iface: NetworkInterface, macAt: number, sender: number, target: number): void {
    for (let i = 0; i < 6; i++) this.mac[i] = this.shared.bytes[macAt + i]!;
    this.frames.sendArp(iface, wire.Operation.Reply, target, sender, this.mac, this.mac);
  }
}

/** True for an address that a host may have, and for the 0 of a probe. */
const isUnicast = (address: number): boolean =>
  address < MULTICAST_MIN && address >>> 24 !== 127 && (address === 0 || address >>> 24 !== 0);

function isMac(view: DataView, at: number, mac: Uint8Array): boolean {
  for (let i = 0; i < 6; i++) if (view.getUint8(at + i) !== mac[i]) return false;
  return true;
}
