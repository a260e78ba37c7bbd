// The loopback interface: what the host sends to itself waits in a bounded queue and comes in at the next poll.

import { Burst, PLAIN } from '../../core/burst.ts';
import type { Drop } from '../../core/drop.ts';
import { NONE } from '../../core/slab.ts';
import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import { EtherType, etherType, HEADER_BYTES } from '../../wire/ethernet.ts';
import { OFFLOAD_HEADER_BYTES } from '../../wire/offload.ts';
import { LOOPBACK_IFACE } from '../ip.ts';
import type { Shared } from '../shared.ts';
import type { Interfaces, NetworkInterface } from './interfaces.ts';

const FRAMES_A_POLL = 64;
const FRAME_BYTES_MAX = 65536 + HEADER_BYTES + 40;
const FRAMES_MAX = 1 << 16;

/** Takes a frame, as IPv4 and IPv6 input do. */
export interface FrameReceiver {
  receive(iface: number, at: number, length: number, offload: number): Drop;
}

/** Carries frames from loopback's output to the inputs. */
export class Loopback {
  private readonly shared: Shared;
  private readonly iface: NetworkInterface;
  private readonly ip4: FrameReceiver;
  private readonly ip6: FrameReceiver;
  private readonly burst = new Burst(FRAMES_A_POLL);

  constructor(shared: Shared, interfaces: Interfaces, ip4: FrameReceiver, ip6: FrameReceiver) {
    this.shared = shared;
    this.iface = interfaces.get(LOOPBACK_IFACE)!;
    this.ip4 = ip4;
    this.ip6 = ip6;
  }

  /** True while frames wait. */
  get hasPending(): boolean {
    return this.iface.output.pending > 0;
  }

  /** Receives what waited, up to a batch; what that makes the host send waits for the next call. True if more is waiting. */
  poll(): boolean {
    const { burst, iface } = this;
    burst.count = 0;
    iface.output.drain(burst);
    for (let k = 0; k < burst.count; k++) {
      const at = burst.at[k]!;
      const input = etherType(this.shared.view, at) === EtherType.Ip6 ? this.ip6 : this.ip4;
      input.receive(LOOPBACK_IFACE, at, burst.length[k]!, burst.offload[k]!);
    }
    return iface.output.pending > 0;
  }

  save(state: StateWriter): void {
    const { output } = this.iface;
    state.section('stack/loopback', 1).number(output.pending);
    output.visit((at, length, offload) => {
      const from = offload === PLAIN ? at : at - OFFLOAD_HEADER_BYTES;
      state.boolean(offload !== PLAIN).column(this.shared.bytes.slice(from, at + length));
    });
  }

  load(state: StateReader): void {
    const { output } = this.iface;
    output.drain(new Burst(FRAMES_MAX));
    state.section('stack/loopback', 1);
    for (let left = state.integer(0, FRAMES_MAX); left > 0; left--) {
      const front = state.boolean() ? OFFLOAD_HEADER_BYTES : 0;
      const bytes = state.bytes(FRAME_BYTES_MAX + OFFLOAD_HEADER_BYTES);
      const at = bytes.length > front ? output.reserve(bytes.length - front) : NONE;
      if (at === NONE) throw new StateError('loopback: more frames than fit');
      this.shared.bytes.set(bytes, at - front);
      output.commit(bytes.length - front, front === 0 ? PLAIN : at - front);
    }
  }
}
