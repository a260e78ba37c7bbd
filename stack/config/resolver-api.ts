// The resolver with promises, for programs; the resolver itself is polled.

import { Errno } from '../errno.ts';
import type { Answer, Resolver } from './resolver.ts';

/** Gives answers to whoever waits for them. `settle` is called after the stack was polled. */
export class ResolverApi {
  private readonly resolver: Resolver;
  private readonly waiting = new Map<number, (answer: Answer | number) => void>();

  constructor(resolver: Resolver) {
    this.resolver = resolver;
  }

  /** The answer with its status; a number below 0 instead is a negated errno. */
  query(name: string, type: number): Promise<Answer | number> {
    return this.promise(this.resolver.query(name, type));
  }

  /** Addresses of a name, as `Resolver.lookup`. */
  lookup(name: string, family: 0 | 4 | 6 = 0): Promise<Answer | number> {
    return this.promise(this.resolver.lookup(name, family));
  }

  /** Fulfils the promises of all answers that are there. An answer that nobody here asked for is dropped. */
  settle(): void {
    for (let answer = this.resolver.nextAnswer(); answer; answer = this.resolver.nextAnswer()) {
      this.waiting.get(answer.id)?.(answer);
      this.waiting.delete(answer.id);
    }
  }

  /** Nothing is answered any more: all who wait get -ECONNABORTED. */
  close(): void {
    for (const settle of this.waiting.values()) settle(-Errno.ECONNABORTED);
    this.waiting.clear();
  }

  private promise(id: number): Promise<Answer | number> {
    if (id < 0) return Promise.resolve(id);
    return new Promise((resolve) => this.waiting.set(id, resolve));
  }
}
