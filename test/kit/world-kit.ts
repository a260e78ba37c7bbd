// A small internet for tests of gateways: the namespace of a host, where engines run, and that of the world behind it, where
// servers run. A veth pair is all that leaves the host's namespace, so nothing reaches the machine's own network.
//
//   engine, guests ── host: 198.51.100.1, 2001:db8:1::1 ──veth── world: 198.51.100.2, 2001:db8:1::2, 203.0.113.1, 2001:db8:2::1

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Running } from './run-kit.ts';

/** Addresses of the two. */
export const HOST4 = '198.51.100.1';
export const HOST6 = '2001:db8:1::1';
export const WORLD4 = '198.51.100.2';
export const WORLD6 = '2001:db8:1::2';
/** Of the world's, behind a route. */
export const FAR4 = '203.0.113.1';
export const FAR6 = '2001:db8:2::1';

// A device node that an ordinary user may open, and a resolv.conf that names the world's server.
const HOST = [
  'mknod -m 666 "$0/tun" c 10 200 && mkdir -p /dev/net && touch /dev/net/tun && mount --bind "$0/tun" /dev/net/tun',
  'mount --bind "$0/resolv.conf" /etc/resolv.conf',
  'ip link set lo up',
  'echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range',
  'echo $$; exec sleep infinity',
].join('\n');

const WORLD = ['ip link set lo up', 'echo $$; exec sleep infinity'].join('\n');

/** Both namespaces; needs root. */
export class World {
  /** In front of a command: runs it in the host's namespaces, as root; `AS_USER` may follow. */
  readonly inHost: readonly string[];
  readonly inWorld: readonly string[];
  private readonly directory: string;
  private readonly running: Running[] = [];

  private constructor(directory: string, hostPid: number, worldPid: number) {
    this.directory = directory;
    this.inHost = ['nsenter', `--target=${hostPid}`, '--net', '--mount', '--wd=.', '--'];
    this.inWorld = ['nsenter', `--target=${worldPid}`, '--net', '--mount', '--wd=.', '--'];
  }

  static async make(): Promise<World> {
    const directory = mkdtempSync('/tmp/weft-world-');
    writeFileSync(join(directory, 'resolv.conf'), `nameserver ${WORLD4}\n`);
    const host = new Running(['unshare', '--net', '--mount', 'sh', '-ec', HOST, directory]);
    const world = new Running(['unshare', '--net', '--mount', 'sh', '-ec', WORLD, directory]);
    await Promise.all([host.said(/\d+\n/), world.said(/\d+\n/)]);
    const [hostPid, worldPid] = [host, world].map(({ stdout }) => Number(stdout)) as [number, number];
    const made = new World(directory, hostPid, worldPid);
    made.running.push(host, world);
    made.join(worldPid);
    return made;
  }

  /** Changes what the host's resolv.conf says. */
  setResolver(text: string): void {
    writeFileSync(join(this.directory, 'resolv.conf'), text);
  }

  /** Starts a server in the world, as root. */
  serve(...command: readonly string[]): Running {
    const running = new Running([...this.inWorld, ...command], { cwd: this.directory });
    this.running.push(running);
    return running;
  }

  /** A web server that says `body`, on `port` of all the world's addresses; resolves when it serves. */
  async web(port: number, body: string): Promise<Running> {
    const serve = [
      'const { createServer } = require("node:http");',
      'createServer((q, a) => a.end(process.argv[1])).listen(+process.argv[2], "::", () => console.log("serving"));',
    ].join('');
    const running = this.serve(process.execPath, '-e', serve, body, String(port));
    await running.said(/serving/);
    return running;
  }

  /** dnsmasq in the world with names of its own; resolves when it answers. */
  async names(...records: readonly string[]): Promise<Running> {
    const options = [
      '--keep-in-foreground',
      '--no-resolv',
      '--no-hosts',
      '--conf-file=/dev/null',
      '--user=root',
      '--log-facility=-',
    ];
    const running = this.serve(
      'dnsmasq',
      ...options,
      '--pid-file=',
      ...records.map((record) => `--host-record=${record}`),
    );
    while (!/started/.test(running.stderr)) {
      if (running.child.exitCode !== null) throw new Error(`dnsmasq: ${running.stderr}`);
      await new Promise((resolve) => running.child.stderr!.once('data', resolve));
    }
    return running;
  }

  /** What a command in a namespace says; throws if it fails. */
  run(where: readonly string[], line: string): string {
    return execFileSync(where[0]!, [...where.slice(1), 'sh', '-ec', line], { encoding: 'utf8' });
  }

  async close(): Promise<void> {
    for (const { child } of this.running) child.kill('SIGKILL');
    await Promise.all(this.running.map(({ ended }) => ended));
    rmSync(this.directory, { recursive: true, force: true });
  }

  private join(worldPid: number): void {
    const setUp = (device: string, addresses: readonly string[]): string[] => [
      ...addresses.map((address) => `ip address add ${address} dev ${device} nodad`.replace(/(\..*) nodad/, '$1')),
      `ip link set ${device} up`,
    ];
    this.run(this.inHost, `ip link add out type veth peer name in netns ${worldPid}`);
    this.run(this.inWorld, setUp('in', [`${WORLD4}/24`, `${WORLD6}/64`, `${FAR4}/32`, `${FAR6}/128`]).join('\n'));
    const routes = [`ip route add default via ${WORLD4}`, `ip -6 route add default via ${WORLD6}`];
    this.run(this.inHost, [...setUp('out', [`${HOST4}/24`, `${HOST6}/64`]), ...routes].join('\n'));
  }
}
