// Asking for routers until one answers: RFC 4861 §6.3.7 with the patience of RFC 7559.

import type { StateReader, StateWriter } from '../../core/state.ts';
import { NEVER, US_PER_S } from '../../core/time.ts';
import type { Interfaces } from '../link/interfaces.ts';
import type { NdpOutput } from '../link/ndp-output.ts';
import type { Random } from '../random.ts';
import type { Shared } from '../shared.ts';
import { loadTime } from './load-time.ts';

/** RFC 4861 §10, MAX_RTR_SOLICITATION_DELAY. */
const DELAY_US_MAX = US_PER_S;
/** RFC 7559 §2: IRT and MRT of RFC 8415 §15. */
const INITIAL_US = 4 * US_PER_S;
const MAXIMAL_US = 3600 * US_PER_S;
const TENTH = 10;

interface Asking {
  readonly iface: number;
  intervalUs: number; // the last one; 0 before the first solicitation
  dueUs: number;
}

/** Interfaces that still ask. */
export class RouterSolicitor {
  private readonly shared: Shared;
  private readonly interfaces: Interfaces;
  private readonly output: NdpOutput;
  private readonly random: Random;
  private asking: Asking[] = [];

  constructor(shared: Shared, interfaces: Interfaces, output: NdpOutput, random: Random) {
    this.shared = shared;
    this.interfaces = interfaces;
    this.output = output;
    this.random = random;
  }

  /** Begins after a random delay of up to a second, so that hosts that wake together do not ask together. */
  start(iface: number): void {
    this.stop(iface);
    this.asking.push({ iface, intervalUs: 0, dueUs: this.shared.nowUs + this.random.below(DELAY_US_MAX) });
  }

  /** A router with a lifetime answered, or the interface is a router now. */
  stop(iface: number): void {
    this.asking = this.asking.filter((one) => one.iface !== iface);
  }

  isAsking(iface: number): boolean {
    return this.asking.some((one) => one.iface === iface);
  }

  deadlineUs(): number {
    let earliestUs = NEVER;
    for (const one of this.asking) earliestUs = Math.min(earliestUs, one.dueUs);
    return earliestUs;
  }

  expire(): void {
    const { nowUs } = this.shared;
    for (const one of this.asking) {
      if (one.dueUs > nowUs) continue;
      const iface = this.interfaces.get(one.iface);
      if (iface) this.output.solicitRouters(iface);
      one.intervalUs = this.nextUs(one.intervalUs);
      one.dueUs = nowUs + one.intervalUs;
    }
  }

  save(state: StateWriter): void {
    state.number(this.asking.length);
    for (const one of this.asking) state.number(one.iface).number(one.intervalUs).number(one.dueUs);
  }

  load(state: StateReader): void {
    this.asking = [];
    const count = state.integer(0, this.interfaces.all().length);
    for (let i = 0; i < count; i++) {
      this.asking.push({ iface: state.integer(1, 65535), intervalUs: loadTime(state), dueUs: loadTime(state) });
    }
  }

  /** RFC 8415 §15: IRT, then twice the last one, at most MRT; each more or less by up to a tenth. */
  private nextUs(lastUs: number): number {
    if (lastUs === 0) return this.spread(INITIAL_US, INITIAL_US);
    const nextUs = this.spread(2 * lastUs, lastUs);
    return nextUs > MAXIMAL_US ? this.spread(MAXIMAL_US, MAXIMAL_US) : nextUs;
  }

  private spread(us: number, ofUs: number): number {
    const tenthUs = Math.floor(ofUs / TENTH);
    return us + this.random.between(-tenthUs, tenthUs);
  }
}
