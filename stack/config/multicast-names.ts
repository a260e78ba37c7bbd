// Multicast DNS of all interfaces as one: a name is asked for on every link, and the first who knows it answers.

import type { StateReader, StateWriter } from '../../core/state.ts';
import type { ResourceRecord } from '../../wire/dns.ts';
import { Errno } from '../errno.ts';
import type { Mdns } from './mdns.ts';
import type { MulticastResolver } from './resolver.ts';

/** A link that is asked. */
export interface MulticastLink {
  readonly number: number;
  readonly mdns: Mdns;
}

const ASKS_MAX = 256;
const LINKS_MAX = 65535;

/** One per stack. */
export class MulticastNames implements MulticastResolver {
  private readonly links: () => readonly MulticastLink[];
  private readonly asks = new Map<number, Map<number, number>>(); // our number: link and its number
  private lastId = 0;

  /** @param links those that are up, ready to be asked. */
  constructor(links: () => readonly MulticastLink[]) {
    this.links = links;
  }

  query(name: string, type: number): number {
    if (this.asks.size >= ASKS_MAX) return -Errno.ENOBUFS;
    const asked = new Map<number, number>();
    let failed: number = -Errno.ENETUNREACH;
    for (const { number, mdns } of this.links()) {
      const id = mdns.query(name, type);
      if (id < 0) failed = id;
      else asked.set(number, id);
    }
    if (asked.size === 0) return failed;
    this.asks.set(++this.lastId, asked);
    return this.lastId;
  }

  nextAnswer(): { readonly id: number; readonly records: readonly ResourceRecord[] } | undefined {
    if (this.asks.size === 0) return undefined;
    for (const [id, asked] of this.asks) {
      if (asked.size > 0) continue;
      this.asks.delete(id); // all its links went away
      return { id, records: [] };
    }
    for (const { number, mdns } of this.links()) {
      for (let reply = mdns.nextAnswer(); reply; reply = mdns.nextAnswer()) {
        const id = this.taken(number, reply.id, reply.records.length > 0);
        if (id >= 0) return { id, records: reply.records };
      }
    }
    return undefined;
  }

  /** A link went away: it answers nothing more. */
  forget(number: number): void {
    for (const asked of this.asks.values()) asked.delete(number);
  }

  /** Within the section of whoever has it. */
  save(state: StateWriter): void {
    state.number(this.lastId).number(this.asks.size);
    for (const [id, asked] of this.asks) {
      state.number(id).number(asked.size);
      for (const [link, number] of asked) state.number(link).number(number);
    }
  }

  load(state: StateReader): void {
    this.lastId = state.integer(0, 2 ** 53 - 1);
    this.asks.clear();
    for (let n = state.integer(0, ASKS_MAX); n > 0; n--) {
      const asked = new Map<number, number>();
      this.asks.set(state.integer(1, this.lastId), asked);
      for (let m = state.integer(0, LINKS_MAX); m > 0; m--) {
        asked.set(state.integer(1, LINKS_MAX), state.integer(1, 2 ** 53 - 1));
      }
    }
  }

  /** Our number of a question that a link's answer ends, or -1. */
  private taken(link: number, linkId: number, isFound: boolean): number {
    for (const [id, asked] of this.asks) {
      if (asked.get(link) !== linkId) continue;
      asked.delete(link);
      if (!isFound && asked.size > 0) return -1;
      for (const { number, mdns } of this.links()) {
        const other = asked.get(number);
        if (other !== undefined) mdns.cancel(other);
      }
      this.asks.delete(id);
      return id;
    }
    return -1;
  }
}
