// Stacks in this process on a switch of ours, on the real clock: what a fabric thread is to them, without a socket of the host.

import type { Port } from '../../core/port.ts';
import { Slab } from '../../core/slab.ts';
import { NEVER } from '../../core/time.ts';
import { Breath } from '../../engine/breath.ts';
import { Attachment, Network } from '../../engine/network.ts';
import { AddressOrigin, type Limits, parseAddress, Stack, type StackHost, StackPort } from '../../stack/stack.ts';
import { Switch } from '../../switch/switch.ts';

const PORTS_MAX = 256;
const PREFIX4_BITS = 16;
const PREFIX6_BITS = 64;

/** What the hosts of a LAN are like. */
export interface LanOptions {
  readonly mtuBytes: number;
  /** Super-frames and checksums that nobody computes, as between a guest and its host. */
  readonly takesOffload: boolean;
  readonly slabBytes?: number;
  readonly limits?: Partial<Limits>;
  /** Whole µs; the machine's if not given. */
  readonly clock?: () => number;
}

/** Addresses of host `number`, 1 and up. */
export const lanAddress = (number: number, isIp6: boolean): string =>
  isIp6 ? `fd00::${number.toString(16)}` : `10.78.${number >> 8}.${number & 255}`;

/** A switch with stacks on it, driven by `turn`. */
export class StackLan implements StackHost {
  readonly slab: Slab;
  /** Turns in which somebody was ready, or something was due. */
  busyTurns = 0;
  private readonly breath: Breath;
  private readonly network = new Network('lan', new Switch({ portsMax: PORTS_MAX }), { portsMax: PORTS_MAX });
  private readonly options: LanOptions;
  private readonly clock: () => number;
  private readonly attachments = new Map<Port, Attachment>();
  private ready: Attachment[] = [];
  private spare: Attachment[] = [];
  private readonly timers = new Map<number, { atUs: number; act: () => void }>();
  private nextTimer = 1;
  private firstUs = NEVER;
  private hosts = 0;
  private clockUs = 0;

  constructor(options: LanOptions) {
    this.options = options;
    this.clock = options.clock ?? (() => Math.floor(performance.now() * 1000));
    this.slab = new Slab({ bytesMax: options.slabBytes ?? 64 << 20 });
    this.breath = new Breath(this.slab);
    this.tick();
  }

  /** The clock of the last turn, whole µs. */
  nowUs(): number {
    return this.clockUs;
  }

  wake(port: Port): void {
    const attachment = this.attachments.get(port)!;
    if (attachment.isReady) return;
    attachment.isReady = true;
    this.ready.push(attachment);
  }

  at(atUs: number, act: () => void): number {
    const timer = this.nextTimer++;
    this.timers.set(timer, { atUs, act });
    this.firstUs = Math.min(this.firstUs, atUs);
    return timer;
  }

  cancel(timer: number): void {
    this.timers.delete(timer);
  }

  /** The next host, with one address of each family. */
  add(): Stack {
    const number = ++this.hosts;
    const secret = Int32Array.of(number, 0x5eed, 0x1ea, Math.imul(number, 0x9e3779b1));
    const { slab, options } = this;
    const limits = options.limits;
    const stack = new Stack({ slab, secret, nowUs: this.clockUs, ...(limits && { limits }) });
    const iface = stack.addInterface({
      name: 'eth0',
      mac: Uint8Array.of(2, 0, 0, 0, number >> 8, number & 255),
      mtuBytes: options.mtuBytes,
      takesOffload: options.takesOffload,
      dadTransmits: 0,
    });
    for (const isIp6 of [false, true]) {
      const bits = isIp6 ? PREFIX6_BITS : PREFIX4_BITS;
      const address = parseAddress(lanAddress(number, isIp6))!;
      stack.autoconf.addAddress(iface.number, address, bits, AddressOrigin.Static, NEVER, NEVER);
    }
    const port = new StackPort(stack, iface, this);
    const attachment = new Attachment(port, this.network, number, { kind: 'stack', description: '' }, number);
    this.attachments.set(port, attachment);
    this.network.add(attachment, this.clockUs);
    stack.onWake(() => port.nudge());
    this.wake(port);
    return stack;
  }

  /** Reads the clock, lets who is ready take a turn, does what is due. False if nobody was ready. */
  turn(): boolean {
    this.tick();
    const { ready, breath, clockUs } = this;
    this.ready = this.spare;
    for (const attachment of ready) {
      attachment.isReady = false;
      breath.breathe(attachment, clockUs);
      breath.exhale();
    }
    const wasBusy = ready.length > 0;
    ready.length = 0;
    this.spare = ready;
    const isDue = this.firstUs <= clockUs;
    if (isDue) this.expire();
    if (wasBusy || isDue) this.busyTurns++;
    return wasBusy;
  }

  /** Turns until `isDone`, for at most `secondsMax`; true if it was done. */
  until(isDone: () => boolean, secondsMax: number): boolean {
    const endUs = this.clockUs + secondsMax * 1e6;
    while (!isDone()) {
      if (this.clockUs > endUs) return false;
      this.turn();
    }
    return true;
  }

  private tick(): void {
    this.clockUs = this.clock();
  }

  private expire(): void {
    const due = [...this.timers].filter(([, { atUs }]) => atUs <= this.clockUs);
    for (const [timer, { act }] of due) {
      this.timers.delete(timer);
      act();
    }
    this.firstUs = Math.min(NEVER, ...[...this.timers.values()].map(({ atUs }) => atUs));
  }
}
