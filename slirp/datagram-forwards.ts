// UDP forwards: a port of the host leads to a port of a guest.
//
// A forward is a mapping of `UdpFlows` that stays. What a client sends comes to the guest from the client's own address and
// port, if that is wanted and the guest can have a name for it; else from an address of the gateway with a port for each
// client, so that the guest's answers find their way. What the guest sends from its port leaves by the forward's socket,
// whoever began. Clients are the mapping's remotes: bounded, the one that was silent for longest goes first, and forgotten
// after the mapping's times.

import {
  type Address,
  ANY_ADDRESS,
  ANY_ADDRESS4,
  assignAddress,
  Errno,
  equalAddresses,
  isAnyAddress,
  isIp4,
} from '../stack/stack.ts';
import { NO_ROW } from './flow-table.ts';
import type { FlowParts } from './parts.ts';
import type { ClientNames, UdpFlows } from './udp-flows.ts';

/** Where the host listens and where it leads. */
export interface DatagramForward {
  /** Of the host; all zero: any. */
  readonly bind: Address;
  /** 0: one that is free. */
  readonly port: number;
  readonly guest: Address;
  readonly guestPort: number;
  /** The guest sees the clients' own addresses, where families allow it. */
  readonly keepsSource: boolean;
}

/** Ports for clients who have none of their own: RFC 6335 §6. */
const PORT_MIN = 49_152;
const PORTS = 65_536 - PORT_MIN;
const TRIES = 64;
const RESERVED_PORTS = 1024;

/** The UDP forwards of a gateway. A forward is known by its number. */
export class DatagramForwards implements ClientNames {
  private readonly parts: FlowParts;
  private readonly flows: UdpFlows;
  private readonly gatewayAddress: (isIp6: boolean) => Address;
  private readonly forwards = new Map<number, DatagramForward>(); // by mapping
  private nextPort = 0;

  /** `gatewayAddress`: by which guests of a family know the gateway. */
  constructor(parts: FlowParts, flows: UdpFlows, gatewayAddress: (isIp6: boolean) => Address) {
    this.parts = parts;
    this.flows = flows;
    this.gatewayAddress = gatewayAddress;
  }

  /** Begins to listen: its number, or -errno of the host's, -ENOBUFS if there are too many mappings. */
  add(forward: DatagramForward): number {
    const isIp6 = !isIp4(forward.bind);
    const h = this.parts.host.openUdp(isIp6, forward.bind, forward.port);
    if (h < 0) return h;
    const guest = forward.guest.slice();
    const m = this.flows.addForward(guest, forward.guestPort, isIp6, h, this);
    if (m === NO_ROW) return -Errno.ENOBUFS;
    this.forwards.set(m, { ...forward, guest, bind: forward.bind.slice() });
    return m;
  }

  /** Ends one and forgets its clients. False if there is none of this number. */
  remove(number: number): boolean {
    if (!this.forwards.delete(number)) return false;
    this.flows.remove(number);
    return true;
  }

  /** The port that it listens on. */
  portOf(number: number): number {
    return this.flows.table.hostPortOf(number);
  }

  /** Clients that it has now. */
  clientsOf(number: number): number {
    return this.flows.table.remotesOf(number);
  }

  isAt(m: number, address: Address): boolean {
    const { bind } = this.forwards.get(m)!;
    return isAnyAddress(bind) || equalAddresses(bind, address);
  }

  name(m: number, client: Address, port: number, into: Address): number {
    const { guest, guestPort, keepsSource } = this.forwards.get(m)!;
    const isIp6 = !isIp4(guest);
    const own = this.gatewayAddress(isIp6);
    if (keepsSource) {
      const isNamed = this.parts.targets.nameFor(client, own, into);
      if (isNamed && isIp4(into) !== isIp6 && !equalAddresses(into, own)) return port;
    }
    if (equalAddresses(own, isIp6 ? ANY_ADDRESS : ANY_ADDRESS4)) return -1;
    assignAddress(into, own);
    if (port >= RESERVED_PORTS && this.isFree(guest, guestPort, own, port)) return port;
    for (let i = 0; i < TRIES; i++) {
      const tried = PORT_MIN + ((this.nextPort + i) % PORTS);
      if (!this.isFree(guest, guestPort, own, tried)) continue;
      this.nextPort = (this.nextPort + i + 1) % PORTS;
      return tried;
    }
    return -1;
  }

  /** True if the guest may answer to a port of the gateway's: no client has it, and no service of the gateway. */
  private isFree(guest: Address, guestPort: number, own: Address, port: number): boolean {
    if (this.flows.table.findOut(guest, guestPort, own, port) !== NO_ROW) return false;
    return this.parts.stack.sockets.udp.ports.chains.first(port) < 0;
  }
}
