// `weft port` in a shell's pipes, both ways.

import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { needPrograms } from '../kit/run-kit.ts';
import { eventually, FramePipe, frame, Home, hex, PATIENT, WEFT } from '../kit/weft-kit.ts';

let home: Home;
let net: string;
beforeEach(async (ctx) => {
  home = new Home();
  needPrograms(ctx, 'vde_plug', 'tcpdump');
  net = await home.switch('net');
});
afterEach(() => home.close());

const A = '02:00:00:00:00:0a';
const frames = ['first', 'second', 'third'].map((text) => frame({ from: A, text }));

/** The lines that text2pcap and `weft port --ascii` read. */
const ascii = (bytes: Buffer): string =>
  hex(bytes)
    .replace(/^(.{12})(.{12})(.{4})/, '$1 $2 $3 ')
    .toUpperCase();

describe('weft port', PATIENT, () => {
  test('--raw is what tcpdump reads, and what it wrote goes into another network', async () => {
    const file = home.file('captured.pcap');
    const capture = home.sh(`${WEFT} port ${net} --raw -c 3 | tcpdump -nr - -w ${file} 2>/dev/null`);
    await home.attached(net, 1);
    (await home.vdePlug(net)).send(...frames);
    await capture;
    const other = await home.switch('other');
    const heard = await home.vdePlug(other);
    home.start(['sh', '-c', `exec ${WEFT} port ${other} --raw < ${file}`]);
    expect(await heard.heard(3)).toEqual(frames.map(hex));
  });

  test('--ascii | sed | --ascii rewrites frames on their way into another network', async () => {
    const other = await home.switch('other');
    const heard = await home.vdePlug(other);
    const rename = "sed -u 's/02000000000A/02000000000E/'";
    home.start(['sh', '-c', `${WEFT} port ${net} --ascii | ${rename} | ${WEFT} port ${other} --ascii`]);
    await home.attached(net, 1);
    await home.attached(other, 2);
    (await home.vdePlug(net)).send(...frames);
    expect(await heard.heard(3)).toEqual(frames.map((each) => hex(each).replace('02000000000a', '02000000000e')));
  });

  test('--ascii takes lines written by hand, and says which is no frame', async () => {
    const heard = await home.vdePlug(net);
    const port = home.start(['sh', '-c', `exec ${WEFT} port ${net} --ascii`]);
    port.child.stdin!.write(`# a comment\nnonsense\n${ascii(frames[0]!)}\n`);
    expect(await heard.heard(1)).toEqual([hex(frames[0]!)]);
    expect(port.stderr).toMatch(/^weft: stdin: a line is no frame \(\S+\)\n$/);
  });

  test('--hexdump is what text2pcap reads', async (ctx) => {
    needPrograms(ctx, 'text2pcap');
    const file = home.file('dump.pcap');
    const capture = home.sh(`${WEFT} port ${net} --hexdump -c 3 | text2pcap -q - ${file} && tcpdump -nner ${file}`);
    await home.attached(net, 1);
    (await home.vdePlug(net)).send(...frames);
    expect((await capture).match(/02:00:00:00:00:0a > ff:ff:ff:ff:ff:ff, ethertype Unknown \(0x88b5\)/g)).toHaveLength(
      3,
    );
  });

  test('--print says what passes in a line for people', async () => {
    let isOver = false;
    const port = home.sh(`${WEFT} port ${net} --print | head -n 1`).finally(() => {
      isOver = true;
    });
    await home.attached(net, 1);
    const plug = await home.vdePlug(net);
    await eventually('the end', () => {
      plug.send(...frames); // when its reader has left, the port finds out by writing
      return isOver;
    });
    expect(await port).toMatch(/^\d\d:\d\d:\d\d\.\d{3} 02:00:00:00:00:0a > .*0x88b5/);
    await home.attached(net, 1);
  });

  test('a pcap that is none is refused with one line', async () => {
    writeFileSync(home.file('x'), 'this is not a capture file, as anybody can see');
    const port = home.start(['sh', '-c', `exec ${WEFT} port ${net} --raw < ${home.file('x')}`]);
    const plug = new FramePipe(home.start(['vde_plug', `vde://${net}`]));
    await home.attached(net, 2);
    plug.send(frames[0]!);
    await port.said(/first/);
    expect(port.stderr).toMatch(/^weft: stdin: .*; nothing more is read from it\n$/);
  });
});
