// DHCP on one interface of a stack: both servers, one lease table, and addresses for programs that the engine starts.

import { NEVER } from '../core/time.ts';
import { type Address, formatAddress, parseAddress, type Stack, type StackUser } from '../stack/stack.ts';
import { bytes16, hexOf } from './bytes-text.ts';
import { DhcpCounters } from './dhcp-counters.ts';
import type { DhcpSettings } from './dhcp-settings.ts';
import { Dhcp4Server } from './dhcp4-server.ts';
import { Dhcp6Server } from './dhcp6-server.ts';
import { type Client, type LeaseOptions, Leases } from './leases.ts';

export { DhcpCounters } from './dhcp-counters.ts';

const S = 1_000_000;
const WAIT_S_MAX = 3600; // the wall clock may be set meanwhile

/** Everything of a network's DHCP. */
export interface DhcpServiceOptions extends LeaseOptions {
  readonly settings: DhcpSettings;
  /** The wall clock in whole seconds. */
  readonly nowS: () => number;
}

/** What a program that the engine starts is given: all that DHCP would have told it. */
export interface Allotment {
  /** `A/BITS`, IPv4 first. */
  readonly addresses: readonly { readonly address: Address; readonly bits: number }[];
  /** The default router of IPv4; IPv6 has router advertisements. */
  readonly gateway: Address | undefined;
  readonly dns: readonly Address[];
  readonly domain: string;
  readonly search: readonly string[];
  /** 0: not said. */
  readonly mtuBytes: number;
  /** What it is called, '' for nothing. */
  readonly name: string;
}

/** Serves an interface that has its addresses already, as long as the stack is driven, until `close`. */
export class DhcpService implements StackUser {
  readonly leases: Leases;
  readonly counters = new DhcpCounters();
  private readonly options: DhcpServiceOptions;
  private readonly stack: Stack;
  private readonly server4: Dhcp4Server | undefined;
  private readonly server6: Dhcp6Server | undefined;

  /** Opens the sockets. Throws `UsageError` if an option is wrong or a port of the interface is taken. */
  constructor(stack: Stack, iface: number, options: DhcpServiceOptions) {
    this.stack = stack;
    this.options = options;
    this.leases = new Leases(options);
    const { settings, nowS } = options;
    const parts = { stack, iface, leases: this.leases, settings, nowS, counters: this.counters };
    this.server4 = settings.ip4 && new Dhcp4Server(parts, settings.ip4);
    try {
      this.server6 = settings.ip6 && new Dhcp6Server(parts, settings.ip6);
    } catch (error) {
      this.server4?.close();
      throw error;
    }
    stack.addUser(this);
  }

  /** What router advertisements must say so that guests ask here: the M and O flags, RFC 4861 §4.2. */
  get wantsManaged(): { readonly isManaged: boolean; readonly hasOther: boolean } {
    const isManaged = this.server6 !== undefined && this.leases.serves(true);
    return { isManaged, hasOther: this.server6 !== undefined };
  }

  /** Addresses of both families for a program, the same ones for the same MAC address; undefined if a pool has none. */
  allot(mac: string, name: string): Allotment | undefined {
    const nowS = this.options.nowS();
    const { settings, pool4, pool6 } = this.options;
    const addresses: { address: Address; bits: number }[] = [];
    let called = '';
    for (const isIp6 of [false, true]) {
      const bits = (isIp6 ? pool6 : pool4)?.bits;
      if (bits === undefined) continue;
      const lease = this.leases.hold(programOf(mac, name, isIp6), isIp6, nowS);
      if (!lease) {
        this.giveBack(mac);
        return undefined;
      }
      addresses.push({ address: lease.address.slice(), bits });
      called ||= lease.name;
    }
    const { domain, search, mtuBytes, ip4, ip6 } = settings;
    const dns = [...(ip4?.dns ?? []), ...(ip6?.dns ?? [])];
    return { addresses, gateway: ip4?.gateway, dns, domain, search, mtuBytes, name: called };
  }

  /**
   * A program with this MAC address has chosen an address itself: no other gets it until `giveBack`. False if another has it;
   * true as well of addresses that are not leased here.
   */
  occupy(mac: string, name: string, address: Address): boolean {
    const isIp6 = address[0] !== 0 || address[1] !== 0 || address[2] !== 0xffff;
    const program = programOf(mac, name, isIp6);
    const client = { ...program, id: program.id + hexOf(bytes16(address)) }; // it may have several
    return this.leases.occupy(client, address, this.options.nowS());
  }

  /** The program ended; its addresses are kept for it as long as no other needs them. */
  giveBack(mac: string): void {
    this.leases.giveBack(mac.toLowerCase(), this.options.nowS());
  }

  /** Nothing is sent by itself. */
  turn(): void {}

  /** When `expire` has something to do, in the stack's own clock. */
  deadlineUs(): number {
    const untilS = this.leases.deadlineS();
    if (untilS === Number.POSITIVE_INFINITY) return NEVER;
    const waitS = Math.min(untilS - this.options.nowS(), WAIT_S_MAX);
    return this.stack.shared.nowUs + Math.max(0, waitS) * S;
  }

  expire(): void {
    this.leases.expire(this.options.nowS());
  }

  /** Closes the sockets. The leases stay readable, to be saved. */
  close(): void {
    this.stack.removeUser(this);
    this.server4?.close();
    this.server6?.close();
  }
}

/** A program as DHCP would see it, if it asked without an identifier of its own (RFC 2131 §2, RFC 8415 §11.4). */
function programOf(mac: string, name: string, isIp6: boolean): Client {
  const lower = mac.toLowerCase();
  const hex = lower.replaceAll(':', '');
  const rest = { mac: lower, name, isProgram: true };
  if (!isIp6) return { id: `01${hex}`, where: lower, ...rest };
  return { id: `00030001${hex}00000000`, where: linkLocalOf(lower), ...rest };
}

/** `fe80::…` with the modified EUI-64 of a MAC address, RFC 4291 Appendix A. */
const linkLocalOf = (mac: string): string => {
  const b = mac.split(':').map((part) => Number.parseInt(part, 16));
  const at = (i: number): string => b[i]!.toString(16).padStart(2, '0');
  const first = (b[0]! ^ 2).toString(16).padStart(2, '0');
  return formatAddress(parseAddress(`fe80::${first}${at(1)}:${at(2)}ff:fe${at(3)}:${at(4)}${at(5)}`)!);
};
