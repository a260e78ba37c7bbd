import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../core/assert.ts';
import { formatHostPort, parseHostPort, parseUdpAddress } from '../../plug/address.ts';
import { SCHEMES, type Scheme } from '../../plug/schemes.ts';
import {
  bytesOption,
  durationUsOption,
  formatVnl,
  intOption,
  isListener,
  modeOption,
  parseVnl,
} from '../../plug/vnl.ts';

const options = (text: string) => Object.fromEntries(parseVnl(text).options);

describe('parseVnl', () => {
  test.each([
    ['vde:///run/lab', 'vde', '/run/lab', {}],
    ['/run/lab', 'vde', '/run/lab', {}],
    ['lab', 'vde', 'lab', {}],
    ['/run/lab[7]', 'vde', '/run/lab', { port: '7' }],
    ['/run/lab[port=7/mode=0600]', 'vde', '/run/lab', { port: '7', mode: '0600' }],
    ['/run/lab[]', 'vde', '/run/lab', {}],
    ['VDE:///run/lab', 'vde', '/run/lab', {}],
    ['switch://', 'switch', '', {}],
    ['stream:///tmp/s[listen]', 'stream', '/tmp/s', { listen: '' }],
    ['stream:///tmp/s[server]', 'stream', '/tmp/s', { server: '' }],
    ['stream://s.sock[listen]', 'stream', 's.sock', { listen: '' }],
    ['stream://./a/b', 'stream', './a/b', {}],
    ['stream://127.0.0.1:5000/listen', 'stream', '127.0.0.1:5000', { listen: '' }],
    ['stream://[::1]:5000', 'stream', '[::1]:5000', {}],
    ['tcp://:0/listen', 'tcp', ':0', { listen: '' }],
    ['tcp://host.example:5000', 'tcp', 'host.example:5000', {}],
    ['udp://5001->127.0.0.1:5000', 'udp', '5001->127.0.0.1:5000', {}],
    ['udp://127.0.0.1:1/remote=127.0.0.1:2', 'udp', '127.0.0.1:1', { remote: '127.0.0.1:2' }],
    ['ws://h:80', 'ws', 'h:80', {}],
    ['ws://h:80/a/b', 'ws', 'h:80/a/b', {}],
    ['ws://h:80/a/b/token=x', 'ws', 'h:80/a/b', { token: 'x' }],
    ['ws://h:80/?token=x', 'ws', 'h:80/?token=x', {}],
    [
      'ws://127.0.0.1:8080/listen/token=a/origin=http:%2F%2Fx',
      'ws',
      '127.0.0.1:8080',
      { listen: '', token: 'a', origin: 'http://x' },
    ],
    ['null://', 'null', '', {}],
    ['tap://tap0', 'tap', 'tap0', {}],
    ['seqpacket://3', 'seqpacket', '3', {}],
    ['pcap:///tmp/a.pcap[replay]', 'pcap', '/tmp/a.pcap', { replay: '' }],
    ["vde://'/a[b]/c'[port=3]", 'vde', '/a[b]/c', { port: '3' }],
    ['vde:///a\\[b\\]', 'vde', '/a[b]', {}],
    ['vde:///a%5bb%5D%c3%a4', 'vde', '/a[b]ä', {}],
    ["vde://'%41'", 'vde', '%41', {}],
    ['vde:///a%zz', 'vde', '/a%zz', {}],
    ['tcp://h:1/queue=1M', 'tcp', 'h:1', { queue: '1M' }],
  ])('reads %s', (text, scheme, address, expected) => {
    const vnl = parseVnl(text);
    expect([vnl.scheme, vnl.address, Object.fromEntries(vnl.options)]).toEqual([scheme, address, expected]);
  });

  test('reads the words of a command without a shell', () => {
    const vnl = parseVnl("cmd://ssh  host 'a b' /c=[d]{e} \\\"");
    expect([vnl.address, ...vnl.words]).toEqual(['ssh', 'host', 'a b', '/c=[d]{e}', '"']);
  });

  test.each([
    ['', 'vnl: empty'],
    ['vdx://a', "unknown scheme 'vdx'; known: vde, switch"],
    ['/a[prot=3]', "vde: unknown option 'prot'; known: port, group, mode"],
    ['/a[p=3]', "vde: unknown option 'p'"],
    ['/a[port]', "vde: 'port' needs a value; write port=0"],
    ['/a[port=65536]', "vde: port: '65536' is out of range; take 0 ... 65535"],
    ['/a[port=-1]', 'out of range'],
    ['/a[port=0x10]', 'out of range'],
    ['/a[port=1/port=2]', "option 'port' given twice"],
    ['/a[mode=rwx]', "vde: mode: 'rwx' is not an octal mode"],
    ['/a[port=1', "does not end in ']'"],
    ['/a[port=1]b', "does not end in ']'"],
    ['stream:///a[listen=1]', "'listen' takes no value, got '1'"],
    ['tcp://h:1/queue=1', "tcp: queue: '1' is out of range; take 65536 ... 67108864 bytes"],
    ['tcp://h:65536', 'tcp: port 65536 is out of range; take 0 ... 65535'],
    ['tcp://h:0', 'port 0 is out of range; take 1 ... 65535'],
    ['tcp://h', "not an address: 'h'"],
    ['tcp://:5000', 'no host'],
    ['tcp://a b:1', "not a host: 'a b'"],
    ['tcp://', 'tcp: no address; write tcp:// and host:port'],
    ['udp://h:1->i:2/remote=x:1', 'two remote ends'],
    ['udp://5000', 'has no host'],
    ['udp://h:0', 'port 0 is out of range'],
    [`stream:///${'a'.repeat(107)}`, 'the path has 108 bytes, a socket takes 107'],
    [`vde:///${'a'.repeat(103)}`, 'the path has 108 bytes'],
    ['null://x', "null: takes no address, got 'x'"],
    ['tap://abcdefghijklmnop', 'cannot name an interface'],
    ['seqpacket://x', 'not a descriptor number'],
    ["vde://'a", "a ' without its end"],
    ['vde://a\\', 'at the end'],
    ['vde://a%00', 'a control character'],
    ['vde://a\nb', 'a control character'],
    ['vde://a%ff', 'is not UTF-8'],
    ['vde://a{b}', 'takes no nested VNL'],
    ['vde://a{b', 'braces do not match'],
    ['vde://a{b}c', 'braces do not match'],
    ['vde://a{b}{c}', 'braces do not match'],
    ['cmd://', 'cmd: no address'],
    ['__proto__://x', 'no'],
    ['constructor://x', "unknown scheme 'constructor'"],
    ['vde://a[toString=1]', "unknown option 'toString'"],
  ])('refuses %s', (text, reason) => {
    if (text === '__proto__://x') return expect(parseVnl(text).scheme).toBe('vde'); // no scheme begins with _
    expect(() => parseVnl(text)).toThrow(UsageError);
    expect(() => parseVnl(text)).toThrow(reason);
    try {
      parseVnl(text);
    } catch (error) {
      expect((error as Error).message).not.toContain('\n');
    }
    return undefined;
  });

  test('takes a socket path of 107 bytes', () => {
    expect(parseVnl(`stream:///${'a'.repeat(106)}`).address).toHaveLength(107);
  });

  test('nests where the scheme says so', () => {
    const wrap: Scheme = {
      form: 'host',
      address: 'x',
      addressOptional: true,
      nests: true,
      options: { tag: { kind: 'text' } },
    };
    const schemes = { ...SCHEMES, wrap };
    const vnl = parseVnl("wrap://a:1/tag=3{wrap://{vde:///'}{'[7]}}", schemes);
    expect([vnl.address, vnl.options.get('tag')]).toEqual(['a:1', '3']);
    expect(vnl.nested!.nested).toMatchObject({ scheme: 'vde', address: '/}{' });
    expect(parseVnl(formatVnl(vnl), schemes)).toEqual(vnl);
    expect(() => parseVnl('wrap://{'.repeat(20) + '}'.repeat(20), schemes)).toThrow('nested deeper than 8');
  });

  test('reads options by their kind', () => {
    const text = parseVnl('stream:///s[listen/mode=0660/queue=2M/clients=3]');
    expect(modeOption(text, 'mode', 0)).toBe(0o660);
    expect(bytesOption(text, 'queue', 0)).toBe(2 << 20);
    expect(intOption(text, 'clients', 0)).toBe(3);
    expect(intOption(text, 'absent', 5)).toBe(5);
    expect(durationUsOption(text, 'absent', 7)).toBe(7);
    expect(isListener(text)).toBe(true);
    expect(options('/a[7]')).toEqual({ port: '7' });
  });
});

describe('addresses', () => {
  test.each([
    ['1.2.3.4:5', '1.2.3.4', 5],
    ['[fe80::1%eth0]:5', 'fe80::1%eth0', 5],
    [':5', '', 5],
    ['5', '', 5],
    ['a-b.c:65535', 'a-b.c', 65535],
  ])('reads %s', (text, host, port) => {
    expect(parseHostPort(text, 'x')).toEqual({ host, port });
    expect(parseHostPort(formatHostPort({ host, port }), 'x')).toEqual({ host, port });
  });

  test.each([
    ['a:1->b:2', undefined, { local: { host: 'a', port: 1 }, remote: { host: 'b', port: 2 } }],
    ['1->b:2', undefined, { local: { host: '', port: 1 }, remote: { host: 'b', port: 2 } }],
    ['b:2', undefined, { local: undefined, remote: { host: 'b', port: 2 } }],
    ['a:1', 'b:2', { local: { host: 'a', port: 1 }, remote: { host: 'b', port: 2 } }],
  ])('reads the two ends of %s, %s', (text, remote, expected) => {
    expect(parseUdpAddress(text, remote)).toEqual(expected);
  });
});

test('whatever the text, parseVnl returns or throws a UsageError of one line, and what it returns survives the round trip', () => {
  const alphabet = fc.constantFrom(
    ...'vde://[]{}=%\'"\\/abc:41->0 ä\n'.split(''),
    'stream://',
    'cmd://',
    'ws://',
    'listen',
    '%41',
    'port=',
  );
  const noise = fc.oneof(
    fc.string(),
    fc.array(alphabet, { maxLength: 20 }).map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(noise, fc.constantFrom('', ...Object.keys(SCHEMES).map((s) => `${s}://`)), (tail, head) => {
      let vnl: ReturnType<typeof parseVnl>;
      try {
        vnl = parseVnl(head + tail);
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError);
        expect((error as Error).message).not.toContain('\n');
        return;
      }
      expect(parseVnl(formatVnl(vnl))).toEqual(vnl);
    }),
    { numRuns: 3000 },
  );
});
