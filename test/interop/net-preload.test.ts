// `node --import weft/net app.js`: programs that know nothing of weft, on stacks of ours in a network of a real engine.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { needPrograms, type Running } from '../kit/run-kit.ts';
import { StackNet } from '../kit/stack-net.ts';
import { ROOT } from '../kit/tidy.ts';
import { PATIENT } from '../kit/weft-kit.ts';

const LIBRARY = pathToFileURL(join(ROOT, 'dist', 'net.js')).href;

let net: StackNet;
beforeEach(async () => {
  net = new StackNet();
  await net.up();
});
afterEach(() => net.close(), PATIENT.timeout);

/** Starts a program of some lines on a stack with an address. */
function app(address: string, lines: string, env: NodeJS.ProcessEnv = {}): Running {
  const file = net.home.file(`app-${address}.mjs`);
  writeFileSync(file, lines);
  const line = `eth,ip=${address}/24,ip=fd00::${address.split('.')[3]}/64`;
  return net.home.start([process.execPath, '--import', LIBRARY, file], {
    env: { WEFT_NET: net.directory, WEFT_STACK: line, ...env },
  });
}

const SERVER = `
  import http from 'node:http';
  http.createServer((request, response) => {
    let bytes = 0;
    request.on('data', (data) => { bytes += data.length; });
    request.on('end', () => response.end(process.pid + ' ' + request.socket.remoteAddress + ' ' + bytes));
  }).listen(80, () => console.log('serving'));
`;

describe('an unmodified program', PATIENT, () => {
  test('serves and asks, each with a port 80 of its own, and ends when it is done', async () => {
    const servers = [app('10.0.0.2', SERVER), app('10.0.0.3', SERVER)];
    for (const server of servers) await server.said(/serving/);
    const client = app(
      '10.0.0.4',
      `for (const host of ['10.0.0.2', '10.0.0.3', '[fd00::2]']) console.log(await (await fetch('http://' + host)).text());`,
    );
    const { status, stdout, stderr } = await client.ended;
    expect(stderr).toBe('');
    const [one, two] = servers.map(({ child }) => child.pid);
    expect(stdout.trim().split('\n')).toEqual([
      `${one} ::ffff:10.0.0.4 0`,
      `${two} ::ffff:10.0.0.4 0`,
      `${one} fd00::4 0`,
    ]);
    expect(status).toBe(0);
  });

  test('is reached by curl on the kernel, and reaches the kernel', async (ctx) => {
    needPrograms(ctx, 'curl', 'python3');
    await app('10.0.0.2', SERVER).said(/serving/);
    expect(await net.kernel('head -c 3000000 /dev/zero | curl -sS --data-binary @- http://10.0.0.2/')).toMatch(
      /10\.0\.0\.1 3000000$/,
    );
    await net.kernelServes("trap 'kill $all' TERM; python3 -u -m http.server 8000 & all=$!; wait", /Serving/);
    const client = app(
      '10.0.0.5',
      `const answer = await fetch('http://10.0.0.1:8000/'); console.log(answer.status, answer.headers.get('server'));`,
    );
    expect((await client.ended).stdout).toMatch(/^200 SimpleHTTP/);
  });

  test('loses nothing of what it wrote before it ended, however it ends', async () => {
    const server = app(
      '10.0.0.2',
      `import net from 'node:net';
       net.createServer((socket) => {
         let bytes = 0;
         socket.on('data', (data) => { bytes += data.length; });
         socket.on('end', () => console.log('got', bytes));
         socket.on('error', (error) => console.log('failed', error.code));
       }).listen(7, () => console.log('serving'));`,
    );
    await server.said(/serving/);
    const ends = await app(
      '10.0.0.3',
      `import net from 'node:net'; net.connect(7, '10.0.0.2').end(Buffer.alloc(400000));`,
    ).ended;
    expect(ends).toMatchObject({ status: 0, stderr: '' });
    await server.said(/got 400000/);
    const exits = await app(
      '10.0.0.4',
      `import net from 'node:net';
       const socket = net.connect(7, '10.0.0.2', () => socket.write('bye', () => process.exit(3)));`,
    ).ended;
    expect(exits).toMatchObject({ status: 3, stderr: '' });
    await server.said(/got 3\n/);
  });

  test('never falls back on the host: no network, a bad line, or a worker is an error', async () => {
    const missing = await app('10.0.0.2', `console.log('ran')`, { WEFT_NET: net.home.file('nowhere') }).ended;
    expect(missing).toMatchObject({ status: 1, stdout: '' });
    expect(missing.stderr).toMatch(/^weft: network '.*nowhere' is not up .*\n$/);
    const bad = await app('10.0.0.2', `console.log('ran')`, { WEFT_STACK: 'eth,colour=red' }).ended;
    expect(bad).toMatchObject({ status: 2, stdout: '' });
    expect(bad.stderr).toMatch(/^weft: .*colour.*\n$/);
    const worker = await app(
      '10.0.0.2',
      `import { Worker } from 'node:worker_threads';
       new Worker('console.log("ran")', { eval: true });`,
    ).ended;
    expect(worker).toMatchObject({ status: 1, stdout: '' });
    expect(worker.stderr).toMatch(/worker threads are refused/);
  });
});

test('a library joins two networks at once', PATIENT, async () => {
  const second = await net.home.switch('second');
  const lines = `
    import { newStack, Family, SocketType, Ready } from ${JSON.stringify(LIBRARY)};
    import { once } from 'node:events';
    const [red, blue] = process.argv.slice(2);
    const stacks = [];
    for (const [network, text] of [[red, 'red'], [blue, 'blue']]) {
      const server = await newStack({ net: network, line: 'eth,ip=10.0.0.1/24' });
      const listening = server.http.createServer((request, response) => response.end(text)).listen(80);
      await once(listening, 'listening');
      const client = await newStack({ net: network, line: 'eth,ip=10.0.0.2/24' });
      stacks.push(server, client);
      console.log(await (await client.fetch('http://10.0.0.1/')).text());
      const socket = client.msocket(Family.Inet, SocketType.Stream);
      socket.connect('10.0.0.1', 80);
      await socket.ready(Ready.Out);
      socket.send(Buffer.from('GET / HTTP/1.0\\r\\n\\r\\n'));
      await socket.ready(Ready.In);
      const bytes = Buffer.alloc(1000);
      console.log(bytes.toString('latin1', 0, socket.recv(bytes)).split('\\r\\n')[0], socket.peer.address);
      socket.close();
    }
    for (const stack of stacks) stack.close();
    console.log('done');
  `;
  const file = net.home.file('two.mjs');
  writeFileSync(file, lines);
  const { stdout, stderr, status } = await net.home.exec([process.execPath, file, net.directory, second]);
  expect(stderr).toBe('');
  expect(stdout).toBe('red\nHTTP/1.1 200 OK 10.0.0.1\nblue\nHTTP/1.1 200 OK 10.0.0.1\ndone\n');
  expect(status).toBe(0);
});
