// Multicast listener discovery, the host's half: RFC 2710 (version 1) and RFC 3810 (version 2).

import { Drop } from '../../core/drop.ts';
import { NONE } from '../../core/slab.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { US_PER_MS, US_PER_S } from '../../core/time.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import { ADDRESS_WORDS, type Address, ANY, isAny, isLinkLocal, isMulticast, parse, read6, write6 } from '../address.ts';
import type { Addresses } from '../autoconf/addresses.ts';
import type { ControlFrames } from '../link/control-frames.ts';
import type { Interfaces, NetworkInterface } from '../link/interfaces.ts';
import { linkLocalOf, NO_ADDRESS } from '../link/own-addresses.ts';
import type { Packet } from '../packet.ts';
import { Random } from '../random.ts';
import { Purpose, type Shared } from '../shared.ts';
import { inReports, type ReportRecord, type ReportSizes } from './group-record.ts';
import { GroupReporter, type GroupWire, responseUs } from './group-reporter.ts';
import { SOURCES_MAX, type SourceSet } from './source-set.ts';

/** ff02::16, all MLDv2-capable routers: RFC 3810 §5.2.14. */
const ALL_LISTENER_ROUTERS = parse('ff02::16')!;
const ALL_ROUTERS = parse('ff02::2')!;

const VERSION1_BYTES = 24;
const QUERY2_BYTES = 28;
const REPORT2_HEADER_BYTES = 8;
const RECORD_BYTES = 20;
const GROUP = 8;
// Behind the IPv6 and hop-by-hop headers, in a link MTU of 1280.
const REPORT_BYTES_MAX = 1280 - ipv6.HEADER_BYTES - 8;

const SIZES: ReportSizes = {
  headerBytes: REPORT2_HEADER_BYTES,
  recordBytes: RECORD_BYTES,
  addressBytes: ipv6.ADDRESS_BYTES,
  bytesMax: REPORT_BYTES_MAX,
};

/** Receives and writes MLD; `reporter` decides. */
export class Mld implements GroupWire {
  readonly newest = 2;
  /** Interfaces on which IPv6 was given up and nothing is sent any more: RFC 4862 §5.4.5. */
  isSilent: (iface: number) => boolean = () => false;
  readonly reporter: GroupReporter;
  private readonly shared: Shared;
  private readonly interfaces: Interfaces;
  private readonly addresses: Addresses;
  private readonly frames: ControlFrames;
  private readonly group: Address = new Int32Array(ADDRESS_WORDS);

  constructor(shared: Shared, interfaces: Interfaces, addresses: Addresses, frames: ControlFrames) {
    this.shared = shared;
    this.interfaces = interfaces;
    this.addresses = addresses;
    this.frames = frames;
    this.reporter = new GroupReporter(shared, interfaces, this, new Random(shared.secret, Purpose.Multicast));
  }

  /** Takes an MLD message; its checksum was verified. */
  receive(packet: Packet): Drop {
    const { view } = this.shared;
    const iface = this.interfaces.get(packet.iface);
    if (!iface || packet.bytes < VERSION1_BYTES) return Drop.IcmpTruncated;
    // RFC 3810 §5: hop limit 1. §6.2, §5.1.14: from a link-local address, with a router alert, else silently dropped.
    if (packet.hopLimit !== 1 || !hasRouterAlert(view, packet)) return Drop.NdpInvalid;
    const type = icmp6.type(view, packet.at);
    read6(view, packet.at + GROUP, this.group);
    if (type === icmp6.Type.ListenerQuery) return this.query(iface, packet);
    if (type === icmp6.Type.ListenerReport && (isLinkLocal(packet.source) || isAny(packet.source))) {
      this.reporter.heardReport(iface, this.group);
    }
    return Drop.None; // done messages and version 2 reports are for routers
  }

  /** Interface-local and reserved scopes are never reported: RFC 3810 §6. */
  isUnreported(group: Address): boolean {
    return ((group[0]! >>> 16) & 15) < 2;
  }

  sendReports(iface: NetworkInterface, records: readonly ReportRecord[]): void {
    inReports(records, SIZES, (batch, bytes) => this.sendBatch(iface, batch, bytes));
  }

  sendOldReport(iface: NetworkInterface, group: Address): void {
    this.sendVersion1(iface, icmp6.Type.ListenerReport, group, group);
  }

  sendLeave(iface: NetworkInterface, group: Address): void {
    this.sendVersion1(iface, icmp6.Type.ListenerDone, ALL_ROUTERS, group);
  }

  save(state: StateWriter): void {
    state.section('stack/mld', 1);
    this.reporter.save(state);
  }

  load(state: StateReader): void {
    state.section('stack/mld', 1);
    this.reporter.load(state);
  }

  private query(iface: NetworkInterface, packet: Packet): Drop {
    const { view } = this.shared;
    if (!isLinkLocal(packet.source)) return Drop.NdpInvalid;
    if (!isAny(this.group) && !isMulticast(this.group)) return Drop.NdpInvalid;
    const code = view.getUint16(packet.at + 4);
    if (packet.bytes === VERSION1_BYTES) {
      this.reporter.queried(iface, {
        version: 1,
        group: this.group,
        sources: [],
        responseUs: code * US_PER_MS,
        robustness: 0,
        intervalUs: 0,
      });
      return Drop.None;
    }
    if (packet.bytes < QUERY2_BYTES) return Drop.IcmpTruncated; // RFC 3810 §8.1
    const count = view.getUint16(packet.at + 26);
    if (QUERY2_BYTES + count * 16 > packet.bytes) return Drop.IcmpTruncated;
    this.reporter.queried(iface, {
      version: 2,
      group: this.group,
      sources: this.readSources(packet.at + QUERY2_BYTES, count),
      responseUs: responseUs(code, 15, US_PER_MS),
      robustness: view.getUint8(packet.at + 24) & 7,
      intervalUs: responseUs(view.getUint8(packet.at + 25), 7, US_PER_S),
    });
    return Drop.None;
  }

  /** As many as are kept; a list cut short asks for all of the group, which answers too much rather than too little. */
  private readSources(at: number, count: number): SourceSet {
    if (count > SOURCES_MAX) return [];
    return Array.from({ length: count }, (_, i) => {
      const source = new Int32Array(ADDRESS_WORDS);
      read6(this.shared.view, at + 16 * i, source);
      return source;
    });
  }

  /** RFC 3590 §4: the unspecified address until there is a link-local one. */
  private sourceOf(iface: NetworkInterface): Address {
    const a = linkLocalOf(this.addresses, iface.number);
    return a === NO_ADDRESS ? ANY : this.addresses.addressOf(a);
  }

  private sendVersion1(iface: NetworkInterface, type: number, target: Address, group: Address): void {
    const { view } = this.shared;
    if (this.isSilent(iface.number)) return;
    const at = this.frames.begin6(iface, this.sourceOf(iface), target, VERSION1_BYTES, 1, true);
    if (at === NONE) return;
    view.setUint32(at, type << 24);
    view.setUint32(at + 4, 0);
    write6(view, at + GROUP, group);
    this.frames.seal6();
    this.frames.commit();
  }

  private sendBatch(iface: NetworkInterface, records: readonly ReportRecord[], bytes: number): void {
    const { view } = this.shared;
    if (this.isSilent(iface.number)) return;
    const start = this.frames.begin6(iface, this.sourceOf(iface), ALL_LISTENER_ROUTERS, bytes, 1, true);
    if (start === NONE) return;
    view.setUint32(start, (icmp6.Type.ListenerReport2 << 24) >>> 0);
    view.setUint32(start + 4, records.length);
    let at = start + REPORT2_HEADER_BYTES;
    for (const record of records) {
      view.setUint32(at, ((record.type << 24) | record.sources.length) >>> 0);
      write6(view, at + 4, record.group);
      at += RECORD_BYTES;
      for (const source of record.sources) {
        write6(view, at, source);
        at += 16;
      }
    }
    this.frames.seal6();
    this.frames.commit();
  }
}

/** True if the packet's hop-by-hop header has a router alert for MLD, RFC 2711 §2.1. */
function hasRouterAlert(view: DataView, packet: Packet): boolean {
  if (ipv6.nextHeader(view, packet.ip) !== ipv6.Extension.HopByHop) return false;
  const start = packet.ip + ipv6.HEADER_BYTES;
  const end = Math.min(start + ((view.getUint8(start + 1) + 1) << 3), packet.at);
  for (let at = start + 2; at < end; ) {
    const type = view.getUint8(at);
    if (type === 0) at++;
    else {
      if (at + 2 > end) return false;
      const bytes = view.getUint8(at + 1);
      if (type === 5) return bytes === 2 && at + 4 <= end && view.getUint16(at + 2) === 0;
      at += 2 + bytes;
    }
  }
  return false;
}
