// What programs and pages get as `weft/stack`: the stack, and of the core what one needs to drive it by hand or by a loop.
//
// A page makes a `Slab`, a `Stack` and an interface, gives frames that came to `Stack.receive` or a `StackPort`, and fetches
// what goes out with `receive` of the port into a `Burst`. Nothing here touches the platform: time and randomness are arguments.

export { Burst, PLAIN } from '../core/burst.ts';
export { DROP_NAMES, Drop } from '../core/drop.ts';
export type { Port } from '../core/port.ts';
export { NONE, Slab } from '../core/slab.ts';
export { NEVER } from '../core/time.ts';
export * from './stack.ts';
