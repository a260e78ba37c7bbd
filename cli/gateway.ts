// Subcommands that ask a network's gateway: forward, flows, leases.

import { Client } from './client.ts';
import { table } from './table.ts';

export interface GatewayAsk {
  net?: string;
  json?: boolean;
}

export interface ForwardAsk extends GatewayAsk {
  reverse?: boolean;
  keepSource?: boolean;
}

interface Forward {
  id: number;
  direction: 'in' | 'out';
  forward: string;
}

interface Flow {
  protocol: string;
  direction: 'in' | 'out';
  guest: string;
  target: string;
  host: string;
  state: string;
  bytesOut: number;
  bytesIn: number;
  ageSeconds: number;
  idleSeconds: number;
}

interface Lease {
  address: string;
  mac: string;
  name: string;
  state: string;
  seconds: number | null;
}

const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

async function ask(net: string | undefined, ...words: string[]): Promise<unknown> {
  const client = await Client.connect(net);
  try {
    return await client.do(...words);
  } finally {
    client.close();
  }
}

/** Prints the number of the new forward and what it is; a port that was 0 is the one that was found. */
export async function addForward(spec: string, { net, json, reverse, keepSource }: ForwardAsk): Promise<number> {
  const how = reverse ? ['out'] : keepSource ? ['keep-source'] : [];
  const added = (await ask(net, 'forward/add', spec, ...how)) as { id: number; forward: string };
  print(json ? JSON.stringify(added) : `${added.id} ${added.forward}`);
  return 0;
}

export async function listForwards({ net, json }: GatewayAsk): Promise<number> {
  const forwards = (await ask(net, 'forward/list')) as Forward[];
  const rows = forwards.map((f) => [f.id, f.direction, f.forward]);
  print(json ? JSON.stringify(forwards) : table(['ID', 'WAY', 'FORWARD'], rows));
  return 0;
}

export async function removeForward(id: string, { net, json }: GatewayAsk): Promise<number> {
  const removed = await ask(net, 'forward/remove', id);
  if (json) print(JSON.stringify(removed));
  return 0;
}

/** What flows through the gateway now. */
export async function flows(
  net: string | undefined,
  { json, guest }: { json?: boolean; guest?: string },
): Promise<number> {
  const found = (await ask(net, 'flow/list', ...(guest === undefined ? [] : [guest]))) as Flow[];
  const rows = found.map((f) => [
    f.protocol,
    f.guest,
    f.direction === 'out' ? '->' : '<-',
    f.target,
    f.host || '-',
    f.state,
    f.bytesOut,
    f.bytesIn,
    f.ageSeconds,
    f.idleSeconds,
  ]);
  const head = ['PROTOCOL', 'GUEST', '', 'TARGET', 'HOST', 'STATE', 'OUT', 'IN', 'AGE', 'IDLE'];
  print(json ? JSON.stringify(found) : table(head, rows));
  return 0;
}

/** Who has which address. */
export async function leases(net: string | undefined, { json }: { json?: boolean }): Promise<number> {
  const found = (await ask(net, 'lease/list')) as Lease[];
  const rows = found.map((l) => [l.address, l.mac, l.name || '-', l.state, l.seconds ?? '-']);
  print(json ? JSON.stringify(found) : table(['ADDRESS', 'MAC', 'NAME', 'STATE', 'SECONDS'], rows));
  return 0;
}
