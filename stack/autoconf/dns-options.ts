// Name servers and search domains that routers advertise: RFC 8106.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_S } from '../../core/time.ts';
import { ADDRESS_WORDS, type Address, equal, isAny, isMulticast, read6 } from '../address.ts';
import { loadAddress } from '../multicast/source-set.ts';
import type { Shared } from '../shared.ts';
import { AutoconfEvent, type AutoconfEvents } from './autoconf-events.ts';
import { loadTime } from './load-time.ts';

// Ours; RFC 8106 §5.3.1 asks for three at least.
const SERVERS_MAX = 8;
const DOMAINS_MAX = 8;
const NAME_BYTES_MAX = 255;
const LABEL_BYTES_MAX = 63;
const INFINITE = 0xffffffff;

interface Server {
  readonly iface: number;
  readonly address: Address;
  untilUs: number;
}

interface Domain {
  readonly iface: number;
  readonly name: string;
  untilUs: number;
}

/** The lists, in the order in which routers told them first. */
export class DnsOptions {
  private readonly shared: Shared;
  private readonly events: AutoconfEvents;
  private servers: Server[] = [];
  private domains: Domain[] = [];
  private readonly address: Address = new Int32Array(ADDRESS_WORDS);

  constructor(shared: Shared, events: AutoconfEvents) {
    this.shared = shared;
    this.events = events;
  }

  /** Servers and where they were learned; a link-local one is good on that interface only. */
  listServers(): readonly { readonly iface: number; readonly address: Address }[] {
    return this.servers;
  }

  /** Domains in text form, without a dot at the end. */
  listDomains(): readonly { readonly iface: number; readonly name: string }[] {
    return this.domains;
  }

  /** The option at `at` with recursive servers, which fits: §5.1. One of a wrong length is ignored. */
  receiveServers(iface: number, at: number, bytes: number): void {
    if (bytes < 24 || bytes % 16 !== 8) return;
    const untilUs = this.untilUs(at);
    for (let p = at + 8; p < at + bytes; p += 16) {
      read6(this.shared.view, p, this.address);
      if (!isMulticast(this.address) && !isAny(this.address)) this.setServer(iface, untilUs);
    }
  }

  /** The option at `at` with search domains, which fits: §5.2. What is no name ends it. */
  receiveDomains(iface: number, at: number, bytes: number): void {
    if (bytes < 16) return;
    const untilUs = this.untilUs(at);
    const end = at + bytes;
    for (let p = at + 8; p < end; ) {
      const name = this.readName(p, end);
      if (name === undefined || name === '') return; // zeros are padding
      this.setDomain(iface, name, untilUs);
      p += name.length + 2;
    }
  }

  /** Forgets what an interface told. */
  forget(iface: number): void {
    this.prune(
      (one) => one.iface !== iface,
      (one) => one.iface !== iface,
    );
  }

  deadlineUs(): number {
    let earliestUs = NEVER;
    for (const one of this.servers) earliestUs = Math.min(earliestUs, one.untilUs);
    for (const one of this.domains) earliestUs = Math.min(earliestUs, one.untilUs);
    return earliestUs;
  }

  expire(): void {
    const { nowUs } = this.shared;
    this.prune(
      (one) => one.untilUs > nowUs,
      (one) => one.untilUs > nowUs,
    );
  }

  save(state: StateWriter): void {
    state.number(this.servers.length);
    for (const one of this.servers) state.number(one.iface).column(one.address).number(one.untilUs);
    state.number(this.domains.length);
    for (const one of this.domains) state.number(one.iface).text(one.name).number(one.untilUs);
  }

  load(state: StateReader): void {
    this.servers = [];
    this.domains = [];
    const servers = state.integer(0, SERVERS_MAX);
    for (let i = 0; i < servers; i++) {
      this.servers.push({ iface: state.integer(1, 65535), address: loadAddress(state), untilUs: loadTime(state) });
    }
    const domains = state.integer(0, DOMAINS_MAX);
    for (let i = 0; i < domains; i++) {
      this.domains.push({ iface: state.integer(1, 65535), name: state.text(NAME_BYTES_MAX), untilUs: loadTime(state) });
    }
  }

  private untilUs(at: number): number {
    const seconds = this.shared.view.getUint32(at + 4);
    return seconds === INFINITE ? NEVER : this.shared.nowUs + seconds * US_PER_S;
  }

  private setServer(iface: number, untilUs: number): void {
    const { servers } = this;
    const known = servers.find((one) => one.iface === iface && equal(one.address, this.address));
    if (known) known.untilUs = untilUs;
    else if (untilUs > this.shared.nowUs) {
      if (servers.length >= SERVERS_MAX && !dropSoonest(servers, untilUs)) return;
      servers.push({ iface, address: Int32Array.from(this.address), untilUs });
      this.events.push(AutoconfEvent.DnsServers, iface);
    }
    if (untilUs <= this.shared.nowUs) this.expire(); // §5.1: a lifetime of 0 ends it
  }

  private setDomain(iface: number, name: string, untilUs: number): void {
    const { domains } = this;
    const known = domains.find((one) => one.iface === iface && one.name === name);
    if (known) known.untilUs = untilUs;
    else if (untilUs > this.shared.nowUs) {
      if (domains.length >= DOMAINS_MAX && !dropSoonest(domains, untilUs)) return;
      domains.push({ iface, name, untilUs });
      this.events.push(AutoconfEvent.DnsSearch, iface);
    }
    if (untilUs <= this.shared.nowUs) this.expire();
  }

  /** A name of RFC 1035 §3.1 without compression; '' for the root, undefined if it is none. */
  private readName(at: number, end: number): string | undefined {
    const { view } = this.shared;
    let name = '';
    for (let p = at; p < end; ) {
      const bytes = view.getUint8(p++);
      if (bytes === 0) return name;
      if (bytes > LABEL_BYTES_MAX || p + bytes > end || name.length + bytes > NAME_BYTES_MAX - 2) return undefined;
      if (name !== '') name += '.';
      for (const last = p + bytes; p < last; p++) {
        const c = view.getUint8(p);
        if (!isNameByte(c)) return undefined;
        name += String.fromCharCode(c);
      }
    }
    return undefined;
  }

  private prune(keepsServer: (one: Server) => boolean, keepsDomain: (one: Domain) => boolean): void {
    const servers = this.servers.filter(keepsServer);
    const domains = this.domains.filter(keepsDomain);
    if (servers.length !== this.servers.length) this.events.push(AutoconfEvent.DnsServers, 0);
    if (domains.length !== this.domains.length) this.events.push(AutoconfEvent.DnsSearch, 0);
    this.servers = servers;
    this.domains = domains;
  }
}

/** Letters, digits, hyphen, underscore: what may stand in a search list without harm to who prints it. */
const isNameByte = (c: number): boolean =>
  (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || (c >= 48 && c <= 57) || c === 45 || c === 95;

/** §5.3.1: makes room by what ends first; false if that is the new one. */
function dropSoonest(list: { readonly untilUs: number }[], untilUs: number): boolean {
  let soonest = 0;
  for (let i = 1; i < list.length; i++) if (list[i]!.untilUs < list[soonest]!.untilUs) soonest = i;
  if (list[soonest]!.untilUs >= untilUs) return false;
  list.splice(soonest, 1);
  return true;
}
