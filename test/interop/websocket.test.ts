// Stations behind WebSockets: a program on `ws`, and a page in Chromium.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { chromium } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { answer } from '../kit/answer.ts';
import { needPrograms } from '../kit/run-kit.ts';
import { BROADCAST, eventually, frame, Home, hex, PATIENT } from '../kit/weft-kit.ts';

const CHROMIUM = '/usr/bin/chromium';
const FLAGS =
  '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync';
const MAC = [2, 0, 0, 0, 0, 0x77];
const IP = [10, 0, 0, 7];

let home: Home;
const closers: (() => unknown)[] = [];
beforeEach(() => {
  home = new Home();
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  await home.close();
});

/** A switch with a WebSocket listener; where the listener says it is. */
async function listener(options: string): Promise<{ net: string; url: string }> {
  const net = await home.switch('net', '--plug', `ws://127.0.0.1:0/${options}`);
  const [plug] = (await home.ctl(net, 'plug/list')) as { state: string }[];
  return { net, url: plug!.state.split(' ')[0]! };
}

/** A client that is not ours. Rejects with the status if it is refused. */
async function visit(url: string, origin?: string): Promise<WebSocket> {
  const socket = new WebSocket(url, origin === undefined ? {} : { origin });
  closers.push(() => socket.terminate());
  await once(socket, 'open');
  return socket;
}

const ping = (net: string): Promise<string> =>
  home
    .program(net, ['--ip', '10.0.0.1/24'], 'ping -c2 -i0.2 -w20 10.0.0.7')
    .then(async ({ ended }) => (await ended).stdout);

describe('a WebSocket listener', PATIENT, () => {
  test('lets a program on ws answer the ping of a program in the network', async (ctx) => {
    needPrograms(ctx, 'ping');
    const { net, url } = await listener('listen/token=secret');
    const socket = await visit(`${url}?token=secret`);
    socket.on('message', (data: Buffer) => {
      const reply = answer(new Uint8Array(data), MAC, IP);
      if (reply) socket.send(reply);
    });
    expect(await ping(net)).toMatch(/[12] received/);
    await home.attached(net, 1);
  });

  test('gives every client a port of its own, so that they hear each other', async () => {
    const { net, url } = await listener('listen/open');
    const [one, other] = [await visit(url), await visit(url)];
    const heard: string[] = [];
    other.on('message', (data: Buffer) => heard.push(hex(data)));
    const ports = await home.attached(net, 2);
    expect(new Set(ports.map(({ port }) => port)).size).toBe(2);
    expect(await home.ctl(net, 'plug/list')).toMatchObject([{ state: `${url} listening, 2 connected` }]);
    const sent = frame({ from: '02:00:00:00:00:77', to: BROADCAST, text: 'hello' });
    one.send(sent);
    await eventually('the frame', () => heard.includes(hex(sent)));
    one.close();
    await home.attached(net, 1);
  });

  test('makes up a token if none is given, and says it to who may ask', async () => {
    const { url } = await listener('listen');
    expect(url).toMatch(/^ws:\/\/127\.0\.0\.1:\d+\/\?token=[0-9a-f]{32}$/);
    await visit(url);
    await expect(visit(url.split('?')[0]!)).rejects.toThrow('401');
  });

  test('refuses a wrong token and a foreign page', async () => {
    const { url } = await listener(`listen/token=secret/origin='http://lab.example'`);
    await expect(visit(url)).rejects.toThrow('401');
    await expect(visit(`${url}?token=guess`)).rejects.toThrow('401');
    await expect(visit(`${url}?token=secret`, 'http://evil.example')).rejects.toThrow('403');
    await visit(`${url}?token=secret`, 'http://lab.example');
  });
});

/** Serves one page that is a station of the network at `?…`; its address. */
async function servePage(): Promise<string> {
  const script = `
    const answer = ${answer.toString()};
    const socket = new WebSocket(location.hash.slice(1));
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => { document.title = 'open'; };
    socket.onclose = () => { document.title = 'closed'; };
    socket.onmessage = ({ data }) => {
      const reply = answer(new Uint8Array(data), ${JSON.stringify(MAC)}, ${JSON.stringify(IP)});
      if (reply) socket.send(reply);
    };`;
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end(`<!doctype html><script>${script}</script>`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('a page in Chromium answers the ping of a program in the network', PATIENT, async (ctx) => {
  needPrograms(ctx, CHROMIUM, 'ping');
  const address = await servePage();
  const { net, url } = await listener(`listen/token=secret/origin='${address}'`);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS.split(' ') });
  closers.push(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`${address}/#${url}?token=secret`);
  await eventually('the page to join', async () => (await page.title()) === 'open');
  expect(await ping(net)).toMatch(/[12] received/);
  await page.close();
  await home.attached(net, 0);
});

test('a page from elsewhere does not get in', PATIENT, async (ctx) => {
  needPrograms(ctx, CHROMIUM);
  const { net, url } = await listener('listen/open');
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS.split(' ') });
  closers.push(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`${await servePage()}/#${url}`);
  await eventually('the refusal', async () => (await page.title()) === 'closed');
  await home.attached(net, 0);
});
