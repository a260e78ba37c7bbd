import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterAll, expect, test } from 'vitest';
import {
  acceptPacket,
  connectPacket,
  listenPacket,
  packetPair,
  peerUid,
  receivePacket,
  sendPacket,
} from '../../sys/fd-passing.io.ts';

const directory = mkdtempSync(`${tmpdir()}/weft-fd-`);
afterAll(() => rmSync(directory, { recursive: true }));

const text = (words: string): Uint8Array => new TextEncoder().encode(words);

test('a descriptor arrives as another number for the same file, close-on-exec', () => {
  const [left, right] = packetPair();
  const file = openSync(`${directory}/file`, 'w');
  sendPacket(left, text('take this'), [file]);
  const packet = receivePacket(right)!;
  const copy = packet.descriptors[0]!;
  expect(new TextDecoder().decode(packet.bytes)).toBe('take this');
  expect(copy).not.toBe(file);
  expect(fstatSync(copy).ino).toBe(fstatSync(file).ino);
  expect(readFileSync(`/proc/self/fdinfo/${copy}`, 'latin1')).toMatch(/flags:\s+0?2\d{6}\b/);
  writeSync(copy, 'written by the copy');
  expect(readFileSync(`${directory}/file`, 'latin1')).toBe('written by the copy');
  for (const fd of [left, right, file, copy]) closeSync(fd);
});

test('packets keep their borders and their own descriptors', () => {
  const [left, right] = packetPair();
  const files = [0, 1, 2].map((i) => openSync(`${directory}/${i}`, 'w'));
  sendPacket(left, text('none'));
  sendPacket(left, text('three'), files);
  expect(receivePacket(right)).toEqual({ bytes: text('none'), descriptors: [] });
  const packet = receivePacket(right)!;
  expect(packet.descriptors.map((fd) => fstatSync(fd).ino)).toEqual(files.map((fd) => fstatSync(fd).ino));
  for (const fd of [left, right, ...files, ...packet.descriptors]) closeSync(fd);
});

test('refuses a packet with more descriptors than it takes, and keeps none of them', () => {
  const [left, right] = packetPair();
  const file = openSync(`${directory}/file`, 'w');
  sendPacket(left, text('many'), Array(9).fill(file));
  expect(() => receivePacket(right)).toThrow('EMSGSIZE');
  const free = openSync('/dev/null', 'r');
  expect(free).toBe(file + 1);
  for (const fd of [left, right, file, free]) closeSync(fd);
});

test('a connection by path knows the user at the other end, and ends with an empty packet', () => {
  const listener = listenPacket(`${directory}/socket`, { backlog: 1 });
  expect(acceptPacket(listener)).toBeUndefined();
  const client = connectPacket(`${directory}/socket`);
  const server = acceptPacket(listener)!;
  expect(peerUid(client)).toBe(process.getuid?.());
  expect(receivePacket(client)).toBeUndefined();
  sendPacket(server, text('hello'));
  closeSync(server);
  expect(receivePacket(client)?.bytes).toEqual(text('hello'));
  expect(receivePacket(client)?.bytes).toHaveLength(0);
  for (const fd of [listener, client]) closeSync(fd);
});

test.each([
  ['ENOENT', '/nobody/here'],
  ['ENAMETOOLONG', `/${'x'.repeat(107)}`],
])('says %s for a path that cannot be had', (code, path) => {
  expect(() => connectPacket(path)).toThrow(code);
});
