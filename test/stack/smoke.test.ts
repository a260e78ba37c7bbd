import { expect, test } from 'vitest';
import { Family, parseAddress, SocketType } from '../../stack/stack.ts';
import { HostPair } from '../kit/stack-kit.ts';

for (const [family, addr] of [
  [Family.Inet6, 'fd00::2'],
  [Family.Inet, '10.0.0.2'],
] as const)
  test(`smoke ${addr}`, () => {
    const { pair, a, b } = new HostPair({ link: { delayUs: 1000 } });
    const any = parseAddress(family === Family.Inet6 ? '::' : '0.0.0.0')!;
    const server = b.sockets.socket(family, SocketType.Stream);
    expect(b.sockets.bind(server, any, 80)).toBe(0);
    expect(b.sockets.listen(server, 5)).toBe(0);
    const client = a.sockets.socket(family, SocketType.Stream);
    expect(a.sockets.connect(client, parseAddress(addr)!, 80)).toBe(-115);
    pair.world.touch(pair.a);
    console.log(
      pair.runUntil(() => (b.sockets.poll(server) & 1) !== 0, 3_000_000),
      pair.nowUs,
    );
    const conn = b.sockets.accept(server);
    console.log('accepted', conn);
    const data = new Uint8Array(3_000_000).map((_, i) => i * 7);
    let sent = 0;
    let got = 0;
    const into = new Uint8Array(65536);
    for (let guard = 0; got < data.length && guard < 100000; guard++) {
      const n = a.sockets.send(client, data, sent, data.length - sent, 0);
      if (n > 0) sent += n;
      pair.world.touch(pair.a);
      if (!pair.step()) {
        console.log('idle', sent, got);
        break;
      }
      for (;;) {
        const m = b.sockets.receive(conn, into, 0, into.length, 0);
        if (m <= 0) break;
        for (let i = 0; i < m; i++)
          if (into[i] !== (((got + i) * 7) & 255)) throw new Error('bad byte at ' + (got + i));
        got += m;
        pair.world.touch(pair.b);
      }
    }
    console.log('got', got, 'at', pair.nowUs, a.shared.drops.byName(), b.shared.drops.byName());
    expect(got).toBe(data.length);
  });
