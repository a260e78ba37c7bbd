// What libslirp carries between a kernel's TAP and a server on its own host. `vdens slirp://` where that plug is installed;
// else QEMU's user network, which is the same library on a TAP without a process in between. In a namespace made here.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { ip, withNamespaces } from './hosts.ts';
import { heard, iperfClient } from './iperf.ts';
import { finish, start, stop, until } from './processes.ts';
import type { Side } from './rounds.ts';

const MTU_BYTES = 1500;
const READY_SECONDS_MAX = 5;
/** libslirp's own numbers: the guest, and the name under which it reaches its host's loopback. */
const SLIRP = {
  4: { guest: '10.0.2.15/24', host: '10.0.2.2', loopback: '127.0.0.1' },
  6: { guest: 'fec0::15/64', host: 'fec0::2', loopback: '::1' },
} as const;

const hasPlug = (): boolean =>
  existsSync('/usr/lib') &&
  readdirSync('/usr/lib').some((triple) => existsSync(`/usr/lib/${triple}/vdeplug/libvdeplug_slirp.so`));

/** A run of iperf3 through libslirp; `isReverse`: the server, which is libslirp's host, sends. */
export function slirp(isIp6: boolean, isReverse: boolean): Side {
  const { guest, host, loopback } = SLIRP[isIp6 ? 6 : 4];
  const isPlug = hasPlug();
  return {
    name: isPlug ? 'vdens slirp://' : 'libslirp (QEMU) on a TAP',
    sample: async () => {
      const space = withNamespaces(['slirp'], ([one]) => [one!, one!]);
      const on = (command: readonly string[]): readonly string[] => space.on(0, command);
      const options = { withChildren: true };
      const helpers = [];
      try {
        helpers.push(
          start(on(['sh', '-c', 'ip link set lo up && exec iperf3 -s -1 -B "$0" --forceflush', loopback]), options),
        );
        const server = helpers[0]!;
        await Promise.race([
          heard(server.stdout!, 'listening'),
          finish(server, 'the iperf3 server', READY_SECONDS_MAX),
        ]);
        const more = isReverse ? ['-R'] : [];
        if (isPlug) {
          const script = `ip addr add ${guest} dev vde0 && ip link set vde0 mtu ${MTU_BYTES} up && exec "$@"`;
          const within = (words: readonly string[]) => on(['vdens', 'slirp://', 'sh', '-c', script, 'sh', ...words]);
          return (await iperfClient(within, host, more)).gbits;
        }
        const name = (space.on(0, [])[3] ?? '') as string;
        ip('-n', name, 'tuntap', 'add', 'dev', 'tap0', 'mode', 'tap');
        ip('-n', name, 'addr', 'add', guest, 'dev', 'tap0', ...(isIp6 ? ['nodad'] : []));
        ip('-n', name, 'link', 'set', 'tap0', 'mtu', `${MTU_BYTES}`, 'up');
        helpers.push(start(on(QEMU), options));
        await until(() => isCarrierUp(name), 'QEMU opens the TAP', READY_SECONDS_MAX);
        return (await iperfClient(on, host, more)).gbits;
      } finally {
        for (const helper of helpers) await stop(helper);
        await space.close();
      }
    },
  };
}

const QEMU = [
  ...['qemu-system-x86_64', '-M', 'none', '-display', 'none', '-monitor', 'none', '-nodefaults'],
  ...['-netdev', 'user,id=user', '-netdev', 'hubport,hubid=0,id=a,netdev=user'],
  ...['-netdev', 'tap,id=tap,ifname=tap0,script=no,downscript=no', '-netdev', 'hubport,hubid=0,id=b,netdev=tap'],
];

/** True once somebody has the TAP open. */
function isCarrierUp(space: string): boolean {
  const { stdout } = spawnSync('ip', ['-n', space, '-br', 'link', 'show', 'tap0'], { encoding: 'utf8' });
  return stdout.includes('LOWER_UP');
}
