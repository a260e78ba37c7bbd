// The forwards of a gateway: of streams and datagrams, in and out, each with a number. A range is one forward of many ports:
// all of them stand, or none.

import { FailedError, UsageError } from '../core/assert.ts';
import {
  type Address,
  ANY_ADDRESS,
  addressOf4,
  Errno,
  errnoName,
  formatAddress,
  isIp4,
  parseAddress,
} from '../stack/stack.ts';
import type { DatagramForwards } from './datagram-forwards.ts';
import { type ForwardSpec, formatForward } from './forward-spec.ts';
import { type GatewayNetwork, isInNetwork, prefixText } from './gateway-network.ts';
import type { StreamForwards } from './stream-forwards.ts';
import type { GatewayTargets } from './targets.ts';

/** A forward that stands. */
export interface ForwardView extends ForwardSpec {
  readonly id: number;
  /** As `parseForward` reads it; a port that was 0 is the one that was found. */
  readonly text: string;
  /** Clients: of streams all that were accepted, of datagrams those that it knows now. Of a forward out 0: they are flows. */
  readonly clients: number;
}

/** What forwards are made of. */
export interface ForwardsParts {
  readonly network: GatewayNetwork;
  readonly targets: GatewayTargets;
  readonly streams: StreamForwards;
  readonly datagrams: DatagramForwards;
}

/** Ports that are listened to, of all forwards. */
export const FORWARDED_PORTS_MAX = 4096;

interface Forward {
  readonly id: number;
  /** With the port that was found, if it was 0. */
  readonly spec: ForwardSpec;
  /** Of each port its number with the streams or datagrams. */
  readonly numbers: readonly number[];
}

const HOST_LOOPBACK: Address = addressOf4(0x7f000001);

/** Numbers begin with 1 and are not used again. */
export class Forwards {
  private readonly parts: ForwardsParts;
  private readonly forwards = new Map<number, Forward>();
  private nextId = 1;

  constructor(parts: ForwardsParts) {
    this.parts = parts;
  }

  /** Begins to forward. Throws `UsageError` if it makes no sense here, `FailedError` if the host does not listen. */
  add(spec: ForwardSpec): ForwardView {
    const used = [...this.forwards.values()].reduce((ports, one) => ports + one.spec.ports, 0);
    if (used + spec.ports > FORWARDED_PORTS_MAX)
      throw new UsageError(
        `forward ${formatForward(spec)}: ${used} of ${FORWARDED_PORTS_MAX} ports are forwarded already`,
      );
    const made = spec.direction === 'in' ? this.listen(spec) : { spec, numbers: [] };
    if (spec.direction === 'out') this.parts.targets.addOut(spec);
    const forward = { ...made, id: this.nextId++ };
    this.forwards.set(forward.id, forward);
    return this.viewOf(forward, this.accepted());
  }

  /** Ends one; connections that stand go on. What it was; undefined if there is none of this number. */
  remove(id: number): ForwardView | undefined {
    const forward = this.forwards.get(id);
    if (!forward) return undefined;
    const view = this.viewOf(forward, this.accepted());
    this.forwards.delete(id);
    if (forward.spec.direction === 'out') this.parts.targets.removeOut(forward.spec);
    else this.silence(forward.spec, forward.numbers);
    return view;
  }

  list(): ForwardView[] {
    const accepted = this.accepted();
    return [...this.forwards.values()].map((forward) => this.viewOf(forward, accepted));
  }

  private listen(spec: ForwardSpec): { spec: ForwardSpec; numbers: number[] } {
    const guest = this.guestOf(spec);
    const bind = spec.bind === '' ? HOST_LOOPBACK : parseAddress(spec.bind)!;
    if (spec.keepsSource && isIp4(bind) !== isIp4(guest))
      throw new UsageError(
        `forward ${formatForward(spec)}: clients of ${formatAddress(bind)} have no address that ${spec.host} could answer; leave keep-source out`,
      );
    const numbers: number[] = [];
    for (let i = 0; i < spec.ports; i++) {
      const number = this.listenOne(spec, bind, guest, i);
      if (number < 0) {
        this.silence(spec, numbers);
        throw new FailedError(whyNot(spec, bind, spec.port + i, -number));
      }
      numbers.push(number);
    }
    return {
      spec: spec.port === 0 && spec.path === '' ? { ...spec, port: this.portOf(spec, numbers[0]!) } : spec,
      numbers,
    };
  }

  private guestOf(spec: ForwardSpec): Address {
    const { network, targets } = this.parts;
    const guest = parseAddress(spec.host) ?? ANY_ADDRESS;
    if (isInNetwork(network, guest) && !targets.isOwn(guest)) return guest;
    const nets = [network.net4, network.net6].flatMap((net) => (net ? [prefixText(net)] : [])).join(' and ');
    throw new UsageError(`forward ${formatForward(spec)}: ${spec.host} is no guest's address; guests are in ${nets}`);
  }

  private listenOne(spec: ForwardSpec, bind: Address, guest: Address, i: number): number {
    const port = spec.port === 0 ? 0 : spec.port + i;
    const guestPort = spec.hostPort + i;
    const { path, keepsSource } = spec;
    if (spec.protocol === 'udp') return this.parts.datagrams.add({ bind, port, guest, guestPort, keepsSource });
    return this.parts.streams.add({ path, address: bind, port, guest, guestPort, keepSource: keepsSource });
  }

  private silence(spec: ForwardSpec, numbers: readonly number[]): void {
    const { streams, datagrams } = this.parts;
    for (const number of numbers) {
      if (spec.protocol === 'udp') datagrams.remove(number);
      else streams.remove(number);
    }
  }

  private portOf(spec: ForwardSpec, number: number): number {
    if (spec.protocol === 'udp') return this.parts.datagrams.portOf(number);
    const listens = this.parts.streams.list().find((one) => one.id === number)?.listens ?? ':0';
    return Number(listens.slice(listens.lastIndexOf(':') + 1));
  }

  /** Clients of streams by their number. */
  private accepted(): ReadonlyMap<number, number> {
    return new Map(this.parts.streams.list().map((one) => [one.id, one.accepted]));
  }

  private viewOf({ id, spec, numbers }: Forward, accepted: ReadonlyMap<number, number>): ForwardView {
    let clients = 0;
    for (const number of numbers)
      clients += spec.protocol === 'udp' ? this.parts.datagrams.clientsOf(number) : (accepted.get(number) ?? 0);
    return { ...spec, id, text: formatForward(spec), clients };
  }
}

function whyNot(spec: ForwardSpec, bind: Address, port: number, errno: number): string {
  const what = `forward ${formatForward(spec)}`;
  const where = spec.path !== '' ? spec.path : `${formatAddress(bind)} port ${port}`;
  switch (errno) {
    case Errno.EADDRINUSE:
      return `${what}: ${where} is in use on the host; choose another`;
    case Errno.EACCES:
    case Errno.EPERM:
      return `${what}: the host does not let this user listen on ${where}; choose a port above 1023, or a path of yours`;
    case Errno.EADDRNOTAVAIL:
      return `${what}: the host has no address ${formatAddress(bind)}; 0.0.0.0 or [::] is any`;
    default:
      return `${what}: the host does not listen on ${where}: ${errnoName(errno)}`;
  }
}
