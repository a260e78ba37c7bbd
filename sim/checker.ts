// Invariants that no frame may break, whatever the scenario: observers that remember the first violation.

import { UsageError } from '../core/assert.ts';
import type { Hop, Observer } from './sim-port.ts';
import { describe } from './trace.ts';

/** An invariant that was broken. */
export interface Violation {
  readonly invariant: string;
  readonly timeUs: number;
  readonly link: string;
  /** What was wrong, with numbers. */
  readonly what: string;
  /** Time, link and frame in the words of `printFrame`. */
  readonly event: string;
}

/** Watches for one invariant. `accuse` is how its rules speak. */
export class Checker implements Observer {
  readonly invariant: string;
  /** The first one; later ones are counted only. */
  violation: Violation | undefined;
  violations = 0;
  readonly sent?: (hop: Hop, nowUs: number) => void;
  readonly delivered?: (hop: Hop, nowUs: number) => void;

  constructor(invariant: string, rules: (accuse: Accuse) => Pick<Observer, 'sent' | 'delivered'>) {
    this.invariant = invariant;
    const { sent, delivered } = rules((what, hop, nowUs) => {
      this.violations++;
      this.violation ??= { invariant, timeUs: nowUs, link: hop.name, what, event: describe(hop, nowUs) };
    });
    if (sent !== undefined) this.sent = sent;
    if (delivered !== undefined) this.delivered = delivered;
  }

  /** One line, or undefined if all is well. */
  report(): string | undefined {
    return this.violation && `${this.invariant}: ${this.violation.what}: ${this.violation.event}`;
  }
}

/** Says what is wrong with a frame. */
export type Accuse = (what: string, hop: Hop, nowUs: number) => void;

/** State for each key, made when it is first asked for; more than `keysMax` is a mistake of the scenario. */
export class PerKey<State> {
  private readonly states = new Map<string, State>();
  private readonly make: () => State;
  private readonly keysMax: number;

  constructor(make: () => State, { keysMax = 1 << 20 }: { keysMax?: number } = {}) {
    this.make = make;
    this.keysMax = keysMax;
  }

  of(key: string): State {
    let state = this.states.get(key);
    if (state === undefined) {
      if (this.states.size === this.keysMax) throw new UsageError(`a checker follows at most ${this.keysMax} flows`);
      state = this.make();
      this.states.set(key, state);
    }
    return state;
  }
}
