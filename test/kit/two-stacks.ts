// Hosts on stacks of ours in this process, joined by a switch in memory, on Node's loop and its clock.

import { Fabric } from '../../engine/fabric.io.ts';
import { FabricNode } from '../../engine/fabric-node.io.ts';
import { Stack, StackPort } from '../../stack/stack.ts';
import type { StackContext } from '../../thread/place.io.ts';
import { addAddress, secretOf } from './stack-kit.ts';

const clockUs = (): number => Math.trunc(performance.now() * 1000);

/** Networks in memory; each host has `10.0.0.N/24` and `fd00::N/64`. */
export class MemoryNet {
  readonly fabric = new Fabric();
  private readonly node: FabricNode;
  private networks = 0;

  constructor() {
    this.node = new FabricNode(this.fabric, { notify: () => {}, shutdown: () => {} });
    this.fabric.runOnLoop();
  }

  /** Hosts 1 … `count` on a network of their own. */
  hosts(count: number): StackContext[] {
    const name = `lan${++this.networks}`;
    const service = this.node.openNetwork({ name, kind: 'switch', ports: 32, mode: 0o600, dirMode: 0o700 });
    return Array.from({ length: count }, (_, i) => {
      const number = i + 1;
      const { fabric } = this;
      const stack = new Stack({
        slab: fabric.slab,
        secret: secretOf(7, number + 100 * this.networks),
        nowUs: clockUs(),
      });
      const mac = Uint8Array.of(2, 0, 0, 0, 0, number);
      const iface = stack.addInterface({ name: 'eth0', mac, mtuBytes: 1500, takesOffload: true, dadTransmits: 0 });
      addAddress(stack, iface.number, `10.0.0.${number}/24`);
      addAddress(stack, iface.number, `fd00::${number.toString(16)}/64`);
      const port = new StackPort(stack, iface, {
        nowUs: clockUs,
        wake: (woken) => fabric.wake(woken),
        at: (deadlineUs, act) => fabric.at(deadlineUs, act),
        cancel: (timer) => fabric.cancel(timer),
      });
      service.attach(port, number, { kind: 'stack', description: `host ${number}` });
      return { stack, tick: () => stack.tick(clockUs()) };
    });
  }

  close(): void {
    this.node.close();
    this.fabric.stop();
  }
}
