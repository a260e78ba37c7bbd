// Two networks and every kind of cable between them: what a program sends by TCP arrives unharmed.

import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { needPrograms } from '../kit/run-kit.ts';
import { freePort, Home, PATIENT, weft } from '../kit/weft-kit.ts';

let home: Home;
beforeEach(() => {
  home = new Home();
});
afterEach(() => home.close());

/** Opens a listener in a network; where it listens. */
async function listen(net: string, vnl: string): Promise<string> {
  await home.ctl(net, 'plug/add', vnl);
  const [{ state }] = (await home.ctl(net, 'plug/list')) as [{ state: string }];
  return /127\.0\.0\.1:\d+/.exec(state)![0];
}

/** Joins the two networks. */
type Join = (one: string, other: string) => unknown;

const listener =
  (vnl: string, connect: (at: string) => string): Join =>
  async (one, other) =>
    home.ctl(other, 'plug/add', connect(await listen(one, vnl)));

const CABLES: [string, Join][] = [
  ['weft plug vde:// vde://', (one, other) => home.start(weft('plug', `vde://${one}`, `vde://${other}`))],
  ['plug/add vde://', (one, other) => home.ctl(one, 'plug/add', `vde://${other}`)],
  ['plug/add stream://', (one, other) => home.ctl(one, 'plug/add', `stream://${other}/stream`)],
  ['plug/add stream://…[plain]', (one, other) => home.ctl(one, 'plug/add', `stream://${other}/stream[plain]`)],
  ['tcp://', listener('tcp://127.0.0.1:0/listen', (at) => `tcp://${at}`)],
  ['tcp://…/plain', listener('tcp://127.0.0.1:0/listen/plain', (at) => `tcp://${at}/plain`)],
  ['ws://', listener('ws://127.0.0.1:0/net/listen/token=secret', (at) => `ws://${at}/net/token=secret`)],
  [
    'udp://',
    async (one, other) => {
      const [here, there] = [await freePort(), await freePort()];
      await home.ctl(one, 'plug/add', `udp://127.0.0.1:${here}->127.0.0.1:${there}`);
      await home.ctl(other, 'plug/add', `udp://127.0.0.1:${there}->127.0.0.1:${here}`);
    },
  ],
  ['cmd://vde_plug', (one, other) => home.ctl(one, 'plug/add', `cmd://vde_plug vde://${other}`)],
  ['cmd://weft plug', (one, other) => home.ctl(one, 'plug/add', `cmd://${weft('plug', `vde://${other}`).join(' ')}`)],
  [
    'ptp://',
    async (one, other) => {
      await home.ctl(one, 'plug/add', `ptp://${home.file('ptp')}`);
      await home.ctl(other, 'plug/add', `ptp://${home.file('ptp')}`);
    },
  ],
];

describe('a file of 5 MB by HTTP', PATIENT, () => {
  test.for(CABLES)('over %s', async ([, join], ctx) => {
    needPrograms(ctx, 'python3', 'curl', 'vde_plug');
    const content = randomBytes(5_000_000);
    const [one, other] = [await home.switch('one'), await home.switch('other')];
    const served = home.makeDirectory('served');
    writeFileSync(`${served}/file`, content, { mode: 0o644 });
    await join(one, other);
    const serve = ['python3', '-u', '-m', 'http.server', '80', '--directory', served];
    const server = home.start(weft('run', '--net', one, '--ip', '10.0.0.2/24', '--', ...serve));
    await server.said(/Serving HTTP/);
    const get = 'curl -s --retry 20 --retry-connrefused --retry-delay 0 http://10.0.0.2/file | sha256sum';
    const client = await home.program(other, ['--ip', '10.0.0.1/24'], get);
    const sha = createHash('sha256').update(content).digest('hex');
    expect((await client.ended).stdout).toBe(`inside\n${sha}  -\n`);
  });
});
