// Two programs on one network, by three ways: weft run, vdens over vde_switch, and the kernel's bridge with veth pairs.
// Addresses exist only inside namespaces made here.

import { spawnSync } from 'node:child_process';
import { finallyDo } from './processes.ts';
import { built, type RunningSwitch, type SwitchUnderTest, startSwitch } from './switches.ts';

const PORTS = 8;
const PREFIX = 24;
const PREFIX6 = 64;

/** Addresses of the two hosts. Nothing outside their namespaces knows them. */
export const HOSTS = ['10.77.0.1', '10.77.0.2'] as const;
/** The same hosts by IPv6; those of `weft run` have none. */
export const HOSTS6 = ['fd77::1', 'fd77::2'] as const;

/** A network with two hosts: how to run a command line on one of them. */
export interface TwoHosts {
  on(host: 0 | 1, command: readonly string[]): readonly string[];
  close(): Promise<void>;
}

/** Two `weft run` programs on one switch. */
export async function weftHosts(kind: SwitchUnderTest): Promise<TwoHosts> {
  const net = await startSwitch(kind, PORTS, false);
  return {
    on: (host, command) => {
      const options = ['--net', net.dir, '--ip', `${HOSTS[host]}/${PREFIX}`, '--', ...command];
      return [process.execPath, built('weft.js'), 'run', ...options];
    },
    close: net.stop,
  };
}

/** Two `vdens` namespaces on one switch. */
export async function vdensHosts(kind: SwitchUnderTest): Promise<TwoHosts> {
  const net: RunningSwitch = await startSwitch(kind, PORTS, false);
  return {
    on: (host, command) => {
      const script = `ip addr add ${HOSTS[host]}/${PREFIX} dev vde0 && ip link set vde0 up && ${add6(host)} && exec "$@"`;
      return ['vdens', `vde://${net.dir}`, 'sh', '-c', script, 'sh', ...command];
    },
    close: net.stop,
  };
}

// Nobody else is there, so that looking for a duplicate would only cost a second.
const add6 = (host: 0 | 1): string => `ip addr add ${HOSTS6[host]}/${PREFIX6} dev vde0 nodad`;

/** Two namespaces joined by one veth pair. Needs root. */
export async function vethHosts(mtuBytes: number): Promise<TwoHosts> {
  return withNamespaces(['host0', 'host1'], ([one, other]) => {
    const link = ['type', 'veth', 'peer', 'name', 'eth0', 'netns'];
    ip('-n', one!, 'link', 'add', 'eth0', ...link, other!);
    for (const [host, space] of [one!, other!].entries()) {
      ip('-n', space, 'link', 'set', 'eth0', 'mtu', `${mtuBytes}`, 'up');
      ip('-n', space, 'addr', 'add', `${HOSTS[host as 0 | 1]}/${PREFIX}`, 'dev', 'eth0');
      ip('-n', space, 'addr', 'add', `${HOSTS6[host as 0 | 1]}/${PREFIX6}`, 'dev', 'eth0', 'nodad');
    }
    return [one!, other!];
  });
}

/** Two namespaces with a veth pair each into a bridge that lives in a third. Needs root. */
export async function kernelHosts(): Promise<TwoHosts> {
  return withNamespaces(['bridge', 'host0', 'host1'], (spaces) => {
    const [bridge, ...hosts] = spaces as [string, string, string];
    ip('-n', bridge, 'link', 'add', 'br0', 'up', 'type', 'bridge');
    for (const [host, space] of hosts.entries()) {
      ip('-n', bridge, 'link', 'add', `port${host}`, 'up', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space);
      ip('-n', bridge, 'link', 'set', `port${host}`, 'master', 'br0');
      ip('-n', space, 'addr', 'add', `${HOSTS[host as 0 | 1]}/${PREFIX}`, 'dev', 'eth0');
      ip('-n', space, 'link', 'set', 'eth0', 'up');
    }
    return hosts as [string, string];
  });
}

/** Makes namespaces, lets `join` connect them and say which two are the hosts; removes them with all devices in the end. */
export function withNamespaces(
  names: readonly string[],
  join: (spaces: readonly string[]) => readonly [string, string],
): TwoHosts {
  const { spaces, close } = openNamespaces(names);
  try {
    const hosts = join(spaces);
    return { on: (host, command) => inNamespace(hosts[host], command), close: async () => close() };
  } catch (error) {
    close();
    throw error;
  }
}

/** Network namespaces, one for each name, until `close`: called or not, they do not outlive the benchmark. Needs root. */
export function openNamespaces(names: readonly string[]): { readonly spaces: readonly string[]; close(): void } {
  const spaces = names.map((name) => `weft-bench-${process.pid}-${name}`);
  const close = finallyDo(() => {
    for (const space of spaces) spawnSync('ip', ['netns', 'del', space]); // devices go with their namespace
  });
  try {
    for (const space of spaces) ip('netns', 'add', space);
  } catch (error) {
    close();
    throw error;
  }
  return { spaces, close };
}

/** A command line that runs `command` in a namespace. */
export const inNamespace = (space: string, command: readonly string[]): readonly string[] => [
  ...['ip', 'netns', 'exec', space],
  ...command,
];

/** `ip WORDS`, or throws what it says. */
export function ip(...words: string[]): void {
  const { status, stderr, error } = spawnSync('ip', words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${words.join(' ')}: ${error?.message ?? stderr.trim()}`);
}
