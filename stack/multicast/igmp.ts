// IGMP, the host's half: RFC 3376 (version 3), with the hosts of RFC 2236 and RFC 1112 when an older querier is present.

import { Drop } from '../../core/drop.ts';
import { NONE } from '../../core/slab.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { US_PER_MS, US_PER_S } from '../../core/time.ts';
import { checksumOf, finish } from '../../wire/checksum.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import { ADDRESS_WORDS, type Address, ANY4, isAny, isIp4, isMulticast, of4, read4, write4 } from '../address.ts';
import type { Addresses } from '../autoconf/addresses.ts';
import type { ControlFrames } from '../link/control-frames.ts';
import type { Interfaces, NetworkInterface } from '../link/interfaces.ts';
import { isAssigned } from '../link/own-addresses.ts';
import type { Packet } from '../packet.ts';
import { Random } from '../random.ts';
import { Purpose, type Shared } from '../shared.ts';
import { inReports, type ReportRecord, type ReportSizes } from './group-record.ts';
import { GroupReporter, type GroupWire, responseUs } from './group-reporter.ts';
import { SOURCES_MAX, type SourceSet } from './source-set.ts';

/** 224.0.0.22, all IGMPv3-capable routers: RFC 3376 §4.2.14. */
const ALL_REPORT_ROUTERS = of4(0xe0000016);
const ALL_ROUTERS = of4(0xe0000002);

/** Message types, RFC 3376 §4. */
export const IgmpType = { Query: 0x11, Report1: 0x12, Report2: 0x16, Leave: 0x17, Report3: 0x22 } as const;

const MESSAGE_BYTES = 8;
const QUERY3_BYTES = 12;
const RECORD_BYTES = 8;
const REPORT_BYTES_MAX = 576 - 24;
const SIZES: ReportSizes = {
  headerBytes: MESSAGE_BYTES,
  recordBytes: RECORD_BYTES,
  addressBytes: ipv4.ADDRESS_BYTES,
  bytesMax: REPORT_BYTES_MAX,
};
const TENTH_US = 100 * US_PER_MS;
/** RFC 3376 §7.2.1, RFC 2236 §4: what a version 1 query, whose field is 0, means. */
const VERSION1_RESPONSE_US = 10 * US_PER_S;
const ROUTER_ALERT = 0x94;

/** Receives and writes IGMP; `reporter` decides. */
export class Igmp implements GroupWire {
  readonly newest = 3;
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
    // A stream of its own, derived from MLD's key: the two answer at times that tell nothing of each other.
    const random = new Random(new Random(shared.secret, Purpose.Multicast).key, Purpose.Multicast);
    this.reporter = new GroupReporter(shared, interfaces, this, random);
  }

  /** ICMP says nothing about reports. */
  fail(): void {}

  /** Takes an IGMP message, whose checksum is verified here: RFC 3376 §4.1.2. */
  receive(packet: Packet): Drop {
    const { view } = this.shared;
    const iface = this.interfaces.get(packet.iface);
    if (!iface || packet.bytes < MESSAGE_BYTES) return Drop.IcmpTruncated;
    if (checksumOf(view, packet.at, packet.bytes) !== 0xffff) return Drop.IcmpChecksum;
    const type = view.getUint8(packet.at);
    read4(view, packet.at + 4, this.group);
    if (type === IgmpType.Query) return this.query(iface, packet);
    // A report for a group that another host sent: RFC 2236 §3.
    if ((type === IgmpType.Report1 || type === IgmpType.Report2) && isMulticast(this.group)) {
      this.reporter.heardReport(iface, this.group);
    }
    return Drop.None;
  }

  /** Only all-hosts is never reported: RFC 3376 §5. */
  isUnreported(): boolean {
    return false;
  }

  sendReports(iface: NetworkInterface, records: readonly ReportRecord[]): void {
    inReports(records, SIZES, (batch, bytes) => this.sendBatch(iface, batch, bytes));
  }

  sendOldReport(iface: NetworkInterface, group: Address, version: number): void {
    this.sendOld(iface, version === 1 ? IgmpType.Report1 : IgmpType.Report2, group, group);
  }

  /** Version 1 has no leave: RFC 2236 §4. */
  sendLeave(iface: NetworkInterface, group: Address, version: number): void {
    if (version > 1) this.sendOld(iface, IgmpType.Leave, ALL_ROUTERS, group);
  }

  save(state: StateWriter): void {
    state.section('stack/igmp', 1);
    this.reporter.save(state);
  }

  load(state: StateReader): void {
    state.section('stack/igmp', 1);
    this.reporter.load(state);
  }

  private query(iface: NetworkInterface, packet: Packet): Drop {
    const { view } = this.shared;
    const code = view.getUint8(packet.at + 1);
    if (!isAny(this.group) && !isMulticast(this.group)) return Drop.BadTarget;
    if (packet.bytes === MESSAGE_BYTES) {
      const version = code === 0 ? 1 : 2;
      // RFC 3376 §9.1: a version 2 query without router alert is not believed; version 1 had none.
      if (version === 2 && !hasRouterAlert(view, packet)) return Drop.Ip4Option;
      this.reporter.queried(iface, {
        version,
        group: this.group,
        sources: [],
        responseUs: code === 0 ? VERSION1_RESPONSE_US : code * TENTH_US,
        robustness: 0,
        intervalUs: 0,
      });
      return Drop.None;
    }
    if (packet.bytes < QUERY3_BYTES) return Drop.IcmpTruncated; // RFC 3376 §7.1
    if (!hasRouterAlert(view, packet)) return Drop.Ip4Option;
    const count = view.getUint16(packet.at + 10);
    if (QUERY3_BYTES + 4 * count > packet.bytes) return Drop.IcmpTruncated;
    this.reporter.queried(iface, {
      version: 3,
      group: this.group,
      sources: this.readSources(packet.at + QUERY3_BYTES, count),
      responseUs: responseUs(code, 7, TENTH_US),
      robustness: view.getUint8(packet.at + 8) & 7,
      intervalUs: responseUs(view.getUint8(packet.at + 9), 7, US_PER_S),
    });
    return Drop.None;
  }

  /** As many as are kept; a list cut short asks for all of the group, which answers too much rather than too little. */
  private readSources(at: number, count: number): SourceSet {
    if (count > SOURCES_MAX) return [];
    return Array.from({ length: count }, (_, i) => {
      const source = new Int32Array(ADDRESS_WORDS);
      read4(this.shared.view, at + 4 * i, source);
      return source;
    });
  }

  /** RFC 3376 §4.2.13: 0.0.0.0 while there is no address yet. */
  private sourceOf(iface: NetworkInterface): Address {
    for (const a of this.addresses.ids()) {
      if (this.addresses.ifaceOf(a) !== iface.number || !isAssigned(this.addresses, a)) continue;
      const address = this.addresses.addressOf(a);
      if (isIp4(address)) return address;
    }
    return ANY4;
  }

  private sendOld(iface: NetworkInterface, type: number, target: Address, group: Address): void {
    const { view } = this.shared;
    const at = this.frames.begin4(iface, this.sourceOf(iface), target, MESSAGE_BYTES);
    if (at === NONE) return;
    view.setUint32(at, type << 24);
    write4(view, at + 4, group);
    this.seal(at, MESSAGE_BYTES);
  }

  private sendBatch(iface: NetworkInterface, records: readonly ReportRecord[], bytes: number): void {
    const { view } = this.shared;
    const start = this.frames.begin4(iface, this.sourceOf(iface), ALL_REPORT_ROUTERS, bytes);
    if (start === NONE) return;
    view.setUint32(start, IgmpType.Report3 << 24);
    view.setUint32(start + 4, records.length);
    let at = start + MESSAGE_BYTES;
    for (const record of records) {
      view.setUint32(at, ((record.type << 24) | record.sources.length) >>> 0);
      write4(view, at + 4, record.group);
      at += RECORD_BYTES;
      for (const source of record.sources) {
        write4(view, at, source);
        at += 4;
      }
    }
    this.seal(start, bytes);
  }

  private seal(at: number, bytes: number): void {
    const { view } = this.shared;
    view.setUint16(at + 2, finish(checksumOf(view, at, bytes)));
    this.frames.commit();
  }
}

/** RFC 2113: an option of type 148 in the IPv4 header. */
function hasRouterAlert(view: DataView, packet: Packet): boolean {
  const end = packet.ip + ipv4.headerBytes(view, packet.ip);
  for (let at = packet.ip + ipv4.HEADER_BYTES; at < end; ) {
    const type = view.getUint8(at);
    if (type === 0) return false;
    if (type === ROUTER_ALERT) return true;
    if (type === 1) at++;
    else {
      if (at + 1 >= end || view.getUint8(at + 1) < 2) return false;
      at += view.getUint8(at + 1);
    }
  }
  return false;
}
