import { expect, test } from 'vitest';
import { UsageError } from '../../core/assert.ts';
import { Drop } from '../../core/drop.ts';
import { type Switch, VID_NONE } from '../../switch/switch.ts';
import { AT, BROADCAST_MAC, type FrameSpec, frame, MULTICAST_MAC, newSwitch, send, station } from './kit.ts';

const [A, B, C] = [station(1), station(2), station(3)];
const S = 1_000_000;

/** One row: the frame into a port at a time, and where it goes, or the name of the drop. */
type Row = readonly [
  claim: string,
  ingress: number,
  spec: FrameSpec,
  expected: string | keyof typeof Drop,
  atUs?: number,
];

function play(sw: Switch, rows: readonly Row[]): void {
  for (const [claim, ingress, spec, expected, atUs] of rows) {
    const egress = send(sw, ingress, spec, atUs ?? 0);
    if (expected in Drop) {
      expect([claim, egress, sw.lastDrop]).toEqual([claim, '', Drop[expected as keyof typeof Drop]]);
    } else {
      expect([claim, egress, sw.lastDrop]).toEqual([claim, expected, Drop.None]);
    }
  }
}

test('learns and forwards', () => {
  const sw = newSwitch({ portsMax: 4 });
  play(sw, [
    ['floods an unknown station', 0, { dst: B, src: A }, '1 2 3'],
    ['sends the answer to one port', 1, { dst: A, src: B }, '0'],
    ['sends what follows to one port', 0, { dst: B, src: A }, '1'],
    ['floods broadcast', 0, { dst: BROADCAST_MAC, src: A }, '1 2 3'],
    ['floods multicast', 0, { dst: MULTICAST_MAC, src: A }, '1 2 3'],
    ['keeps apart what lives behind one port', 0, { dst: A, src: C }, 'SamePort'],
    ['knows a station per VLAN', 0, { dst: B, src: A, tci: 7 }, '1 2 3'],
    ['passes 0x88a8 as an ordinary ethertype', 0, { dst: B, src: A, type: 0x88a8 }, '1'],
    ['refuses a source that is a group', 0, { dst: B, src: MULTICAST_MAC }, 'Reserved'],
    ['keeps PAUSE on its cable', 0, { dst: 0x0180c2000001, src: A }, 'Reserved'],
    ['floods BPDUs', 0, { dst: 0x0180c2000000, src: A }, '1 2 3'],
    ['floods LLDP', 0, { dst: 0x0180c200000e, src: A }, '1 2 3'],
    ['refuses 13 bytes', 0, { dst: B, src: A, length: 13 }, 'Runt'],
    ['takes 14 bytes', 0, { dst: B, src: A, length: 14 }, '1'],
    ['refuses half a tag', 0, { dst: B, src: A, tci: 0, length: 17 }, 'VlanTruncated'],
    ['takes a tag and a type', 0, { dst: B, src: A, tci: 0, length: 18 }, '1'],
    ['refuses a port that does not exist', 4, { dst: B, src: A }, 'NoPort'],
    ['refuses a negative port', -1, { dst: B, src: A }, 'NoPort'],
  ]);
  expect(sw.rxFrames(0)).toBe(11);
  expect(sw.dropsOf(0).byName()).toEqual({ runt: 1, 'same-port': 1, reserved: 2, 'vlan-truncated': 1 });
  expect(sw.strayDrops.byName()).toEqual({ 'no-port': 2 });
  sw.resetCounters(0);
  expect([sw.rxFrames(0), sw.dropsOf(0).total()]).toEqual([0, 0]);
});

test('says which decisions are floods', () => {
  const sw = newSwitch({ portsMax: 3 });
  const flooded = (spec: FrameSpec): boolean => {
    send(sw, 0, spec);
    return sw.isFlood;
  };
  send(sw, 1, { dst: A, src: B });
  expect(flooded({ dst: C, src: A })).toBe(true);
  expect(flooded({ dst: B, src: A })).toBe(false);
  expect(flooded({ dst: BROADCAST_MAC, src: A })).toBe(true);
  expect(flooded({ dst: B, src: A, length: 3 })).toBe(false);
});

test('forgets exactly at the age', () => {
  const sw = newSwitch({ portsMax: 3, ageUs: 10 * S });
  play(sw, [
    ['learns', 0, { dst: BROADCAST_MAC, src: A }, '1 2', 5],
    ['remembers until the deadline', 1, { dst: A, src: B }, '0', 10 * S + 4],
    ['floods at the deadline', 1, { dst: A, src: B }, '0 2', 10 * S + 5],
    ['is renewed by every frame', 0, { dst: B, src: A }, '1', 11 * S],
    ['counts from the last one', 1, { dst: A, src: B }, '0', 21 * S - 1],
    ['floods at that deadline', 1, { dst: A, src: B }, '0 2', 21 * S],
  ]);
  sw.setAge(100 * S);
  play(sw, [['follows a new age at once', 1, { dst: A, src: B }, '0', 22 * S]]);
});

test('ages correctly beyond 2^32 µs and from any start', () => {
  const startUs = 1.7e15;
  const sw = newSwitch({ portsMax: 3 });
  sw.fdb.tick(startUs);
  for (const hour of [0, 1, 2, 3, 24, 9000]) {
    const now = startUs + hour * 3600 * S;
    play(sw, [
      ['learns', 0, { dst: BROADCAST_MAC, src: A }, '1 2', now],
      ['remembers', 1, { dst: A, src: B }, '0', now + 300 * S - 1],
      ['forgets', 1, { dst: A, src: B }, '0 2', now + 300 * S],
    ]);
  }
});

test('reclaims the memory of silent stations', () => {
  const sw = newSwitch({ portsMax: 2, ageUs: 10 * S });
  expect(sw.deadlineUs()).toBe(Infinity);
  for (let n = 0; n < 1000; n++) send(sw, 0, { dst: B, src: station(n) }, n);
  expect(sw.fdb.count).toBe(1000);
  sw.expire(sw.deadlineUs() - 1);
  expect(sw.fdb.count).toBe(1000);
  let steps = 0;
  for (; sw.deadlineUs() < Infinity; steps++) sw.expire(sw.deadlineUs());
  expect([sw.fdb.count, sw.fdb.macsOf(0)]).toEqual([0, 0]);
  expect(steps).toBeLessThan(300);
});

test('follows a station that moves and pins one that flaps', () => {
  const sw = newSwitch({ portsMax: 4, moveUs: S, movesMax: 3, pinUs: 5 * S });
  const hello = { dst: BROADCAST_MAC, src: A };
  const toA = { dst: A, src: B };
  play(sw, [
    ['learns', 0, hello, '1 2 3'],
    ['moves at once', 1, hello, '0 2 3', 1],
    ['goes to the new port', 3, toA, '1', 2],
    ['moves again', 0, hello, '1 2 3', 3],
    ['and a third time', 1, hello, '0 2 3', 4],
    ['still forwards the fourth', 0, hello, '1 2 3', 5],
    ['but does not believe it', 3, toA, '1', 6],
    ['for the whole time', 0, hello, '1 2 3', 5 * S + 4],
    ['to the last µs', 3, toA, '1', 5 * S + 4],
    ['then believes again', 0, hello, '1 2 3', 5 * S + 5],
    ['and follows', 3, toA, '0', 5 * S + 5],
    ['a slow mover is free', 1, hello, '0 2 3', 6 * S + 5],
    ['as often as it likes', 2, hello, '0 1 3', 7 * S + 5],
    ['and always found', 3, toA, '2', 7 * S + 6],
  ]);
  expect([sw.fdb.moves, sw.fdb.movesRefused]).toEqual([6, 2]);
});

test('keeps a station pinned while its neighbours in the table come and go', () => {
  for (let hashSeed = 0; hashSeed < 64; hashSeed++) {
    const sw = newSwitch({ portsMax: 3, fdbEntriesMax: 8, movesMax: 1, hashSeed });
    const hello = { dst: BROADCAST_MAC, src: A };
    for (let n = 10; n < 17; n++) send(sw, 2, { dst: BROADCAST_MAC, src: station(n) });
    for (const ingress of [0, 1, 0]) send(sw, ingress, hello); // learned, moved, pinned
    sw.fdb.flush(2);
    play(sw, [
      ['still forwards', 0, hello, '1 2'],
      ['still does not believe', 2, { dst: A, src: B }, '1'],
    ]);
    expect([sw.fdb.moves, sw.fdb.movesRefused]).toEqual([1, 2]);
  }
});

test('goes on with a full table', () => {
  const sw = newSwitch({ portsMax: 3, fdbEntriesMax: 4, ageUs: 10 * S });
  for (let n = 1; n <= 4; n++) send(sw, 0, { dst: BROADCAST_MAC, src: station(n) });
  play(sw, [
    ['forwards to who was there', 1, { dst: station(4), src: station(5) }, '0', 1],
    ['floods to who found no room', 0, { dst: station(5), src: station(1) }, '1 2', 2 * S],
    ['gives the room of the silent to others', 1, { dst: BROADCAST_MAC, src: station(5) }, '0 2', 10 * S],
    ['at the latest with the second frame', 1, { dst: BROADCAST_MAC, src: station(5) }, '0 2', 10 * S],
    ['and finds them', 0, { dst: station(5), src: station(1) }, '1', 10 * S + 1],
  ]);
  expect(sw.fdb.tableFull).toBeGreaterThanOrEqual(1);
  expect(sw.fdb.count).toBeLessThanOrEqual(4);
});

test('limits the stations of one port', () => {
  const sw = newSwitch({ portsMax: 3 });
  sw.fdb.setMacLimit(0, 2);
  for (let n = 1; n <= 3; n++) send(sw, 0, { dst: BROADCAST_MAC, src: station(n) });
  play(sw, [
    ['keeps the first', 1, { dst: station(2), src: station(9) }, '0'],
    ['floods to the third', 1, { dst: station(3), src: station(9) }, '0 2'],
    ['leaves others free', 0, { dst: station(9), src: station(1) }, '1'],
    ['refuses a move into the full port', 0, { dst: BROADCAST_MAC, src: station(9) }, '1 2'],
    ['so it stays', 2, { dst: station(9), src: station(8) }, '1'],
  ]);
  expect([sw.fdb.macsOf(0), sw.fdb.tableFull]).toEqual([2, 2]);
});

test('separates access ports', () => {
  const sw = newSwitch({ portsMax: 5 });
  for (const [port, vid] of [
    [0, 10],
    [1, 10],
    [2, 20],
    [3, 20],
  ] as const)
    sw.setAccess(port, vid); // 4 carries all
  play(sw, [
    ['stays in the VLAN, tagged for who carries all', 0, { dst: BROADCAST_MAC, src: A }, '1 4:push 10'],
    ['does not know a station of another VLAN', 2, { dst: A, src: B }, '3 4:push 20'],
    ['answers within', 1, { dst: A, src: C }, '0'],
    ['drops a tag on an access port', 0, { dst: B, src: A, tci: 20 }, 'NotMember'],
    ['even its own', 0, { dst: B, src: A, tci: 10 }, 'NotMember'],
    ['takes a priority tag and removes it', 0, { dst: C, src: A, tci: 0xa000 }, '1:pop'],
    ['keeps its priority where it is tagged', 0, { dst: BROADCAST_MAC, src: A, tci: 0xb000 }, '1:pop 4:tci b00a'],
    ['untags what comes tagged', 4, { dst: BROADCAST_MAC, src: station(9), tci: 0x600a }, '0:pop 1:pop'],
    ['untags one frame', 4, { dst: A, src: station(9), tci: 0x600a }, '0:pop'],
    ['has nobody for VLAN 0', 4, { dst: BROADCAST_MAC, src: station(9) }, 'NoEgress'],
    ['has nobody for another VLAN', 4, { dst: BROADCAST_MAC, src: station(9), tci: 30 }, 'NoEgress'],
    ['drops 4095', 0, { dst: BROADCAST_MAC, src: A, tci: 4095 }, 'NotMember'],
  ]);
});

test('a fresh switch passes tagged frames as they are', () => {
  const sw = newSwitch({ portsMax: 3 });
  play(sw, [
    ['any VID', 0, { dst: BROADCAST_MAC, src: A, tci: 50 }, '1 2'],
    ['with priority', 0, { dst: BROADCAST_MAC, src: A, tci: 0xe032 }, '1 2'],
    ['4095 too', 0, { dst: BROADCAST_MAC, src: A, tci: 4095 }, '1 2'],
    ['VID 0 is untagged', 0, { dst: BROADCAST_MAC, src: A, tci: 0x2000 }, '1 2'],
    ['and is learned with the untagged', 1, { dst: A, src: B }, '0'],
    ['a VLAN has stations of its own', 1, { dst: A, src: B, tci: 50 }, '0'],
    ['and does not know others', 1, { dst: A, src: B, tci: 51 }, '0 2'],
  ]);
});

test('trunks carry what they are allowed, and a native VLAN', () => {
  const sw = newSwitch({ portsMax: 6 });
  sw.setTrunk(0, { native: 10, allowed: [20, 30] });
  sw.setTrunk(1, { native: VID_NONE, allowed: [10, 20] });
  sw.setTrunk(2, { native: 0, allowed: [20] });
  sw.setTrunk(3, { native: 10, allowed: 'all' });
  sw.setAccess(4, 20); // 5 carries all
  play(sw, [
    ['native in, tagged out', 0, { dst: BROADCAST_MAC, src: A }, '1:push 10 3 5:push 10'],
    ['tagged in, tagged and native out', 1, { dst: BROADCAST_MAC, src: B, tci: 0xe00a }, '0:pop 3:pop 5'],
    ['allowed VLAN everywhere', 0, { dst: BROADCAST_MAC, src: A, tci: 0x4014 }, '1 2 3 4:pop 5'],
    ['its native tagged is not in its set', 0, { dst: BROADCAST_MAC, src: A, tci: 10 }, 'NotMember'],
    ['a port for all takes it', 3, { dst: BROADCAST_MAC, src: C, tci: 10 }, '0:pop 1 5'],
    ['not allowed', 1, { dst: BROADCAST_MAC, src: B, tci: 30 }, 'NotMember'],
    ['tagged frames only', 1, { dst: BROADCAST_MAC, src: B }, 'Untagged'],
    ['nor a priority tag there', 1, { dst: BROADCAST_MAC, src: B, tci: 0xe000 }, 'Untagged'],
    ['untagged without a VLAN', 2, { dst: BROADCAST_MAC, src: station(7) }, '5'],
    ['from who carries all', 5, { dst: BROADCAST_MAC, src: station(8) }, '2'],
    ['priority tag: left on where all is carried', 5, { dst: station(7), src: station(8), tci: 0x2000 }, '2:pop'],
    ['and back', 2, { dst: station(8), src: station(7), tci: 0x2000 }, '5'],
    ['learned natively, found by tag', 1, { dst: A, src: B, tci: 10 }, '0:pop'],
  ]);
});

test('configures ports as vde_switch does', () => {
  const sw = newSwitch({ portsMax: 3 });
  sw.setUntagged(0, 0);
  expect(sw.vlansOf(0)).toEqual({ pvid: 0, tagged: 'all' });
  sw.setUntagged(0, 5);
  expect(sw.vlansOf(0)).toEqual({ pvid: 5, tagged: [] });
  sw.addTagged(7, 0);
  sw.addTagged(6, 0);
  expect(sw.vlansOf(0)).toEqual({ pvid: 5, tagged: [6, 7] });
  sw.removeTagged(7, 0);
  sw.setUntagged(0, VID_NONE);
  expect(sw.vlansOf(0)).toEqual({ pvid: VID_NONE, tagged: [6] });
  sw.removeTagged(9, 1);
  expect(sw.vlansOf(1).tagged).toHaveLength(4093);
  play(sw, [
    ['carries everything else', 1, { dst: BROADCAST_MAC, src: A, tci: 8 }, '2'],
    ['but not what was removed', 1, { dst: BROADCAST_MAC, src: A, tci: 9 }, 'NotMember'],
    ['nor gets it', 2, { dst: BROADCAST_MAC, src: A, tci: 9 }, 'NoEgress'],
    ['6 is on all three', 2, { dst: BROADCAST_MAC, src: A, tci: 6 }, '0 1'],
  ]);
  sw.setTrunkAll(1);
  expect(sw.vlansOf(1)).toEqual({ pvid: 0, tagged: 'all' });
  play(sw, [['carries all again', 2, { dst: BROADCAST_MAC, src: A, tci: 9 }, '1']]);
});

test('forgets the stations of a port whose VLANs change', () => {
  const sw = newSwitch({ portsMax: 3 });
  send(sw, 0, { dst: BROADCAST_MAC, src: A, tci: 5 });
  sw.setAccess(0, 6);
  play(sw, [['never sends into a VLAN that the port left', 1, { dst: A, src: B, tci: 5 }, '2']]);
});

test('a hub repeats within the VLAN and learns nothing', () => {
  const sw = newSwitch({ portsMax: 4, hub: true });
  sw.setAccess(2, 10);
  sw.setAccess(3, 10);
  play(sw, [
    ['repeats', 0, { dst: B, src: A }, '1'],
    ['does not learn', 1, { dst: A, src: B }, '0'],
    ['respects VLANs', 2, { dst: B, src: C }, '0:push 10 1:push 10 3'],
    ['repeats what would stay on its port', 2, { dst: C, src: station(9) }, '0:push 10 1:push 10 3'],
  ]);
  expect([sw.fdb.count, sw.isFlood]).toEqual([0, true]);
  sw.setHub(false);
  play(sw, [
    ['is a switch again', 0, { dst: B, src: A }, '1'],
    ['that learns', 1, { dst: A, src: B }, '0'],
  ]);
});

test.each([
  ['ingress', 0, '1 3', '0', ''],
  ['egress', 0, '1', '0 3', ''],
  ['both', 0, '1 3', '0 3', '3'],
  ['ingress', 'all', '1 3', '0 3', '3'],
  ['egress', 'all', '1 3', '0 3', ''],
  ['both', 'all', '1 3', '0 3', '3'],
] as const)('mirrors %s of %s', (direction, from, there, back, samePort) => {
  const sw = newSwitch({ portsMax: 4 });
  sw.fdb.addStatic(A, 0, 0);
  sw.fdb.addStatic(B, 0, 1);
  sw.setMirror({ from, direction, to: 3 });
  expect(sw.mirror).toEqual({ from, direction, to: 3 });
  expect(send(sw, 0, { dst: B, src: A })).toBe(there);
  expect(send(sw, 1, { dst: A, src: B })).toBe(back);
  const ingress = from === 'all' && direction !== 'egress' ? 1 : direction === 'both' ? 0 : 1;
  expect(send(sw, ingress, { dst: ingress === 0 ? A : B, src: C })).toBe(samePort);
  expect(sw.dropsOf(ingress).byName()).toEqual({ 'same-port': 1 });
  expect(sw.lastDrop).toBe(samePort === '' ? Drop.SamePort : Drop.None);
  sw.clearMirror();
  expect(sw.mirror).toBeUndefined();
  expect(send(sw, 0, { dst: B, src: A })).toBe('1');
});

test('the mirror shows each frame once, as it was received, and not its own', () => {
  const sw = newSwitch({ portsMax: 4 });
  sw.setAccess(3, 10);
  sw.setMirror({ from: 'all', direction: 'both', to: 3 });
  play(sw, [
    ['once, though the flood goes there too', 0, { dst: BROADCAST_MAC, src: A, tci: 10 }, '1 2 3'],
    ['from other VLANs', 0, { dst: BROADCAST_MAC, src: A, tci: 11 }, '1 2 3'],
    ['not what the observer sends', 3, { dst: BROADCAST_MAC, src: C }, '0:push 10 1:push 10 2:push 10'],
  ]);
  sw.portDown(3);
  play(sw, [['not while the observer is down', 0, { dst: BROADCAST_MAC, src: A, tci: 11 }, '1 2']]);
  sw.portUp(3, 0);
  sw.setStorm(0, { broadcastPps: 1 });
  play(sw, [
    ['before the storm', 0, { dst: BROADCAST_MAC, src: A, tci: 11 }, '1 2 3', 9 * S],
    ['in the storm the observer still sees', 0, { dst: BROADCAST_MAC, src: A, tci: 11 }, '3', 9 * S],
  ]);
  expect(sw.dropsOf(0).byName()).toEqual({ storm: 1 });
});

test('guards against storms by kind and port', () => {
  const sw = newSwitch({ portsMax: 3 });
  sw.setStorm(0, { broadcastPps: 20, unknownPps: 1 });
  const hello = { dst: BROADCAST_MAC, src: A };
  const unknown = { dst: C, src: A };
  play(sw, [
    ['a tenth of a second may burst: first', 0, hello, '1 2', S],
    ['second', 0, hello, '1 2', S],
    ['third is above', 0, hello, 'Storm', S],
    ['nothing before a token', 0, hello, 'Storm', S + 49_999],
    ['a token every 50 ms', 0, hello, '1 2', S + 50_000],
    ['only one', 0, hello, 'Storm', S + 50_000],
    ['another port is free', 1, { dst: BROADCAST_MAC, src: B }, '0 2', S + 50_000],
    ['another kind without limit is free', 0, { dst: MULTICAST_MAC, src: A }, '1 2', S + 50_000],
    ['known stations are free', 0, { dst: B, src: A }, '1', S + 50_000],
    ['unknown have their own bucket', 0, unknown, '1 2', S + 50_000],
    ['of one', 0, unknown, 'Storm', 2 * S + 49_999],
    ['again after a second', 0, unknown, '1 2', 2 * S + 50_000],
    ['a long silence saves no more than the bucket', 0, hello, '1 2', 900 * S],
    ['two', 0, hello, '1 2', 900 * S],
    ['not three', 0, hello, 'Storm', 900 * S],
  ]);
  sw.setStorm(0, {});
  play(sw, [['no limit again', 0, hello, '1 2', 900 * S]]);
});

test('a port that goes down is forgotten and left out', () => {
  const sw = newSwitch({ portsMax: 3 });
  send(sw, 0, { dst: BROADCAST_MAC, src: A });
  send(sw, 1, { dst: BROADCAST_MAC, src: B });
  sw.portDown(0);
  play(sw, [
    ['takes nothing', 0, { dst: B, src: A }, 'NoPort'],
    ['floods to who is left', 1, { dst: A, src: B }, '2'],
    ['knows the others', 2, { dst: B, src: C }, '1'],
  ]);
  expect([...sw.fdb.entries(0)].map((e) => e.port).sort()).toEqual([1, 2]);
  sw.portUp(0, 1);
  play(sw, [['is back', 1, { dst: A, src: B }, '0 2']]);
});

test('a blocked port neither takes nor gets', () => {
  const sw = newSwitch({ portsMax: 3 });
  send(sw, 0, { dst: BROADCAST_MAC, src: A });
  sw.setBlocked(0, true);
  play(sw, [
    ['takes nothing', 0, { dst: B, src: A }, 'Blocked'],
    ['gets nothing', 1, { dst: A, src: B }, '2'],
  ]);
  sw.setBlocked(0, false);
  play(sw, [['unblocked', 1, { dst: A, src: B }, '0 2']]);
});

test('static entries neither age, move nor flush', () => {
  const sw = newSwitch({ portsMax: 4, ageUs: S });
  send(sw, 3, { dst: BROADCAST_MAC, src: A });
  expect(sw.fdb.addStatic(A, 0, 2)).toBe(true);
  play(sw, [
    ['replaces what was learned', 1, { dst: A, src: B }, '2', 1],
    ['does not age', 1, { dst: A, src: B }, '2', 1000 * S],
    ['another port forwards', 0, { dst: BROADCAST_MAC, src: A }, '1 2 3', 1000 * S],
    ['but does not get it', 1, { dst: A, src: B }, '2', 1000 * S],
    ['its own frames are fine', 2, { dst: B, src: A }, '1', 1000 * S],
  ]);
  expect([sw.fdb.moves, sw.fdb.movesRefused]).toEqual([0, 1]);
  sw.fdb.flush();
  expect([...sw.fdb.entries(1000 * S)]).toEqual([{ mac: A, vid: 0, port: 2, ageUs: 0, isStatic: true }]);
  expect(sw.deadlineUs()).toBe(Infinity);
  sw.portDown(2);
  play(sw, [['is not flooded when its port is down', 1, { dst: A, src: B }, 'NoEgress', 1001 * S]]);
  expect(sw.fdb.remove(A, 0)).toBe(true);
  expect(sw.fdb.remove(A, 0)).toBe(false);
  play(sw, [['removed, it is unknown', 1, { dst: A, src: B }, '0 3', 1001 * S]]);
});

test('lists stations', () => {
  const sw = newSwitch({ portsMax: 2 });
  const mac = 0xfedcba987654;
  send(sw, 1, { dst: BROADCAST_MAC, src: mac, tci: 0xe000 | 4094 }, 100);
  const entry = { mac, vid: 4094, port: 1, ageUs: 25, isStatic: false };
  expect(sw.fdb.find(mac, 4094, 125)).toEqual(entry);
  expect(sw.fdb.find(mac, 0, 125)).toBeUndefined();
  expect([...sw.fdb.entries(125)]).toEqual([entry]);
  expect([sw.fdb.count, sw.fdb.entriesMax]).toEqual([1, 1 << 17]);
});

test.each<[string, (sw: Switch) => unknown]>([
  ['an access VLAN of 0', (sw) => sw.setAccess(0, 0)],
  ['an access VLAN of 4095', (sw) => sw.setAccess(0, 4095)],
  ['a native VLAN of 4096', (sw) => sw.setTrunk(0, { native: 4096, allowed: 'all' })],
  ['a tagged VLAN of 1.5', (sw) => sw.addTagged(1.5, 0)],
  ['a port above the last', (sw) => sw.setAccess(2, 1)],
  ['a port below the first', (sw) => sw.portUp(-1, 0)],
  ['a mirror of itself', (sw) => sw.setMirror({ from: 1, direction: 'both', to: 1 })],
  ['a storm limit below 0', (sw) => sw.setStorm(0, { broadcastPps: -1 })],
  ['an age of 0', (sw) => sw.setAge(0)],
  ['a static group', (sw) => sw.fdb.addStatic(MULTICAST_MAC, 0, 0)],
  ['a static entry of no port', (sw) => sw.fdb.addStatic(A, 0, 2)],
])('tells the operator about %s', (_, call) => {
  const sw = newSwitch({ portsMax: 2 });
  expect(() => call(sw)).toThrow(UsageError);
  expect(send(sw, 0, { dst: B, src: A })).toBe('1'); // and nothing has changed
});

test('serves 1,000 ports and 100,000 stations', () => {
  const sw = newSwitch({ portsMax: 1000 });
  const view = frame({ dst: BROADCAST_MAC, src: 0 });
  for (let n = 0; n < 100_000; n++) {
    view.setUint32(AT + 6 + 2, n);
    view.setUint16(AT + 6, 0x0200);
    view.setUint32(AT, n === 0 ? 0xffffffff : 0x02000000);
    view.setUint16(AT + 4, n === 0 ? 0xffff : 0); // station 0 once the first frame went by
    expect(sw.forward(view, AT, 64, n % 1000, n)).toBe(n === 0 ? 999 : n % 1000 === 0 ? 0 : 1);
  }
  expect([sw.fdb.count, sw.fdb.tableFull]).toEqual([100_000, 0]);
  for (let n = 0; n < 100_000; n += 997) expect(sw.fdb.find(station(n), 0, 100_000)?.port).toBe(n % 1000);
  sw.portDown(7);
  expect(sw.fdb.count).toBe(99_900);
  expect(send(sw, 0, { dst: BROADCAST_MAC, src: station(0) }, 100_000).split(' ')).toHaveLength(998);
});
