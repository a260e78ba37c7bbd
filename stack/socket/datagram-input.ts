// Gives packets and errors to endpoints: what is known of them, the bounds of the queues, and pending errors.

import { Drop } from '../../core/drop.ts';
import { assign } from '../address.ts';
import { Errno } from '../errno.ts';
import type { IcmpError, Packet } from '../packet.ts';
import { Datagram, DatagramFlag } from './datagram-queue.ts';
import type { Endpoints } from './endpoints.ts';
import { Discover, EndpointFlag, Field } from './endpoints.ts';

/** The receiving half of an endpoint. */
export class DatagramInput {
  private readonly endpoints: Endpoints;
  private readonly about = new Datagram();

  constructor(endpoints: Endpoints) {
    this.endpoints = endpoints;
  }

  /**
   * Queues `bytes` at `at`, `info` and `mac` as in `Datagram`, after `headBytes` at `headAt`, with what `packet` says about them. `port` and `flags` as in
   * `Datagram`. SocketFull if the receive buffer is used up: one datagram may go over it, as in Linux.
   */
  deliver(
    e: number,
    packet: Packet,
    port: number,
    flags: number,
    headAt: number,
    headBytes: number,
    at: number,
    bytes: number,
    info = 0,
    mac = 0,
  ): Drop {
    const { about } = this;
    about.iface = packet.iface;
    assign(about.source, packet.source);
    assign(about.target, packet.target);
    about.port = port;
    about.errno = 0;
    about.code = 0;
    about.info = info;
    about.mac = mac;
    about.hops = packet.hopLimit;
    about.trafficClass = packet.trafficClass;
    about.flags = flags;
    return this.push(e, about, headAt, headBytes, at, bytes);
  }

  /** Queues what `about` already describes. */
  push(e: number, about: Datagram, headAt: number, headBytes: number, at: number, bytes: number): Drop {
    const { endpoints } = this;
    if (endpoints.has(e, EndpointFlag.ReadShut)) return Drop.Filtered;
    if (endpoints.queues.usedBytes(e) >= endpoints.get(e, Field.ReceiveMax)) return Drop.SocketFull;
    about.timeUs = endpoints.shared.nowUs;
    if (!endpoints.queues.push(e, about, headAt, headBytes, at, bytes)) return Drop.SocketFull;
    endpoints.notify(e);
    return Drop.None;
  }

  /**
   * An ICMP error about what `e` sent. RFC 1122 §4.1.3.3: the program is told. As in Linux an unconnected endpoint is told
   * only if it asked (IP_RECVERR), since it could not say about whom the error is; a connected one of hard errors, too. The
   * quoted payload is `bytes` at `at`, `port` the one that the packet was sent to.
   */
  report(e: number, error: IcmpError, port: number, at: number, bytes: number): void {
    const { endpoints } = this;
    const asked = endpoints.has(e, error.isIp6 ? EndpointFlag.Errors6 : EndpointFlag.Errors4);
    const mode = endpoints.get(e, error.isIp6 ? Field.Discover6 : Field.Discover4);
    const isTooBig = error.mtuBytes > 0;
    if (isTooBig && mode === Discover.Dont) return;
    const errno = isTooBig ? Errno.EMSGSIZE : error.errno;
    if (errno === 0) return;
    if (asked) this.queueError(e, error, errno, port, at, bytes);
    else if (!endpoints.has(e, EndpointFlag.Connected) || !(error.isHard || isTooBig)) return;
    endpoints.fail(e, errno);
  }

  private queueError(e: number, error: IcmpError, errno: number, port: number, at: number, bytes: number): void {
    const { endpoints, about } = this;
    if (!endpoints.hasErrorRoom(e)) return;
    about.iface = error.iface;
    assign(about.source, error.reporter);
    assign(about.target, error.target);
    about.port = port;
    about.errno = errno;
    about.hops = error.type;
    about.code = error.code;
    about.trafficClass = 0;
    about.flags = DatagramFlag.Error;
    about.info = error.mtuBytes;
    about.timeUs = endpoints.shared.nowUs;
    endpoints.errors.push(e, about, 0, 0, at, bytes);
  }
}
