// What gateways are measured in: a host, the world behind it, and guests, each a namespace made here.
//
//   guests ── gateway under test, a process in the host ── host: 198.51.100.1 ──veth── world: 198.51.100.2, servers
//
// The addresses are those of documentation (RFC 5737, RFC 3849), so that no gateway has a rule about them.

import { type ChildProcess, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inNamespace, ip, openNamespaces } from './hosts.ts';
import { finish, start, stop, temporaryFolder, until } from './processes.ts';
import { built } from './switches.ts';

const READY_SECONDS_MAX = 8;
const HOST = { 4: '198.51.100.1/24', 6: '2001:db8:1::1/64' } as const;
const PREFIX = { 4: 24, 6: 64 } as const;
// The world's as well, but not its servers': pasta takes the address of its host's router for the host itself.
const ROUTER = { 4: '198.51.100.254', 6: '2001:db8:1::fe' } as const;

/** The world's addresses. */
export const WORLD = { 4: '198.51.100.2', 6: '2001:db8:1::2' } as const;
/** Ports of its servers; DNS has its own. */
export const Port = { Web: 8080, Echo: 7007, Iperf: 5201 } as const;
/** A name that its DNS server knows. */
export const WORLD_NAME = 'www.bench.test';

const NGINX = (folder: string): string => `
worker_processes 1;
daemon off;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx.log crit;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
    listen ${Port.Web} backlog=4096;
    listen [::]:${Port.Web} backlog=4096;
    location / { default_type text/plain; return 200 "0123456789012345678901234567890123456789012345678901234567890123"; }
  }
}
`;

const DNSMASQ = [
  ...['dnsmasq', '--keep-in-foreground', '--no-resolv', '--no-hosts', '--conf-file=/dev/null', '--user=root'],
  ...['--pid-file=', '--local-ttl=60', `--host-record=${WORLD_NAME},203.0.113.1,2001:db8:2::1`],
];

/** A guest's namespace, until `close`. */
export interface Guest {
  readonly space: string;
  close(): void;
}

/** A host and its world. `guest` makes one more namespace. */
export class GatewayWorld {
  readonly host: string;
  readonly world: string;
  private readonly closers: (() => unknown)[] = [];

  constructor() {
    const { spaces, close } = openNamespaces(['world', 'host']);
    this.closers.push(close);
    [this.world, this.host] = spaces as [string, string];
    const { world, host } = this;
    ip('-n', host, 'link', 'add', 'out', 'type', 'veth', 'peer', 'name', 'in', 'netns', world);
    for (const [space, device, addresses] of [
      [host, 'out', [HOST[4], HOST[6]]],
      [world, 'in', [...inPrefix(WORLD), ...inPrefix(ROUTER)]],
    ] as const) {
      ip('-n', space, 'link', 'set', 'lo', 'up');
      ip('-n', space, 'link', 'set', device, 'up');
      for (const address of addresses) {
        ip('-n', space, 'addr', 'add', address, 'dev', device, ...(address.includes(':') ? ['nodad'] : []));
      }
    }
    // Who copies the host's routes, as pasta does, wants one.
    for (const family of [4, 6] as const)
      ip('-n', host, `-${family}`, 'route', 'add', 'default', 'via', ROUTER[family]);
    manyPorts(host);
  }

  /** A namespace for a guest: its loopback is up, nothing else is there. */
  guest(name: string): Guest {
    const { spaces, close } = openNamespaces([name]);
    const [space] = spaces as [string];
    ip('-n', space, 'link', 'set', 'lo', 'up');
    manyPorts(space);
    return { space, close };
  }

  /** Starts a program in the world that lasts until `close`; it must listen at a TCP port then. */
  async serve(what: 'nginx' | 'dnsmasq' | 'echo'): Promise<void> {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'nginx.conf'), NGINX(folder));
    const { command, port } = {
      nginx: { command: ['nginx', '-p', folder, '-e', join(folder, 'nginx.log'), '-c', 'nginx.conf'], port: Port.Web },
      dnsmasq: { command: DNSMASQ, port: 53 },
      echo: { command: [process.execPath, built('bench-echo.js'), 'serve', WORLD[4], `${Port.Echo}`], port: Port.Echo },
    }[what];
    const server = start(inNamespace(this.world, command), { withChildren: true });
    this.closers.push(() => stop(server));
    const ended = finish(server, what, 1e6);
    ended.catch(() => undefined); // it is ended by us
    await Promise.race([until(() => isListening(this.world, port), `${what} listens`, READY_SECONDS_MAX), ended]);
  }

  /** An iperf3 server for one run. */
  async serveIperf(): Promise<ChildProcess> {
    const server = start(inNamespace(this.world, ['iperf3', '-s', '-1', '-p', `${Port.Iperf}`]), {
      withChildren: true,
    });
    await until(() => isListening(this.world, Port.Iperf), 'iperf3 listens', READY_SECONDS_MAX);
    return server;
  }

  async close(): Promise<void> {
    for (const close of this.closers.reverse()) await close();
  }
}

const inPrefix = (addresses: Readonly<Record<4 | 6, string>>): string[] =>
  ([4, 6] as const).map((family) => `${addresses[family]}/${PREFIX[family]}`);

/** Short connections need more ports than the kernel takes by itself. */
function manyPorts(space: string): void {
  spawnSync('ip', [...inNamespace(space, ['sysctl', '-q', 'net.ipv4.ip_local_port_range=1024 65535']).slice(1)]);
}

function isListening(space: string, port: number): boolean {
  const { stdout } = spawnSync('ip', ['netns', 'exec', space, 'ss', '-Hltn', `sport = :${port}`], { encoding: 'utf8' });
  return stdout.trim() !== '';
}
