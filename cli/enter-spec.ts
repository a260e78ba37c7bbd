// What the two halves of `weft run` tell each other: JSON, because each is one small message per start.

import type { Prefixed } from './address.ts';
import type { DeviceKind } from './run-options.ts';

/** An address for the device: bytes as an array, prefix length in bits. */
export interface AddressSpec {
  readonly address: number[];
  readonly prefixLength: number;
}

/** What the device gets. */
export interface Addressing {
  readonly addresses: AddressSpec[];
  readonly gateways: number[][];
}

/** First argument of the inner half. */
export interface EnterSpec extends Addressing {
  readonly device: DeviceKind;
  readonly mac: number[];
  readonly mtu: number;
  /** The descriptor of the packet socket to the supervisor. */
  readonly control: number;
  /** Descriptors from 3 on that the user handed to the program; they go on into it. */
  readonly keep: number[];
  /** Soft limit of open files that the program shall have, or null: leave it. */
  readonly openFiles: number | null;
}

/** Inner half to supervisor: the device's descriptor is attached; or it has printed why there is none. */
export interface Ready {
  readonly kind: 'tap' | 'packet' | 'failed';
}

/** Supervisor to inner half: become the program, with what the engine leased on top. */
export interface Go extends Addressing {
  /** The device's MTU from now on; 0: it stays. */
  readonly mtu: number;
  readonly names: Names;
}

/** How the program is to find names: servers' addresses as text. Without any it asks whom the host asks. */
export interface Names {
  readonly servers: string[];
  readonly search: string[];
}

/** Addresses as JSON can carry them. */
export const addressing = (addresses: readonly Prefixed[], gateways: readonly Uint8Array[]): Addressing => ({
  addresses: addresses.map(({ address, prefixLength }) => ({ address: [...address], prefixLength })),
  gateways: gateways.map((gateway) => [...gateway]),
});
