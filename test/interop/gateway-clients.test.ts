// Programs as they are, in `weft run` by an ordinary user, against servers outside: fetching, asking, pinging, tracing.

import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { content, DISTANT4, DISTANT6, Outside, PATH_MTU, sha256 } from '../kit/distant-kit.ts';
import { PATIENT } from '../kit/weft-kit.ts';
import { WORLD4, WORLD6 } from '../kit/world-kit.ts';

const PAGE = 'a page of the distant server\n';
const BIG_BYTES = 50_000_000;
const PACKAGES = [1, 20_000, 300_000, 1_000_000, 2_000_000, 3_000_000, 5_000_000];
const FAMILIES = [
  { family: 'IPv4', digit: 4, distant: DISTANT4, url: `http://${DISTANT4}`, world: WORLD4, gateway: '10.0.2.2' },
  { family: 'IPv6', digit: 6, distant: DISTANT6, url: `http://[${DISTANT6}]`, world: WORLD6, gateway: 'fd00::2' },
] as const;

let outside: Outside | undefined;
const big = content(BIG_BYTES);

beforeEach(async (ctx) => {
  Outside.need(ctx, 'curl', 'wget', 'dig', 'ping', 'traceroute');
  outside ??= await start();
}, 60_000);
afterAll(() => outside?.close(), 30_000);

async function start(): Promise<Outside> {
  const made = await Outside.make();
  made.distant.publish('page', PAGE);
  made.distant.publish('big', big);
  for (const [i, bytes] of PACKAGES.entries()) made.distant.publish(`package-${i}`, big.subarray(i, i + bytes));
  await made.distant.web();
  await made.home.engine('up');
  return made;
}

describe.each(FAMILIES)('$family', PATIENT, ({ digit, distant, url, world, gateway }) => {
  test.each(['curl -sSgf -m 30', 'wget -qO- -T 30 -t 1'])('%s fetches by address and by name', async (fetch) => {
    expect(await outside!.run(`${fetch} '${url}/page'; ${fetch} -${digit} http://distant.test/page`)).toBe(PAGE + PAGE);
  });

  test.each(['', '+tcp'])('dig asks a name server outside, and the forwarder: %s', async (how) => {
    const forwarder = digit === 4 ? '10.0.2.3' : 'fd00::3';
    for (const server of [world, forwarder]) {
      const dig = `dig +time=20 +tries=1 ${how} @${server}`;
      const said = await outside!.run(`${dig} distant.test A; ${dig} distant.test AAAA; ${dig} nothing.test A`);
      expect(said).toContain(`\tA\t${DISTANT4}\n`);
      expect(said).toContain(`\tAAAA\t${DISTANT6}\n`);
      expect(said.match(/status: \w+/g)).toEqual(['status: NOERROR', 'status: NOERROR', 'status: REFUSED']);
    }
  });

  test('ping is answered: by the gateway, the router and the server, also in fragments', async () => {
    const ping = (target: string, bytes: number) => `ping -${digit} -n -c 2 -i 0.2 -W 20 -s ${bytes} ${target};`;
    const line = [ping(gateway, 56), ping(gateway, 4000), ping(world, 56), ping(world, 4000), ping(distant, 56)].join(
      '',
    );
    expect((await outside!.run(line)).match(/ 2 received, 0% packet loss/g)).toHaveLength(5);
  });

  test('the path MTU is told', async () => {
    const { stdout } = await outside!.ended(`ping -${digit} -n -c 2 -i 0.5 -W 20 -M do -s 1440 ${distant}`);
    expect(stdout).toMatch(new RegExp(`mtu ?= ?${PATH_MTU}`));
  });

  test.each(['', '-I'])('traceroute %s shows the gateway, the router and the server', async (how) => {
    const said = await outside!.run(`traceroute -${digit} -n ${how} -w 10 -m 8 ${distant}`);
    const hops = said.trim().split('\n').slice(1);
    expect(hops).toEqual([gateway, world, distant].map((hop, i) => expect.stringMatching(`^ *${i + 1}  ${hop}  \\d`)));
  });

  test('eight downloads at once arrive unharmed, one of 50 MB', async () => {
    const wanted = [big, ...PACKAGES.map((bytes, i) => big.subarray(i, i + bytes))].map(sha256);
    const names = ['big', ...PACKAGES.map((_, i) => `package-${i}`)];
    const fetch = `curl -sSgf -m 50 '${url}/'$name | sha256sum > "$HOME/${digit}-$name" &`;
    const line = `for name in ${names.join(' ')}; do ${fetch} done; wait; cd "$HOME"; cat ${names.map((name) => `${digit}-${name}`).join(' ')}`;
    expect(await outside!.run(line)).toBe(wanted.map((sum) => `${sum}  -\n`).join(''));
  });

  test('a page can be sent as well as fetched', async () => {
    const server = await outside!.distant.script(SINK, '81');
    await outside!.run(`head -c 20000000 /dev/zero | curl -sSgf -m 50 -T - '${url}:81/'`);
    await server.said(/took 20000000/);
    server.child.kill('SIGKILL');
    await server.ended;
  });
});

const SINK = `
require('node:http').createServer((request, response) => {
  let bytes = 0;
  request.on('data', (data) => { bytes += data.length; });
  request.on('end', () => { console.log('took', bytes); response.end(); });
}).listen(+process.argv[1], '::', () => console.log('serving'));
`;
