// What `weft stack` says to words that it cannot do anything with.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tempDir } from '../kit/test-host.ts';
import { ROOT } from '../kit/tidy.ts';

const WEFT_JS = join(ROOT, 'dist', 'weft.js');

/** Runs it where no network is up. */
function weftStack(...words: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const home = tempDir();
  const env = { ...process.env, XDG_RUNTIME_DIR: home.file(''), WEFT_NET: '' };
  return new Promise((resolve) => {
    execFile(process.execPath, [WEFT_JS, 'stack', ...words], { env }, (error, stdout, stderr) => {
      home.remove();
      resolve({ status: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

test.each([
  { words: ['-L', '80:host'], says: /^weft: stack: -L '80:host': expected \[BIND:\]PORT:HOST:PORT.*\n$/ },
  { words: ['-R', '0:[::1]:0'], says: /^weft: stack: -R '0:\[::1\]:0': expected .*\n$/ },
  { words: ['--mac', '01:00:00:00:00:01'], says: /^weft: stack: --mac '01:00:00:00:00:01': expected .*\n$/ },
  { words: ['--net', 'null://', 'ip=10.0.0.300'], says: /^weft: configuration token 'ip=10\.0\.0\.300': .*\n$/ },
  { words: ['--net', 'null://', 'nonsense'], says: /^weft: configuration token 'nonsense': unknown; .*\n$/ },
  {
    words: ['--net', 'null://', '--mac', '02:00:00:00:00:01', 'mac=02:00:00:00:00:02'],
    says: /^weft: the MAC is given twice.*\n$/,
  },
  { words: ['--net', 'gopher://x'], says: /^weft: .*gopher.*\n$/ },
  { words: ['--port', '1'], says: /^weft: unknown option '--port'.*\n$/ },
  { words: ['eth', 'eth'], says: /^weft: too many arguments.*\n$/ },
])('$words is a usage error of one line', { timeout: 20_000 }, async ({ words, says }) => {
  const { status, stderr } = await weftStack(...words);
  expect(stderr).toMatch(says);
  expect(status).toBe(2);
});

test('a network that is not up is a failure that says what to do', { timeout: 20_000 }, async () => {
  const { status, stderr } = await weftStack();
  expect(stderr).toMatch(/^weft: network 'default' is not up \(nobody serves .*\); start it with: weft up\n$/);
  expect(status).toBe(1);
});

test('a port of this host that is taken is a failure', { timeout: 20_000 }, async () => {
  const { createServer } = await import('node:net');
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  const { status, stderr } = await weftStack('-q', '--net', 'null://', '-L', `${port}:10.0.0.1:80`);
  server.close();
  expect(stderr).toMatch(/^weft: listen EADDRINUSE.*\n$/);
  expect(status).toBe(1);
});

test('its help shows how forwards are written', { timeout: 20_000 }, async () => {
  const { status, stdout } = await weftStack('--help');
  expect(stdout).toContain('weft stack -L 8080:10.0.0.2:80 eth,ip=10.0.0.9/24');
  expect(status).toBe(0);
});
