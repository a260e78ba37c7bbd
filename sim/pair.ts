// Two ports and a link, driven from one deadline to the next: the smallest world.

import type { Slab } from '../core/slab.ts';
import type { Link, LinkOptions } from './link.ts';
import type { SimPort } from './sim-port.ts';
import { pair } from './topology.ts';
import { Ending, type SimNode, World } from './world.ts';

const SLAB_BYTES = 1 << 26;

/** Two ports joined by a link. */
export class Pair {
  readonly world: World;
  readonly link: Link;
  readonly a: SimNode;
  readonly b: SimNode;

  /** `make` makes the ports of `a` and `b` in the slab that it is given. */
  constructor(make: (slab: Slab, name: string) => SimPort, options: PairOptions = {}) {
    const { seed = 1, slabBytes = SLAB_BYTES, ...link } = options;
    this.world = new World({ seed, slabBytes });
    const joined = pair(this.world, (world, name) => [make(world.slab, name)], link);
    this.a = joined.a;
    this.b = joined.b;
    this.link = joined.link;
  }

  get nowUs(): number {
    return this.world.nowUs;
  }

  /** Jumps to the next thing that happens; false if there is none. */
  step(): boolean {
    return this.world.step();
  }

  /** Runs until nothing is left to happen, or for `us`. */
  run(us?: number): Ending {
    return this.world.run(us === undefined ? {} : { untilUs: this.nowUs + us });
  }

  /** Runs until `condition` holds; false if it did not within `us`. */
  runUntil(condition: () => boolean, us: number): boolean {
    return this.world.run({ until: condition, untilUs: this.nowUs + us }) === Ending.Condition;
  }
}

/** Options of the link, the seed (1), and the slab's size (64 MiB). */
export interface PairOptions extends LinkOptions {
  readonly seed?: number;
  readonly slabBytes?: number;
}
