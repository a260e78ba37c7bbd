import { expect, test } from 'vitest';
import { parseForward } from '../../cli/stack-options.ts';

test.each([
  ['8080:10.0.0.2:80', { port: 8080, host: '10.0.0.2', hostPort: 80 }],
  ['0:localhost:65535', { port: 0, host: 'localhost', hostPort: 65535 }],
  ['80:[fd00::2]:1', { port: 80, host: 'fd00::2', hostPort: 1 }],
  ['127.0.0.2:80:web.example:443', { bind: '127.0.0.2', port: 80, host: 'web.example', hostPort: 443 }],
  ['[::1]:80:[fd00::2]:443', { bind: '::1', port: 80, host: 'fd00::2', hostPort: 443 }],
])('reads the forward %s', (text, forward) => {
  expect(parseForward('-L', text)).toEqual(forward);
});

test.each([
  '',
  '80',
  '80:host',
  ':80:host:80',
  '80::80',
  '80:host:0',
  '80:host:65536',
  '65536:host:80',
  '-1:host:80',
  '80:host:80:',
  'name:80:host:80',
  '1:2:3:4:5',
  '80:fd00::2:80',
  '80:[fd00::2:80',
  '80:[]:80',
])("refuses '%s'", (text) => {
  expect(() => parseForward('-R', text)).toThrow(/^stack: -R '.*': expected \[BIND:\]PORT:HOST:PORT/);
});
