import { expect, test } from 'vitest';
import { PLAIN } from '../../core/burst.ts';
import { Rng } from '../../core/rng.ts';
import { Rules } from '../../slirp/slirp.ts';
import { parseAddress } from '../../stack/stack.ts';
import { addAddress } from '../kit/stack-kit.ts';
import { FRAME_BYTES_MAX, Mutator } from '../robust/mutator.ts';
import { GatewayLab } from './kit-gateway.ts';

const FRAMES = 20_000;
const USED_BYTES_MAX = 64 << 20;
const HONEST = Buffer.from([10, 0, 2, 16]);
const SERVERS = ['192.0.2.7', '192.0.2.8', '[2001:db8::7]'];

/** What the guest sent lately, to be mutated. */
function listen(lab: GatewayLab, mutator: Mutator): void {
  lab.pair.world.observe({
    sent: ({ view, at, length, from }) => {
      if (from !== 0 || length > FRAME_BYTES_MAX) return;
      const frame = new Uint8Array(view.buffer, view.byteOffset + at, length);
      // Of the honest one nothing is known; who knows it may take its place, as on any Ethernet.
      if (!Buffer.from(frame).includes(HONEST)) mutator.note(frame, false);
    },
  });
}

/** Something of every kind, so that there is something to mutate. */
function speak(lab: GatewayLab, round: number): void {
  const { sockets } = lab.guest;
  for (const to of ['192.0.2.7', '192.0.2.8', '2001:db8::7', '10.0.2.2', '10.0.2.77', 'fd00::2', '127.0.0.1']) {
    const h = lab.connect(to, 80 + (round % 3));
    lab.send(lab.udp(to.includes(':')), 'question', to, 53);
    lab.ping(to, 1 + (round % 60_000));
    lab.run(2000);
    lab.send(h, 'GET / HTTP/1.0');
    lab.run(2000);
    if (round % 2 === 0) sockets.close(h);
  }
}

/** Of `1.2.3.4:80`, `[::1]:80`, and of echo without port. */
const addressOf = (where: string): Int32Array => parseAddress(/^\[?([^\]]*?)\]?(:\d+)?$/.exec(where)![1]!)!;

test('a guest that lies harms nobody, and gets nowhere that it may not', { timeout: 60_000 }, () => {
  const lab = new GatewayLab({ caps: { tcpPerGuest: 200, udpPerGuest: 200, echoPerGuest: 16 } });
  const rng = new Rng(1);
  const corpus = [new Uint8Array(60)];
  const mutator = new Mutator(rng, corpus);
  listen(lab, mutator);
  lab.run(3_000_000);
  const servers = (): void => {
    for (const server of SERVERS) {
      for (const port of [80, 81]) lab.host.answer(`${server}:${port}`, 'accept');
      lab.outside.place(`${server}:53`, ({ bytes }) => bytes);
    }
  };
  servers();
  lab.host.answer('198.51.100.9:443', 'accept');
  addAddress(lab.guest, 2, '10.0.2.16/24');
  const honest = lab.connect('198.51.100.9', 443, '10.0.2.16');
  lab.run();
  const server = lab.host.peers.at(-1)!;
  const iface = lab.gate.interfaces.get(2)!;
  const cell = lab.slab.alloc(FRAME_BYTES_MAX);
  let usedMax = 0;
  let flowsMax = 0;
  for (let i = 0; i < FRAMES; i++) {
    if (i % 1000 === 0) speak(lab, i / 1000);
    mutator.next();
    // Most are for the gateway, or a switch would not have brought them.
    if (rng.chance(0.95)) mutator.frame.set(iface.mac, 0);
    lab.slab.bytes.set(mutator.frame.subarray(0, mutator.length), cell);
    lab.gate.receive(iface, cell, mutator.length, PLAIN, lab.pair.nowUs);
    if (i % 50 !== 0) continue;
    lab.run(rng.below(20_000));
    usedMax = Math.max(usedMax, lab.slab.usedBytes);
    if (i % 500 !== 0) continue;
    flowsMax = Math.max(flowsMax, [...lab.gateway.flows()].length);
    lab.send(honest, 'still');
    server.write(new TextEncoder().encode('here'));
    lab.run(20_000);
    expect(lab.read(honest)).toBe('here');
    expect(new TextDecoder().decode(server.read())).toBe('still');
  }
  expect(usedMax).toBeLessThan(USED_BYTES_MAX);
  expect(flowsMax).toBeGreaterThan(20);
  // Rules that know nothing of this network: what left may leave.
  const rules = new Rules();
  const left = [...lab.host.peers.map(({ where }) => where), ...lab.outside.sent.map(({ to }) => to)];
  expect(left.length).toBeGreaterThan(100);
  expect(left.filter((where) => !rules.allows(6, addressOf(where), 80))).toEqual([]);
  const { counters } = lab.gateway;
  expect(counters.tcpFailed + counters.prohibited).toBeGreaterThan(10);
  lab.slab.release(cell, FRAME_BYTES_MAX);
  const { host } = lab;
  lab.restart();
  expect(host.openHandles).toBe(0);
});
