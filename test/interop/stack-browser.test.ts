// The library bundle: small, of no platform, and the same in Node and in a page.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { transformSync } from 'esbuild';
import { chromium } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import type * as Library from '../../stack/library.ts';
import { needPrograms } from '../kit/run-kit.ts';
import { runOnWire } from '../kit/stack-wire.ts';
import { ROOT } from '../kit/tidy.ts';
import { PATIENT } from '../kit/weft-kit.ts';

const CHROMIUM = '/usr/bin/chromium';
const FLAGS =
  '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync';
const GZIP_BYTES_MAX = 150_000;
const TRANSFER_BYTES = 1_000_000;
const REPORT = {
  pings: ['10.0.0.2 56', 'fd00::2 56'],
  transfers: [`10.0.0.2 ${TRANSFER_BYTES}`, `fd00::2 ${TRANSFER_BYTES}`],
  usedBytesAfter: 0,
};

const bundle = join(ROOT, 'dist/stack.js');

describe('weft/stack', PATIENT, () => {
  test('is small and imports nothing', () => {
    const text = readFileSync(bundle, 'utf8');
    expect(gzipSync(text, { level: 9 }).length).toBeLessThan(GZIP_BYTES_MAX);
    expect(text).not.toMatch(/\bnode:|\brequire\(|\bimport\b|\bprocess\./);
  });

  test('has declarations that say what it exports', () => {
    const text = readFileSync(join(ROOT, 'dist/types/stack/library.d.ts'), 'utf8');
    expect(text).toContain("export * from './stack.ts'");
    expect(readFileSync(join(ROOT, 'dist/types/stack/stack.d.ts'), 'utf8')).toContain('export declare class Stack');
  });

  test('pings and carries bytes between two stacks in Node', async () => {
    expect(await runOnWire((await import(bundle)) as typeof Library, TRANSFER_BYTES)).toEqual(REPORT);
  });

  test('pings and carries bytes between two stacks in a page', async (ctx) => {
    needPrograms(ctx, CHROMIUM);
    const wire = transformSync(readFileSync(join(ROOT, 'test/kit/stack-wire.ts'), 'utf8'), { loader: 'ts' }).code;
    const files: Record<string, [string, string]> = {
      '/': ['text/html', '<!doctype html><title>weft</title>'],
      '/stack.js': ['text/javascript', readFileSync(bundle, 'utf8')],
      '/wire.js': ['text/javascript', wire],
    };
    const server = createServer(({ url = '' }, response) => {
      const [type, text] = files[url] ?? ['text/plain', ''];
      response.writeHead(url in files ? 200 : 404, { 'content-type': type }).end(text);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS.split(' ') });
    try {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      const run = `Promise.all([import('/stack.js'), import('/wire.js')]).then(([it, { runOnWire }]) => runOnWire(it, ${TRANSFER_BYTES}))`;
      expect(await page.evaluate(run)).toEqual(REPORT);
    } finally {
      await browser.close();
      server.close();
    }
  });
});
