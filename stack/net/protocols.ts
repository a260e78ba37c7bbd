// Who takes what comes in: transports by protocol number, and the raw sockets that hear everything.

import { Drop } from '../../core/drop.ts';
import type { RawListener, Transport } from '../ip.ts';
import type { IcmpError, Packet } from '../packet.ts';

/** The protocols above IP, of both families. */
export class Protocols {
  private readonly transports: (Transport | undefined)[] = new Array<Transport | undefined>(256).fill(undefined);
  private raw: RawListener | undefined;

  /** Gives all packets of a protocol (0 … 255) to `transport`. */
  register(protocol: number, transport: Transport): void {
    this.transports[protocol] = transport;
  }

  setRawListener(listener: RawListener): void {
    this.raw = listener;
  }

  /** Tells who sent the packet that failed: the transport and raw sockets. */
  fail(error: IcmpError): void {
    this.transports[error.protocol]?.fail(error);
    this.raw?.fail(error);
  }

  /** What the transport said; `UnknownProtocol` if there is none and no raw socket heard the packet either. */
  deliver(packet: Packet): Drop {
    const isHeard = this.raw?.hear(packet) ?? false;
    const transport = this.transports[packet.protocol];
    if (transport) return transport.receive(packet);
    return isHeard ? Drop.None : Drop.UnknownProtocol;
  }
}
