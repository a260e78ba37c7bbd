import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDns, type Dns } from '../../thread/dns.io.ts';
import { Type } from '../../wire/dns.ts';
import { nameData, serviceData } from '../../wire/dns-data.ts';
import { ipv4Bytes, ipv6Bytes } from '../kit/address-bytes.ts';
import { type DnsHost, serveDns } from '../kit/dns-host.ts';
import { MemoryNet } from '../kit/two-stacks.ts';

const text = (...parts: string[]): Uint8Array =>
  Buffer.concat(parts.map((part) => Buffer.from([part.length, ...Buffer.from(part)])));
const words = (...values: number[]): Uint8Array => {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, 4 * i);
  return bytes;
};
const short = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 255);

const ZONE = {
  [`www.lab/${Type.A}`]: [ipv4Bytes('10.0.0.1'), ipv4Bytes('10.0.0.3')],
  [`www.lab/${Type.AAAA}`]: [ipv6Bytes('fd00::1')],
  [`four.lab/${Type.A}`]: [ipv4Bytes('10.0.0.1')],
  [`alias.lab/${Type.CNAME}`]: [nameData('www.lab')],
  [`lab/${Type.MX}`]: [Buffer.concat([short(10), nameData('mail.lab')])],
  [`lab/${Type.NS}`]: [nameData('ns.lab')],
  [`lab/${Type.TXT}`]: [text('one', 'two')],
  [`lab/${Type.SOA}`]: [Buffer.concat([nameData('ns.lab'), nameData('admin.lab'), words(1, 2, 3, 4, 5)])],
  'lab/257': [Buffer.concat([Uint8Array.of(0), text('issue'), Buffer.from('ca.lab')])],
  [`_http._tcp.lab/${Type.SRV}`]: [serviceData({ priority: 1, weight: 2, port: 80, target: 'www.lab' })],
  'n.lab/35': [Buffer.concat([short(1), short(2), text('s', 'SIP', ''), nameData('_sip.lab')])],
  [`1.0.0.10.in-addr.arpa/${Type.PTR}`]: [nameData('www.lab')],
  [`long.lab/${Type.TXT}`]: Array.from({ length: 20 }, (_, i) => text('x'.repeat(100) + i)),
};

const lan = new MemoryNet();
let server: DnsHost;
let other: DnsHost;
let dns: Dns;

beforeAll(async () => {
  const [a, b] = lan.hosts(2);
  server = await serveDns(a!, ZONE, 53);
  other = await serveDns(a!, { [`only.here/${Type.A}`]: [ipv4Bytes('10.9.9.9')], ...ZONE }, 5300);
  b!.stack.configuration.apply('dns=10.0.0.1');
  b!.stack.configuration.resolver.configure({ timeoutUs: 50_000, attempts: 1 });
  dns = createDns(b!);
});
afterAll(() => {
  server.close();
  other.close();
  lan.close();
});

test('gives every kind of record as Node does', async () => {
  const { promises } = dns;
  expect(await promises.resolve4('www.lab')).toEqual(['10.0.0.1', '10.0.0.3']);
  expect(await promises.resolve('www.lab')).toEqual(['10.0.0.1', '10.0.0.3']);
  expect(await promises.resolve4('four.lab', { ttl: true })).toEqual([{ address: '10.0.0.1', ttl: 60 }]);
  expect(await promises.resolve6('www.lab')).toEqual(['fd00::1']);
  expect(await promises.resolve4('alias.lab')).toEqual(['10.0.0.1', '10.0.0.3']);
  expect(await promises.resolveCname('alias.lab')).toEqual(['www.lab']);
  expect(await promises.resolveMx('lab')).toEqual([{ exchange: 'mail.lab', priority: 10 }]);
  expect(await promises.resolveNs('lab')).toEqual(['ns.lab']);
  expect(await promises.resolveTxt('lab')).toEqual([['one', 'two']]);
  expect(await promises.resolveCaa('lab')).toEqual([{ critical: 0, issue: 'ca.lab' }]);
  expect(await promises.resolveSrv('_http._tcp.lab')).toEqual([{ name: 'www.lab', port: 80, priority: 1, weight: 2 }]);
  expect(await promises.resolvePtr('1.0.0.10.in-addr.arpa')).toEqual(['www.lab']);
  expect(await promises.reverse('10.0.0.1')).toEqual(['www.lab']);
  expect(await promises.resolveSoa('lab')).toEqual({
    nsname: 'ns.lab',
    hostmaster: 'admin.lab',
    serial: 1,
    refresh: 2,
    retry: 3,
    expire: 4,
    minttl: 5,
  });
  expect(await promises.resolveNaptr('n.lab')).toEqual([
    { flags: 's', service: 'SIP', regexp: '', replacement: '_sip.lab', order: 1, preference: 2 },
  ]);
  expect(await promises.resolve('four.lab', 'ANY')).toEqual([{ type: 'A', address: '10.0.0.1', ttl: 60 }]);
});

test('looks names up by the stack, in the order that was asked for', async () => {
  const lookup = promisify(dns.lookup);
  expect(await lookup('www.lab', { all: true, order: 'ipv4first' } as never)).toEqual([
    { address: '10.0.0.1', family: 4 },
    { address: '10.0.0.3', family: 4 },
    { address: 'fd00::1', family: 6 },
  ]);
  expect(await lookup('www.lab', 6)).toEqual({ address: 'fd00::1', family: 6 });
  expect(await dns.promises.lookup('four.lab')).toEqual({ address: '10.0.0.1', family: 4 });
  expect(await dns.promises.lookup('localhost', 4)).toEqual({ address: '127.0.0.1', family: 4 });
  expect(await dns.promises.lookup('10.1.2.3', { all: true })).toEqual([{ address: '10.1.2.3', family: 4 }]);
  expect(await dns.promises.lookupService('10.0.0.1', 22)).toMatchObject({ hostname: 'www.lab' });
});

test('fails with the codes of Node', async () => {
  const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => 'none',
      ({ code, syscall, hostname, message }) => ({ code, syscall, hostname, message }),
    );
  expect(await codeOf(dns.promises.resolve4('none.lab'))).toEqual({
    code: 'ENOTFOUND',
    syscall: 'queryA',
    hostname: 'none.lab',
    message: 'queryA ENOTFOUND none.lab',
  });
  expect(await codeOf(dns.promises.resolveMx('four.lab'))).toMatchObject({ code: 'ENODATA', syscall: 'queryMx' });
  expect(await codeOf(dns.promises.lookup('none.lab'))).toEqual({
    code: 'ENOTFOUND',
    syscall: 'getaddrinfo',
    hostname: 'none.lab',
    message: 'getaddrinfo ENOTFOUND none.lab',
  });
  expect(await codeOf(dns.promises.lookup('silent.lab'))).toMatchObject({ code: 'EAI_AGAIN' });
  expect(await codeOf(dns.promises.resolve4('silent.lab'))).toMatchObject({ code: 'ETIMEOUT' });
  expect(await codeOf(dns.promises.lookupService('10.0.0.2', 22))).toMatchObject({
    code: 'ENOTFOUND',
    syscall: 'getnameinfo',
  });
  expect(() => dns.lookup(5 as never, () => {})).toThrow(/must be of type string/);
  expect(() => dns.lookup('x', { family: 5 }, () => {})).toThrow(/must be one of/);
  expect(() => dns.lookup('x', undefined as never)).toThrow(/must be of type function/);
  expect(() => dns.resolve4(5 as never, () => {})).toThrow(/must be of type string/);
  expect(() => dns.lookupService('x', 1, () => {})).toThrow(/'address'/);
});

test('a resolver has servers of its own, and follows a cut answer by TCP', async () => {
  expect(dns.getServers()).toEqual(['10.0.0.1']);
  const resolver = new dns.promises.Resolver({ timeout: 50, tries: 1 });
  await expect(resolver.resolve4('only.here')).rejects.toThrow('queryA ENOTFOUND only.here');
  resolver.setServers(['10.0.0.1:5300']);
  expect(resolver.getServers()).toEqual(['10.0.0.1:5300']);
  expect(await resolver.resolve4('only.here')).toEqual(['10.9.9.9']);
  expect(await resolver.resolve4('alias.lab')).toEqual(['10.0.0.1', '10.0.0.3']);
  expect(await resolver.resolveTxt('long.lab')).toHaveLength(20);
  expect(other.asked).toContain('tcp long.lab/16');
  await expect(resolver.resolve4('silent.lab')).rejects.toMatchObject({ code: 'ETIMEOUT' });
  const cancelled = resolver.resolve4('silent.lab');
  resolver.cancel();
  await expect(cancelled).rejects.toMatchObject({ code: 'ECANCELLED' });
});
