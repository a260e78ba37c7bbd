import { afterEach, expect, test } from 'vitest';
import { HostError, HostReady } from '../../slirp/slirp.ts';
import { Errno, formatAddress } from '../../stack/stack.ts';
import { datagramBehaviors, streamBehaviors } from './host-behaviors.ts';
import { ANY, address, fill, Grant, Listening } from './kit-host.ts';

let extra: Grant | undefined;
afterEach(() => {
  extra?.end();
  extra = undefined;
});

const make = (handlesMax?: number): Grant => new Grant('node', handlesMax === undefined ? {} : { handlesMax });

streamBehaviors(make);
datagramBehaviors(make);

test('what the host refuses to send is told as an error of its own', async () => {
  extra = make();
  const { host, batch } = extra;
  const h = host.openUdp(false, ANY, 0);
  const user = new Listening(extra, h);
  fill(extra, 0, Buffer.from('all of you'), address('255.255.255.255'), 9);
  expect(host.sendDatagrams(h, batch, 0, 1)).toBe(1);
  await user.hears(HostReady.Error);
  const error = new HostError();
  expect(host.receiveError(h, error)).toBe(true);
  expect([Errno.EACCES, Errno.ENETUNREACH]).toContain(error.errno);
  expect([error.type, formatAddress(error.target), error.port]).toEqual([-1, '255.255.255.255', 9]);
  expect(host.receiveError(h, error)).toBe(false);
});

test('has no ping sockets', () => {
  extra = make();
  expect(extra.host.openEcho(false, 1)).toBe(-Errno.EACCES);
  expect(extra.host.openEcho(true, 0)).toBe(-Errno.EACCES);
});
