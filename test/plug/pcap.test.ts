import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Drop } from '../../core/drop.ts';
import type { NodePlug } from '../../plug/node-plug.ts';
import { openNodePlug } from '../../plug/node-plugs.io.ts';
import { parseVnl } from '../../plug/vnl.ts';
import { writePcapHeader, writePcapRecord } from '../../wire/pcap.ts';
import { frame, TestHost, tempDir, until } from '../kit/test-host.ts';

const open: NodePlug[] = [];
let dir: ReturnType<typeof tempDir>;

beforeEach(() => {
  dir = tempDir();
});

afterEach(() => {
  for (const plug of open.splice(0)) plug.close();
  dir.remove();
});

async function plug(text: string, host: TestHost): Promise<NodePlug> {
  const it = await openNodePlug(parseVnl(text), host, host.hooks);
  open.push(it);
  return it;
}

const capture = (frames: Uint8Array[]): Buffer =>
  Buffer.concat([
    writePcapHeader(),
    ...frames.map((bytes, n) => writePcapRecord(new DataView(bytes.slice().buffer), 0, bytes.length, n)),
  ]);

test('what is written is replayed', async () => {
  const host = new TestHost();
  const path = dir.file('a.pcap');
  const it = await plug(`pcap://${path}`, host);
  expect(host.send(host.ports[0]!, frame(1), frame(2, 1514), frame(3, 9000))).toEqual([
    Drop.None,
    Drop.None,
    Drop.None,
  ]);
  it.close();
  const bytes = 24 + 3 * 16 + 60 + 1514 + 9000;
  await until(() => statSync(path).size === bytes, 'the file written');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(Math.abs(readFileSync(path).readUInt32LE(24) - Date.now() / 1000)).toBeLessThan(3600);
  const other = new TestHost();
  await plug(`pcap://${path}[replay]`, other);
  await until(() => other.frames(other.ports[0]!).length === 3, 'the frames');
  expect(other.frames(other.ports[0]!)).toEqual([frame(1), frame(2, 1514), frame(3, 9000)]);
  await until(() => other.told.length === 1, 'told');
  expect(other.told[0]).toContain('3 frames replayed');
});

test.each([
  ['of the shortest frames', 20_000, 1],
  ['of long frames', 2_000, 9000],
])('a capture %s waits for whoever takes it, and loses nothing', async (_name, count, length) => {
  const host = new TestHost();
  host.isManual = true;
  const path = dir.file('a.pcap');
  writeFileSync(path, capture(Array.from({ length: count }, (_, n) => frame(n, length))));
  await plug(`pcap://${path}[replay]`, host);
  const port = host.ports[0]!;
  await until(() => {
    host.breath();
    return host.frames(port).length >= count;
  }, 'all frames');
  expect(port.counters.drops.total()).toBe(0);
  expect(host.frames(port).every((bytes, n) => bytes.equals(frame(n, length)))).toBe(true);
});

test.each([
  ['is none', Buffer.alloc(100, 7), 'not a capture'],
  ['was cut', capture([frame(1), frame(2)]).subarray(0, -5), '1 frames replayed, the last one is cut'],
])('tells of a file that %s', async (_name, bytes, text) => {
  const host = new TestHost();
  writeFileSync(dir.file('a'), bytes);
  await plug(`pcap://${dir.file('a')}[replay]`, host);
  await until(() => host.told.length === 1, 'told');
  expect(host.told[0]).toContain(text);
});

test('rejects a file that is not there', async () => {
  await expect(plug(`pcap://${dir.file('none')}[replay]`, new TestHost())).rejects.toMatchObject({ code: 'ENOENT' });
});
