// QEMU's firmware boots by the gateway: iPXE gets a lease, and a script from a web server outside, which asks for more.

import { afterAll, beforeEach, test } from 'vitest';
import { DISTANT4, Outside } from '../kit/distant-kit.ts';
import type { Running } from '../kit/run-kit.ts';
import { PATIENT } from '../kit/weft-kit.ts';

const QEMU = 'qemu-system-x86_64 -display none -serial none -monitor none -m 64 -accel tcg -boot n'.split(' ');

/** What it is told by the gateway stands in what it asks for next. */
const SCRIPT = [
  '#!ipxe',
  'echo booted by the gateway',
  `chain http://${DISTANT4}/proof?address=\${ip}&mask=\${netmask}&router=\${gateway}&dns=\${dns}&domain=\${domain}&from=\${mac:hexhyp}`,
  '',
].join('\n');

let outside: Outside | undefined;
let starting: Promise<Outside> | undefined;
let web: Running;

beforeEach(async (ctx) => {
  Outside.need(ctx, QEMU[0]!);
  starting ??= start();
  outside = await starting;
}, 60_000);
afterAll(() => outside?.close(), 30_000);

async function start(): Promise<Outside> {
  const made = await Outside.make();
  made.distant.publish('boot.ipxe', SCRIPT);
  web = await made.distant.web();
  // By IPv4: iPXE leads nothing global through a unique local address of its own.
  await made.home.engine('up', '--gateway', `boot='http://four.test/boot.ipxe'`);
  return made;
}

// Booting is mostly waiting: both at once.
test.for([
  { way: '-netdev vde', netdev: (net: string) => `vde,sock=${net}`, last: '56' },
  {
    way: '-netdev stream',
    netdev: (net: string) => `stream,server=off,addr.type=unix,addr.path=${net}/stream`,
    last: '57',
  },
])('$way: iPXE has a lease and boots', { ...PATIENT, concurrent: true }, async ({ netdev, last }, ctx) => {
  const { home } = outside!;
  const mac = `52:54:00:12:34:${last}`;
  const machine = home.start([
    ...QEMU,
    ...['-device', `virtio-net-pci,netdev=n,mac=${mac}`],
    ...['-netdev', `${netdev(home.file('weft/default'))},id=n`],
  ]);
  const wanted = `address=(10\\.0\\.2\\.\\d+)&mask=255\\.255\\.255\\.0&router=10\\.0\\.2\\.2&dns=10\\.0\\.2\\.3&domain=weft\\.internal&from=${mac.replaceAll(':', '-')}`;
  await web.said(new RegExp(`GET /proof\\?${wanted} from 198\\.51\\.100\\.1`));
  const [, address] = new RegExp(wanted).exec(web.stdout)!;
  const leases = (await home.ctl('default', 'lease/list')) as { address: string; mac: string }[];
  ctx.expect(leases).toContainEqual(ctx.expect.objectContaining({ address, mac }));
  await home.kill(machine);
});
