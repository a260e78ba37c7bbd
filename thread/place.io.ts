// Where a program's sockets are: a stack, with what Node's modules need around it.

import { AsyncLocalStorage } from 'node:async_hooks';
import { isIPv4 } from 'node:net';
import {
  type Address,
  ANY_IFACE,
  formatAddress,
  isIp4,
  isLinkLocal,
  parseAddress,
  type SocketName,
  type Stack,
} from '../stack/stack.ts';
import { Alive, Turns } from './turns.io.ts';

/** A stack and whoever drives it. A `StackHost` of the engine is one. */
export interface StackContext {
  readonly stack: Stack;
  /** A program is about to call the stack outside of its turns: it reads the clock. */
  tick(): void;
}

/** A socket or server of a program: its number in the stack, and its end. */
export interface Open {
  readonly number: number;
  end(): void;
}

/** One stack, as programs are in it. There is one of it for each stack. */
export class Place {
  /** What pools are told apart by. */
  readonly id: number;
  readonly stack: Stack;
  readonly turns = new Turns();
  readonly alive = new Alive();
  /** What programs have open in the stack. */
  readonly open = new Set<Open>();
  private readonly context: StackContext;

  constructor(context: StackContext, id: number) {
    this.context = context;
    this.stack = context.stack;
    this.id = id;
  }

  /** The sockets, for a call: the stack's clock is right. */
  get sockets(): Stack['sockets'] {
    this.context.tick();
    return this.stack.sockets;
  }

  /** The clock is read: a program is about to call the stack. */
  tick(): void {
    this.context.tick();
  }

  /** A call left work. */
  wake(): void {
    this.stack.wake();
  }

  /** The process ends: what is still open is closed, as a kernel does it. */
  closeAll(): void {
    const { sockets } = this;
    for (const { number } of this.open) sockets.close(number);
    this.open.clear();
  }

  /** The stack goes: programs lose what they have open, and hear of it as of a `close` or `destroy` of their own. */
  endAll(): void {
    for (const one of [...this.open]) one.end();
  }

  /** The number of an interface by its name or number; -1 if there is none. */
  ifaceOf(zone: string): number {
    const found = this.stack.interfaces.all().find(({ name, number }) => name === zone || String(number) === zone);
    return found ? found.number : -1;
  }

  /** The interface that has the address; -1 if none has. */
  ifaceWith(address: Address): number {
    const { addresses } = this.stack;
    const id = addresses.find(address, ANY_IFACE);
    return id < 0 ? -1 : addresses.ifaceOf(id);
  }

  /** An address with its zone, as Node writes it; of an IPv6 socket, IPv4's as `::ffff:10.0.0.1`. */
  textOf({ address, iface }: Pick<SocketName, 'address' | 'iface'>, isIp6: boolean): string {
    const text = formatAddress(address);
    if (isIp4(address)) return isIp6 ? mappedText(address) : text;
    if (!isIp6 || iface === ANY_IFACE || !isLinkLocal(address)) return text;
    return `${text}%${this.stack.interfaces.get(iface)?.name ?? iface}`;
  }
}

const mappedText = (address: Address): string => {
  const text = formatAddress(address);
  return text === '0.0.0.0' ? '::' : `::ffff:${text}`;
};

const places = new WeakMap<Stack, Place>();
let lastId = 0;

/** The place of a stack, made when it is first asked for. */
export function placeOf(context: StackContext): Place {
  const known = places.get(context.stack);
  if (known) return known;
  const made = new Place(context, ++lastId);
  places.set(context.stack, made);
  return made;
}

/** An address and its scope as a program wrote them. */
export interface Parsed {
  readonly address: Address;
  readonly iface: number;
}

/** Reads `10.0.0.1`, `fd00::1`, `fe80::1%eth0`; undefined if it is none, or its zone is unknown. */
export function parseEnd(place: Place, text: string): Parsed | undefined {
  if (isIPv4(text)) return { address: parseAddress(text)!, iface: ANY_IFACE };
  const [host = '', zone] = text.split('%');
  const address = parseAddress(host);
  if (!address) return undefined;
  const iface = zone === undefined ? ANY_IFACE : place.ifaceOf(zone);
  return iface < 0 ? undefined : { address, iface };
}

/** Outside of every stack: the host's own network, also where a default is set. */
export const OUTSIDE = Symbol('outside');

/** On options and sockets: the place that they belong to, whatever the scope. */
export const PLACE = Symbol('weft.place');

const scope = new AsyncLocalStorage<Place | typeof OUTSIDE>();
let everywhere: Place | undefined;

/** The place that code runs in now; undefined on the host's own network. */
export function current(): Place | undefined {
  const here = scope.getStore();
  if (here === OUTSIDE) return undefined;
  return here ?? everywhere;
}

/** Runs `act`, and what it starts, in a place. */
export const runIn = <T>(place: Place | typeof OUTSIDE, act: () => T): T => scope.run(place, act);

/** From now on code that is in no scope is in `place`: for a process that has one stack. */
export function setEverywhere(place: Place | undefined): void {
  everywhere = place;
}
