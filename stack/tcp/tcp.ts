// TCP: RFC 9293 and what goes with it.

import { Drop } from '../../core/drop.ts';
import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER } from '../../core/time.ts';
import { type Address, ANY } from '../address.ts';
import { Errno } from '../errno.ts';
import type { Paths, Sender, Transport } from '../ip.ts';
import type { Limits } from '../limits.ts';
import type { IcmpError, Packet } from '../packet.ts';
import type { Part, Shared } from '../shared.ts';
import { State, type TcpOption } from './constants.ts';

export { How, Ready, ReceiveFlag, SendFlag, STATE_NAMES, State, TcpOption } from './constants.ts';

/** Path MTU discovery's one door back to the network layer: black holes are found here. */
export interface MtuSink {
  /** The path from `source` to `target` takes no more than `mtu` bytes. */
  lowerMtu(source: Address, target: Address, iface: number, mtu: number): void;
}

/** All connections of a stack. */
export class Tcp implements Transport, Part {
  constructor(_shared: Shared, _paths: Paths, _sender: Sender, _limits: Limits, _mtuSink?: MtuSink) {}

  /** A new connection, or -ENOBUFS. */
  open(_isIp6: boolean): number {
    return -Errno.ENOBUFS;
  }

  setOption(_c: number, _option: TcpOption, _value: number): number {
    return -Errno.ENOPROTOOPT;
  }

  getOption(_c: number, _option: TcpOption): number {
    return -Errno.ENOPROTOOPT;
  }

  bind(_c: number, _local: Address, _port: number, _iface: number): number {
    return -Errno.EINVAL;
  }

  listen(_c: number, _backlog: number): number {
    return -Errno.EINVAL;
  }

  connect(_c: number, _remote: Address, _port: number, _iface: number): number {
    return -Errno.EINVAL;
  }

  accept(_c: number): number {
    return -Errno.EAGAIN;
  }

  send(_c: number, _bytes: Uint8Array, _from: number, _count: number, _flags: number): number {
    return -Errno.EPIPE;
  }

  sendSpace(_c: number): number {
    return 0;
  }

  receive(_c: number, _into: Uint8Array, _from: number, _count: number, _flags: number): number;
  receive(_packet: Packet): Drop;
  receive(c: number | Packet, _into?: Uint8Array, _from?: number, _count?: number, _flags?: number): number {
    return typeof c === 'number' ? -Errno.ENOTCONN : Drop.None;
  }

  available(_c: number): number {
    return 0;
  }

  shutdown(_c: number, _how: number): number {
    return -Errno.ENOTCONN;
  }

  close(_c: number): void {}

  abort(_c: number): void {}

  takeError(_c: number): number {
    return 0;
  }

  readiness(_c: number): number {
    return 0;
  }

  localOf(_c: number): Address {
    return ANY;
  }

  remoteOf(_c: number): Address {
    return ANY;
  }

  localPort(_c: number): number {
    return 0;
  }

  remotePort(_c: number): number {
    return 0;
  }

  stateOf(_c: number): State {
    return State.Closed;
  }

  nextEvent(): number {
    return -1;
  }

  poll(): boolean {
    return false;
  }

  fail(_error: IcmpError): void {}

  deadlineUs(): number {
    return NEVER;
  }

  expire(): void {}

  save(_state: StateWriter): void {}

  load(_state: StateReader): void {}
}
