// The gateways that are compared, each with a guest of its own, all at once on one host: ours, libslirp, slirp4netns, pasta.

import { spawnSync } from 'node:child_process';
import { type GatewayWorld, WORLD } from './gateway-world.ts';
import { inNamespace, ip } from './hosts.ts';
import { heard } from './iperf.ts';
import { cpuNs, residentMib, withChildren } from './machine.ts';
import { finish, start, stop, temporaryFolder, until } from './processes.ts';
import { built } from './switches.ts';

const READY_SECONDS_MAX = 10;
const FOREVER_S = 1e6; // of a process that is ended
/** What most guests have, and as much as one frame may carry. */
export const MTUS = [1500, 65520] as const;
export type Mtu = (typeof MTUS)[number];

/** A gateway that can be started. */
export interface GatewayKind {
  readonly name: string;
  readonly mtu: Mtu;
  open(world: GatewayWorld): Promise<RunningGateway>;
}

/** A gateway with a guest that reaches the world through it. */
export interface RunningGateway {
  /** A command line that runs `command` in the guest. */
  inGuest(command: readonly string[]): readonly string[];
  /** CPU time of the gateway's processes so far, ns. */
  cpuNs(): number;
  /** Their resident memory, MiB. */
  residentMib(): number;
  close(): Promise<void>;
}

/** Ours: `weft up` with a program of `weft run`. */
export const weftGateway = (mtu: Mtu, line?: string): GatewayKind => ({
  name: line ?? 'weft',
  mtu,
  open: async (world) => {
    const env = { XDG_RUNTIME_DIR: temporaryFolder() };
    const program = line?.split(' ') ?? [process.execPath, built('weft.js')];
    const options = [...(mtu === 1500 ? [] : [`mtu=${mtu}`]), `servers=${WORLD[4]}`, 'leases=none'];
    const up = start(inNamespace(world.host, [...program, 'up', '--gateway', options.join('/')]), {
      env,
      withChildren: true,
    });
    await beginning(up, heard(up.stdout!, 'join it'), 'weft up');
    const script = 'echo "guest $$"; exec sleep infinity';
    const guest = start([...program, 'run', '--', 'sh', '-c', script], { env, withChildren: true });
    const said = await beginning(guest, heard(guest.stdout!, '\n'), 'weft run');
    const pid = /guest (\d+)/.exec(said)?.[1];
    if (pid === undefined) throw new Error(`weft run said ${said}`);
    const inGuest = (command: readonly string[]) => ['nsenter', `--target=${pid}`, '--net', '--', ...command];
    const [first, ...more] = inGuest(['sysctl', '-q', 'net.ipv4.ip_local_port_range=1024 65535']);
    spawnSync(first!, more);
    return running(up, inGuest, { before: () => stop(guest) });
  },
});

/** slirp4netns on a TAP that it makes in the guest. */
export const slirp4netns = (mtu: Mtu): GatewayKind => ({
  name: 'slirp4netns',
  mtu,
  open: async (world) => {
    const { space: guest, close } = world.guest(`slirp4netns-${mtu}`);
    const options = ['--configure', `--mtu=${mtu}`, '--disable-dns', '--enable-ipv6', '--netns-type=path'];
    const gateway = start(inNamespace(world.host, ['slirp4netns', ...options, `/run/netns/${guest}`, 'tap0']));
    await beginning(gateway, reaches(guest), 'slirp4netns');
    return running(gateway, (command) => inNamespace(guest, command), { after: close });
  },
});

/** pasta on a TAP that it makes in the guest. */
export const pasta = (mtu: Mtu): GatewayKind => ({
  name: 'pasta',
  mtu,
  open: async (world) => {
    const { space: guest, close } = world.guest(`pasta-${mtu}`);
    const options = ['--config-net', '-f', '-q', '-m', `${mtu}`, '--runas', '0', '-I', 'eth0'];
    const forwards = ['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none'];
    const command = ['pasta', ...options, ...forwards, '--netns', `/run/netns/${guest}`];
    const gateway = start(inNamespace(world.host, command), { withChildren: true });
    await beginning(gateway, reaches(guest), 'pasta');
    return running(gateway, (words) => inNamespace(guest, words), { after: close });
  },
});

/** libslirp itself: QEMU's user network, which is the library on a TAP without a process in between. */
export const libslirp: GatewayKind = {
  name: 'libslirp (QEMU)',
  mtu: 1500,
  open: async (world) => {
    const { space: guest, close } = world.guest('libslirp');
    const gateway = start(inNamespace(world.host, QEMU), { withChildren: true });
    const moved = until(() => hasDevice(world.host), 'QEMU makes a TAP', READY_SECONDS_MAX).then(() => {
      ip('-n', world.host, 'link', 'set', TAP, 'netns', guest);
      ip('-n', guest, 'addr', 'add', '10.0.2.15/24', 'dev', TAP);
      ip('-n', guest, 'addr', 'add', 'fec0::15/64', 'dev', TAP, 'nodad');
      ip('-n', guest, 'link', 'set', TAP, 'mtu', '1500', 'up');
      ip('-n', guest, 'route', 'add', 'default', 'via', '10.0.2.2');
      ip('-n', guest, '-6', 'route', 'add', 'default', 'via', 'fec0::2');
      return reaches(guest);
    });
    await beginning(gateway, moved, 'QEMU');
    return running(gateway, (command) => inNamespace(guest, command), { after: close });
  },
};

const TAP = 'slirp0';
const QEMU = [
  ...['qemu-system-x86_64', '-M', 'none', '-display', 'none', '-monitor', 'none', '-nodefaults'],
  ...['-netdev', 'user,id=user', '-netdev', 'hubport,hubid=0,id=a,netdev=user'],
  ...['-netdev', `tap,id=tap,ifname=${TAP},script=no,downscript=no`, '-netdev', 'hubport,hubid=0,id=b,netdev=tap'],
];

const hasDevice = (space: string): boolean => spawnSync('ip', ['-n', space, 'link', 'show', TAP]).status === 0;

/** Resolves when a guest has its device and routes of both families. */
async function reaches(guest: string): Promise<void> {
  const has = (family: 4 | 6): boolean => {
    const words = ['-n', guest, `-${family}`, 'route', 'get', WORLD[family]];
    const { status, stdout } = spawnSync('ip', words, { encoding: 'utf8' });
    return status === 0 && stdout.includes(' src ');
  };
  await until(() => has(4), 'the guest has a route', READY_SECONDS_MAX);
  await until(() => has(6), 'the guest has an IPv6 route', READY_SECONDS_MAX).catch(() => undefined);
}

/** Waits for the first of both: what is awaited, or the end of the process, which is an error. */
async function beginning<T>(child: ReturnType<typeof start>, ready: Promise<T>, what: string): Promise<T> {
  const ended = finish(child, what, FOREVER_S).then(() => {
    throw new Error(`${what} has ended`);
  });
  ended.catch(() => undefined); // later it is ended by us
  try {
    return await Promise.race([ready, ended]);
  } catch (error) {
    await stop(child);
    throw error;
  }
}

function running(
  gateway: ReturnType<typeof start>,
  inGuest: RunningGateway['inGuest'],
  { before, after }: { before?: () => Promise<void>; after?: () => void },
): RunningGateway {
  const sum = (of: (pid: number) => number): number =>
    withChildren(gateway.pid!).reduce((total, pid) => total + of(pid), 0);
  return {
    inGuest,
    cpuNs: () => sum(cpuNs),
    residentMib: () => sum(residentMib),
    close: async () => {
      await before?.();
      await stop(gateway);
      after?.();
    },
  };
}
