// The host's half of multicast listening, which IGMP and MLD share: what is reported when, in every version.
//
// A change is told at once and again `robustness` - 1 times (RFC 3376 §5.1, RFC 3810 §6.1); queries are answered after a
// random delay (§5.2, §6.2). While a querier of an older version is about (§7.2, §8.2) every group has its own reports,
// which are left out if another host's was heard (RFC 2236 §3, RFC 2710 §4).

import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_S } from '../../core/time.ts';
import { type Address, equal, isAny } from '../address.ts';
import { loadTime } from '../autoconf/load-time.ts';
import type { Interfaces, NetworkInterface } from '../link/interfaces.ts';
import type { Random } from '../random.ts';
import type { Shared } from '../shared.ts';
import { GroupRecord, type ReportRecord } from './group-record.ts';
import { isEverybody, type MembershipListener } from './multicast.ts';
import type { SourceSet } from './source-set.ts';

/** RFC 3376 §8.1, RFC 3810 §9.1. */
const ROBUSTNESS = 2;
const ROBUSTNESS_MAX = 7;
/** RFC 3376 §8.11, RFC 3810 §9.11: the Unsolicited Report Interval of the newest version. */
const UNSOLICITED_US = US_PER_S;
/** RFC 2236 §8.10, RFC 2710 §7.10. */
const UNSOLICITED_OLD_US = 10 * US_PER_S;
/** RFC 3376 §8.2, RFC 3810 §9.2, until a query says otherwise. */
const QUERY_INTERVAL_US = 125 * US_PER_S;
/** RFC 3376 §8.3, RFC 3810 §9.3. */
const QUERY_RESPONSE_US = 10 * US_PER_S;
// Ours.
const RECORDS_MAX = 1024;

/** Writes one family's messages. Versions are the protocol's own numbers. */
export interface GroupWire {
  /** The version that reports with records; older ones report groups one by one. */
  readonly newest: number;
  /** True for groups that no report is ever sent about. */
  isUnreported(group: Address): boolean;
  sendReports(iface: NetworkInterface, records: readonly ReportRecord[]): void;
  sendOldReport(iface: NetworkInterface, group: Address, version: number): void;
  sendLeave(iface: NetworkInterface, group: Address, version: number): void;
}

/** What a query says. */
export interface Query {
  readonly version: number;
  /** ANY or 0.0.0.0 asks for everything. */
  readonly group: Address;
  readonly sources: SourceSet;
  readonly responseUs: number;
  /** 0 if the querier does not say. */
  readonly robustness: number;
  readonly intervalUs: number;
}

/** One interface's side of it. */
interface Link {
  readonly iface: number;
  robustness: number;
  intervalUs: number;
  changeUs: number; // when changes are told again
  generalUs: number; // when a general query is to be answered
  readonly oldUntilUs: [number, number]; // until when a querier of version 1, of version 2 counts as present
}

/** The state machine; `wire` says how its messages look. */
export class GroupReporter implements MembershipListener {
  private readonly shared: Shared;
  private readonly interfaces: Interfaces;
  private readonly wire: GroupWire;
  private readonly random: Random;
  private readonly links: Link[] = [];
  private records: GroupRecord[] = [];

  constructor(shared: Shared, interfaces: Interfaces, wire: GroupWire, random: Random) {
    this.shared = shared;
    this.interfaces = interfaces;
    this.wire = wire;
    this.random = random;
  }

  /** What is to be heard of a group changed. */
  changed(number: number, group: Address, isExclude: boolean, sources: SourceSet): void {
    const iface = this.interfaces.get(number);
    if (!iface || isEverybody(group) || this.wire.isUnreported(group)) return;
    const link = this.linkOf(number);
    let record = this.find(number, group);
    if (!record) {
      if (this.records.length >= RECORDS_MAX) return;
      record = new GroupRecord(number, group);
      this.records.push(record);
    }
    const was = record.isListening;
    record.change(isExclude, sources, link.robustness);
    const version = this.versionOf(link);
    if (version < this.wire.newest) this.changedOld(iface, link, record, was, version);
    else this.tellChanges(iface, link, [record]);
    this.prune();
  }

  /** A query came in by `iface`; the message was checked. */
  queried(iface: NetworkInterface, query: Query): void {
    const link = this.linkOf(iface.number);
    if (query.version < this.wire.newest) this.noteOldQuerier(link, query);
    else {
      link.robustness = query.robustness === 0 ? ROBUSTNESS : Math.min(ROBUSTNESS_MAX, query.robustness);
      link.intervalUs = query.intervalUs;
    }
    const dueUs = this.shared.nowUs + this.random.between(0, Math.max(0, query.responseUs));
    if (this.versionOf(link) < this.wire.newest) {
      this.askOld(iface.number, query, dueUs);
      return;
    }
    if (link.generalUs <= dueUs) return; // RFC 3376 §5.2, rule 1
    if (isAny(query.group)) {
      link.generalUs = dueUs;
      return;
    }
    const record = this.find(iface.number, query.group);
    if (record?.isListening) record.ask(dueUs, query.sources);
  }

  /** Another host reported `group` in an old version: RFC 2236 §3, RFC 2710 §4: ours is not needed. */
  heardReport(iface: NetworkInterface, group: Address): void {
    const link = this.linkOf(iface.number);
    const record = this.find(iface.number, group);
    if (!record || this.versionOf(link) === this.wire.newest) return;
    record.dueUs = NEVER;
    record.isLastReporter = false;
  }

  /** Reports all groups of `iface` anew: a source address came (RFC 3590 §4), or the stack changed its place. */
  retell(iface: NetworkInterface): void {
    const link = this.linkOf(iface.number);
    const version = this.versionOf(link);
    const records = this.records.filter((one) => one.iface === iface.number && one.isListening);
    if (records.length === 0) return;
    if (version === this.wire.newest)
      this.wire.sendReports(
        iface,
        records.map((one) => one.current()),
      );
    else for (const one of records) this.wire.sendOldReport(iface, one.group, version);
  }

  /** The version that is spoken on an interface now. */
  versionOn(iface: number): number {
    return this.versionOf(this.linkOf(iface));
  }

  deadlineUs(): number {
    let earliestUs = NEVER;
    for (const link of this.links) earliestUs = Math.min(earliestUs, link.changeUs, link.generalUs);
    for (const record of this.records) earliestUs = Math.min(earliestUs, record.dueUs, record.repeatUs);
    return earliestUs;
  }

  expire(): void {
    const { nowUs } = this.shared;
    for (const link of this.links) {
      const iface = this.interfaces.get(link.iface);
      if (!iface) continue;
      if (link.generalUs <= nowUs) this.answerGeneral(iface, link);
      this.answerGroups(iface, link);
      if (link.changeUs <= nowUs) this.tellChanges(iface, link, this.recordsOf(link.iface));
    }
    this.prune();
  }

  save(state: StateWriter): void {
    this.random.save(state);
    state.number(this.links.length);
    for (const link of this.links) {
      state.number(link.iface).number(link.robustness).number(link.intervalUs);
      state.number(link.changeUs).number(link.generalUs).number(link.oldUntilUs[0]).number(link.oldUntilUs[1]);
    }
    state.number(this.records.length);
    for (const record of this.records) record.save(state);
  }

  load(state: StateReader): void {
    this.random.load(state);
    const interfacesMax = this.interfaces.all().length;
    this.links.length = 0;
    this.records = [];
    const links = state.integer(0, interfacesMax);
    for (let i = 0; i < links; i++) {
      this.links.push({
        iface: state.integer(1, interfacesMax),
        robustness: state.integer(1, ROBUSTNESS_MAX),
        intervalUs: loadTime(state),
        changeUs: loadTime(state),
        generalUs: loadTime(state),
        oldUntilUs: [loadTime(state), loadTime(state)],
      });
    }
    const records = state.integer(0, RECORDS_MAX);
    for (let i = 0; i < records; i++) this.records.push(GroupRecord.load(state, interfacesMax));
  }

  private find(iface: number, group: Address): GroupRecord | undefined {
    return this.records.find((one) => one.iface === iface && equal(one.group, group));
  }

  private recordsOf(iface: number): GroupRecord[] {
    return this.records.filter((one) => one.iface === iface);
  }

  private linkOf(iface: number): Link {
    let link = this.links.find((one) => one.iface === iface);
    if (!link) {
      link = {
        iface,
        robustness: ROBUSTNESS,
        intervalUs: QUERY_INTERVAL_US,
        changeUs: NEVER,
        generalUs: NEVER,
        oldUntilUs: [-NEVER, -NEVER],
      };
      this.links.push(link);
    }
    return link;
  }

  /** RFC 3376 §7.2.1, RFC 3810 §8.2.1: the oldest querier that is present. */
  private versionOf(link: Link): number {
    const { nowUs } = this.shared;
    if (link.oldUntilUs[0] > nowUs) return 1;
    if (this.wire.newest > 2 && link.oldUntilUs[1] > nowUs) return 2;
    return this.wire.newest;
  }

  /** §7.2.1: a change of the version forgets what was to be answered and told. */
  private noteOldQuerier(link: Link, query: Query): void {
    const before = this.versionOf(link);
    const presentUs = link.robustness * link.intervalUs + QUERY_RESPONSE_US; // RFC 3376 §8.12
    link.oldUntilUs[query.version - 1] = this.shared.nowUs + presentUs;
    if (this.versionOf(link) === before) return;
    link.changeUs = NEVER;
    link.generalUs = NEVER;
    for (const record of this.recordsOf(link.iface)) {
      record.dropChanges();
      record.dueUs = NEVER;
      record.repeats = 0;
      record.repeatUs = NEVER;
    }
  }

  /** Sends a state change report for `records` and plans the next one if some must be told again. */
  private tellChanges(iface: NetworkInterface, link: Link, records: readonly GroupRecord[]): void {
    const told: ReportRecord[] = [];
    for (const record of records) if (record.hasChanges) told.push(...record.takeChanges());
    if (told.length > 0) this.wire.sendReports(iface, told);
    const isMore = this.recordsOf(link.iface).some((one) => one.hasChanges);
    link.changeUs = isMore ? this.shared.nowUs + this.random.between(1, UNSOLICITED_US) : NEVER;
  }

  private answerGeneral(iface: NetworkInterface, link: Link): void {
    link.generalUs = NEVER;
    const records = this.recordsOf(link.iface).filter((one) => one.isListening);
    if (records.length > 0)
      this.wire.sendReports(
        iface,
        records.map((one) => one.current()),
      );
  }

  private answerGroups(iface: NetworkInterface, link: Link): void {
    const { nowUs } = this.shared;
    const version = this.versionOf(link);
    for (const record of this.recordsOf(link.iface)) {
      if (record.dueUs <= nowUs) {
        const answer = record.answer();
        if (answer && version === this.wire.newest) this.wire.sendReports(iface, [answer]);
        else if (record.isListening && version < this.wire.newest) this.reportOld(iface, record, version);
      }
      if (record.repeatUs <= nowUs) this.repeatOld(iface, record, version);
    }
  }

  /** RFC 2236 §3, RFC 2710 §4: a general query is for all groups, each with a delay of its own. */
  private askOld(iface: number, query: Query, firstUs: number): void {
    let dueUs = firstUs;
    for (const record of this.recordsOf(iface)) {
      if (!record.isListening || (!isAny(query.group) && !equal(query.group, record.group))) continue;
      record.ask(dueUs, []);
      dueUs = this.shared.nowUs + this.random.between(0, Math.max(0, query.responseUs));
    }
  }

  private changedOld(iface: NetworkInterface, link: Link, record: GroupRecord, was: boolean, version: number): void {
    record.dropChanges();
    if (record.isListening && !was) {
      // RFC 2710 §4: told at once, and again in case the first was lost.
      this.reportOld(iface, record, version);
      record.repeats = link.robustness - 1;
      record.repeatUs = record.repeats > 0 ? this.oldRepeatUs() : NEVER;
    } else if (was && !record.isListening) {
      record.repeats = 0;
      record.repeatUs = NEVER;
      record.dueUs = NEVER;
      if (record.isLastReporter) this.wire.sendLeave(iface, record.group, version);
    }
  }

  private repeatOld(iface: NetworkInterface, record: GroupRecord, version: number): void {
    record.repeats--;
    record.repeatUs = record.repeats > 0 ? this.oldRepeatUs() : NEVER;
    if (version < this.wire.newest && record.isListening) this.reportOld(iface, record, version);
  }

  private reportOld(iface: NetworkInterface, record: GroupRecord, version: number): void {
    record.isLastReporter = true;
    this.wire.sendOldReport(iface, record.group, version);
  }

  private oldRepeatUs(): number {
    return this.shared.nowUs + this.random.between(1, UNSOLICITED_OLD_US);
  }

  private prune(): void {
    this.records = this.records.filter((one) => !one.isIdle);
  }
}

/** The time that a code of a query means, RFC 3376 §4.1.1 and RFC 3810 §5.1.3: as it stands, or as a floating-point number. */
export function responseUs(code: number, exponentAt: number, unitUs: number): number {
  if (code < 2 ** exponentAt) return code * unitUs;
  const mantissaBits = exponentAt - 3;
  const mantissa = (code % 2 ** mantissaBits) + 2 ** mantissaBits;
  const exponent = Math.floor(code / 2 ** mantissaBits) % 8;
  return mantissa * 2 ** (exponent + 3) * unitUs;
}
