// A guest in a page of headless Chromium: weft's own stack, joined by WebSocket, with a lease, names and pages of the gateway.

import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from 'esbuild';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { DISTANT4, DISTANT6, Outside } from '../kit/distant-kit.ts';
import type { PageReport } from '../kit/stack-page.ts';
import { ROOT } from '../kit/tidy.ts';
import { type Home, PATIENT } from '../kit/weft-kit.ts';

const CHROMIUM = '/usr/bin/chromium';
const FLAGS =
  '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync';
const PAGE = 'a page of the distant server, '.repeat(20_000);
const PORT = '8000'; // of a loopback of its own
const ORIGIN = `http://127.0.0.1:${PORT}`;

let outside: Outside | undefined;
let browser: Browser | undefined;

/** Of the host: a browser lets no page from elsewhere join a WebSocket of loopback. */
async function servePage(home: Home): Promise<void> {
  const directory = home.makeDirectory('page');
  const source = readFileSync(join(ROOT, 'test/kit/stack-page.ts'), 'utf8');
  writeFileSync(join(directory, 'index.html'), '<!doctype html><title>weft</title>');
  writeFileSync(join(directory, 'page.js'), transformSync(source, { loader: 'ts' }).code);
  copyFileSync(join(ROOT, 'dist/stack.js'), join(directory, 'stack.js'));
  const serve = ['python3', '-u', '-m', 'http.server', PORT, '--bind', '127.0.0.1', '--directory', directory];
  await home.start(serve).said(/Serving HTTP/);
}

beforeEach((ctx) => Outside.need(ctx, CHROMIUM, 'python3'));
afterAll(async () => {
  await browser?.close();
  await outside?.close();
}, 30_000);

test('has a lease and fetches pages by name and by both families', PATIENT, async () => {
  outside = await Outside.make();
  const { home, distant, world } = outside;
  distant.publish('page', PAGE);
  await distant.web();
  await home.engine('up');
  await home.ctl('default', 'plug/add', `ws://127.0.0.1:0/listen/origin='${ORIGIN}'`);
  await servePage(home);
  const [plug] = (await home.ctl('default', 'plug/list')) as { state: string }[];
  const url = plug!.state.split(' ')[0]!;

  // The browser is on the host, as its user's would be.
  const launcher = home.file('chromium');
  writeFileSync(launcher, `#!/bin/sh\nexec ${world.inHost.join(' ')} ${CHROMIUM} "$@"\n`);
  chmodSync(launcher, 0o755);
  browser = await chromium.launch({ executablePath: launcher, args: FLAGS.split(' ') });
  const page = await browser.newPage();
  await page.goto(`${ORIGIN}/`);
  const hosts = ['distant.test', DISTANT4, DISTANT6];
  const run = `Promise.all([import('/stack.js'), import('/page.js')])
    .then(([it, { fetchThrough }]) => fetchThrough(it, ${JSON.stringify(url)}, ${JSON.stringify(hosts)}))`;
  const { news, pages, pings } = (await page.evaluate(run)) as PageReport;
  expect(news).toContainEqual(expect.stringMatching(/^eth0: 10\.0\.2\.15\/24 by DHCP from 10\.0\.2\.2/));
  for (const text of pages) {
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text.endsWith(`\r\n\r\n${PAGE}`)).toBe(true);
  }
  expect(pages).toHaveLength(hosts.length);
  expect(pings).toEqual([expect.stringMatching(/ 56$/), `${DISTANT4} 56`, `${DISTANT6} 56`]);
  expect(await home.ctl('default', 'lease/list')).toContainEqual(
    expect.objectContaining({ address: '10.0.2.15', state: 'bound' }),
  );
});
