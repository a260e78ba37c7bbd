// `weft run`, the inner half: alone in fresh user and network namespaces, it makes the device and becomes the program.

import { closeSync, openSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import {
  Capability,
  closeOnExec,
  execute,
  keepCapabilities,
  keepOnExec,
  limitOpenFiles,
  restoreSignals,
  signalOnParentDeath,
} from '../sys/execute.io.ts';
import { receivePacket, sendPacket } from '../sys/fd-passing.io.ts';
import { check, Errno, SysError, sys } from '../sys/libc.io.ts';
import { Netlink } from '../sys/netlink.io.ts';
import { openPacketSocket } from '../sys/packet-socket.io.ts';
import { openTap, persistTap } from '../sys/tap.io.ts';
import { useNames } from './enter-names.ts';
import type { Addressing, EnterSpec, Go, Names, Ready } from './enter-spec.ts';

const DEVICE = 'eth0';
const LOOPBACK_INDEX = 1; // of every namespace
const CLONE_NEWNET = 0x40000000;
const FAILED = 1;
const CANNOT_EXECUTE = 126;
const NOT_FOUND = 127;
const CARRIER_TURN_US = 500;
const CARRIER_TURNS_MAX = 400;

// Why a TAP cannot be had here although nothing is wrong: no device node, no right to open it, no driver.
const NO_TAP: ReadonlySet<string> = new Set(['ENOENT', 'EACCES', 'EPERM', 'ENODEV', 'EBUSY', 'ENXIO']);

function main(spec: EnterSpec, command: readonly string[]): void {
  closeOnExec(spec.control);
  signalOnParentDeath(constants.signals.SIGTERM);
  const netlink = new Netlink();
  // Link-local and SLAAC addresses too are usable at once.
  for (const which of ['all', 'default']) setSysctl(`net/ipv6/conf/${which}/accept_dad`, '0');
  const isAsking = spec.addresses.length === 0; // for a lease
  if (isAsking) setSysctl('net/ipv6/conf/default/accept_ra', '0');
  const { kind, descriptor, setMtu, waitForCarrier } = makeDevice(spec, netlink);
  tell(spec, { kind }, [descriptor]);
  sys().close(descriptor);
  configure(spec, netlink); // while the engine takes the device
  waitForCarrier();
  const packet = receivePacket(spec.control);
  if (!packet || packet.bytes.length === 0) process.exit(FAILED); // the supervisor said why
  const go = JSON.parse(new TextDecoder().decode(packet.bytes)) as Go;
  if (go.mtu > 0 && go.mtu !== spec.mtu) setMtu(go.mtu);
  address(go, netlink, WHOSE.lease);
  if (isAsking) hearRouters(go);
  netlink.close();
  if (go.names.servers.length > 0) findNames(go.names);
  become(spec, command);
}

function tell(spec: EnterSpec, ready: Ready, descriptors: number[] = []): void {
  sendPacket(spec.control, new TextEncoder().encode(JSON.stringify(ready)), descriptors);
}

interface Device {
  readonly kind: Ready['kind'];
  readonly descriptor: number;
  readonly setMtu: (mtu: number) => void;
  /** Returns when frames pass, or after a bounded wait. */
  readonly waitForCarrier: () => void;
}

function makeDevice(spec: EnterSpec, netlink: Netlink): Device {
  if (spec.device === 'veth') return makeVeth(spec, netlink);
  try {
    const tap = openTap(DEVICE);
    persistTap(tap);
    const change = { isUp: true, mac: Uint8Array.from(spec.mac), mtu: spec.mtu };
    netlink.change(netlink.link(DEVICE).index, change);
    const setMtu = (mtu: number): void => netlink.change(netlink.link(DEVICE).index, { mtu });
    return { kind: 'tap', descriptor: tap.fd, setMtu, waitForCarrier: () => {} };
  } catch (error) {
    if (spec.device === 'tap' || !(error instanceof SysError) || !NO_TAP.has(error.code)) throw error;
    return makeVeth(spec, netlink);
  }
}

/**
 * A veth pair whose far end, read through a packet socket, lies in a second network namespace: the program sees one device,
 * and no second IP stack listens to its frames. The socket alone keeps that namespace.
 */
function makeVeth(spec: EnterSpec, netlink: Netlink): Device {
  const here = openSync('/proc/thread-self/ns/net', 'r');
  check(sys().unshare(CLONE_NEWNET), 'network namespace');
  setSysctl('net/ipv6/conf/all/disable_ipv6', '1');
  setSysctl('net/ipv6/conf/default/disable_ipv6', '1');
  const outside = new Netlink();
  const { mtu } = spec;
  const mac = Uint8Array.from(spec.mac);
  outside.addVeth({ name: 'far', mtu }, { name: DEVICE, mac, mtu, namespace: here });
  const far = outside.link('far').index;
  outside.change(far, { isUp: true });
  const descriptor = openPacketSocket(far);
  check(sys().setns(here, CLONE_NEWNET), 'network namespace');
  closeSync(here);
  netlink.change(netlink.link(DEVICE).index, { isUp: true });
  const waitForCarrier = (): void => {
    waitUntilRunning(outside, 'far');
    waitUntilRunning(netlink, DEVICE);
  };
  const setMtu = (size: number): void => {
    outside.change(far, { mtu: size }); // it drops what is longer
    netlink.change(netlink.link(DEVICE).index, { mtu: size });
  };
  return { kind: 'packet', descriptor, setMtu, waitForCarrier };
}

/** The kernel notes a carrier a moment after both ends are up, and drops frames until then. */
function waitUntilRunning(netlink: Netlink, name: string): void {
  for (let turn = 0; turn < CARRIER_TURNS_MAX && !netlink.link(name).isRunning; turn++) sys().usleep(CARRIER_TURN_US);
}

function configure(spec: EnterSpec, netlink: Netlink): void {
  const gid = process.getgid?.() ?? 0;
  setSysctl('net/ipv4/ping_group_range', `${gid} ${gid}`);
  setSysctl('net/ipv4/ip_unprivileged_port_start', '0');
  netlink.change(LOOPBACK_INDEX, { isUp: true });
  address(spec, netlink, WHOSE.options);
}

// How to call an address and a gateway that the kernel refuses.
const WHOSE = {
  options: { address: '--ip', gateway: '--gw' },
  lease: { address: 'leased address', gateway: 'leased gateway' },
};

function address({ addresses, gateways }: Addressing, netlink: Netlink, whose: (typeof WHOSE)['lease']): void {
  const { index } = netlink.link(DEVICE);
  for (const { address, prefixLength } of addresses) {
    const bytes = Uint8Array.from(address);
    attempt(`${whose.address} ${show(bytes)}/${prefixLength}`, () => netlink.addAddress(index, bytes, prefixLength));
  }
  for (const gateway of gateways) {
    const bytes = Uint8Array.from(gateway);
    attempt(`${whose.gateway} ${show(bytes)} is in no network of ${whose.address}`, () =>
      netlink.addDefaultRoute(index, bytes),
    );
  }
}

/**
 * Routers are heard once it is known what is leased. A program with a leased IPv6 address makes none up besides: it would
 * answer from that one, and nobody would know it by its name.
 */
function hearRouters({ addresses }: Addressing): void {
  const conf = `net/ipv6/conf/${DEVICE}`;
  const isLeased = addresses.some(({ address }) => address.length === 16);
  if (isLeased) setSysctl(`${conf}/autoconf`, '0');
  setSysctl(`${conf}/accept_ra`, '1');
  if (isLeased) return;
  // The kernel solicits when IPv6 comes up, and did not.
  for (const isOff of ['1', '0']) setSysctl(`${conf}/disable_ipv6`, isOff);
}

/** A program without its network's names still has its network. */
function findNames(names: Names): void {
  try {
    useNames(names);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    complain(`names are found as the host finds them: ${error.message}; --no-dns says nothing`);
  }
}

/** Puts the operator's words in front of the kernel's. */
function attempt(what: string, call: () => void): void {
  try {
    call();
  } catch (error) {
    throw error instanceof SysError ? new SysError(what, error.errno) : error;
  }
}

const show = (address: Uint8Array): string =>
  address.length === 4 ? address.join('.') : (Buffer.from(address).toString('hex').match(/.{4}/g) ?? []).join(':');

/** Best effort: a kernel may lack IPv6, or a container hide /proc/sys. */
function setSysctl(path: string, value: string): void {
  try {
    writeFileSync(`/proc/sys/${path}`, value);
  } catch {
    // The program then works with the kernel's default.
  }
}

function become(spec: EnterSpec, command: readonly string[]): void {
  // A user keeps the rights that are about this network and nothing else; for root the kernel decides.
  if (process.getuid?.() !== 0) {
    keepCapabilities([Capability.NetBindService, Capability.NetAdmin, Capability.NetRaw]);
  }
  if (spec.openFiles !== null) limitOpenFiles(spec.openFiles);
  for (const fd of [0, 1, 2, ...spec.keep]) keepOnExec(fd);
  restoreSignals();
  const errno = execute(command);
  if (errno === Errno.ENOENT || errno === Errno.ENOTDIR || (errno === Errno.EACCES && !isInPath(command[0]!))) {
    complain(`${command[0]}: command not found`);
    process.exit(NOT_FOUND);
  }
  complain(new SysError(`${command[0]} cannot be executed`, errno).message);
  process.exit(CANNOT_EXECUTE);
}

/** execvp says EACCES also if it merely could not look into a directory of PATH; a shell says `not found` then. */
function isInPath(name: string): boolean {
  if (name.includes('/')) return true;
  const directories = (process.env.PATH ?? '').split(':');
  return directories.some((directory) => {
    try {
      return statSync(`${directory || '.'}/${name}`).isFile();
    } catch {
      return false;
    }
  });
}

const complain = (line: string): void => void writeSync(2, `weft: ${line}\n`);

const spec = JSON.parse(process.argv[2]!) as EnterSpec; // our own other half wrote it
try {
  main(spec, process.argv.slice(3));
} catch (error) {
  if (!(error instanceof SysError)) throw error;
  complain(error.message);
  tell(spec, { kind: 'failed' });
  process.exit(FAILED);
}
