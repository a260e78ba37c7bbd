// Who asked, and the two ways to answer: datagrams and connections.

import type { Address, Stack } from '../stack/stack.ts';

/** The stack's socket calls. */
export type Sockets = Stack['sockets'];

/** Ways below are sockets for datagrams, others are connections. */
export const TCP_WAY = 16;

/** One is reused for all. */
export class DnsAsker {
  /** Which socket or connection. */
  way = 0;
  /** Of the connection, so that no other one gets the answer. */
  generation = 0;
  readonly address: Address = new Int32Array(4);
  port = 0;
  iface = 0;
  /** The longest message that it takes by this way. */
  bytesMax = 0;

  get isTcp(): boolean {
    return this.way >= TCP_WAY;
  }
}

/** Takes queries from the ways. */
export interface QueryTaker {
  /**
   * A message came; it is read before this returns. One answer follows by `send` of the way, now or later. False if it is no query:
   * then none follows.
   */
  ask(bytes: Uint8Array, at: number, count: number, asker: DnsAsker): boolean;
  /** No more come for now. */
  asked(): void;
}

/** Takes answers to the ways. */
export interface AnswerTaker {
  /** Sends the answer that was made to who asked. */
  send(asker: DnsAsker): void;
}
