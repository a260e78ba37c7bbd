// A gateway on a fabric of this thread, with loopback as the only network of the host that anything is led to.

import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FailedError, UsageError } from '../../core/assert.ts';
import { Fabric } from '../../engine/fabric.io.ts';
import { FabricNode } from '../../engine/fabric-node.io.ts';
import { newGateway } from '../../engine/gateway-host.io.ts';
import { type JoinLease, NullPort } from '../../plug/plug.ts';
import { tempDir } from '../kit/test-host.ts';

let home: ReturnType<typeof tempDir>;
let fabric: Fabric;
let node: FabricNode;
let events: { event: string; text?: string }[];

beforeEach(() => {
  home = tempDir();
  events = [];
  fabric = new Fabric();
  node = new FabricNode(fabric, { notify: (event) => events.push(event), shutdown: () => {}, newGateway });
});
afterEach(() => {
  node.close();
  fabric.stop();
  home.remove();
});

const NETWORK = { kind: 'switch', ports: 8, mode: 0o600, dirMode: 0o700 } as const;
const MAC = (n: number): Uint8Array => Uint8Array.of(2, 0, 0, 0, 0, n);

const open = (gateway: string, directory = home.file('net')) =>
  node.openNetwork({ ...NETWORK, name: 'net', directory, gateway });
const ask = (...words: string[]): unknown => node.execute('net', words);

describe('port 0', () => {
  test('knows which port is one guest alone: a program of weft run, and no plug', () => {
    let portOf = (_mac: number): number => Number.NaN;
    const asked = new FabricNode(fabric, {
      notify: () => {},
      shutdown: () => {},
      newGateway: (to, options, place) => {
        portOf = place.portOf;
        return newGateway(to, options, place);
      },
    });
    const service = asked.openNetwork({ ...NETWORK, name: 'net', gateway: '' });
    const info = [{ kind: 'tap', pid: 7 }, { kind: 'tap' }, { kind: 'stream', pid: 7 }, { kind: 'packet', pid: 8 }];
    info.forEach((one, i) => {
      service.attach(new NullPort(), i + 1, { ...one, description: '' });
      service.switch!.fdb.addStatic(0x020000000001 + i, 0, i + 1);
    });
    expect([1, 2, 3, 4, 5].map((n) => portOf(0x020000000000 + n))).toEqual([1, -1, -1, 4, -1]);
    asked.close();
  });

  test('is the gateway, and guests still begin at 1', () => {
    const service = open('');
    expect(ask('port/list')).toEqual([
      expect.objectContaining({ port: 0, kind: 'slirp', description: '10.0.2.2/24 fd00::2/64' }),
    ]);
    expect(service.reserve(-1, 0)).toBe(1);
    expect(ask('status')).toMatchObject({ networks: [{ attached: 0, ports: 8, gateways: [{ port: 0 }] }] });
  });

  test('networks without one have none, and say how to get one', () => {
    node.openNetwork({ ...NETWORK, name: 'net' });
    expect(ask('gateway/status')).toEqual([]);
    expect(ask('lease/list')).toEqual([]);
    expect(() => ask('forward/add', '1:10.0.2.15:1')).toThrow(
      /network 'net' has no gateway; add one by: plug\/add slirp:\/\//,
    );
  });

  test('what cannot be is refused, and leaves nothing behind', () => {
    expect(() => open('pool=10.9.9.9-10.9.9.10')).toThrow(UsageError);
    expect(existsSync(home.file('net'))).toBe(false);
    open('');
  });
});

describe('leases of programs', () => {
  const lease = (service: ReturnType<typeof open>, n: number, name = 'p'): JoinLease => {
    const given = service.lease(MAC(n), name);
    if (typeof given !== 'object') throw new Error(String(given));
    return given;
  };

  test('have addresses of both families, routes and names', () => {
    const { release: _, ...given } = lease(open('search=example.org/mtu=9000'), 1, 'web');
    expect(given).toEqual({
      addresses: ['10.0.2.15/24', 'fd00::1000/64'],
      gateways: ['10.0.2.2', 'fd00::2'],
      mtu: 9000,
      dns: ['10.0.2.3', 'fd00::3'],
      search: ['weft.internal', 'example.org'],
    });
    expect(ask('lease/list')).toContainEqual(
      expect.objectContaining({ address: '10.0.2.15', name: 'web', state: 'program' }),
    );
  });

  test('are one lease while two ports have one MAC address', () => {
    const service = open('');
    const [one, two] = [lease(service, 1), lease(service, 1)];
    expect(one.addresses).toEqual(two.addresses);
    one.release();
    expect(ask('lease/list')).toHaveLength(2);
    two.release();
    expect(ask('lease/list')).toHaveLength(0);
  });

  test('end with the pool', () => {
    const service = open('pool=10.0.2.20-10.0.2.21');
    lease(service, 1);
    const second = lease(service, 2);
    expect(service.lease(MAC(3), 'late')).toMatch(/^no address is left for 'late'/);
    second.release();
    expect(lease(service, 3).addresses[0]).toBe('10.0.2.21/24');
  });

  test('outlive the gateway, and are told as they change', () => {
    const directory = home.file('net');
    const service = open('', directory);
    const before = lease(service, 7, 'stays').addresses;
    lease(service, 8).release();
    node.close();
    expect(readFileSync(`${directory}/leases.json`, 'utf8')).toContain('02:00:00:00:00:07');
    expect(events.filter(({ event }) => event === 'lease').map(({ text }) => text)).toContain(
      '10.0.2.15 to 02:00:00:00:00:07 stays',
    );
    const again = node.openNetwork({ ...NETWORK, name: 'net', directory, gateway: '' });
    expect(lease(again, 9).addresses).not.toEqual(before);
    expect(lease(again, 7).addresses).toEqual(before);
  });

  test('are kept by who has them of a gateway whose leases are lost, unless another has them', () => {
    const service = open('');
    const had = ['10.0.2.77/24', 'fd00::1077/64'];
    const back = (n: number, addresses = had) => (service.lease(MAC(n), `p${n}`, addresses) as JoinLease).addresses;
    expect(back(1)).toEqual(had);
    expect(back(2)).toEqual(['10.0.2.15/24', 'fd00::1000/64']);
    expect(back(3, ['10.9.9.9/24', 'nonsense', 'fd00::1078/64'])).toEqual(['10.0.2.16/24', 'fd00::1078/64']);
  });

  test('are not given where there is no DHCP', () => {
    expect(open('nodhcp').lease(MAC(1), 'p')).toBeUndefined();
  });
});

describe('forwards', () => {
  test('are listed and removed by number', () => {
    open('forward=0:10.0.2.15:80,keep-source/reverse=9:127.0.0.1:9');
    const added = ask('forward/add', '0:10.0.2.16:22') as { id: number; forward: string };
    expect(added.forward).toMatch(/^tcp:(127\.0\.0\.1:)?[1-9]\d*:10\.0\.2\.16:22$/);
    ask('forward/add', '{"direction":"out","port":8,"host":"127.0.0.1","hostPort":8}');
    expect(ask('forward/list')).toHaveLength(4);
    expect(ask('forward/remove', String(added.id), '0')).toMatchObject({ id: added.id });
    expect(() => ask('forward/remove', String(added.id))).toThrow(/is not there; see forward\/list/);
    expect(() => ask('forward/remove', '1', '5')).toThrow('port 5 is no gateway; there are: 0');
    expect(ask('forward/list')).toHaveLength(3);
  });

  test('lead to a guest by the name of its lease', () => {
    const given = open('').lease(MAC(7), 'web') as JoinLease;
    const [address] = given.addresses;
    const { name } = (ask('lease/list') as { name: string }[])[0]!;
    const added = ask('forward/add', `0:${name}:22`) as { forward: string };
    expect(added.forward).toMatch(new RegExp(`:${address!.split('/')[0]}:22$`));
    expect((ask('forward/add', `0:${name}.weft.internal:22,keep-source`) as { forward: string }).forward).toMatch(
      /keep-source$/,
    );
    expect(() => ask('forward/add', '0:nobody:22')).toThrow("no guest is called 'nobody'; see weft leases");
  });

  test.each([
    [['80'], /^forward '80': expected/],
    [['1:10.0.2.15:1', 'sideways'], /take in, out, keep-source/],
    [['{"direction":'], /is no JSON/],
    [['{"way":"in"}'], /unknown key 'way'/],
  ])('%j is refused', (words, said) => {
    open('');
    expect(() => ask('forward/add', ...words)).toThrow(said);
  });

  test('a port that is taken is a failure, not a mistake', async () => {
    const taken: Server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as { port: number };
    open('');
    expect(() => ask('forward/add', `${port}:10.0.2.15:80`)).toThrow(FailedError);
    expect(() => node.openNetwork({ ...NETWORK, name: 'other', gateway: `forward=${port}:10.0.2.15:80` })).toThrow(
      FailedError,
    );
    taken.close();
  });
});

test('names come and go', () => {
  open('hosts=db=10.0.2.77');
  ask('name/add', 'web', '10.0.2.78');
  ask('name/remove', '10.0.2.78');
  expect(() => ask('name/add', 'we b', '10.0.2.78')).toThrow(/is no host name/);
  expect(() => ask('name/add', 'web', 'ten')).toThrow(/address 'ten': expected an address/);
  const [status] = ask('gateway/status') as { names: { queries: number } }[];
  expect(status!.names.queries).toBe(0);
  ask('plug/list');
});

test('metrics have a family once, with a row for each gateway', () => {
  open('');
  node.openNetwork({ ...NETWORK, name: 'other', gateway: 'net=10.3.0.0/24/nodns' });
  const text = ask('metrics') as string;
  expect(text.match(/^# TYPE weft_gateway_flows gauge$/gm)).toHaveLength(1);
  expect(text).toMatch(/^weft_gateway_flows\{network="net",port="0",protocol="tcp"\} 0$/m);
  expect(text).toMatch(/^weft_gateway_refused_total\{network="other",port="0",reason="prohibited"\} 0$/m);
  expect(text).not.toMatch(/^weft_gateway_dns_total\{network="other"/m);
});

test('one that is removed gives its port and its memory back', () => {
  node.openNetwork({ ...NETWORK, name: 'net' });
  const used = (): number => fabric.slab.usedBytes;
  const once = (): void => {
    const id = node.openPlug('net', 'slirp:///forward=0:10.0.2.15:80', undefined) as number;
    fabric.turn(0);
    node.closePlug(id);
    fabric.turn(0);
    fabric.turn(5);
  };
  once();
  const before = used();
  for (let i = 0; i < 5; i++) once();
  expect(used()).toBe(before);
  expect(ask('port/list')).toEqual([]);
});
