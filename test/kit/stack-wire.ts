// Two stacks on a wire that is nothing but function calls: the same code runs in Node and in a page, against the library bundle.

import type * as Library from '../../stack/library.ts';

/** What two stacks did, in words that survive the way out of a page. */
export interface WireReport {
  readonly pings: readonly string[];
  readonly transfers: readonly string[];
  readonly usedBytesAfter: number;
}

/** Runs two stacks on a wire: a ping and a transfer of `bytes` there and back, by IPv4 and IPv6. `library` is `weft/stack`. */
export async function runOnWire(library: typeof Library, bytes: number): Promise<WireReport> {
  const { AddressOrigin, Burst, Drop, NEVER, parseAddress, PLAIN, Slab, Stack, StackPort } = library;
  const slab = new Slab({ bytesMax: 1 << 24 });
  const nowUs = (): number => Math.floor(performance.now() * 1000);
  const stacks: Library.Stack[] = [];
  const ports: Library.StackPort[] = [];
  const burst = new Burst(64);
  const due = new Set<Library.Port>();

  /** What `from` has to send is queued at the other end; whoever wants its turn gets it. */
  const turn = (): void => {
    for (const from of [...due]) {
      due.delete(from);
      const other = ports[1 - ports.indexOf(from as Library.StackPort)]!;
      burst.count = 0;
      if (from.receive(burst, nowUs())) due.add(from);
      for (let i = 0; i < burst.count; i++) {
        if (burst.offload[i] !== PLAIN || other.queue(burst.at[i]!, burst.length[i]!, PLAIN) !== Drop.None) {
          throw new Error('the wire lost a frame');
        }
      }
      other.flush(nowUs());
    }
    if (due.size > 0) setTimeout(turn, 0);
  };
  const host: Library.StackHost = {
    nowUs,
    wake: (port) => {
      if (due.size === 0) setTimeout(turn, 0);
      due.add(port);
    },
    at: (deadlineUs, act) => Number(setTimeout(act, Math.min(1e9, Math.max(0, (deadlineUs - nowUs()) / 1000)))),
    cancel: (timer) => clearTimeout(timer),
  };
  for (const n of [1, 2]) {
    const stack = new Stack({ slab, secret: Int32Array.of(n, 2, 3, 4), nowUs: nowUs() });
    const iface = stack.addInterface({
      name: 'eth0',
      mac: Uint8Array.of(2, 0, 0, 0, 0, n),
      mtuBytes: 1500,
      dadTransmits: 0,
    });
    for (const [text, bits] of [
      [`10.0.0.${n}`, 24],
      [`fd00::${n}`, 64],
    ] as const) {
      stack.autoconf.addAddress(iface.number, parseAddress(text)!, bits, AddressOrigin.Static, NEVER, NEVER);
    }
    const port = new StackPort(stack, iface, host);
    stack.onWake(() => port.nudge());
    stacks.push(stack);
    ports.push(port);
  }
  const [a, b] = stacks as [Library.Stack, Library.Stack];

  const exchange = async (to: string): Promise<string> => {
    const listener = b.streams.listen({ port: 7 });
    const server = (async () => {
      const stream = await listener.accept();
      for await (const piece of stream) await stream.write(piece);
      await stream.end();
    })();
    const client = await a.streams.connect({ host: to, port: 7 });
    const sent = new Uint8Array(bytes);
    for (let i = 0; i < bytes; i++) sent[i] = (i * 7 + (i >>> 8)) & 255;
    const writer = client.write(sent).then(() => client.end());
    let got = 0;
    for await (const piece of client) {
      for (const byte of piece) if (byte !== sent[got++]) throw new Error(`byte ${got - 1} of ${to} is wrong`);
    }
    await Promise.all([writer, server]);
    listener.close();
    return `${to} ${got}`;
  };
  const pings: string[] = [];
  const transfers: string[] = [];
  for (const to of ['10.0.0.2', 'fd00::2']) {
    const { address, bytes: size } = await a.streams.ping(to);
    pings.push(`${address} ${size}`);
    transfers.push(await exchange(to));
  }
  for (const port of ports) port.close();
  for (const stack of stacks) stack.close();
  return { pings, transfers, usedBytesAfter: slab.usedBytes };
}
