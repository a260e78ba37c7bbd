import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ForwardSpec, formatForward, forwardOfJson, parseForward } from '../../slirp/forward-spec.ts';
import '../kit/seed.ts';

const spec = (fields: Partial<ForwardSpec>): ForwardSpec => ({
  direction: 'in',
  protocol: 'tcp',
  bind: '',
  port: 0,
  ports: 1,
  host: '',
  hostPort: 0,
  path: '',
  keepsSource: false,
  ...fields,
});

const GOOD: [ForwardSpec['direction'], string, Partial<ForwardSpec>, string][] = [
  ['in', '8080:10.0.2.15:80', { port: 8080, host: '10.0.2.15', hostPort: 80 }, 'tcp:8080:10.0.2.15:80'],
  ['in', '0:10.0.2.15:80', { port: 0, host: '10.0.2.15', hostPort: 80 }, 'tcp:0:10.0.2.15:80'],
  [
    'in',
    'udp:0.0.0.0:53:10.0.2.15:5353',
    { protocol: 'udp', bind: '0.0.0.0', port: 53, host: '10.0.2.15', hostPort: 5353 },
    'udp:0.0.0.0:53:10.0.2.15:5353',
  ],
  [
    'in',
    'tcp:[::]:8000-8010:[fd00::15]:9000-9010',
    { bind: '::', port: 8000, ports: 11, host: 'fd00::15', hostPort: 9000 },
    'tcp:[::]:8000-8010:[fd00::15]:9000-9010',
  ],
  [
    'in',
    '8000-8001:10.0.2.15:80',
    { port: 8000, ports: 2, host: '10.0.2.15', hostPort: 80 },
    'tcp:8000-8001:10.0.2.15:80-81',
  ],
  [
    'in',
    'localhost:22:[fd00:0:0::f]:22,keep-source',
    { bind: '127.0.0.1', port: 22, host: 'fd00::f', hostPort: 22, keepsSource: true },
    'tcp:127.0.0.1:22:[fd00::f]:22,keep-source',
  ],
  [
    'in',
    'unix:/run/a:b.sock:10.0.2.15:80',
    { path: '/run/a:b.sock', host: '10.0.2.15', hostPort: 80 },
    'unix:/run/a:b.sock:10.0.2.15:80',
  ],
  [
    'out',
    '5432:localhost:5432',
    { direction: 'out', port: 5432, host: '127.0.0.1', hostPort: 5432 },
    'tcp:5432:127.0.0.1:5432',
  ],
  [
    'out',
    '10.0.2.3:80:unix:/run/web.sock',
    { direction: 'out', bind: '10.0.2.3', port: 80, path: '/run/web.sock' },
    'tcp:10.0.2.3:80:unix:/run/web.sock',
  ],
  [
    'out',
    'udp:53-54:[::1]:1053-1054',
    { direction: 'out', protocol: 'udp', port: 53, ports: 2, host: '::1', hostPort: 1053 },
    'udp:53-54:[::1]:1053-1054',
  ],
];

describe('forwards', () => {
  test.each(GOOD)('%s %s', (direction, text, fields, written) => {
    const parsed = parseForward(direction, text);
    expect(parsed).toEqual(spec(fields));
    expect(formatForward(parsed)).toBe(written);
    expect(parseForward(direction, written)).toEqual(parsed);
    expect(forwardOfJson(JSON.parse(JSON.stringify(parsed)))).toEqual(parsed);
  });

  test.each<[ForwardSpec['direction'], string, string]>([
    ['in', '', 'expected [tcp:'],
    ['in', '80', 'expected [tcp:'],
    ['in', '80:10.0.2.15', 'expected [tcp:'],
    ['in', '80:guest:80', 'expected [tcp:'],
    ['in', 'sctp:80:10.0.2.15:80', 'expected [tcp:'],
    ['in', '65536:10.0.2.15:80', 'expected [tcp:'],
    ['in', '80:10.0.2.15:0', 'expected [tcp:'],
    ['in', '80:fd00::1:80', 'expected [tcp:'],
    ['in', '80-70:10.0.2.15:80', 'expected [tcp:'],
    ['in', '80-90:10.0.2.15:80-85', 'same length'],
    ['in', '80:10.0.2.15:80-85', 'same length'],
    ['in', '80-90:10.0.2.15:65530', 'port 65530'],
    ['in', '1-65535:10.0.2.15:1-65535', '65535 ports: expected 1 … 4096'],
    ['in', '0-3:10.0.2.15:80', 'port 0'],
    ['in', '80:0.0.0.0:80', 'no address that it can lead to'],
    ['in', 'unix:relative:10.0.2.15:80', 'expected [tcp:'],
    ['in', 'udp:unix:/a:10.0.2.15:80', 'streams, not datagrams'],
    ['in', `unix:/${'a'.repeat(107)}:10.0.2.15:80`, 'a path of 108 bytes'],
    ['in', `unix:/${'ä'.repeat(54)}:10.0.2.15:80`, 'a path of 109 bytes'],
    ['in', 'unix:/a:10.0.2.15:80,keep-source', 'clients that have addresses'],
    ['in', '80:unix:/a', 'expected [tcp:'],
    ['out', '0:127.0.0.1:80', 'expected [tcp:'],
    ['out', 'unix:/a:10.0.2.15:80', 'expected [tcp:'],
    ['out', '80:unix:a', 'expected [tcp:'],
    ['out', '80:127.0.0.1:80,keep-source', 'forwards to guests'],
    ['out', 'udp:80:unix:/a', 'streams, not datagrams'],
  ])("%s '%s' is refused: %s", (direction, text, reason) => {
    expect(() => parseForward(direction, text)).toThrow(reason);
    expect(() => parseForward(direction, text)).toThrow(/^[^\n]+$/);
  });

  test.each<[unknown, string]>([
    [null, 'expected an object'],
    [[], 'expected an object'],
    [{}, "direction ''"],
    [{ direction: 'in', proto: 'tcp' }, "unknown key 'proto'"],
    [{ direction: 'in', protocol: 'sctp' }, "protocol 'sctp'"],
    [{ direction: 'in', port: '80' }, 'port: expected a whole number'],
    [{ direction: 'in', port: 80.5, host: '10.0.2.15', hostPort: 80 }, 'port: expected a whole number'],
    [{ direction: 'in', host: 'guest', hostPort: 80 }, "host 'guest'"],
    [{ direction: 'in', bind: 'x' }, "bind 'x'"],
    [{ direction: 'in', host: 1 }, 'host: expected a text'],
    [{ direction: 'in', host: '10.0.2.15', hostPort: 80, keepsSource: 1 }, 'keepsSource: expected true or false'],
    [{ direction: 'in', host: '10.0.2.15', hostPort: 80, path: 'a' }, "path 'a'"],
    [{ direction: 'in', host: '10.0.2.15', hostPort: 80, path: '/a', port: 80 }, 'not to both'],
    [{ direction: 'out', host: '10.0.2.15', port: 80, path: '/a' }, 'not to both'],
    [{ direction: 'in', host: '10.0.2.15', hostPort: 80, ports: -1 }, '-1 ports'],
  ])('JSON %j is refused: %s', (value, reason) => {
    expect(() => forwardOfJson(value)).toThrow(reason);
  });

  test('of JSON most may be left out', () => {
    expect(forwardOfJson({ direction: 'in', port: 80, host: '10.0.2.15', hostPort: 8080 })).toEqual(
      spec({ port: 80, host: '10.0.2.15', hostPort: 8080 }),
    );
  });

  test('no text makes it throw anything else', () => {
    const text = fc.oneof(fc.string(), fc.stringMatching(/^(tcp:|udp:|unix:)?[0-9a-f:.[\]/-]{0,30}$/));
    fc.assert(
      fc.property(fc.constantFrom<ForwardSpec['direction'][]>('in', 'out'), text, (direction, one) => {
        try {
          expect(parseForward(direction, formatForward(parseForward(direction, one)))).toBeDefined();
        } catch (error) {
          expect((error as Error).name).toBe('UsageError');
        }
      }),
    );
  });
});
