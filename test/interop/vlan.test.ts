// VLANs, hub and mirror by `weft ctl`, seen by programs that are not ours.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { needPrograms } from '../kit/run-kit.ts';
import { eventually, type FramePipe, frame, Home, hex, PATIENT, weft } from '../kit/weft-kit.ts';

let home: Home;
let net: string;
beforeEach(async (ctx) => {
  home = new Home();
  needPrograms(ctx, 'vde_plug');
  net = await home.switch('net');
});
afterEach(() => home.close());

const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const C = '02:00:00:00:00:0c';
const VLAN10 = '8100000a';
const VLAN20 = '81000014';
const VLAN30 = '8100001e';

const ctl = (line: string): Promise<unknown> => home.ctl(net, ...line.split(' '));
const plugs = async (...ports: string[]): Promise<FramePipe[]> => {
  const pipes: FramePipe[] = [];
  for (const port of ports) pipes.push(await home.vdePlug(net, `[${port}]`));
  return pipes;
};

/** What the switch sent, after everything else it did: a last frame goes everywhere and comes last. */
async function all(pipe: FramePipe, last: Buffer): Promise<string[]> {
  await eventually('the last frame', () => pipe.frames.some((each) => each.subarray(-46).equals(last.subarray(-46))));
  return pipe.frames.map(hex);
}

describe('VLANs', PATIENT, () => {
  test('ping passes within an access VLAN and not across', async (ctx) => {
    needPrograms(ctx, 'ping');
    for (const line of ['port/access 1 10', 'port/access 2 10', 'port/access 3 20', 'port/access 4 20'])
      await ctl(line);
    for (const n of [1, 2, 3]) await home.program(net, ['--ip', `10.0.0.${n}/24`], 'exec cat');
    const ping = 'for n in 1 2 3; do ping -c1 -w2 10.0.0.$n > /dev/null && echo reached $n || echo missed $n; done';
    const last = await home.program(net, ['--ip', '10.0.0.4/24'], ping);
    expect((await last.ended).stdout).toBe('inside\nmissed 1\nmissed 2\nreached 3\n');
    const { attached } = await home.inspect(net);
    expect(attached.map(({ port, pvid }) => [port, pvid])).toEqual([
      [1, 10],
      [2, 10],
      [3, 20],
    ]);
  });

  test('a trunk carries both VLANs tagged, and only what is allowed', async () => {
    for (const line of ['port/access 1 10', 'port/access 2 20', 'port/trunk 3 0 10,20']) await ctl(line);
    const [one, two, trunk] = (await plugs('1', '2', '3')) as [FramePipe, FramePipe, FramePipe];
    one.send(frame({ from: A, text: 'from one' }));
    expect(await trunk.heard(1)).toEqual([hex(frame({ from: A, tags: [VLAN10], text: 'from one' }))]);
    two.send(frame({ from: B, text: 'from two' }));
    expect((await trunk.heard(2))[1]).toBe(hex(frame({ from: B, tags: [VLAN20], text: 'from two' })));
    trunk.send(
      frame({ from: C, tags: [VLAN30], text: 'of no VLAN here' }),
      frame({ from: C, text: 'untagged' }),
      frame({ from: C, tags: [VLAN10], text: 'to one' }),
      frame({ from: C, tags: [VLAN20], text: 'to two' }),
    );
    expect(await one.heard(1)).toEqual([hex(frame({ from: C, text: 'to one' }))]);
    expect(await two.heard(1)).toEqual([hex(frame({ from: C, text: 'to two' }))]);
  });

  test('the tags of a trunk stand in the lines of weft port --ascii', async () => {
    for (const line of ['port/access 2 10', 'port/access 3 20', 'port/trunk 1 0 10,20']) await ctl(line);
    const port = home.start(weft('port', net, '--ascii', '-c', '2'));
    await home.attached(net, 1);
    const [two, three] = (await plugs('2', '3')) as [FramePipe, FramePipe];
    two.send(frame({ from: A, text: '' }));
    await port.said(/\n/);
    three.send(frame({ from: B, text: '' }));
    const { stdout, status } = await port.ended;
    expect(stdout.split('\n').map((line) => line.slice(0, 44))).toEqual([
      'FFFFFFFFFFFF 02000000000A 8100 00 0A 88 B5 2',
      'FFFFFFFFFFFF 02000000000B 8100 00 14 88 B5 2',
      '',
    ]);
    expect(status).toBe(0);
  });

  test('a native VLAN is untagged on its trunk, and priorities pass from trunk to trunk', async () => {
    for (const line of ['port/trunk 1 10 10,20', 'port/trunk 2 10 10,20']) await ctl(line);
    const [one, two] = (await plugs('1', '2')) as [FramePipe, FramePipe];
    const frames = [frame({ from: A, text: 'native' }), frame({ from: A, tags: ['8100a014'], text: 'priority 5' })];
    one.send(...frames);
    expect(await two.heard(2)).toEqual(frames.map(hex));
  });

  test.each([
    ['a VLAN tag with its priority', ['8100a00a']],
    ['a priority tag', ['8100e000']],
    ['a service tag', ['88a86064']],
    ['QinQ', ['88a86064', '81000005']],
    ['two VLAN tags', ['81000064', '8100f005']],
  ])('%s passes a fresh switch unharmed', async (_name, tags) => {
    const [one, two] = (await plugs('1', '2')) as [FramePipe, FramePipe];
    const sent = frame({ from: A, tags, text: 'tagged' });
    one.send(sent);
    expect(await two.heard(1)).toEqual([hex(sent)]);
  });
});

describe('who sees what', PATIENT, () => {
  const toA = frame({ from: B, to: A, text: 'for A alone' });
  const last = frame({ from: B, text: 'the last' });

  /** A is known at port 1, B talks to it, then to everybody; what port 3 has. */
  async function bystander(): Promise<string[]> {
    const [one, two, three] = (await plugs('1', '2', '3')) as [FramePipe, FramePipe, FramePipe];
    one.send(frame({ from: A, text: 'I am A' }));
    await two.heard(1);
    two.send(toA, last);
    expect(await all(one, last)).toContain(hex(toA));
    return all(three, last);
  }

  test('a switch sends a known station’s frames to its port alone', async () => {
    expect(await bystander()).not.toContain(hex(toA));
  });

  test('a hub repeats them to everybody', async () => {
    await ctl('hub on');
    expect(await bystander()).toContain(hex(toA));
  });

  test('a mirror shows them at its port', async () => {
    await ctl('mirror 1 3 egress');
    expect((await bystander()).filter((each) => each === hex(toA))).toHaveLength(1);
  });

  test('weft port --mirror shows them while it runs', async () => {
    const [one, two] = (await plugs('1', '2')) as [FramePipe, FramePipe];
    one.send(frame({ from: A, text: 'I am A' }));
    await two.heard(1);
    const port = home.start(weft('port', net, '--mirror', '--ascii'));
    const { networks } = await eventually('the mirror', async () => {
      const status = await home.inspect(net);
      return 'mirror' in status.networks[0]! && status;
    });
    expect(networks[0]).toMatchObject({ mirror: { from: 'all', to: 3 } });
    two.send(toA);
    await port.said(/\n/);
    expect(port.stdout).toMatch(/^02000000000A 02000000000B 88B5 66 6F 72/);
    port.child.kill('SIGTERM');
    expect((await port.ended).status).toBe(0);
    await home.attached(net, 2);
    expect((await home.inspect(net)).networks[0]).not.toHaveProperty('mirror');
  });
});
