// What configuration by itself has to tell the layers above: small records in a bounded queue, polled and never called.

import type { StateReader, StateWriter } from '../../core/state.ts';

/** Kinds of events. */
export const AutoconfEvent = {
  AddressUp: 1, // `a` may be used
  AddressDuplicate: 2, // somebody else has `a`, which is kept as a warning (RFC 4862 §5.4.5) and not used
  AddressGone: 3, // `a` was removed; the number may be given again
  RouterChange: 4, // a default router came or went
  DnsServers: 5, // the list of RFC 8106 servers changed
  DnsSearch: 6,
  RaFlags: 7, // `value`: bit 0 is M (addresses by DHCPv6), bit 1 is O (other settings by DHCPv6)
  Ip6Disabled: 8, // RFC 4862 §5.4.5: the address made of the hardware address is a duplicate
} as const;
export type AutoconfEvent = (typeof AutoconfEvent)[keyof typeof AutoconfEvent];

/** One event. `a` is -1 where no address is meant. */
export interface EventRecord {
  readonly kind: AutoconfEvent;
  readonly iface: number;
  readonly a: number;
  readonly value: number;
}

const EVENTS_MAX = 1024;
const ADDRESS_MAX = 4096;

/** First in, first out; the oldest are lost if nobody takes them. */
export class AutoconfEvents {
  private readonly queue: EventRecord[] = [];

  push(kind: AutoconfEvent, iface: number, a = -1, value = 0): void {
    if (this.queue.length >= EVENTS_MAX) this.queue.shift();
    this.queue.push({ kind, iface, a, value });
  }

  take(): EventRecord | undefined {
    return this.queue.shift();
  }

  save(state: StateWriter): void {
    state.number(this.queue.length);
    for (const event of this.queue) state.number(event.kind).number(event.iface).number(event.a).number(event.value);
  }

  load(state: StateReader): void {
    this.queue.length = 0;
    const count = state.integer(0, EVENTS_MAX);
    for (let i = 0; i < count; i++) {
      const kind = state.integer(1, AutoconfEvent.Ip6Disabled) as AutoconfEvent;
      const iface = state.integer(0, ADDRESS_MAX);
      this.queue.push({ kind, iface, a: state.integer(-1, ADDRESS_MAX), value: state.integer(0, 0xffffffff) });
    }
  }
}
