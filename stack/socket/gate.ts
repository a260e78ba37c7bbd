// Waiting of the promise API: for news of a socket, a time in the stack's clock, or the caller's signal.

import { NEVER } from '../../core/time.ts';
import { Errno } from '../errno.ts';
import { SocketError } from './socket-handle.ts';

/** What may end a wait early. */
export interface WaitOptions {
  /** Ends it with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Ends it with ETIMEDOUT after so many µs. */
  readonly timeoutUs?: number | undefined;
}

/** Wakes who waits. Waiters look again at what they wait for, so waking for nothing is harmless. */
export class Gate {
  private waiters: (() => void)[] = [];

  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.waiters.push(resolve);
    });
  }

  open(): void {
    const { waiters } = this;
    if (waiters.length === 0) return;
    this.waiters = [];
    for (const resolve of waiters) resolve();
  }
}

interface Timer {
  readonly atUs: number;
  readonly fire: () => void;
}

/** Timeouts in the stack's time, driven by `expire`. */
export class Timeouts {
  private readonly nowUs: () => number;
  private readonly timers = new Set<Timer>();

  constructor(nowUs: () => number) {
    this.nowUs = nowUs;
  }

  deadlineUs(): number {
    let soonest = NEVER;
    for (const { atUs } of this.timers) soonest = Math.min(soonest, atUs);
    return soonest;
  }

  expire(): void {
    const now = this.nowUs();
    for (const timer of [...this.timers]) {
      if (timer.atUs > now) continue;
      this.timers.delete(timer);
      timer.fire();
    }
  }

  /**
   * Calls `attempt` until it returns something, again whenever `gate` opens. Throws what `attempt` throws, the signal's reason,
   * or ETIMEDOUT of `syscall`.
   */
  async until<T>(gate: Gate, options: WaitOptions, syscall: string, attempt: () => T | undefined): Promise<T> {
    const { signal, timeoutUs } = options;
    let failure: unknown;
    const stop = (reason: unknown): void => {
      failure ??= reason;
      gate.open();
    };
    const onAbort = (): void => stop(signal?.reason ?? new SocketError(Errno.EINTR, syscall));
    if (signal?.aborted) throw signal.reason;
    signal?.addEventListener('abort', onAbort, { once: true });
    const atUs = this.nowUs() + (timeoutUs ?? NEVER);
    const timer = { atUs, fire: () => stop(new SocketError(Errno.ETIMEDOUT, syscall)) };
    if (timeoutUs !== undefined) this.timers.add(timer);
    try {
      for (;;) {
        const result = attempt();
        if (result !== undefined) return result;
        await gate.wait();
        if (failure !== undefined) throw failure;
      }
    } finally {
      this.timers.delete(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }
}
