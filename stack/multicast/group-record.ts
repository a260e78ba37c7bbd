// One group that is reported: its state, what is still to be told of it, and what was asked. RFC 3810 §6, RFC 3376 §5.

import type { StateReader, StateWriter } from '../../core/state.ts';
import type { Address } from '../address.ts';
import { loadTime } from '../autoconf/load-time.ts';
import {
  common,
  hasSource,
  loadAddress,
  loadSources,
  minus,
  NO_SOURCES,
  SOURCES_MAX,
  type SourceSet,
  saveSources,
  union,
} from './source-set.ts';

/** Record types of a report, the same numbers in both families: RFC 3376 §4.2.12, RFC 3810 §5.2.12. */
export const RecordType = {
  IsInclude: 1,
  IsExclude: 2,
  ToInclude: 3,
  ToExclude: 4,
  Allow: 5,
  Block: 6,
} as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

/** One record as it is written. */
export interface ReportRecord {
  readonly type: RecordType;
  readonly group: Address;
  readonly sources: SourceSet;
}

const ROBUSTNESS_MAX = 7;

/** State of a group on an interface, as its reporter knows it. */
export class GroupRecord {
  readonly iface: number;
  readonly group: Address;
  isExclude = false;
  sources: SourceSet = NO_SOURCES;
  /** Reports of the mode's change that are still to be sent, and of single sources' changes. */
  private modeReports = 0;
  private changed: { source: Address; reports: number }[] = [];
  /** When an answer to a query for this group is due, NEVER if none; and for which sources, all if empty. */
  dueUs = Infinity;
  asked: SourceSet = NO_SOURCES;
  /** Of the old protocol versions: reports to repeat, when, and whether ours was the last report heard. */
  repeats = 0;
  repeatUs = Infinity;
  isLastReporter = false;

  constructor(iface: number, group: Address) {
    this.iface = iface;
    this.group = Int32Array.from(group);
  }

  get isListening(): boolean {
    return this.isExclude || this.sources.length > 0;
  }

  get hasChanges(): boolean {
    return this.modeReports > 0 || this.changed.length > 0;
  }

  /** Nothing is left to be told of it. */
  get isIdle(): boolean {
    return !this.isListening && !this.hasChanges && this.repeats === 0;
  }

  /** RFC 3810 §6.1: a change is told `robustness` times, together with those that are not told often enough yet. */
  change(isExclude: boolean, sources: SourceSet, robustness: number): void {
    if (isExclude !== this.isExclude) {
      this.modeReports = robustness;
      this.changed = [];
    } else {
      const differing = [...minus(sources, this.sources), ...minus(this.sources, sources)];
      for (const source of differing) {
        this.changed = this.changed.filter((one) => !hasSource([source], one.source));
        if (this.changed.length < 2 * SOURCES_MAX) this.changed.push({ source, reports: robustness });
      }
    }
    this.isExclude = isExclude;
    this.sources = sources;
  }

  /** The records of the next state change report, which counts as sent. */
  takeChanges(): ReportRecord[] {
    const { group } = this;
    if (this.modeReports > 0) {
      this.modeReports--;
      this.countChanged();
      const type = this.isExclude ? RecordType.ToExclude : RecordType.ToInclude;
      return [{ type, group, sources: this.sources }];
    }
    const told = this.changed.map((one) => one.source);
    const allowed = this.isExclude ? minus(told, this.sources) : common(told, this.sources);
    const blocked = minus(told, allowed);
    this.countChanged();
    const records: ReportRecord[] = [];
    if (allowed.length > 0) records.push({ type: RecordType.Allow, group, sources: allowed });
    if (blocked.length > 0) records.push({ type: RecordType.Block, group, sources: blocked });
    return records;
  }

  dropChanges(): void {
    this.modeReports = 0;
    this.changed = [];
  }

  /** The answer to a query for everything: RFC 3376 §5.2, rule 1 and 2. */
  current(): ReportRecord {
    const type = this.isExclude ? RecordType.IsExclude : RecordType.IsInclude;
    return { type, group: this.group, sources: this.sources };
  }

  /** Notes a query for this group: RFC 3376 §5.2, rules 3 to 5. */
  ask(dueUs: number, sources: SourceSet): void {
    const isPending = this.dueUs !== Infinity;
    if (sources.length === 0 || (isPending && this.asked.length === 0)) this.asked = NO_SOURCES;
    else this.asked = isPending ? union(this.asked, sources) : sources;
    this.dueUs = Math.min(this.dueUs, dueUs);
  }

  /** The answer to what was asked, which counts as answered; undefined if there is nothing to say. RFC 3376 §5.2. */
  answer(): ReportRecord | undefined {
    const asked = this.asked;
    this.dueUs = Infinity;
    this.asked = NO_SOURCES;
    if (!this.isListening) return undefined;
    if (asked.length === 0) return this.current();
    const sources = this.isExclude ? minus(asked, this.sources) : common(asked, this.sources);
    return sources.length > 0 ? { type: RecordType.IsInclude, group: this.group, sources } : undefined;
  }

  save(state: StateWriter): void {
    state.number(this.iface).column(this.group).boolean(this.isExclude).number(this.modeReports);
    saveSources(state, this.sources);
    state.number(this.changed.length);
    for (const one of this.changed) state.column(one.source).number(one.reports);
    state.number(this.dueUs);
    saveSources(state, this.asked);
    state.number(this.repeats).number(this.repeatUs).boolean(this.isLastReporter);
  }

  static load(state: StateReader, interfacesMax: number): GroupRecord {
    const record = new GroupRecord(state.integer(1, interfacesMax), loadAddress(state));
    record.isExclude = state.boolean();
    record.modeReports = state.integer(0, ROBUSTNESS_MAX);
    record.sources = loadSources(state);
    const changed = state.integer(0, 2 * SOURCES_MAX);
    for (let i = 0; i < changed; i++) {
      record.changed.push({ source: loadAddress(state), reports: state.integer(1, ROBUSTNESS_MAX) });
    }
    record.dueUs = loadTime(state);
    record.asked = loadSources(state);
    record.repeats = state.integer(0, ROBUSTNESS_MAX);
    record.repeatUs = loadTime(state);
    record.isLastReporter = state.boolean();
    return record;
  }

  private countChanged(): void {
    for (const one of this.changed) one.reports--;
    this.changed = this.changed.filter((one) => one.reports > 0);
  }
}

/** How long the parts of a report are, in bytes: its header, a record without sources, an address, and all of it. */
export interface ReportSizes {
  readonly headerBytes: number;
  readonly recordBytes: number;
  readonly addressBytes: number;
  readonly bytesMax: number;
}

/** Gives the records to `send` in as few reports as hold them, with each report's length: RFC 3376 §4.2.16, RFC 3810 §5.2.15. */
export function inReports(
  records: readonly ReportRecord[],
  { headerBytes, recordBytes, addressBytes, bytesMax }: ReportSizes,
  send: (batch: readonly ReportRecord[], bytes: number) => void,
): void {
  let batch: ReportRecord[] = [];
  let bytes = headerBytes;
  for (const record of records) {
    const size = recordBytes + addressBytes * record.sources.length;
    if (bytes + size > bytesMax && batch.length > 0) {
      send(batch, bytes);
      batch = [];
      bytes = headerBytes;
    }
    batch.push(record);
    bytes += size;
  }
  if (batch.length > 0) send(batch, bytes);
}
