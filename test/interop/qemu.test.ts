// QEMU's own ways into a network; the firmware's DHCPDISCOVER proves that frames pass.

import { test } from 'vitest';
import { needPrograms } from '../kit/run-kit.ts';
import { freePort, Home, PATIENT, WEFT, weft } from '../kit/weft-kit.ts';

const QEMU = 'qemu-system-x86_64 -display none -serial none -monitor none -m 64 -accel tcg -boot n'.split(' ');

/** Boots a machine with nothing but a network card. */
const boot = (home: Home, netdev: string): void => {
  home.start([...QEMU, '-device', 'virtio-net-pci,netdev=n', '-netdev', `${netdev},id=n`]);
};

const WAYS: [string, (home: Home, net: string) => unknown][] = [
  ['-netdev vde', (home, net) => boot(home, `vde,sock=${net}`)],
  [
    '-netdev stream, a client of DIR/stream',
    (home, net) => boot(home, `stream,server=off,addr.type=unix,addr.path=${net}/stream`),
  ],
  [
    '-netdev stream, a server for our stream:// plug',
    (home, net) => {
      const path = home.file('qemu');
      boot(home, `stream,server=on,addr.type=unix,addr.path=${path}`);
      home.start(weft('plug', `stream://${path}`, net)); // tries until QEMU listens
    },
  ],
  [
    '-netdev socket, a client of our tcp:// listener',
    async (home, net) => {
      await home.ctl(net, 'plug/add', 'tcp://127.0.0.1:0/listen');
      const [{ state }] = (await home.ctl(net, 'plug/list')) as [{ state: string }];
      boot(home, `socket,connect=${/127\.0\.0\.1:\d+/.exec(state)![0]}`);
    },
  ],
  [
    '-netdev dgram, a peer of our udp:// plug',
    async (home, net) => {
      const [here, there] = [await freePort(), await freePort()];
      await home.ctl(net, 'plug/add', `udp://127.0.0.1:${here}->127.0.0.1:${there}`);
      const inet = (end: string, port: number): string => `${end}.type=inet,${end}.host=127.0.0.1,${end}.port=${port}`;
      boot(home, `dgram,${inet('local', there)},${inet('remote', here)}`);
    },
  ],
];

// Booting is mostly waiting: all at once.
test.for(WAYS)('%s: the firmware asks for an address', { ...PATIENT, concurrent: true }, async ([, join], ctx) => {
  needPrograms(ctx, QEMU[0]!, 'tcpdump');
  const home = new Home();
  ctx.onTestFinished(() => home.close());
  const net = await home.switch('net');
  const request = home.sh(`${WEFT} port ${net} --raw -c 1 | tcpdump -nr - udp src port 68`);
  await home.attached(net, 1);
  await join(home, net);
  const who = '0.0.0.0.68 > 255.255.255.255.67: BOOTP/DHCP, Request from 52:54:00:12:34:56';
  ctx.expect(await request).toContain(who);
});
