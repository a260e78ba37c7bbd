import { expect, test } from 'vitest';
import { tenNodes } from '../kit/routed.ts';
import { needTool, runTool } from '../kit/tool.ts';

const CHECKED = ['ip', 'tcp', 'udp', 'icmp', 'icmpv6', 'igmp'];
const BAD = CHECKED.map((name) => `${name}.checksum.status == "Bad"`).join(' || ');
const OPTIONS = ['ip', 'tcp', 'udp'].flatMap((name) => ['-o', `${name}.check_checksum:TRUE`]);

/** One line for each frame that the filter takes: its number and its protocol. */
const FIELDS = ['-T', 'fields', '-e', 'frame.number', '-e', '_ws.col.Protocol'];
const tshark = (file: Uint8Array, filter: string): string[] =>
  runTool('tshark', ['-n', ...OPTIONS, '-r', '-', '-Y', filter, ...FIELDS], file)
    .split('\n')
    .filter((line) => line !== '');

test('tshark reads the captures of ten nodes: no frame is malformed, no checksum is bad', {
  timeout: 600_000,
}, (ctx) => {
  needTool(ctx, 'tshark');
  const net = tenNodes(5, true);
  // Sections of a capture file may follow each other: the links' files are one.
  const file = Buffer.concat(net.captures.flatMap((capture) => capture.take()));
  expect(tshark(file, `_ws.malformed || _ws.short || ${BAD}`)).toEqual([]);
  // What is not in the captures was not judged.
  const counts = net.scenario.world.links.flatMap((link) => [link.counts(0), link.counts(1)]);
  const frames = counts.reduce((sum, { sentFrames, deliveredFrames }) => sum + sentFrames + deliveredFrames, 0);
  const about = ['arp', 'ipv6.fraghdr', 'ip.flags.mf == 1', 'icmpv6.type == 143', 'icmp.type == 3', ...CHECKED];
  const lines = tshark(file, 'frame');
  expect(lines).toHaveLength(frames);
  expect(tshark(file, about.map((name) => `(${name})`).join(' || ')).length).toBe(frames);
  for (const name of about.slice(0, 5)) expect(tshark(file, name).length, name).toBeGreaterThan(0);
});
