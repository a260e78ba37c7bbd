// A page that is a host: a stack in a browser, joined by WebSocket, that gets its addresses from the network and fetches a page.

import type * as Library from '../../stack/library.ts';

/** What the page did, in words that survive the way out of it. */
export interface PageReport {
  readonly news: readonly string[];
  readonly pages: readonly string[];
  readonly pings: readonly string[];
}

/** Joins `url`, waits for a lease and an advertised address, and fetches `/page` of each of `hosts`. `library` is `weft/stack`. */
export async function fetchThrough(
  library: typeof Library,
  url: string,
  hosts: readonly string[],
): Promise<PageReport> {
  const { Burst, PLAIN, Slab, Stack, StackPort } = library;
  const slab = new Slab({ bytesMax: 1 << 24 });
  const nowUs = (): number => Math.floor(performance.now() * 1000);
  const socket = new WebSocket(url);
  socket.binaryType = 'arraybuffer';
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error(`no WebSocket at ${url}`));
  });
  const secret = crypto.getRandomValues(new Int32Array(4));
  const stack = new Stack({ slab, secret, nowUs: nowUs() });
  const mac = crypto.getRandomValues(new Uint8Array(6));
  mac[0] = (mac[0]! & 0xfc) | 2;
  const iface = stack.addInterface({ name: 'eth0', mac, mtuBytes: 1500, dadTransmits: 0 });
  const burst = new Burst(64);
  let isDue = false;
  const turn = (): void => {
    isDue = false;
    burst.count = 0;
    if (port.receive(burst, nowUs())) host.wake(port);
    for (let i = 0; i < burst.count; i++) {
      if (burst.offload[i] !== PLAIN) throw new Error('a frame that is not plain');
      socket.send(slab.bytes.slice(burst.at[i]!, burst.at[i]! + burst.length[i]!));
    }
  };
  const host: Library.StackHost = {
    nowUs,
    wake: () => {
      if (!isDue) setTimeout(turn, 0);
      isDue = true;
    },
    at: (deadlineUs, act) => Number(setTimeout(act, Math.min(1e9, Math.max(0, (deadlineUs - nowUs()) / 1000)))),
    cancel: (timer) => clearTimeout(timer),
  };
  const port = new StackPort(stack, iface, host);
  stack.onWake(() => port.nudge());
  socket.onmessage = ({ data }) => {
    const frame = new Uint8Array(data as ArrayBuffer);
    const at = slab.alloc(frame.length);
    slab.bytes.set(frame, at);
    port.queue(at, frame.length, PLAIN);
    port.flush(nowUs());
    slab.release(at, frame.length);
  };
  const news: string[] = [];
  const addressed = new Promise<void>((resolve) => {
    stack.onNews(() => {
      news.push(...stack.configuration.news());
      if (hasBoth(library, stack)) resolve();
    });
  });
  stack.configuration.apply('eth,dhcp,rd,slaac', iface.number);
  port.nudge();
  await addressed;

  const fetchPage = async (from: string): Promise<string> => {
    const stream = await stack.streams.connect({ host: from, port: 80 });
    await stream.write(new TextEncoder().encode(`GET /page HTTP/1.1\r\nhost: ${from}\r\nconnection: close\r\n\r\n`));
    let text = '';
    for await (const piece of stream) text += new TextDecoder().decode(piece);
    await stream.end();
    return text;
  };
  const pages: string[] = [];
  for (const from of hosts) pages.push(await fetchPage(from));
  const pings: string[] = [];
  for (const target of hosts) {
    const { address, bytes } = await stack.streams.ping(target);
    pings.push(`${address} ${bytes}`);
  }
  stack.close();
  socket.close();
  return { news, pages, pings };
}

/** Whether it has an address of IPv4 and one of IPv6 that is not link-local. */
function hasBoth({ AddressState, isIp4, isLinkLocal }: typeof Library, { addresses }: Library.Stack): boolean {
  const usable = [...addresses.ids()].filter((a) => addresses.stateOf(a) !== AddressState.Tentative);
  const kinds = usable
    .map((a) => addresses.addressOf(a))
    .filter((address) => !isLinkLocal(address) && address[3] !== 1);
  return kinds.some(isIp4) && kinds.some((address) => !isIp4(address));
}
