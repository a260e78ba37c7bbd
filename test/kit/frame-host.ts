// A whole stack on a bare wire: frames built by hand go in by the front door, and what comes out is looked at, in virtual
// time. `frame-build.ts` makes frames, `frame-text.ts` tells them in one line.

import { Burst, PLAIN } from '../../core/burst.ts';
import type { Drop } from '../../core/drop.ts';
import { Slab } from '../../core/slab.ts';
import type { AutoconfOptions } from '../../stack/autoconf/autoconf.ts';
import {
  AddressState,
  Family,
  formatAddress,
  type Limits,
  type NetworkInterface,
  SocketType,
  Stack,
} from '../../stack/stack.ts';
import { address, HOST_GLOBAL, HOST_MAC, mac, PEER, PEER_GLOBAL, PEER_MAC, PEER4 } from './frame-build.ts';
import { tell } from './frame-text.ts';
import { addAddress, addGateway, secretOf } from './stack-kit.ts';

export const S = 1_000_000;
const FRAMES_MAX = 256;

export interface FrameHostOptions {
  /** `A/BITS` of interface 2, used at once; default fe80::1/64, 2001:db8::1/64, 10.0.0.1/24. */
  readonly addresses?: readonly string[];
  readonly gateway?: string;
  readonly gateway4?: string;
  readonly mtuBytes?: number;
  readonly isRouter?: boolean;
  /** Of a second interface, 3, with MAC 02:00:00:00:01:01; none without. */
  readonly addresses3?: readonly string[];
  readonly mtuBytes3?: number;
  readonly dadTransmits?: number;
  readonly autoconf?: AutoconfOptions;
  readonly limits?: Partial<Limits>;
  readonly seed?: number;
}

/** What left, and when. */
export interface Sent {
  readonly atUs: number;
  readonly iface: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly text: string;
}

/** MLD and IGMP, which most tests do not look at. */
const IS_REPORT = /report|igmp/;

export class FrameHost {
  readonly stack: Stack;
  readonly eth0: NetworkInterface;
  /** All that left, in order; `take` forgets. */
  log: Sent[] = [];
  nowUs = 0;
  /** What became of the last frame. */
  drop: Drop = 0 as Drop;
  private readonly slab = new Slab({ bytesMax: 32 << 20 });
  private readonly at: number;
  private readonly burst = new Burst(FRAMES_MAX);

  constructor(o: FrameHostOptions = {}) {
    const { mtuBytes = 1500, isRouter = false, dadTransmits = 0, limits } = o;
    const secret = secretOf(o.seed ?? 1, 77);
    this.stack = new Stack({ slab: this.slab, secret, nowUs: 0, ...(limits && { limits }) });
    const rest = { dadTransmits, forwards4: isRouter, forwards6: isRouter };
    this.eth0 = this.stack.addInterface({ name: 'eth0', mac: mac(HOST_MAC), mtuBytes, ...rest });
    if (o.addresses3) {
      const mac3 = mac('02:00:00:00:01:01');
      this.stack.addInterface({ name: 'eth1', mac: mac3, mtuBytes: o.mtuBytes3 ?? 1500, ...rest });
      for (const text of o.addresses3) addAddress(this.stack, 3, text);
    }
    const addresses = o.addresses ?? ['fe80::1/64', `${HOST_GLOBAL}/64`, '10.0.0.1/24'];
    for (const text of addresses) addAddress(this.stack, 2, text);
    if (o.gateway !== undefined) addGateway(this.stack, 2, o.gateway);
    if (o.gateway4 !== undefined) addGateway(this.stack, 2, o.gateway4);
    if (o.autoconf) this.stack.autoconf.start(2, o.autoconf);
    this.at = this.slab.alloc(1 << 17) + 16;
    if (dadTransmits === 0 && !o.autoconf) {
      this.run(30 * S); // reports and announcements are over
      this.take();
    }
  }

  /** A frame comes in by an interface; the lines of what left because of it at once, reports left out. */
  send(frame: Uint8Array, iface = 2): string[] {
    const before = this.log.length;
    this.slab.bytes.set(frame, this.at);
    this.drop = this.stack.receive(this.stack.interfaces.get(iface)!, this.at, frame.length, PLAIN, this.nowUs);
    this.settle();
    return texts(this.log.slice(before));
  }

  /** `us` go by; the lines of what left in that time, reports left out. */
  run(us: number): string[] {
    const before = this.log.length;
    const untilUs = this.nowUs + us;
    this.settle();
    for (;;) {
      const dueUs = this.stack.deadlineUs();
      if (dueUs > untilUs) break;
      this.nowUs = Math.max(this.nowUs, dueUs);
      this.stack.expire(this.nowUs);
      this.settle();
    }
    this.nowUs = untilUs;
    this.stack.tick(untilUs);
    return texts(this.log.slice(before));
  }

  /** What left since the last `take`. */
  take(): Sent[] {
    const log = this.log;
    this.log = [];
    return log;
  }

  /** The last frame that left, without reports. */
  last(): Uint8Array<ArrayBuffer> {
    return this.log.filter((one) => !IS_REPORT.test(one.text)).at(-1)!.bytes;
  }

  /** Makes the neighbours known, without sending to them: solicitations told their MACs. */
  meet(who: string = PEER, of: string = PEER_MAC, iface = 2): void {
    this.stack.autoconf.neighbors.setStatic(iface, address(who), mac(of));
  }

  /** The peer by all of its names. */
  meetAll(): this {
    for (const who of [PEER, PEER_GLOBAL, PEER4]) this.meet(who);
    return this;
  }

  /** The state of a neighbour, or ''. */
  neighbor(who: string): string {
    const one = this.stack.autoconf.neighbors.list().find((n) => n.address === who);
    return one ? `${one.state}${one.isRouter ? ' router' : ''}${one.mac === '' ? '' : ` ${one.mac}`}` : '';
  }

  /** Addresses of an interface with their states. */
  addresses(iface = 2): string[] {
    const { addresses } = this.stack;
    const ids = addresses.ids().filter((a) => addresses.ifaceOf(a) === iface);
    return ids.map((a) => `${formatAddress(addresses.addressOf(a))} ${STATES[addresses.stateOf(a)]}`);
  }

  /** A UDP socket; sends a datagram from it. 0 or a negative errno. */
  sendUdp(to: string, bytes: number, { from = to.includes(':') ? '::' : '0.0.0.0', port = 9, iface = 2 } = {}): number {
    const { sockets } = this.stack;
    const fd = sockets.socket(to.includes(':') ? Family.Inet6 : Family.Inet, SocketType.Datagram);
    sockets.bind(fd, address(from), 5000);
    const sent = sockets.sendTo(fd, new Uint8Array(bytes), 0, bytes, address(to), port, iface);
    this.settle();
    sockets.close(fd);
    return sent;
  }

  private settle(): void {
    for (let turn = 0; turn < 16; turn++) {
      const isLeft = this.stack.poll(this.nowUs);
      let wasIdle = true;
      for (const iface of this.stack.interfaces.all()) {
        if (iface.isLoopback) continue;
        for (let more = true; more; ) {
          this.burst.count = 0;
          more = iface.output.drain(this.burst);
          for (let k = 0; k < this.burst.count; k++) this.note(iface.number, this.burst.at[k]!, this.burst.length[k]!);
          if (this.burst.count > 0) wasIdle = false;
        }
      }
      this.stack.dispatch(this.nowUs);
      if (!isLeft && wasIdle && !this.stack.hasWork) return;
    }
  }

  private note(iface: number, at: number, length: number): void {
    const bytes = this.slab.bytes.slice(at, at + length);
    this.log.push({ atUs: this.nowUs, iface, bytes, text: tell(bytes) });
  }
}

const texts = (log: readonly Sent[]): string[] => log.map((one) => one.text).filter((text) => !IS_REPORT.test(text));

const STATES: Readonly<Record<number, string>> = {
  [AddressState.Tentative]: 'tentative',
  [AddressState.Preferred]: 'preferred',
  [AddressState.Deprecated]: 'deprecated',
  [AddressState.Duplicate]: 'duplicate',
};
