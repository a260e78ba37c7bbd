// Subcommands that ask a running node: status, ls, down, ctl, events.

import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { FailedError } from '../core/assert.ts';
import { Client } from './client.ts';
import { networkDirectory } from './net-dir.ts';
import { table } from './table.ts';

interface Listing {
  port: number;
  kind: string;
  description: string;
  state: string;
  rx: { frames: number; bytes: number };
  tx: { frames: number; bytes: number };
  drops: Record<string, number>;
  pvid?: number;
  tagged?: 'all' | number[];
}

interface GatewayStatus {
  port: number;
  addresses: string[];
  servers: string[];
  guests: number;
  flows: { tcp: number; udp: number; icmp: number };
  leases: number;
  forwards: number;
}

interface Status {
  version: string;
  pid: number;
  uptime: number;
  networks: {
    name: string;
    directory: string;
    ports: number;
    attached: number;
    stations?: number;
    gateways?: GatewayStatus[];
  }[];
}

const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** What a network is and who is attached. */
export async function status(net: string | undefined, { json }: { json?: boolean }): Promise<number> {
  const client = await Client.connect(net);
  const node = (await client.do('status')) as Status;
  const ports = (await client.do('port/list')) as Listing[];
  client.close();
  if (json) {
    print(JSON.stringify({ ...node, attached: ports }));
    return 0;
  }
  print(`weft ${node.version}, process ${node.pid}, up ${node.uptime} s`);
  for (const n of node.networks) {
    print(`network '${n.name}' in ${n.directory}: ${n.attached} of ${n.ports} ports, ${n.stations ?? 0} stations`);
    for (const gateway of n.gateways ?? []) print(gatewayLine(gateway));
  }
  print(portTable(ports));
  return 0;
}

function gatewayLine({ port, addresses, servers, guests, flows, leases, forwards }: GatewayStatus): string {
  const counts = [`${guests} guests`, `${flows.tcp} TCP, ${flows.udp} UDP, ${flows.icmp} ICMP flows`];
  const more = [
    `${leases} leases`,
    `${forwards} forwards`,
    ...(servers.length ? [`names from ${servers.join(' ')}`] : []),
  ];
  return `gateway on port ${port}: ${addresses.join(' ')}; ${[...counts, ...more].join(', ')}`;
}

function portTable(ports: readonly Listing[]): string {
  const rows = ports.map((p) => [
    p.port,
    p.kind,
    p.state,
    vlans(p),
    p.rx.frames,
    p.tx.frames,
    Object.entries(p.drops)
      .map(([reason, n]) => `${reason} ${n}`)
      .join(', ') || '-',
    p.description,
  ]);
  return table(['PORT', 'KIND', 'STATE', 'VLAN', 'RX', 'TX', 'DROPS', 'WHO'], rows);
}

function vlans({ pvid, tagged }: Listing): string {
  if (pvid === undefined) return 'all';
  const more = tagged === 'all' ? '+all' : tagged?.length ? `+${tagged.join(',')}` : '';
  return `${pvid}${more}`;
}

/** Networks that this user's nodes serve. */
export async function ls({ json }: { json?: boolean }): Promise<number> {
  const root = dirname(networkDirectory('default'));
  const found: { name: string; directory: string; pid: number; ports: number; attached: number }[] = [];
  for (const name of namesIn(root)) {
    const client = await Client.connect(`${root}/${name}`).catch(() => undefined);
    if (!client) continue;
    const node = (await client.do('status')) as Status;
    client.close();
    const network = node.networks.find((n) => n.name === name) ?? node.networks[0]!;
    found.push({ name, directory: `${root}/${name}`, pid: node.pid, ports: network.ports, attached: network.attached });
  }
  if (json) print(JSON.stringify(found));
  else if (found.length === 0) print(`no network is up in ${root}; start one with: weft up`);
  else
    print(
      table(
        ['NAME', 'PID', 'PORTS', 'DIRECTORY'],
        found.map((n) => [n.name, n.pid, `${n.attached}/${n.ports}`, n.directory]),
      ),
    );
  return 0;
}

function namesIn(root: string): string[] {
  try {
    return readdirSync(root);
  } catch {
    return [];
  }
}

/** Ends the node that serves a network; returns when it is gone. */
export async function down(net: string | undefined): Promise<number> {
  const client = await Client.connect(net);
  await client.do('shutdown').catch(() => undefined);
  await client.closed;
  return 0;
}

/** Any command of the node's table. */
export async function ctl(words: readonly string[], { net, json }: { net?: string; json?: boolean }): Promise<number> {
  const client = await Client.connect(net);
  try {
    const result = await client.do(...(words.length === 0 ? ['help'] : words));
    show(result, json ?? false);
    return 0;
  } finally {
    client.close();
  }
}

function show(result: unknown, json: boolean): void {
  if (json) print(JSON.stringify(result));
  else if (typeof result === 'string') process.stdout.write(result);
  else if (Array.isArray(result) && result.length > 0 && typeof result[0] === 'object') print(tableOf(result));
  else if (result !== null) print(JSON.stringify(result, undefined, 2));
}

function tableOf(rows: readonly Record<string, unknown>[]): string {
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cell = (value: unknown): string =>
    value === undefined || value === null ? '-' : typeof value === 'object' ? JSON.stringify(value) : String(value);
  return table(
    keys.map((key) => key.toUpperCase()),
    rows.map((row) => keys.map((key) => cell(row[key]))),
  );
}

/** Prints events until the node ends. */
export async function events(net: string | undefined): Promise<number> {
  const client = await Client.connect(net);
  client.onEvent = (event) => print(JSON.stringify(event));
  await client.do('events');
  await client.closed;
  throw new FailedError('the node ended');
}
