// Ports of the host that lead to guests of `weft run`, and back: nginx inside, clients outside, forwards that come and go.

import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { DISTANT4, DISTANT6, Outside } from '../kit/distant-kit.ts';
import type { Running } from '../kit/run-kit.ts';
import { eventually, PATIENT, weft } from '../kit/weft-kit.ts';
import { HOST4, HOST6 } from '../kit/world-kit.ts';

const PAGE = 'a page of nginx in a guest\n';

let outside: Outside | undefined;
/** Of the guest that serves. */
let addresses: string[] = [];
let echo: Running | undefined;

beforeEach(async (ctx) => {
  Outside.need(ctx, 'curl', '/usr/sbin/nginx', 'python3');
  outside ??= await start();
}, 60_000);
afterAll(() => outside?.close(), 30_000);

async function start(): Promise<Outside> {
  const made = await Outside.make();
  const { home } = made;
  await home.engine('up');
  const directory = home.makeDirectory('web');
  writeFileSync(`${directory}/page`, PAGE);
  writeFileSync(`${directory}/nginx.conf`, nginxConf(directory));
  const nginx = ['nginx', '-p', directory, '-c', `${directory}/nginx.conf`, '-e', `${directory}/error.log`];
  const server = home.start(weft('run', '--name', 'web', '--', ...nginx));
  echo = home.start(weft('run', '--name', 'echo', '--', 'python3', '-u', '-c', ECHO));
  await echo.said(/serving/);
  await eventually('nginx', () => {
    if (server.child.exitCode !== null) throw new Error(`nginx: ${server.stderr}`);
    return readFileSync(`${directory}/nginx.pid`, { encoding: 'utf8', flag: 'a+' }) !== '';
  });
  addresses = await made.addressesOf('web');
  expect(addresses).toEqual([expect.stringMatching(/^10\.0\.2\.\d+$/), expect.stringMatching(/^fd00::/)]);
  return made;
}

/** As an ordinary user has it, with all that it writes in `directory`. */
const nginxConf = (directory: string): string => `
daemon off;
worker_processes 1;
pid ${directory}/nginx.pid;
events {}
http {
  log_format short '$remote_addr $request_uri';
  access_log ${directory}/access.log short;
  client_body_temp_path ${directory}/a; proxy_temp_path ${directory}/b; fastcgi_temp_path ${directory}/c;
  uwsgi_temp_path ${directory}/d; scgi_temp_path ${directory}/e;
  server { listen 80; listen [::]:80; root ${directory}; }
}
`;

/** Tells every datagram's sender, and answers it. */
const ECHO = `
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(('::', 7000))
print('serving')
while True:
    data, sender = s.recvfrom(2000)
    print(sender[0].replace('::ffff:', ''), data.decode())
    s.sendto(data.upper(), sender)
`;

/** Sends a datagram and prints the answer. */
const ASK = `
import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.connect((sys.argv[1], int(sys.argv[2])))
s.send(sys.argv[3].encode())
print(s.recv(2000).decode())
`;

/** `weft forward add WORDS`; the forward's number. */
async function add(...words: string[]): Promise<number> {
  const { stdout, stderr } = await outside!.home.exec(weft('forward', 'add', '--json', ...words));
  expect(stderr).toBe('');
  return (JSON.parse(stdout) as { id: number }).id;
}

/** What a line of shell says on the distant server. */
const ask = (line: string): string => outside!.world.run(outside!.distant.inside, line);

const visitors = (): string => readFileSync(`${outside!.home.directory}/web/access.log`, 'utf8');

describe.each([
  { family: 'IPv4', host: HOST4, bind: HOST4, any: '0.0.0.0', client: DISTANT4, gateway: '10.0.2.2', at: 0 },
  { family: 'IPv6', host: HOST6, bind: `[${HOST6}]`, any: '[::]', client: DISTANT6, gateway: 'fd00::2', at: 1 },
])('$family', PATIENT, ({ host, bind, any, client, gateway, at }) => {
  const guest = () => (at === 0 ? addresses[at]! : `[${addresses[at]}]`);
  const udpGuest = async () => {
    const found = (await outside!.addressesOf('echo'))[at]!;
    return at === 0 ? found : `[${found}]`;
  };

  test.each([
    { what: 'the gateway', words: [], port: 8080, seen: gateway },
    { what: 'the client itself', words: ['--keep-source'], port: 8081, seen: client },
  ])('nginx in a guest is visited from outside, by $what as it sees it', async ({ words, port, seen }) => {
    await add(...words, `${bind}:${port}:${guest()}:80`);
    const visit = `curl -sSgf -m 20 'http://${bind}:${port}/page?${port}-${at}'`;
    expect(ask(visit)).toBe(PAGE);
    await eventually('a line of the log', () => visitors().includes(`${seen} /page?${port}-${at}\n`));
  });

  test.each([
    { what: 'the gateway', words: [], port: 9000, seen: gateway },
    { what: 'the client itself', words: ['--keep-source'], port: 9010, seen: client },
  ])('datagrams reach a guest and are answered, from $what', async ({ words, port, seen }) => {
    await add(...words, `udp:${any}:${port}-${port + 1}:${await udpGuest()}:7000-7001`);
    expect(ask(`python3 -c "${ASK}" ${host} ${port} hello-${port}-${at}`)).toBe(`HELLO-${port}-${at}\n`);
    await echo!.said(new RegExp(`${seen} hello-${port}-${at}`));
  });

  test('they come and go at run time; a connection that stands goes on', async () => {
    const id = await add(`${bind}:8090:${guest()}:80`);
    const listed = async () => (await outside!.home.exec(weft('forward', 'ls'))).stdout;
    expect(await listed()).toMatch(new RegExp(`^ *${id} +in +tcp:.*:8090:.*:80$`, 'm'));
    const keep = outside!.distant.serve('python3', '-u', '-c', KEEP, host, '8090');
    await keep.said(/200/);
    const { status } = await outside!.home.exec(weft('forward', 'rm', String(id)));
    expect(status).toBe(0);
    expect(await listed()).not.toContain(':8090:');
    expect(() => ask(`curl -sSgf -m 20 'http://${bind}:8090/page' 2>&1`)).toThrow();
    keep.child.stdin!.write('again\n');
    await keep.said(/200/, 2);
    await outside!.home.kill(keep);
  });

  test('a port of the gateway leads to a server of the host, or to its Unix socket', async () => {
    const { home } = outside!;
    const path = home.file(`host-${at}.sock`);
    const loopback = at === 0 ? '127.0.0.1' : '[::1]';
    await home.start([process.execPath, '-e', HOST_WEB, path, `${6000 + at}`]).said(/serving/);
    await add('--reverse', `${5000 + at}:${loopback}:${6000 + at}`);
    await add('--reverse', `${5100 + at}:unix:${path}`);
    const inside = at === 0 ? gateway : `[${gateway}]`;
    const said = await outside!.run(
      `curl -sSg -m 20 http://${inside}:${5000 + at}/; curl -sSg -m 20 http://${inside}:${5100 + at}/`,
    );
    expect(said).toBe('the host the host ');
  });

  test('a Unix socket of the host leads to a guest', async () => {
    const path = outside!.home.file(`web-${at}.sock`);
    await add(`unix:${path}:${guest()}:80`);
    expect(await outside!.home.sh(`curl -sSf -m 20 --unix-socket ${path} http://web/page`)).toBe(PAGE);
  });
});

/** A page by one connection, and again for every line of input. */
const KEEP = `
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)
while True:
    c.request('GET', '/page')
    r = c.getresponse()
    r.read()
    print(r.status)
    if not sys.stdin.readline(): break
`;

const HOST_WEB = `
const { createServer } = require('node:http');
const answer = (request, response) => response.end('the host ');
createServer(answer).listen(process.argv[1], () => {
  createServer(answer).listen(+process.argv[2], '::', () => console.log('serving'));
});
`;
