// Binds one stack to the clients that configure it.

import type { StateReader, StateWriter } from '../core/state.ts';
import { NEVER } from '../core/time.ts';
import { type Address, parse } from './address.ts';
import type { Stack } from './stack.ts';

/** One per stack. */
export class Configuration {
  readonly hearsDhcp = false;
  constructor(_stack: Stack) {}
  hear(_iface: number, _at: number, _length: number): boolean {
    return false;
  }
  async lookup(name: string): Promise<readonly Address[]> {
    const address = parse(name);
    return address ? [address] : [];
  }
  react(): void {}
  deadlineUs(): number {
    return NEVER;
  }
  expire(): void {}
  save(_state: StateWriter): void {}
  load(_state: StateReader): void {}
  close(): void {}
}
