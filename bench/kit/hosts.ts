// Two programs on one network, by three ways: weft run, vdens over vde_switch, and the kernel's bridge with veth pairs.
// Addresses exist only inside namespaces made here.

import { spawnSync } from 'node:child_process';
import { finallyDo } from './processes.ts';
import { built, type RunningSwitch, type SwitchUnderTest, startSwitch } from './switches.ts';

const PORTS = 8;
const PREFIX = 24;

/** Addresses of the two hosts. Nothing outside their namespaces knows them. */
export const HOSTS = ['10.77.0.1', '10.77.0.2'] as const;

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
      const script = `ip addr add ${HOSTS[host]}/${PREFIX} dev vde0 && ip link set vde0 up && exec "$@"`;
      return ['vdens', `vde://${net.dir}`, 'sh', '-c', script, 'sh', ...command];
    },
    close: net.stop,
  };
}

/** Two namespaces with a veth pair each into a bridge that lives in a third. Needs root. */
export async function kernelHosts(): Promise<TwoHosts> {
  const spaces = ['bridge', 'host0', 'host1'].map((name) => `weft-bench-${process.pid}-${name}`);
  const [bridge, ...hosts] = spaces as [string, string, string];
  const close = finallyDo(() => {
    for (const space of spaces) spawnSync('ip', ['netns', 'del', space]); // devices go with their namespace
  });
  try {
    for (const space of spaces) ip('netns', 'add', space);
    ip('-n', bridge, 'link', 'add', 'br0', 'up', 'type', 'bridge');
    for (const [host, space] of hosts.entries()) {
      ip('-n', bridge, 'link', 'add', `port${host}`, 'up', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space);
      ip('-n', bridge, 'link', 'set', `port${host}`, 'master', 'br0');
      ip('-n', space, 'addr', 'add', `${HOSTS[host as 0 | 1]}/${PREFIX}`, 'dev', 'eth0');
      ip('-n', space, 'link', 'set', 'eth0', 'up');
    }
  } catch (error) {
    close();
    throw error;
  }
  return { on: (host, command) => ['ip', 'netns', 'exec', hosts[host]!, ...command], close: async () => close() };
}

function ip(...words: string[]): void {
  const { status, stderr, error } = spawnSync('ip', words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${words.join(' ')}: ${error?.message ?? stderr.trim()}`);
}
