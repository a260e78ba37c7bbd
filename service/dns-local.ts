// What is answered without asking anybody: names that are known, zones that are ours or nobody's.

import { Class, Flag, Rcode, Type } from '../wire/dns.ts';
import { embed } from '../wire/nat64.ts';
import { addressBytes, type DnsNames, type LocalName, wireKey } from './dns-names.ts';
import type { DnsNetwork } from './dns-parts.ts';
import type { DnsQuery } from './dns-query.ts';
import type { DnsReply } from './dns-reply.ts';
import { type DnsZones, Zone } from './dns-zones.ts';

const LOOPBACK4 = Uint8Array.of(127, 0, 0, 1);
const LOOPBACK6 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const LOCALHOST = wireKey('localhost')!;
/** RFC 7050 §8.2: what ipv4only.arpa is. */
const IP4_ONLY = [0xc00000aa, 0xc00000ab];

/** 192.0.0.170 and .171 behind the prefix, RFC 7050 §3. */
function ip4Only(dns64: DnsNetwork | undefined): readonly Uint8Array[] {
  if (!dns64) return [];
  return IP4_ONLY.map((ip4) => {
    const address = new Int32Array(4);
    embed(dns64.address, dns64.bits, ip4, address);
    return addressBytes(address);
  });
}

export class DnsLocal {
  private readonly names: DnsNames;
  private readonly zones: DnsZones;
  private readonly only4: readonly Uint8Array[];
  private readonly only6: readonly Uint8Array[];

  constructor(names: DnsNames, zones: DnsZones, dns64?: DnsNetwork) {
    this.names = names;
    this.zones = zones;
    this.only4 = IP4_ONLY.map((ip4) => addressBytes(Int32Array.of(0, 0, 0xffff, ip4 | 0)));
    this.only6 = ip4Only(dns64);
  }

  /** Makes the answer, but for its OPT record; false if it is not ours to give. */
  answer(query: DnsQuery, reply: DnsReply): boolean {
    const { zones } = this;
    const zone = zones.find(query);
    const name = this.names.find(query);
    if (name && (query.class === Class.In || query.class === Class.Any)) {
      this.known(query, reply, name, zone === Zone.None ? 0 : zones.zoneAt);
      return true;
    }
    if (zone !== Zone.None) this.zone(query, reply, zone);
    else if (zones.reverse(query) && zones.isOurs) this.nothing(query, reply, Rcode.NxDomain, query.labelAt[1]!);
    else return false;
    return true;
  }

  private known(query: DnsQuery, reply: DnsReply, name: LocalName, zoneAt: number): void {
    reply.begin(query, Flag.Authoritative, Rcode.NoError);
    const { records } = name;
    let found = 0;
    for (let i = 0; i < records.length; i++) {
      const record = records[i]!;
      if (record.type !== query.type && query.type !== Type.ANY) continue;
      reply.answer(record.type, record.data);
      found++;
    }
    if (found === 0) reply.authority(zoneAt);
  }

  private zone(query: DnsQuery, reply: DnsReply, zone: Zone): void {
    const { zoneAt } = this.zones;
    const isApex = zoneAt === 0;
    if (isApex && query.type === Type.SOA) {
      reply.begin(query, Flag.Authoritative, Rcode.NoError);
      reply.soaAnswer();
      return;
    }
    switch (zone) {
      case Zone.Localhost:
        this.pick(query, reply, LOOPBACK4, LOOPBACK6, undefined);
        return;
      case Zone.LoopbackReverse:
        this.pick(query, reply, undefined, undefined, LOCALHOST);
        return;
      case Zone.Ip4Only:
        if (isApex) this.pick(query, reply, this.only4[0], this.only6[0], undefined, true);
        else this.nothing(query, reply, Rcode.NxDomain, zoneAt);
        return;
      case Zone.Domain:
        this.nothing(query, reply, isApex ? Rcode.NoError : Rcode.NxDomain, zoneAt);
        return;
      default:
        this.nothing(query, reply, zone === Zone.Empty ? Rcode.NoError : Rcode.NxDomain, zoneAt);
    }
  }

  /** One record of the type that is asked for, with `isPair` both that ipv4only.arpa has. */
  private pick(
    query: DnsQuery,
    reply: DnsReply,
    ip4: Uint8Array | undefined,
    ip6: Uint8Array | undefined,
    name: Uint8Array | undefined,
    isPair = false,
  ): void {
    const { type } = query;
    const data = type === Type.A ? ip4 : type === Type.AAAA ? ip6 : type === Type.PTR ? name : undefined;
    if (!data) {
      this.nothing(query, reply, Rcode.NoError, this.zones.zoneAt);
      return;
    }
    reply.begin(query, Flag.Authoritative, Rcode.NoError);
    reply.answer(type, data);
    if (isPair) reply.answer(type, (type === Type.A ? this.only4 : this.only6)[1]!);
  }

  private nothing(query: DnsQuery, reply: DnsReply, code: number, zoneAt: number): void {
    reply.begin(query, Flag.Authoritative, code);
    reply.authority(zoneAt);
  }
}
