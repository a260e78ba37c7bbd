// A stack on one end of a cable whose other end is a TAP of the kernel in this namespace.

import { spawnSync } from 'node:child_process';
import { NEVER } from '../../core/time.ts';
import { Fabric } from '../../engine/fabric.io.ts';
import { Cable, Network } from '../../engine/network.ts';
import { TapPort } from '../../plug/tap-port.io.ts';
import { AddressOrigin, parseAddress, Stack, StackPort } from '../../stack/stack.ts';
import { openTap } from '../../sys/tap.io.ts';
import type { LanOptions } from './stack-lan.ts';

const DEVICE = 'weft-bench';
const TURN_MS_MAX = 20;
/** Addresses of the kernel and of the stack on the cable. */
export const KERNEL = { 4: '10.79.0.1', 6: 'fd79::1' } as const;
const STACK = { 4: '10.79.0.2/24', 6: 'fd79::2/64' } as const;

/** A stack whose only neighbour is the kernel. */
export class StackTap {
  readonly stack: Stack;
  private readonly fabric = new Fabric();

  /** Makes the device and gives the kernel its addresses: only ever in a namespace that the benchmark made. */
  constructor(options: LanOptions) {
    const { fabric } = this;
    const tap = openTap(DEVICE);
    const secret = Int32Array.of(1, 2, 3, process.pid);
    this.stack = new Stack({ slab: fabric.slab, secret, nowUs: fabric.nowUs() });
    const iface = this.stack.addInterface({
      name: 'eth0',
      mac: Uint8Array.of(2, 0, 0, 0, 0, 2),
      mtuBytes: options.mtuBytes,
      takesOffload: options.takesOffload,
      dadTransmits: 0,
    });
    for (const text of Object.values(STACK)) {
      const [address, bits] = text.split('/') as [string, string];
      this.stack.autoconf.addAddress(iface.number, parseAddress(address)!, +bits, AddressOrigin.Static, NEVER, NEVER);
    }
    const cable = new Network('cable', new Cable(), { portsMax: 2 });
    const device = new TapPort(fabric, tap.fd, () => fabric.stop(), { offload: tap.offloads !== 0 });
    fabric.attach(device, cable, 0, { kind: 'tap', description: DEVICE });
    const port = new StackPort(this.stack, iface, fabric);
    fabric.attach(port, cable, 1, { kind: 'stack', description: '' });
    this.stack.onWake(() => port.nudge());
    device.start();
    ip('link', 'set', DEVICE, 'mtu', `${options.mtuBytes}`, 'up');
    ip('addr', 'add', `${KERNEL[4]}/24`, 'dev', DEVICE);
    ip('addr', 'add', `${KERNEL[6]}/64`, 'dev', DEVICE, 'nodad');
    fabric.wake(port);
  }

  /** Turns until `isDone`; throws after `secondsMax`. */
  until(isDone: () => boolean, what: string, secondsMax: number): void {
    const endMs = performance.now() + secondsMax * 1000;
    while (!isDone()) {
      if (performance.now() > endMs) throw new Error(`${what}: not after ${secondsMax} s`);
      this.fabric.turn(Math.min(TURN_MS_MAX, this.fabric.idleMs()));
    }
  }
}

function ip(...words: string[]): void {
  const { status, stderr } = spawnSync('ip', words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${words.join(' ')}: ${stderr.trim()}`);
}
