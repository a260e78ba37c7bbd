// A listener of a stack as the handle of a `net.Server`.

import { AsyncResource } from 'node:async_hooks';
import { Errno, Family, SocketType, type SocketUser } from '../stack/stack.ts';
import { Handle } from './handle.io.ts';
import { OWNER } from './node-internals.io.ts';
import type { Place } from './place.io.ts';
import { bindStream, type NodeEnd, StreamHandle, tellEnd } from './stream-handle.io.ts';
import type { Teller } from './turns.io.ts';

const RETRY_MS = 100; // too many sockets: connections wait in the backlog

/** What Node's `Server` calls, and `onconnection` that it sets. */
export class ServerHandle extends Handle implements SocketUser, Teller {
  isWaiting = false;
  onconnection: ((status: number, client: StreamHandle) => void) | undefined;
  private readonly scope = new AsyncResource('WEFTSERVER');
  private readonly isIp6: boolean;
  private h: number;
  private failure = 0; // of what came before `listen`, which tells it as Node does
  private isListening = false;

  /** Binds. If that fails, `listen` says so. */
  constructor(place: Place, address: string, port: number, flags: number) {
    super(place);
    this.isIp6 = address.includes(':');
    this.h = place.sockets.socket(this.isIp6 ? Family.Inet6 : Family.Inet, SocketType.Stream);
    if (this.h < 0) this.failure = this.h;
    else this.failure = bindStream(place, this.h, address, port, flags);
  }

  listen(backlog: number): number {
    if (this.failure < 0) return this.failure;
    const { place, h } = this;
    const result = place.sockets.listen(h, backlog);
    if (result < 0) return result;
    this.isListening = true;
    place.open.add(this);
    place.stack.sockets.claim(h, this);
    this.weigh();
    return 0;
  }

  get number(): number {
    return this.h;
  }

  end(): void {
    const owner = (this as unknown as Record<symbol, { close(): void } | undefined>)[OWNER];
    this.scope.runInAsyncScope(() => (owner ?? this).close());
  }

  getAsyncId(): number {
    return this.scope.asyncId();
  }

  getsockname(end: NodeEnd): number {
    return tellEnd(this.place, this.h, this.isIp6, end, 'local');
  }

  close(told?: () => void): void {
    const { place, h } = this;
    place.open.delete(this);
    if (h >= 0) {
      place.sockets.close(h);
      place.wake();
    }
    this.h = -1;
    this.isListening = false;
    this.weigh();
    if (told) setImmediate(() => told.call(this));
  }

  changed(): void {
    this.place.turns.ask(this);
  }

  /** One connection a turn. */
  turn(): boolean {
    if (!this.isListening) return false;
    const { place, h } = this;
    const accepted = place.sockets.accept(h);
    if (accepted === -Errno.EMFILE) setTimeout(() => place.turns.ask(this), RETRY_MS).unref();
    if (accepted < 0) return false;
    this.scope.runInAsyncScope(() => {
      const client = new StreamHandle(place);
      client.adopt(accepted, this.isIp6);
      this.onconnection?.(0, client);
    });
    return true;
  }

  protected get mustHold(): boolean {
    return this.isListening;
  }
}
