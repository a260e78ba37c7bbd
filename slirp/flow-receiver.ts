// Takes what came to the host's sockets of datagram flows, and the errors of what went out.

import { type Address, Errno } from '../stack/stack.ts';
import { BATCH_DATAGRAMS } from './datagram-batch.ts';
import type { FlowErrors } from './flow-errors.ts';
import { HostError, HostReady, type HostUser } from './host-sockets.ts';
import type { FlowParts } from './parts.ts';

/** Batches of one socket in one turn: then the others have theirs. */
const BATCHES_MAX = 4;
const ERRORS_MAX = 64;

/** Whose sockets they are. */
export interface ReceiverUser {
  /** `bytes` at `at` came for mapping `m`; hops and traffic class -1 if the host does not say. */
  deliver(m: number, from: Address, port: number, at: number, bytes: number, hops: number, trafficClass: number): void;
  /**
   * Tells `errors` what a datagram of `m` to `target` was, of whose payload `bytes` at `at` are known; false if none can be
   * meant. `port` 0: the host did not say.
   */
  about(m: number, target: Address, port: number, at: number, bytes: number): boolean;
  readonly errors: FlowErrors;
}

/** Guests are slower than the host: as long as half of the interface's output is taken, datagrams wait in the host's sockets. */
export class FlowReceiver implements HostUser {
  private readonly parts: FlowParts;
  private readonly user: ReceiverUser;
  private readonly mappings = new Map<number, number>(); // by handle
  private readonly error = new HostError();
  private readonly from: Address = new Int32Array(4);
  private readonly framesMax: number;

  constructor(parts: FlowParts, user: ReceiverUser) {
    this.parts = parts;
    this.user = user;
    this.framesMax = parts.stack.limits.outputFramesMax / 2;
  }

  /** `h` is mapping `m`'s. */
  add(h: number, m: number): void {
    this.mappings.set(h, m);
    this.parts.host.claim(h, this);
    this.parts.host.want(h, HostReady.In);
  }

  drop(h: number): void {
    this.mappings.delete(h);
  }

  ready(h: number, events: number): void {
    const m = this.mappings.get(h);
    if (m === undefined) return;
    if ((events & HostReady.Error) !== 0) {
      this.errors(m, h);
      this.parts.host.takeError(h);
    }
    if ((events & HostReady.In) !== 0) this.receive(m, h);
  }

  /**
   * Relays the errors that the host has for `h`. While it sends (`isSending`), the sender tells of the host's own, which know
   * less: then the result is what they say beside, the path's MTU or 0; -1 if there is none.
   */
  errors(m: number, h: number, isSending = false): number {
    const { error, user, parts } = this;
    let info = -1;
    for (let i = 0; i < ERRORS_MAX && parts.host.receiveError(h, error); i++) {
      if (isSending && error.type < 0) info = error.info;
      else if (user.about(m, error.target, error.port, error.at, error.bytes)) user.errors.relay(error);
      else parts.counters.filtered++;
    }
    return info;
  }

  private receive(m: number, h: number): void {
    const { parts } = this;
    const { batch, host } = parts;
    for (let round = 0; round < BATCHES_MAX && !this.isGuestSlow; round++) {
      const count = host.receiveDatagrams(h, batch);
      if (count === -Errno.EAGAIN || count === 0) return;
      if (count < 0) {
        this.errors(m, h);
        continue;
      }
      for (let i = 0; i < count; i++) this.deliver(m, i);
      if (count < BATCH_DATAGRAMS) return;
    }
  }

  private deliver(m: number, i: number): void {
    const { from, user } = this;
    const { batch } = this.parts;
    for (let word = 0; word < 4; word++) from[word] = batch.address[4 * i + word]!;
    user.deliver(m, from, batch.port[i]!, batch.at[i]!, batch.bytes[i]!, batch.hops[i]!, batch.trafficClass[i]!);
  }

  private get isGuestSlow(): boolean {
    const iface = this.parts.stack.interfaces.get(this.parts.iface);
    return !iface || iface.output.pending > this.framesMax;
  }
}
