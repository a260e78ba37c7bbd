// More than one guest, guests of one family, and guests whose gateway dies and comes back; all of `weft run`, as an ordinary user.

import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { DISTANT4, DISTANT6, GLOBAL4, Outside } from '../kit/distant-kit.ts';
import type { Running } from '../kit/run-kit.ts';
import { PATIENT, weft } from '../kit/weft-kit.ts';

const PAGE = 'a page of the distant server\n';

let outside: Outside | undefined;
let engine: Running;

beforeEach(async (ctx) => {
  Outside.need(ctx, 'curl', 'python3', 'ping');
  outside ??= await start();
}, 60_000);
afterAll(() => outside?.close(), 30_000);

async function start(): Promise<Outside> {
  const made = await Outside.make();
  made.distant.publish('page', PAGE);
  await made.distant.web();
  engine = await made.home.engine('up');
  return made;
}

const SERVE = `
require('node:http').createServer((request, response) => response.end('a guest for ' + request.socket.remoteAddress))
  .listen(80, '::', () => console.log('serving'));
`;

/** Fetches a line's address whenever a line comes, and says when it is ready. */
const FETCHER =
  'ip -o address show dev eth0 scope global; echo ready; while read url; do curl -sSgf -m 20 "$url" 2>&1; echo done; done';

/** A connection that is held while the gateway is away, told to speak by a line. */
const HOLDER = `
import errno, socket, sys
s = socket.create_connection((sys.argv[1], 80))
print('connected')
sys.stdin.readline()
try:
    s.send(b'GET / HTTP/1.0')
    s.settimeout(20)
    print('got', s.recv(100))
except OSError as e:
    print('failed', errno.errorcode.get(e.errno, e))
`;

describe('two guests at once', PATIENT, () => {
  test('reach each other by name and both reach outside', async () => {
    const server = outside!.home.start(weft('run', '--name', 'alpha', '--', process.execPath, '-e', SERVE));
    await server.said(/serving/);
    const fetchers = ['beta', 'gamma'].map((name) =>
      outside!.home.start(weft('run', '--name', name, '--', 'sh', '-c', FETCHER)),
    );
    await Promise.all(fetchers.map((fetcher) => fetcher.said(/ready/)));
    const urls = [
      'http://distant.test/page',
      'http://alpha/',
      'http://alpha.weft.internal/',
      `http://[${DISTANT6}]/page`,
    ];
    for (const { child } of fetchers) child.stdin!.end(urls.map((url) => `${url}\n`).join(''));
    for (const [i, fetcher] of fetchers.entries()) {
      const { stdout } = await fetcher.ended;
      const said = stdout.slice(stdout.indexOf('ready\n') + 6);
      const [four, six] = [/inet ([\d.]+)/, /inet6 ([0-9a-f:]+)/].map((pattern) => pattern.exec(stdout)![1]);
      const guest = new RegExp(`a guest for (::ffff:${four}|${six})done\n`);
      expect(
        said.split(guest).filter((_, n) => n % 2 === 0),
        `${i}`,
      ).toEqual([`${PAGE}done\n`, '', `${PAGE}done\n`]);
    }
    await outside!.home.kill(server);
  });

  test('ping each other by both families', async () => {
    const line = 'echo inside; cat';
    const quiet = outside!.home.start(weft('run', '--name', 'quiet', '--', 'sh', '-c', line));
    await quiet.said(/inside/);
    const ping = (digit: number) => `ping -${digit} -n -c 1 -W 20 quiet.weft.internal;`;
    expect((await outside!.run(ping(4) + ping(6))).match(/ 1 received/g)).toHaveLength(2);
    await outside!.home.kill(quiet);
  });
});

describe('a gateway that is killed and started again', PATIENT, () => {
  test('finds its guests with their addresses; new connections work at once, old ones are reset', async () => {
    const { home } = outside!;
    const names = ['one', 'two'];
    const fetchers = names.map((name) => home.start(weft('run', '--name', name, '--', 'sh', '-c', FETCHER)));
    const holders = [DISTANT4, DISTANT6].map((to) => home.start(weft('run', '--', 'python3', '-u', '-c', HOLDER, to)));
    await Promise.all([...fetchers.map((one) => one.said(/ready/)), ...holders.map((one) => one.said(/connected/))]);
    const leases = async () => Promise.all(names.map((name) => outside!.addressesOf(name)));
    const before = await leases();
    for (const addresses of before) expect(addresses).toHaveLength(2);

    await home.kill(engine);
    engine = await home.engine('up');
    await home.attached('default', 1 + fetchers.length + holders.length);
    expect(await leases()).toEqual(before);

    for (const { child } of fetchers) {
      child.stdin!.write(`http://${DISTANT4}/page\n`);
      child.stdin!.end(`http://[${DISTANT6}]/page\n`);
    }
    for (const { child } of holders) child.stdin!.end('\n');
    for (const [i, fetcher] of fetchers.entries()) {
      const { stdout } = await fetcher.ended;
      for (const address of before[i]!) expect(stdout).toContain(` ${address}/`);
      expect(stdout.endsWith(`ready\n${`${PAGE}done\n`.repeat(2)}`), stdout).toBe(true);
    }
    for (const holder of holders) expect((await holder.ended).stdout).toBe('connected\nfailed ECONNRESET\n');
  });
});

describe('a guest with IPv6 alone', PATIENT, () => {
  test.each([
    { how: 'nat64', name: 'global.test', prefix: '64:ff9b::', four: GLOBAL4, last: '5db8:d70e' },
    { how: 'prefix64=2001:db8:64::/96', name: 'four.test', prefix: '2001:db8:64::', four: DISTANT4, last: 'c000:250' },
  ])('reaches a server of IPv4 alone, by name and by the prefix: $how', async ({ how, name, prefix, four, last }) => {
    const net = await outside!.home.switch(how.slice(0, 5), '--plug', `slirp:///net=none/${how}`);
    const lines = [
      'set -e; ip -4 -o address show dev eth0; grep nameserver /etc/resolv.conf',
      `curl -sSf -m 20 http://${name}/page; curl -sSf -m 20 http://six.test/page`,
      `curl -sSgf -m 20 "http://[${prefix}${four}]/page"`,
      `ping -n -c 1 -W 20 ${name}`,
    ];
    const said = await outside!.run(lines.join('\n'), ['--net', net]);
    expect(said).toMatch(/^nameserver fd00::3\n/);
    expect(said.split(PAGE)).toHaveLength(4);
    expect(said).toContain(`PING ${name}(${prefix}${last})`);
    expect(said).toContain(' 1 received');
  });

  test('needs no lease: it has its address from advertisements', async () => {
    const net = await outside!.home.switch('ra', '--plug', 'slirp:///nodhcp');
    const wait = 'until ip -6 route show default | grep -q fe80::2; do sleep 0.02; done';
    const said = await outside!.run(
      `${wait}; ip -o -6 address show dev eth0 scope global; curl -sSgf -m 20 "http://[${DISTANT6}]/page"`,
      ['--net', net],
    );
    expect(said).toMatch(/inet6 fd00::[0-9a-f:]+\/64 /);
    expect(said.endsWith(PAGE)).toBe(true);
  });
});

test.each(['tap', 'veth'])('a guest whose device is a %s', PATIENT, async (device) => {
  expect(await outside!.run('curl -sSgf -m 20 http://distant.test/page', ['--device', device])).toBe(PAGE);
});
