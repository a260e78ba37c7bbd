// A gateway as its network, commands and reports see it: in words, so that its code is loaded only where there is one.

import type { Port } from '../core/port.ts';
import type { JoinLease } from '../plug/plug.ts';

/** One gateway of a network, for commands. All that is listed is plain values. */
export interface GatewayView {
  /** Its port number. */
  readonly number: number;
  status(): object;
  readonly forwards: ForwardTable;
  readonly names: NameTable;
  /** Of all guests, or of one address. Throws `UsageError`. */
  flows(guest: string | undefined): object[];
  leases(): object[];
  metrics(): Metric[];
}

/** Its forwards. */
export interface ForwardTable {
  /** `how`: in, out or keep-source. Throws `UsageError`, or `FailedError` where the host refuses. */
  add(spec: string, how: string): object;
  /** Undefined if there is none of that number. */
  remove(id: number): object | undefined;
  list(): object[];
}

/** The names that its name server knows. Both throw `UsageError`. */
export interface NameTable {
  add(name: string, address: string): void;
  remove(address: string): void;
}

/** A family of counters: labels of its own, and values. */
export interface Metric {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  readonly rows: readonly (readonly [labels: string, value: number])[];
}

/** Where a gateway is. */
export interface GatewayPlace {
  /** Its port number in the network. */
  readonly number: number;
  /** Where leases are kept unless the options say otherwise; undefined: nowhere. */
  readonly leasesPath: string | undefined;
  /** The port behind which a hardware address (48 bits) is, if that is one guest's, else -1. */
  readonly portOf: (mac: number) => number;
  /** Something happened: `lease`, `refused`, `gateway`. */
  readonly notify: (event: string, text: string) => void;
}

/** A gateway as its network sees it, who attaches and detaches its port. */
export interface NetworkGateway extends GatewayView {
  readonly port: Port;
  /** For listings: where guests find it. */
  describe(): string;
  /** Whoever is in the network now hears who has the gateway's addresses. */
  announce(): void;
  /** Addresses for a program of `weft run`; undefined where none are leased, one line where none is left. `had`: as in `PortRoom`. */
  lease(mac: Uint8Array, name: string, had?: readonly string[]): JoinLease | string | undefined;
  /** Its owner detaches the port in the same turn. */
  close(): void;
}
