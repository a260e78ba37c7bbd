// A server behind a router, for tests of gateways that need more than one hop: the world of world-kit.ts routes to it.
//
//   host ──veth── world (router; dnsmasq, 198.51.100.2) ──veth── distant: 192.0.2.80, 2001:db8:3::80

import { createCipheriv, createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import { type Ended, needPrograms, needRoot, Running } from './run-kit.ts';
import { eventually, Home, weft } from './weft-kit.ts';
import { World } from './world-kit.ts';

export const DISTANT4 = '192.0.2.80';
export const DISTANT6 = '2001:db8:3::80';
/** The server's, too: one that is in no special block, which the well-known prefix of NAT64 asks for. It does not leave here. */
export const GLOBAL4 = '93.184.215.14';
/** Of the router that leads there. */
const NEAR4 = '192.0.2.1';
const NEAR6 = '2001:db8:3::1';
/** Names that the world's name server knows: both families, and one of each. */
export const NAMES = [
  `distant.test,${DISTANT4},${DISTANT6}`,
  `four.test,${DISTANT4}`,
  `six.test,${DISTANT6}`,
  `global.test,${GLOBAL4}`,
];
/** Bytes of the longest packet between router and server: less than Ethernet's, so that a path has an MTU. */
export const PATH_MTU = 1400;

const FORWARD = 'for n in ipv4 ipv6; do echo 1 > /proc/sys/net/$n/conf/all/forwarding; done';

/** The server's namespaces; needs root. */
export class Distant {
  /** In front of a command: runs it there, as root. */
  readonly inside: readonly string[];
  /** Of its own, readable for everybody. */
  readonly directory: string;
  private readonly running: Running[] = [];

  private constructor(directory: string, pid: number) {
    this.directory = directory;
    this.inside = ['nsenter', `--target=${pid}`, '--net', '--mount', '--wd=.', '--'];
  }

  static async make(world: World): Promise<Distant> {
    const directory = mkdtempSync('/tmp/weft-distant-');
    chmodSync(directory, 0o755);
    mkdirSync(join(directory, 'www'));
    const space = new Running(['unshare', '--net', '--mount', 'sh', '-ec', 'echo $$; exec sleep infinity']);
    await space.said(/\d+\n/);
    const made = new Distant(directory, Number(space.stdout));
    made.running.push(space);
    const up = (device: string, end4: string, end6: string) =>
      `ip address add ${end4}/24 dev ${device}; ip address add ${end6}/64 dev ${device} nodad; ip link set ${device} mtu ${PATH_MTU} up`;
    world.run(
      world.inWorld,
      `ip link add far type veth peer name eth netns ${space.stdout.trim()}; ${up('far', NEAR4, NEAR6)}; ${FORWARD}; ip route add ${GLOBAL4} via ${DISTANT4}`,
    );
    const routes = `ip route add default via ${NEAR4}; ip -6 route add default via ${NEAR6}`;
    world.run(
      made.inside,
      `ip link set lo up; ${up('eth', DISTANT4, DISTANT6)}; ip address add ${GLOBAL4}/32 dev eth; ${routes}`,
    );
    // A router asks for its neighbours from its link-local address.
    for (const where of [world.inWorld, made.inside]) {
      await eventually('link-local addresses', () => world.run(where, 'ip -6 address show tentative') === '');
    }
    return made;
  }

  /** Puts a file into the web server's directory. */
  publish(name: string, content: string | Uint8Array): void {
    writeFileSync(join(this.directory, 'www', name), content);
  }

  /** Starts a server, as root. */
  serve(...command: readonly string[]): Running {
    const running = new Running([...this.inside, ...command], { cwd: this.directory });
    this.running.push(running);
    return running;
  }

  /** Starts a program of Node that says `serving` when it does; resolves then. */
  async script(text: string, ...args: readonly string[]): Promise<Running> {
    const running = this.serve(process.execPath, '-e', text, ...args);
    await running.said(/serving/);
    return running;
  }

  /** A web server of what was published, on port 80; it tells its requests, `GET /a from 2001:db8:1::1`, a line each. */
  async web(): Promise<Running> {
    return this.script(WEB, join(this.directory, 'www'), '80');
  }

  async close(): Promise<void> {
    for (const { child } of this.running) child.kill('SIGKILL');
    await Promise.all(this.running.map(({ ended }) => ended));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const WEB = `
const { createServer } = require('node:http');
const { createReadStream, statSync } = require('node:fs');
const [, directory, port] = process.argv;
createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://x');
  console.log(request.method, request.url, 'from', request.socket.remoteAddress.replace('::ffff:', ''));
  const path = directory + pathname;
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  response.writeHead(size === undefined ? 404 : 200, { 'content-length': size ?? 0 });
  if (size === undefined) response.end();
  else createReadStream(path).pipe(response);
}).listen(+port, '::', () => console.log('serving'));
`;

/** A host with its guests, a router behind it, and a server behind that. */
export class Outside {
  readonly world: World;
  readonly distant: Distant;
  readonly home: Home;

  private constructor(world: World, distant: Distant) {
    this.world = world;
    this.distant = distant;
    this.home = new Home({ inside: world.inHost });
  }

  /** Skips the test where there can be none, or one of `programs` is missing. */
  static need(ctx: TestContext, ...programs: readonly string[]): void {
    needRoot(ctx);
    needPrograms(ctx, 'ip', 'nsenter', 'dnsmasq', ...programs);
  }

  static async make(): Promise<Outside> {
    const world = await World.make();
    const made = new Outside(world, await Distant.make(world));
    await world.names(...NAMES);
    return made;
  }

  /** `weft run OPTIONS -- sh -c LINE` to its end. */
  ended(line: string, options: readonly string[] = []): Promise<Ended> {
    return this.home.exec(weft('run', ...options, '--', 'sh', '-c', line));
  }

  /** What a line of shell says in the network; rejects with its complaints. */
  async run(line: string, options: readonly string[] = []): Promise<string> {
    const { status, stdout, stderr } = await this.ended(line, options);
    if (status !== 0) throw new Error(`status ${status}: ${line}\n${stdout}${stderr}`);
    return stdout;
  }

  /** What `weft leases` says of a guest: its addresses, IPv4 first. */
  async addressesOf(name: string): Promise<string[]> {
    const { stdout } = await this.home.exec(weft('leases', '--json'));
    const leases = JSON.parse(stdout) as { name: string; address: string }[];
    const found = leases.filter((lease) => lease.name === name).map(({ address }) => address);
    return found.sort((a, b) => Number(a.includes(':')) - Number(b.includes(':')));
  }

  async close(): Promise<void> {
    await this.home.close();
    await this.distant.close();
    await this.world.close();
  }
}

/** The same bytes every time, that nothing compresses. */
export const content = (bytes: number): Buffer =>
  createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(bytes));

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
