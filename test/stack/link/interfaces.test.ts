import { expect, test } from 'vitest';
import { StateReader, StateWriter } from '../../../core/state.ts';
import { BaseKit, MAC } from '../kit-net.ts';

test('interface 1 is loopback, and others are numbered from 2', () => {
  const kit = new BaseKit();
  expect(kit.interfaces.get(1)).toMatchObject({ name: 'lo', isLoopback: true, mtuBytes: 65535 });
  expect(kit.link('eth0')).toMatchObject({ number: 2, isLoopback: false, isUp: true, linkMtuBytes: 1500 });
  expect(kit.interfaces.get(3)).toBeUndefined();
});

test('every change of an interface makes a new generation', () => {
  const kit = new BaseKit();
  const eth0 = kit.link('eth0');
  const seen = new Set([kit.interfaces.generation]);
  for (const change of [
    () => (eth0.isUp = false),
    () => (eth0.linkMtuBytes = 1400),
    () => (eth0.forwards4 = true),
    () => (eth0.forwards6 = true),
  ]) {
    change();
    seen.add(kit.interfaces.generation);
  }
  expect(seen.size).toBe(5);
});

test.each([
  [1279, false],
  [1280, true],
])('RFC 8200 §5: a link MTU of %i carries IPv6: %s', (mtuBytes, carries) => {
  expect(new BaseKit().link('eth0', { mtuBytes }).carriesIp6).toBe(carries);
});

test('RFC 4861 §6.3.4: a link MTU above the hardware’s is not taken', () => {
  const eth0 = new BaseKit().link('eth0');
  eth0.linkMtuBytes = 9000;
  expect(eth0.linkMtuBytes).toBe(1500);
});

test('the number of interfaces and their MTU are bounded', () => {
  const kit = new BaseKit({ interfacesMax: 2 });
  expect(() => kit.interfaces.add({ name: 'eth0', mac: MAC, mtuBytes: 67 })).toThrow('MTU 67');
  expect(() => kit.interfaces.add({ name: 'eth0', mac: MAC, mtuBytes: 65536 })).toThrow('MTU 65536');
  kit.link('eth0');
  expect(() => kit.link('eth1')).toThrow('at most 2');
});

test('a saved interface is the same after loading; another one is refused', () => {
  const kit = new BaseKit();
  const eth0 = kit.link('eth0');
  Object.assign(eth0, {
    linkMtuBytes: 1300,
    forwards6: true,
    acceptsAny: true,
    curHopLimit: 7,
    retransUs: 5,
    txBytes: 9,
  });
  const state = new StateWriter();
  kit.interfaces.save(state);
  const other = new BaseKit();
  const copy = other.link('eth0');
  other.interfaces.load(new StateReader(state.finish()));
  expect(copy).toMatchObject({
    linkMtuBytes: 1300,
    forwards6: true,
    acceptsAny: true,
    curHopLimit: 7,
    retransUs: 5,
    txBytes: 9,
  });
  const wrong = new BaseKit();
  wrong.link('eth1');
  expect(() => wrong.interfaces.load(new StateReader(state.finish()))).toThrow('eth0');
});
