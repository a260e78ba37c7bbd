// What fails outside fails in a guest of `weft run` as on the host: errno by errno, by the whole path and real kernels.

import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { DISTANT4, DISTANT6, Outside } from '../kit/distant-kit.ts';
import type { Ended } from '../kit/run-kit.ts';
import { PATIENT, weft } from '../kit/weft-kit.ts';

/** Networks that the router behind the host, or the host itself, treats as their names say; no route at all leads to NOWHERE. */
const UNREACHABLE = ['203.0.113.65', '2001:db8:65::1'];
/** In the server's own network, but nobody. */
const ABSENT = ['192.0.2.99', '2001:db8:3::99'];
const PROHIBITED = ['203.0.113.66', '2001:db8:66::1'];
const SILENT = ['203.0.113.67', '2001:db8:67::1'];
const NOWHERE = ['203.0.114.68', '2001:db8:68::1'];
const HERE_UNREACHABLE = ['203.0.113.70', '2001:db8:70::1'];
const HERE_NOWHERE = ['203.0.113.71', '2001:db8:71::1'];

const PORTS = { closed: 1, reset: 82, resetAtOnce: 83, halfClose: 84, closing: 85 };

/** Servers that end connections in their ways. */
const SERVE = `
const { createServer } = require('node:net');
const serve = (port, how) => createServer({ allowHalfOpen: true }, how).on('error', () => {}).listen(port, '::');
const quiet = (socket) => socket.on('error', () => {});
serve(${PORTS.reset}, (socket) => { quiet(socket).write('hello'); socket.once('data', () => socket.resetAndDestroy()); });
serve(${PORTS.resetAtOnce}, (socket) => quiet(socket).resetAndDestroy());
serve(${PORTS.halfClose}, (socket) => quiet(socket).resume().on('end', () => socket.end('after your end')));
serve(${PORTS.closing}, (socket) => quiet(socket).end('bye'));
console.log('serving');
`;

/** Does all at once, and prints what came of each: errors by name. */
const PROBE = `
import errno, json, socket, sys, threading
places = json.loads(sys.argv[1])
at = int(sys.argv[2])
family = [socket.AF_INET, socket.AF_INET6][at]
RECVERR = [(socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25)][at]
SYNCNT = 7
found = {}

def tcp(place, port, syns=5):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setsockopt(socket.IPPROTO_TCP, SYNCNT, syns)
    s.connect((place, port))
    return s

def read_all(s):
    said = b''
    while True:
        more = s.recv(100)
        if not more: return said.decode()
        said += more

def connect(place, port=80):
    tcp(place, port)
    return 'connected'

def connect_to_silence(place):
    tcp(place, 80, 2)
    return 'connected'

def connect_later(place, port=80):
    import select
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setblocking(False)
    said = [errno.errorcode[s.connect_ex((place, port))]]
    select.select([], [s], [], 20)
    return said + [errno.errorcode.get(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 'connected')]

def reset(place):
    s = tcp(place, ${PORTS.reset})
    said = [s.recv(5).decode()]
    s.send(b'x')
    for call in [lambda: s.recv(5), lambda: s.recv(5).decode(), lambda: s.send(b'y')]:
        try: said.append(call())
        except OSError as e: said.append(errno.errorcode[e.errno])
    return said

def reset_at_once(place):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.connect((place, ${PORTS.resetAtOnce}))
    return s.recv(5).decode()

def half_close(place):
    s = tcp(place, ${PORTS.halfClose})
    s.send(b'all that I have')
    s.shutdown(socket.SHUT_WR)
    return read_all(s)

def closing(place):
    s = tcp(place, ${PORTS.closing})
    said = [read_all(s)]
    s.shutdown(socket.SHUT_RDWR)
    return said

def udp(place, port, recverr):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(1)
    if recverr: s.setsockopt(*RECVERR, 1)
    s.connect((place, port))
    for again in range(20): # a router of Linux says so five times at once, and then once a second
        s.send(b'anybody there?')
        try: return s.recv(100).decode()
        except TimeoutError: pass

def run(name, probe, *args):
    try: found[name] = probe(*args)
    except OSError as e: found[name] = errno.errorcode.get(e.errno, str(e))

distant = places['distant']
probes = [(name, connect, place) for name, place in places.items() if name not in ('distant', 'silent')]
probes += [('silent', connect_to_silence, places['silent'])]
probes += [('absent, not waiting', connect_later, places['absent'])]
probes += [('refused', connect, distant, ${PORTS.closed}), ('refused, not waiting', connect_later, distant, ${PORTS.closed})]
probes += [('reset', reset, distant), ('reset at once', reset_at_once, distant)]
probes += [('half close', half_close, distant), ('closing', closing, distant)]
probes += [('datagram, refused', udp, distant, 1, False), ('datagram, refused, asked for', udp, distant, 1, True)]
probes += [('datagram, ' + name, udp, place, 9, True) for name, place in places.items() if name not in ('distant', 'silent')]
threads = [threading.Thread(target=run, args=probe) for probe in probes]
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps(found))
`;

let outside: Outside | undefined;
let probes: Promise<Ended>[][] = [];

beforeEach(async (ctx) => {
  Outside.need(ctx, 'python3');
  outside ??= await start();
}, 60_000);
afterAll(() => outside?.close(), 30_000);

async function start(): Promise<Outside> {
  const made = await Outside.make();
  const { world, distant, home } = made;
  const add = (kind: string, [four, six]: readonly string[]) =>
    `ip route add ${kind} ${four}; ip -6 route add ${kind} ${six}`;
  const impatient = 'for n in ipv4 ipv6; do echo 1 > /proc/sys/net/$n/neigh/far/mcast_solicit; done';
  const ratelimits = 'echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 0 > /proc/sys/net/ipv6/icmp/ratelimit';
  const routes = [add('unreachable', UNREACHABLE), add('prohibit', PROHIBITED), add('blackhole', SILENT)];
  world.run(world.inWorld, [ratelimits, impatient, ...routes].join('\n'));
  world.run(distant.inside, ratelimits);
  // The host gives up before its guest does.
  world.run(
    world.inHost,
    [
      'echo 1 > /proc/sys/net/ipv4/tcp_syn_retries',
      add('unreachable', HERE_UNREACHABLE),
      add('throw', HERE_NOWHERE),
    ].join('\n'),
  );
  await distant.script(SERVE);
  await home.engine('up');
  probes = probeAll(made);
  return made;
}

/** What a program on the host sees, which a guest is to see. */
const expected = (at: number) => ({
  refused: 'ECONNREFUSED',
  'refused, not waiting': ['EINPROGRESS', 'ECONNREFUSED'],
  unreachable: ['EHOSTUNREACH', 'ENETUNREACH'][at], // Linux routers differ by family
  absent: 'EHOSTUNREACH',
  'absent, not waiting': ['EINPROGRESS', 'EHOSTUNREACH'],
  prohibited: ['EHOSTUNREACH', 'EACCES'][at],
  nowhere: 'ENETUNREACH',
  silent: 'ETIMEDOUT',
  'here unreachable': 'EHOSTUNREACH',
  'here nowhere': 'ENETUNREACH',
  reset: ['hello', 'ECONNRESET', '', 'EPIPE'],
  'reset at once': 'ECONNRESET',
  'half close': 'after your end',
  closing: ['bye'],
  'datagram, refused': 'ECONNREFUSED',
  'datagram, refused, asked for': 'ECONNREFUSED',
  'datagram, unreachable': ['EHOSTUNREACH', 'ENETUNREACH'][at],
  'datagram, absent': 'EHOSTUNREACH',
  'datagram, prohibited': ['EHOSTUNREACH', 'EACCES'][at],
  'datagram, nowhere': 'ENETUNREACH',
  'datagram, here unreachable': 'EHOSTUNREACH',
  'datagram, here nowhere': 'ENETUNREACH',
});

/** Both families, on the host and in a guest, all at once: mostly they wait. */
function probeAll({ home }: Outside): Promise<Ended>[][] {
  return [DISTANT4, DISTANT6].map((distant, at) => {
    const places = {
      distant,
      unreachable: UNREACHABLE[at],
      absent: ABSENT[at],
      prohibited: PROHIBITED[at],
      nowhere: NOWHERE[at],
      silent: SILENT[at],
      'here unreachable': HERE_UNREACHABLE[at],
      'here nowhere': HERE_NOWHERE[at],
    };
    const probe = ['python3', '-c', PROBE, JSON.stringify(places), String(at)];
    return [home.exec(probe), home.exec(weft('run', '--', ...probe))];
  });
}

describe.each([
  { family: 'IPv4', at: 0 },
  { family: 'IPv6', at: 1 },
])('$family', PATIENT, ({ at }) => {
  test.each([
    { who: 'the host', which: 0 },
    { who: 'a guest', which: 1 },
  ])('$who sees what is expected', async ({ which }) => {
    const { stdout, stderr } = await probes[at]![which]!;
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual(expected(at));
  });
});
