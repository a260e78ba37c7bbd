// What guests of `weft run` do not reach unless a rule allows it: the host itself, its private networks, clouds' metadata.

import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { Outside } from '../kit/distant-kit.ts';
import { PATIENT } from '../kit/weft-kit.ts';
import { HOST4, HOST6 } from '../kit/world-kit.ts';

const PRIVATE4 = '10.99.0'; // of host .1 and world .2
const PRIVATE6 = 'fd99::';
const METADATA4 = '169.254.169.254';
const METADATA6 = 'fd00:ec2::254';

/** Where guests knock, which rule opens, and who is there: a server of the host that knows what was asked for. */
const PLACES = [
  { place: "host's loopback, by the gateway, IPv4", host: '10.0.2.2', rule: '127.0.0.1:8080', at: 'here' },
  { place: "host's loopback, by the gateway, IPv6", host: '[fd00::2]', rule: '[::1]:8080', at: 'here' },
  { place: "host's own address, IPv4", host: HOST4, rule: `${HOST4}:8080`, at: 'here' },
  { place: "host's own address, IPv6", host: `[${HOST6}]`, rule: `[${HOST6}]:8080`, at: 'here' },
  { place: "host's own private address, IPv4", host: `${PRIVATE4}.1`, rule: `${PRIVATE4}.1`, at: 'here' },
  { place: "host's own private address, IPv6", host: `[${PRIVATE6}1]`, rule: `${PRIVATE6}1`, at: 'here' },
  {
    place: "neighbour in the host's private network, IPv4",
    host: `${PRIVATE4}.2`,
    rule: `${PRIVATE4}.0/24`,
    at: 'there',
  },
  {
    place: "neighbour in the host's private network, IPv6",
    host: `[${PRIVATE6}2]`,
    rule: `${PRIVATE6}/64`,
    at: 'there',
  },
  { place: 'metadata service, IPv4', host: METADATA4, rule: METADATA4, at: 'there' },
  { place: 'metadata service, IPv6', host: `[${METADATA6}]`, rule: METADATA6, at: 'there' },
];

const SERVE = `
require('node:http').createServer((request, response) => response.end(process.argv[1]))
  .listen(8080, '::', () => console.log('serving'));
`;

let outside: Outside | undefined;
let open = '';

beforeEach(async (ctx) => {
  Outside.need(ctx, 'curl', 'ping', 'dig');
  outside ??= await start();
}, 60_000);
afterAll(() => outside?.close(), 30_000);

async function start(): Promise<Outside> {
  const made = await Outside.make();
  const { home, world } = made;
  world.run(world.inHost, `ip address add ${PRIVATE4}.1/24 dev out; ip address add ${PRIVATE6}1/64 dev out nodad`);
  const there = [`${PRIVATE4}.2/24`, `${METADATA4}/32`, `${PRIVATE6}2/64`, `${METADATA6}/128`];
  const add = (address: string) => `ip address add ${address} dev in ${address.includes(':') ? 'nodad' : ''}`;
  world.run(world.inWorld, there.map(add).join('\n'));
  await world.serve(process.execPath, '-e', SERVE, 'there').said(/serving/);
  await home.start([process.execPath, '-e', SERVE, 'here']).said(/serving/);
  await home.engine('up');
  const rules = PLACES.map(({ rule }) => rule);
  open = await home.switch('open', '--plug', `slirp:///allow=${rules.map((rule) => `'${rule}'`).join(',')}`);
  return made;
}

describe('by default', PATIENT, () => {
  test.each(PLACES)('the $place is refused at once', async ({ host }) => {
    const { status, stderr } = await outside!.ended(`curl -sSg -m 20 http://${host}:8080/`);
    expect({ status, stderr }).toEqual({ status: 7, stderr: expect.stringMatching(/after \d{1,3} ms/) });
  });

  test('so are a ping and a question to the private network, and it is counted', async () => {
    const { stdout } = await outside!.ended(`ping -n -c 1 -W 20 ${PRIVATE4}.2; ping -6 -n -c 1 -W 20 ${PRIVATE6}2`);
    expect(stdout.match(/ 0 received, \+1 errors/g)).toHaveLength(2);
    const { stdout: dug } = await outside!.ended(`dig +time=20 +tries=1 @${PRIVATE4}.2 four.test`);
    expect(dug).toMatch(/connection refused|host unreachable/i);
    const [status] = (await outside!.home.ctl('default', 'gateway/status')) as { counters: { prohibited: number } }[];
    expect(status!.counters.prohibited).toBeGreaterThanOrEqual(PLACES.length + 1); // loopback passes for a closed port
  });
});

describe('where a rule allows it', PATIENT, () => {
  test.each(PLACES)('the $place is reached', async ({ host, at }) => {
    expect(await outside!.run(`curl -sSg -m 20 http://${host}:8080/`, ['--net', open])).toBe(at);
  });

  test('only what the rule names', async () => {
    const others = ['10.0.2.2:8081', '[fd00::2]:8081', '127.0.0.1:8080', `${HOST4}:8081`];
    for (const place of others) {
      const { status } = await outside!.ended(`curl -sSg -m 20 http://${place}/`, ['--net', open]);
      expect({ place, status }).toEqual({ place, status: 7 });
    }
  });
});
