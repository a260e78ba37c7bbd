// The stack's own name in multicast DNS: probing, announcing, conflicts, and what is answered. RFC 6762 §6, §8, §9.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_MS, US_PER_S } from '../../core/time.ts';
import * as dns from '../../wire/dns.ts';
import { nameData, nsecData, record } from '../../wire/dns-data.ts';
import { nameKey, reverseName } from '../../wire/dns-name.ts';
import { type Address, isIp4 } from '../address.ts';
import type { Random } from '../random.ts';
import { loadRecords, readNameText, saveRecords } from './dns-records.ts';
import { bytesOf } from './resolver-names.ts';

/** Where the name stands. */
export const HostState = { Stopped: 0, Probing: 1, Announcing: 2, Ready: 3 } as const;
export type HostState = (typeof HostState)[keyof typeof HostState];

/** §10: of records with a host's name. */
export const HOST_TTL_S = 120;
const PROBES = 3;
const PROBE_US = 250 * US_PER_MS;
const ANNOUNCEMENTS = 2;
const ANNOUNCE_US = US_PER_S;
const LOST_US = US_PER_S; // §8.2
const CONFLICTS_MAX = 15; // §8.1: within ten seconds
const CONFLICTS_US = 10 * US_PER_S;
const CONFLICTS_WAIT_US = 5 * US_PER_S;
// Ours.
const ADDRESSES_MAX = 16;

/** One host name on one interface. */
export class MdnsHost {
  state: HostState = HostState.Stopped;
  deadlineUs = NEVER;
  private readonly random: Random;
  private base: string; // the label that was wished for
  private suffix = 1;
  private count = 0;
  private conflicts = 0;
  private conflictsUs = 0;
  private addresses: readonly dns.ResourceRecord[] = [];

  /** @param label the first label of the name. */
  constructor(random: Random, label: string) {
    this.random = random;
    this.base = label;
  }

  /** `host.local`, or what it became. */
  get name(): string {
    return `${this.base}${this.suffix === 1 ? '' : `-${this.suffix}`}.local`;
  }

  /** Claims the name with these addresses, or others than before. None: nothing is claimed. */
  claim(addresses: readonly Address[], nowUs: number): void {
    const wasStopped = this.state === HostState.Stopped;
    this.addresses = addresses
      .slice(0, ADDRESSES_MAX)
      .map((a) => record(this.name, isIp4(a) ? dns.Type.A : dns.Type.AAAA, HOST_TTL_S, bytesOf(a), true));
    if (this.addresses.length === 0) this.stop();
    else if (wasStopped) this.probe(nowUs + this.random.below(PROBE_US));
    else if (this.state === HostState.Ready) this.announce(nowUs); // §8.4: changed data are announced anew
  }

  /** Another label from now on, to be claimed like the first. */
  rename(label: string, nowUs: number): void {
    if (label === this.base) return;
    this.base = label;
    this.suffix = 1;
    if (this.state !== HostState.Stopped) this.probe(nowUs + this.random.below(PROBE_US));
  }

  stop(): void {
    this.state = HostState.Stopped;
    this.deadlineUs = NEVER;
  }

  /** The message that is due, if any. */
  expire(nowUs: number): dns.Message | undefined {
    if (nowUs < this.deadlineUs) return undefined;
    if (this.state === HostState.Probing && this.count < PROBES) {
      this.count++;
      this.deadlineUs = nowUs + PROBE_US;
      return this.probeMessage();
    }
    if (this.state === HostState.Probing) this.announce(nowUs);
    this.count++;
    this.deadlineUs = this.count < ANNOUNCEMENTS ? nowUs + ANNOUNCE_US : NEVER;
    if (this.count >= ANNOUNCEMENTS) this.state = HostState.Ready;
    return response(this.records());
  }

  /** All that is ours: addresses and their reverse names. `ttl` 0 says goodbye, §10.1. */
  records(ttl = HOST_TTL_S): dns.ResourceRecord[] {
    const forward = this.addresses.map((r) => ({ ...r, name: this.name, ttl }));
    const reverse = this.addresses.map((r) =>
      record(reverseName(r.data), dns.Type.PTR, ttl, nameData(this.name), true),
    );
    return [...forward, ...reverse];
  }

  /** True once the name may be answered for. */
  get isOurs(): boolean {
    return this.state === HostState.Announcing || this.state === HostState.Ready;
  }

  /** Records that answer a question; for a type that the name does not have, the proof of that (§6.1). */
  answers({ name, type, class: class16 }: dns.Question): dns.ResourceRecord[] {
    const class15 = class16 & ~dns.Class.TopBit;
    if (!this.isOurs || (class15 !== dns.Class.In && class15 !== dns.Class.Any)) return [];
    const named = this.records().filter((r) => nameKey(r.name) === nameKey(name));
    const found = named.filter((r) => type === dns.Type.ANY || r.type === type);
    if (found.length > 0 || named.length === 0) return found;
    return [
      record(
        named[0]!.name,
        dns.Type.NSEC,
        HOST_TTL_S,
        nsecData(
          named[0]!.name,
          named.map((r) => r.type),
        ),
        true,
      ),
    ];
  }

  /** A response of somebody else: a record of our name with other data is a conflict. §8.1, §9. */
  hear(message: dns.Message, nowUs: number): void {
    if (this.state === HostState.Stopped) return;
    const ours = this.addresses;
    const key = nameKey(this.name);
    const isConflict = [...message.answers, ...message.additionals].some(
      (r) =>
        nameKey(r.name) === key &&
        r.ttl > 0 &&
        (r.type === dns.Type.A || r.type === dns.Type.AAAA) &&
        !ours.some((own) => own.type === r.type && compareBytes(own.data, r.data) === 0),
    );
    if (!isConflict) return;
    // §9: who was established verifies again; who was probing takes another name.
    if (this.state === HostState.Probing) this.suffix++;
    this.addresses = ours.map((r) => ({ ...r, name: this.name }));
    this.probe(nowUs + this.pauseUs(nowUs));
  }

  /** A probe of somebody else for our name while we probe: the later data win, the loser waits a second. §8.2. */
  hearProbe(message: dns.Message, nowUs: number): void {
    if (this.state !== HostState.Probing) return;
    const key = nameKey(this.name);
    const theirs = message.authorities.filter((r) => nameKey(r.name) === key);
    if (theirs.length > 0 && compareSets(this.addresses, theirs) < 0) this.probe(nowUs + LOST_US);
  }

  save(state: StateWriter): void {
    state.text(this.base);
    const { state: where, suffix, count, conflicts, conflictsUs, deadlineUs } = this;
    for (const value of [where, suffix, count, conflicts, conflictsUs, deadlineUs]) state.number(value);
    saveRecords(state, this.addresses);
  }

  load(state: StateReader): void {
    this.base = readNameText(state);
    this.state = state.integer(0, HostState.Ready) as HostState;
    this.suffix = state.integer(1, 2 ** 31);
    this.count = state.integer(0, PROBES);
    this.conflicts = state.integer(0, CONFLICTS_MAX);
    this.conflictsUs = state.number();
    this.deadlineUs = state.number();
    this.addresses = loadRecords(state);
  }

  private probe(atUs: number): void {
    this.state = HostState.Probing;
    this.count = 0;
    this.deadlineUs = atUs;
  }

  private announce(nowUs: number): void {
    this.state = HostState.Announcing;
    this.count = 0;
    this.deadlineUs = nowUs;
  }

  /** §8.1: after fifteen conflicts within ten seconds each attempt waits five. */
  private pauseUs(nowUs: number): number {
    if (nowUs - this.conflictsUs > CONFLICTS_US) {
      this.conflicts = 0;
      this.conflictsUs = nowUs;
    }
    this.conflicts = Math.min(this.conflicts + 1, CONFLICTS_MAX);
    return this.conflicts === CONFLICTS_MAX ? CONFLICTS_WAIT_US : this.random.below(PROBE_US);
  }

  /** §8.1: type ANY, a unicast answer is welcome; what will be claimed stands in the authority section. */
  private probeMessage(): dns.Message {
    const question = { name: this.name, type: dns.Type.ANY, class: dns.Class.In | dns.Class.TopBit };
    // §10.2: no cache-flush bit there.
    const authorities = this.addresses.map((r) => ({ ...r, name: this.name, class: dns.Class.In }));
    return { id: 0, flags: 0, questions: [question], answers: [], authorities, additionals: [] };
  }
}

/** A multicast response, §18: no identification, authoritative. */
export const response = (
  answers: readonly dns.ResourceRecord[],
  additionals: readonly dns.ResourceRecord[] = [],
): dns.Message => ({
  id: 0,
  flags: dns.Flag.Response | dns.Flag.Authoritative,
  questions: [],
  answers,
  authorities: [],
  additionals,
});

/** Below 0, 0 or above as the bytes of `a` come before those of `b`; a beginning comes before the whole. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

/** §8.2.1: sorted by class without its top bit, type and data, then compared one by one. */
function compareSets(ours: readonly dns.ResourceRecord[], theirs: readonly dns.ResourceRecord[]): number {
  const compare = (a: dns.ResourceRecord, b: dns.ResourceRecord): number =>
    (a.class & ~dns.Class.TopBit) - (b.class & ~dns.Class.TopBit) || a.type - b.type || compareBytes(a.data, b.data);
  const a = [...ours].sort(compare);
  const b = [...theirs].sort(compare);
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compare(a[i]!, b[i]!);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}
