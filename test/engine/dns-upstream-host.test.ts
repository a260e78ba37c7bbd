// The same over sockets of this host's loopback: what a simulated host cannot show.

import * as dgram from 'node:dgram';
import { once } from 'node:events';
import * as net from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { fixedServers, HostDnsUpstream } from '../../engine/dns-upstream.ts';
import { parseAddress, Stack } from '../../stack/stack.ts';
import { secretOf } from '../kit/stack-kit.ts';
import { until } from '../kit/test-host.ts';
import { Grant } from '../slirp/kit-host.ts';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

function rig(kind: 'native' | 'node', where: string, port: number) {
  const grant = new Grant(kind);
  const { slab, host, batch } = grant;
  const stack = new Stack({ slab, secret: secretOf(1, 1), nowUs: 0 });
  const servers = fixedServers([{ address: parseAddress(where)!, port }]);
  const upstream = new HostDnsUpstream({ stack, host, slab, batch, servers });
  ends.push(() => {
    upstream.close();
    grant.end();
  });
  const answers: string[] = [];
  const failures: string[] = [];
  upstream.setUser({
    answered: (server, bytes, at, count, isTcp) =>
      answers.push(
        `${server} ${isTcp ? 'tcp' : 'udp'} ${Buffer.from(bytes.subarray(at, at + count)).toString('latin1')}`,
      ),
    failed: (server, isTcp) => failures.push(`${server} ${isTcp ? 'tcp' : 'udp'}`),
  });
  const ask = (text: string, isTcp: boolean): boolean => {
    upstream.servers();
    return upstream.send(0, Buffer.from(text), 0, text.length, isTcp);
  };
  return { upstream, answers, failures, ask };
}

const CASES = (['native', 'node'] as const).flatMap((kind) =>
  ['127.0.0.1', '::1'].map((where) => [kind, where] as const),
);

test.each(CASES)('%s sockets, %s: datagrams go and come', async (kind, where) => {
  const server = dgram.createSocket(where === '::1' ? 'udp6' : 'udp4');
  ends.push(() => server.close());
  server.on('message', (bytes, from) => server.send(`re ${bytes}`, from.port, from.address));
  server.bind(0, where);
  await once(server, 'listening');
  const { upstream, answers, ask } = rig(kind, where, server.address().port);
  for (let i = 0; i < 40; i++) expect(ask(`query ${i}`, false)).toBe(true);
  upstream.flush();
  await until(() => answers.length === 40, `40 answers, ${answers.length} so far`);
  expect(new Set(answers).has('0 udp re query 39')).toBe(true);
});

test.each(CASES)('%s sockets, %s: queries over TCP, one behind the other', async (kind, where) => {
  const server = net.createServer((socket) => socket.pipe(socket));
  ends.push(() => server.close());
  server.listen(0, where);
  await once(server, 'listening');
  const { upstream, answers, ask } = rig(kind, where, (server.address() as net.AddressInfo).port);
  for (const text of ['one', 'two', 'three']) expect(ask(text, true)).toBe(true);
  upstream.flush();
  await until(() => answers.length === 3, `3 answers, ${answers.length} so far`);
  expect(answers).toEqual(['0 tcp one', '0 tcp two', '0 tcp three']);
});

test.each(CASES)('%s sockets, %s: a port that is closed is told', async (kind, where) => {
  const holder = net.createServer();
  holder.listen(0, where);
  await once(holder, 'listening');
  const { port } = holder.address() as net.AddressInfo;
  holder.close();
  await once(holder, 'close');
  const { upstream, failures, ask } = rig(kind, where, port);
  ask('query', true);
  upstream.flush();
  await until(() => failures.includes('0 tcp'), 'the failure of the connection');
  if (kind === 'native') {
    // Node's sockets for datagrams do not tell.
    ask('query', false);
    upstream.flush();
    await until(() => failures.includes('0 udp'), 'the failure of the datagram');
  }
  expect(failures.length).toBeGreaterThan(0);
});
