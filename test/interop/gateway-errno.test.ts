// What a Linux guest's connect() says when the host's failed: errno by errno, as on the host.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DatagramBatch, Relay, SlirpCounters, TcpFlows } from '../../slirp/slirp.ts';
import { Errno, errnoName, type Stack } from '../../stack/stack.ts';
import { needPrograms } from '../kit/run-kit.ts';
import { SimHost } from '../kit/sim-host.ts';
import { StackNet } from '../kit/stack-net.ts';
import { PATIENT, weft } from '../kit/weft-kit.ts';
import { TestCaps, TestTargets } from '../slirp/kit-flows.ts';

const IFACE = 2;
const { ECONNREFUSED, EACCES, EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH, ENOPROTOOPT, EOPNOTSUPP, EPERM } = Errno;
const { EAFNOSUPPORT, EADDRNOTAVAIL, EMFILE } = Errno;
const ENONET = 64;

/** What the host says, and what a guest of each family does. */
const ROWS: readonly (readonly [number, number, number])[] = [
  [ECONNREFUSED, ECONNREFUSED, ECONNREFUSED],
  [ENETUNREACH, ENETUNREACH, ENETUNREACH],
  [EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH],
  [ENETDOWN, ENETUNREACH, ENETUNREACH],
  [EAFNOSUPPORT, ENETUNREACH, ENETUNREACH],
  [EHOSTDOWN, EHOSTDOWN, EHOSTUNREACH],
  [ENONET, ENONET, EHOSTUNREACH],
  [ENOPROTOOPT, ENOPROTOOPT, ECONNREFUSED],
  [EOPNOTSUPP, EOPNOTSUPP, ECONNREFUSED],
  [EACCES, EHOSTUNREACH, EACCES],
  [EPERM, EHOSTUNREACH, EACCES],
  [EADDRNOTAVAIL, ECONNREFUSED, ECONNREFUSED],
  [EMFILE, ECONNREFUSED, ECONNREFUSED],
];

/** Connects to each port and prints `PORT ERRNO`. */
const CONNECT = `
import socket, sys, time
for port in range(1, ${ROWS.length + 1}):
    s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
    s.settimeout(20)
    try:
        print(port, s.connect_ex((sys.argv[1], port)))
    except TimeoutError:
        print(port, 'nothing')
    time.sleep(0.2)
`;

let net: StackNet;

/** Flows whose host fails with the errno of the port's row. */
function startFlows(stack: Stack): void {
  stack.interfaces.get(IFACE)!.acceptsAny = true;
  const { slab } = stack.shared;
  const host = new SimHost(slab, { wake: () => stack.wake() });
  ROWS.forEach(([errno], i) => {
    host.answer(`192.0.2.7:${i + 1}`, errno);
    host.answer(`[2001:db8::7]:${i + 1}`, errno);
  });
  const batch = new DatagramBatch(slab);
  const counters = new SlirpCounters();
  const parts = { stack, iface: IFACE, host, targets: new TestTargets(), caps: new TestCaps(), batch, counters };
  const relay = new Relay(parts);
  new TcpFlows(parts, relay);
  stack.addUser({ turn: () => host.dispatch(), deadlineUs: () => Infinity, expire: () => {} });
  stack.addUser(relay);
}

beforeAll(async () => {
  net = new StackNet();
  await net.up();
  startFlows((await net.host()).stack);
}, PATIENT.timeout);
afterAll(() => net.close(), PATIENT.timeout);

describe.each([
  ['IPv4', '192.0.2.7', 1],
  ['IPv6', '2001:db8::7', 2],
] as const)('%s', PATIENT, (_family, target, column) => {
  test('every errno of the host is the guest’s, or the nearest that its network can say', async (ctx) => {
    needPrograms(ctx, 'python3');
    const addresses = ['--ip', '10.0.0.1/24', '--ip', 'fd00::1/64', '--gw', '10.0.0.9', '--gw', 'fd00::9'];
    const command = weft('run', '--net', net.directory, ...addresses, '--', 'python3', '-c', CONNECT, target);
    const { stdout, stderr } = await net.home.exec(command);
    expect(stderr).toBe('');
    const seen = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[1]!);
    const names = (errnos: readonly (number | string)[]) =>
      errnos.map(
        (errno, i) => `${errnoName(ROWS[i]![0])}: ${/^\d+$/.test(String(errno)) ? errnoName(Number(errno)) : errno}`,
      );
    expect(names(seen)).toEqual(names(ROWS.map((row) => row[column])));
  });
});
