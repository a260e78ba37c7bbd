import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Rng } from '../../core/rng.ts';
import { CableHello, HELLO_BYTES, tcpIdentity, UNPROVEN, unixIdentity } from '../../plug/cable-hello.ts';

const end = (identity: number, peerIdentity: number, recordBytesMax = 65567) =>
  new CableHello({ identity, peerIdentity, recordBytesMax, rng: new Rng(identity) });
const give = (to: CableHello, bytes: Uint8Array) => to.receive(new DataView(bytes.buffer), 0, bytes.length);

describe('CableHello', () => {
  test.each([
    ['processes', end(unixIdentity(10), 20), end(unixIdentity(20), 10)],
    [
      'TCP ports',
      end(tcpIdentity(5000, 6000), tcpIdentity(6000, 5000)),
      end(tcpIdentity(6000, 5000), tcpIdentity(5000, 6000)),
    ],
    [
      'high TCP ports',
      end(tcpIdentity(65535, 1), tcpIdentity(1, 65535)),
      end(tcpIdentity(1, 65535), tcpIdentity(65535, 1)),
    ],
  ])('switches both directions between %s that prove each other', (_name, a, b) => {
    expect([give(b, a.hello()), give(a, b.hello())]).toEqual([true, true]);
    expect([a.startDue, b.startDue, a.txRich, b.txRich]).toEqual([true, true, false, false]);
    give(b, a.start());
    expect([a.txRich, a.startDue, b.rxRich, a.rxRich]).toEqual([true, false, true, false]);
    give(a, b.start());
    expect([a.rxRich, b.txRich]).toEqual([true, true]);
  });

  test('stays plain behind a middlebox, whose identity is another one', () => {
    const a = end(10, 99);
    expect(give(a, end(20, 99).hello())).toBe(true);
    expect(a.startDue).toBe(false);
  });

  test('stays plain where nothing can be proven, but takes rich records from who could prove us', () => {
    const a = end(10, UNPROVEN);
    const b = end(UNPROVEN, 10);
    give(a, b.hello());
    give(b, a.hello());
    expect([a.startDue, b.startDue]).toEqual([false, true]);
    give(a, b.start());
    expect([a.rxRich, a.txRich]).toEqual([true, false]);
  });

  test('does not believe a START of a station behind the peer, which never saw our HELLO', () => {
    const a = end(10, 20);
    const peer = end(20, 10);
    const forger = end(20, 10);
    give(a, peer.hello());
    expect(give(a, forger.start())).toBe(true);
    expect(a.rxRich).toBe(false);
    give(peer, a.hello());
    give(a, peer.start());
    expect(a.rxRich).toBe(true);
  });

  test('listens to the first HELLO alone: later ones may be of stations behind the peer', () => {
    const a = end(10, 20);
    give(a, end(30, 10).hello());
    expect(give(a, end(20, 10).hello())).toBe(true);
    expect(a.startDue).toBe(false);
  });

  test('stays plain when its own HELLO comes back', () => {
    const a = end(tcpIdentity(5000, 6000), tcpIdentity(6000, 5000));
    give(a, a.hello());
    expect(a.startDue).toBe(false);
  });

  test('sends no longer records than the peer takes, and none to a peer that takes less than a jumbo frame', () => {
    const a = end(1, 2);
    give(a, end(2, 1, 20_000).hello());
    expect([a.startDue, a.txRecordBytesMax]).toEqual([true, 20_000]);
    const c = end(1, 2);
    give(c, end(2, 1, 9000).hello());
    expect(c.startDue).toBe(false);
  });

  test.each([
    ['of version 0 changes nothing', 18, 0, false],
    ['of a later version is understood', 18, 9, true],
    ['of an unknown kind changes nothing', 19, 7, false],
    ['without the capability changes nothing', 23, 0, false],
  ])('a HELLO %s', (_name, at, value, due) => {
    const a = end(1, 2);
    const bytes = end(2, 1).hello();
    bytes[at] = value;
    expect(give(a, bytes)).toBe(true);
    expect(a.startDue).toBe(due);
  });

  test('is a frame of 60 bytes from a locally administered station', () => {
    const bytes = end(1, 2).hello();
    expect(bytes).toHaveLength(HELLO_BYTES);
    expect([...bytes.subarray(0, 6)]).toEqual([0x01, 0x80, 0xc2, 0, 0, 0x0e]);
    expect(bytes[6]! & 3).toBe(2);
  });

  test('leaves other frames alone, also those for the same address', () => {
    const a = end(1, 2);
    const lldp = end(2, 1).hello();
    lldp.set([0x88, 0xcc], 12);
    expect(give(a, lldp)).toBe(false);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => !give(a, bytes.slice())));
    for (let length = 0; length < 32; length++) expect(give(a, end(2, 1).hello().slice(0, length))).toBe(false);
    expect([a.startDue, a.rxRich]).toEqual([false, false]);
  });
});
