// Where guests may go and under which names.
//
//   what a guest writes              what it means on the host's side
//   a forward out of the gateway     its place: an address or a Unix socket; no rule is asked
//   an address of the gateway        the host's loopback of the same family, if a rule allows that
//   an address in the network        nobody: whoever has it would have answered itself
//   prefix of NAT64 + IPv4           the IPv4 address, by the rules for that
//   any other                        itself, by the rules

import { UsageError } from '../core/assert.ts';
import {
  type Address,
  ANY_ADDRESS,
  ANY_ADDRESS4,
  addressOf4,
  assignAddress,
  equalAddresses,
  formatAddress,
  isAnyAddress,
  isIp4,
  isLinkLocal,
  isLoopback,
  parseAddress,
} from '../stack/stack.ts';
import * as nat64 from '../wire/nat64.ts';
import type { ForwardSpec } from './forward-spec.ts';
import { type GatewayNetwork, isInNetwork } from './gateway-network.ts';
import { ownAddresses } from './own-addresses.ts';
import { Protocol, type Targets, Verdict } from './parts.ts';
import { isSpecial4 } from './places.ts';
import { Judgement, type Rules } from './rules.ts';

/** RFC 6052: `bits` 32, 40, 48, 56, 64 or 96. */
export interface Nat64Prefix {
  readonly address: Address;
  readonly bits: number;
}

/** 64:ff9b::/96. */
export const NAT64_WELL_KNOWN: Nat64Prefix = { address: nat64.WELL_KNOWN, bits: nat64.WELL_KNOWN_BITS };

/** What targets are made of. */
export interface GatewayTargetsOptions {
  readonly network: GatewayNetwork;
  readonly rules: Rules;
  /** Undefined: IPv6 guests reach IPv6 only. */
  readonly nat64?: Nat64Prefix | undefined;
  readonly outbound4?: Address | undefined;
  readonly outbound6?: Address | undefined;
}

/** Reads `ADDRESS/BITS`. Throws `UsageError`. */
export function parseNat64(text: string): Nat64Prefix {
  const [host = '', length = ''] = text.split('/');
  const address = parseAddress(host);
  const bits = /^\d{1,3}$/.test(length) ? Number(length) : -1;
  if (!address || isIp4(address) || !nat64.PREFIX_BITS.includes(bits))
    throw new UsageError(
      `nat64 '${text.slice(0, 80)}': expected an IPv6 prefix of ${nat64.PREFIX_BITS.join(', ')} bits, such as 64:ff9b::/96`,
    );
  const prefix = new Int32Array(address.length);
  nat64.embed(address, bits, 0, prefix);
  // RFC 6052 §2.2: of a prefix of 96 bits, too, the octet u is zero.
  if (!equalAddresses(prefix, address) || !nat64.isEmbedding(prefix, prefix, bits))
    throw new UsageError(`nat64 '${text.slice(0, 80)}': bits behind the prefix and bits 64 … 71 are zero`);
  return { address: prefix, bits };
}

interface Out {
  readonly spec: ForwardSpec;
  readonly bind: Address | undefined;
  readonly host: Address;
}

const HOST_LOOPBACK4: Address = addressOf4(0x7f000001);
const HOST_LOOPBACK6: Address = Int32Array.of(0, 0, 0, 1);

/** The gateway's `Targets`. */
export class GatewayTargets implements Targets {
  hostPort = 0;
  hostPath = '';
  private readonly network: GatewayNetwork;
  private readonly rules: Rules;
  private readonly nat64: Nat64Prefix | undefined;
  private readonly own: readonly Address[];
  private readonly source4: Address;
  private readonly source6: Address;
  private readonly outs: Out[] = [];
  private readonly mapped: Address = new Int32Array(4);

  constructor({ network, rules, nat64: prefix, outbound4, outbound6 }: GatewayTargetsOptions) {
    this.network = network;
    this.rules = rules;
    this.nat64 = prefix;
    this.own = ownAddresses(network).map(({ address }) => address);
    this.source4 = Int32Array.from(outbound4 ?? ANY_ADDRESS4);
    this.source6 = Int32Array.from(outbound6 ?? ANY_ADDRESS);
  }

  /** Adds a forward out. Throws `UsageError` if the gateway has no such address, or one of its ports leads somewhere already. */
  addOut(spec: ForwardSpec): void {
    const bind = spec.bind === '' ? undefined : parseAddress(spec.bind);
    if (bind && !this.isOwn(bind))
      throw new UsageError(
        `forward on ${spec.bind}: the gateway has ${this.own.map(formatAddress).join(', ')}; name one or none`,
      );
    const host = spec.host === '' ? ANY_ADDRESS : parseAddress(spec.host)!;
    const taken = this.outs.find((one) => areSamePorts(one.spec, spec) && areSameBinds(one.bind, bind));
    if (taken) throw new UsageError(`forward on ${spec.protocol} port ${spec.port}: another one begins there already`);
    this.outs.push({ spec, bind, host });
  }

  /** Ends one that was added. */
  removeOut(spec: ForwardSpec): void {
    const i = this.outs.findIndex((one) => one.spec === spec);
    if (i >= 0) this.outs.splice(i, 1);
  }

  /** True for an address of the gateway. */
  isOwn(address: Address): boolean {
    for (const own of this.own) if (equalAddresses(own, address)) return true;
    return false;
  }

  isHostOwn(address: Address): boolean {
    return this.rules.isHostOwn(address);
  }

  decide(protocol: Protocol, guest: Address, target: Address, port: number, into: Address): Verdict {
    this.hostPort = port;
    this.hostPath = '';
    // An IPv4 address in an IPv6 packet, ::ffff:127.0.0.1, is nobody's.
    if (isIp4(guest) !== isIp4(target) || !this.isGuest(guest, target)) return Verdict.Unreachable;
    if (this.isOwn(target)) return this.decideOwn(protocol, target, port, into);
    if (isInNetwork(this.network, target)) return Verdict.Unreachable;
    const { nat64: prefix } = this;
    if (prefix && !isIp4(target) && nat64.isEmbedding(target, prefix.address, prefix.bits))
      return this.decideMapped(protocol, prefix, target, port, into);
    assignAddress(into, target);
    return this.rules.allows(protocol, target, port) ? Verdict.Go : Verdict.Prohibited;
  }

  source(isIp6: boolean): Address {
    return isIp6 ? this.source6 : this.source4;
  }

  nameFor(address: Address, asTarget: Address, into: Address): boolean {
    const isFor4 = isIp4(asTarget);
    if (isAnyAddress(address) || isLoopback(address)) return this.nameOwn(asTarget, into);
    if (this.isOwn(asTarget) && this.isPlaceOfOut(address)) {
      assignAddress(into, asTarget);
      return true;
    }
    if (isIp4(address) && !isFor4) return this.nameMapped(address, into);
    // Nothing from outside comes under a guest's name, and a link-local address says nothing on another link.
    if (isIp4(address) !== isFor4 || isInNetwork(this.network, address) || isLinkLocal(address)) return false;
    assignAddress(into, address);
    return true;
  }

  /** Who has an address that answers find: others would only fill tables. A link-local one is for the gateway itself. */
  private isGuest(guest: Address, target: Address): boolean {
    if (isInNetwork(this.network, guest)) return !this.isOwn(guest);
    return isLinkLocal(guest) && !isIp4(guest) && isLinkLocal(target) && this.isOwn(target) && !this.isOwn(guest);
  }

  private decideOwn(protocol: Protocol, target: Address, port: number, into: Address): Verdict {
    for (const { spec, bind, host } of this.outs) {
      if (!isFor(spec, protocol, port) || (bind && !equalAddresses(bind, target))) continue;
      this.hostPort = spec.hostPort + port - spec.port;
      this.hostPath = spec.path;
      assignAddress(into, host);
      return Verdict.Go;
    }
    assignAddress(into, isIp4(target) ? HOST_LOOPBACK4 : HOST_LOOPBACK6);
    const judgement = this.rules.judge(protocol, into, port);
    if (judgement === Judgement.Denied) return Verdict.Prohibited;
    return judgement === Judgement.Allowed ? Verdict.Go : Verdict.Refused;
  }

  private decideMapped(protocol: Protocol, prefix: Nat64Prefix, target: Address, port: number, into: Address): Verdict {
    const { mapped } = this;
    assignAddress(mapped, ANY_ADDRESS4);
    mapped[3] = nat64.embedded(target, prefix.bits);
    if (isInNetwork(this.network, mapped)) return Verdict.Unreachable;
    assignAddress(into, mapped);
    const judgement = this.rules.judge(protocol === Protocol.Icmp6 ? Protocol.Icmp : protocol, mapped, port);
    // RFC 6052 §3.1: the well-known prefix is for global addresses.
    const isWellKnown = prefix.bits === 96 && equalAddresses(prefix.address, nat64.WELL_KNOWN);
    const least = isWellKnown && isSpecial4(mapped) ? Judgement.Allowed : Judgement.Passed;
    return judgement >= least ? Verdict.Go : Verdict.Prohibited;
  }

  /** The host itself is to guests the gateway: by the address that was meant, else by its first of the family. */
  private nameOwn(asTarget: Address, into: Address): boolean {
    if (this.isOwn(asTarget)) {
      assignAddress(into, asTarget);
      return true;
    }
    const net = isIp4(asTarget) ? this.network.net4 : this.network.net6;
    if (net) assignAddress(into, net.gateway);
    return net !== undefined;
  }

  private nameMapped(address: Address, into: Address): boolean {
    const { nat64: prefix } = this;
    if (!prefix || isInNetwork(this.network, address)) return false;
    nat64.embed(prefix.address, prefix.bits, address[3]!, into);
    return true;
  }

  private isPlaceOfOut(address: Address): boolean {
    for (const { host } of this.outs) if (equalAddresses(host, address)) return true;
    return false;
  }
}

function isFor(spec: ForwardSpec, protocol: Protocol, port: number): boolean {
  const number = spec.protocol === 'tcp' ? Protocol.Tcp : Protocol.Udp;
  return number === protocol && port >= spec.port && port < spec.port + spec.ports;
}

const areSamePorts = (a: ForwardSpec, b: ForwardSpec): boolean =>
  a.protocol === b.protocol && a.port < b.port + b.ports && b.port < a.port + a.ports;

const areSameBinds = (a: Address | undefined, b: Address | undefined): boolean => !a || !b || equalAddresses(a, b);
