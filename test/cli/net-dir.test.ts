import { afterEach, expect, test, vi } from 'vitest';
import { networkDirectory } from '../../cli/net-dir.ts';

afterEach(() => vi.unstubAllEnvs());

const ownDirectory = process.getuid?.() === 0 ? '/run/weft' : `/tmp/weft-${process.getuid?.()}`;

test.each([
  { name: undefined, env: {}, directory: `${ownDirectory}/default` },
  { name: 'lab', env: {}, directory: `${ownDirectory}/lab` },
  { name: 'lab', env: { XDG_RUNTIME_DIR: '/run/user/7' }, directory: '/run/user/7/weft/lab' },
  { name: 'lab', env: { XDG_RUNTIME_DIR: 'relative' }, directory: `${ownDirectory}/lab` },
  { name: undefined, env: { WEFT_NET: '/a/b' }, directory: '/a/b' },
  { name: 'lab', env: { WEFT_NET: '/a/b', XDG_RUNTIME_DIR: '/r' }, directory: '/r/weft/lab' },
  { name: '', env: { WEFT_NET: 'x', XDG_RUNTIME_DIR: '/r' }, directory: '/r/weft/x' },
  { name: '/a/../b/', env: {}, directory: '/b' },
  { name: 'vde:///run/vde.ctl', env: {}, directory: '/run/vde.ctl' },
  { name: './here', env: {}, directory: `${process.cwd()}/here` },
  { name: '.', env: {}, directory: process.cwd() },
])('$name with $env is $directory', ({ name, env, directory }) => {
  vi.stubEnv('XDG_RUNTIME_DIR', undefined);
  vi.stubEnv('WEFT_NET', undefined);
  for (const [key, value] of Object.entries(env)) vi.stubEnv(key, value);
  expect(networkDirectory(name)).toBe(directory);
});

test.each(['a b', 'tap://x', 'vde://relative', 'udp://1.2.3.4:5', 'x\n'])('refuses %j', (name) => {
  expect(() => networkDirectory(name)).toThrow('expected a name');
});
