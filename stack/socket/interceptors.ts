// Which endpoint takes what comes in by an interface and is for nobody, and what a packet asked for that it was.

import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import { Errno } from '../errno.ts';
import type { Packet } from '../packet.ts';
import { DatagramFlag } from './datagram-queue.ts';
import { type Endpoints, Field } from './endpoints.ts';

const NOBODY = -1;
const INTERFACES = 64; // below this number they may have one

/** The interceptors of one protocol, one an interface. */
export class Interceptors {
  private readonly endpoints: Endpoints;
  private readonly kind: number;
  private readonly ofIface = new Int32Array(INTERFACES).fill(NOBODY);

  /** @param kind of the endpoints, a value of `Kind`. */
  constructor(endpoints: Endpoints, kind: number) {
    this.endpoints = endpoints;
    this.kind = kind;
  }

  /** 0, -EINVAL, -EADDRINUSE. */
  add(e: number, iface: number): number {
    if (iface <= 0 || iface >= INTERFACES) return -Errno.EINVAL;
    if (this.ofIface[iface] !== NOBODY) return -Errno.EADDRINUSE;
    this.ofIface[iface] = e;
    return 0;
  }

  remove(e: number): void {
    const iface = this.ifaceOf(e);
    if (iface >= 0) this.ofIface[iface] = NOBODY;
  }

  /** The interceptor of `iface`, -1 if it has none. */
  find(iface: number): number {
    return iface < INTERFACES ? this.ofIface[iface]! : NOBODY;
  }

  /** Where `e` intercepts, -1 if nowhere. */
  ifaceOf(e: number): number {
    return this.ofIface.indexOf(e);
  }

  /** Within the section of the protocol. */
  save(state: StateWriter): void {
    state.column(this.ofIface);
  }

  /** After the endpoints were loaded. */
  load(state: StateReader): void {
    const { endpoints, kind } = this;
    state.into(this.ofIface);
    for (const e of this.ofIface) {
      if (e === NOBODY || (e >= 0 && e < endpoints.end && endpoints.get(e, Field.Kind) === kind)) continue;
      throw new StateError(`endpoint ${e} intercepts`);
    }
  }
}

/** `DatagramFlag.DontFragment` of a packet that may not be cut on its way, else 0. */
export function dontFragmentOf(view: DataView, { isIp6, ip, wasReassembled }: Packet): number {
  // RFC 8200 §4.5: what its sender itself cut may travel in pieces again; of any size.
  if (isIp6) return wasReassembled ? 0 : DatagramFlag.DontFragment;
  return (ipv4.fragment(view, ip) & ipv4.DONT_FRAGMENT) !== 0 ? DatagramFlag.DontFragment : 0;
}
