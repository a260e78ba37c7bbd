// `weft port`: a port of a network on stdin and stdout.

import { UsageError } from '../core/assert.ts';
import { type PortForm, PortStream } from '../engine/port-stream.io.ts';
import { Client } from './client.ts';
import { networkDirectory } from './net-dir.ts';

export interface PortOptions {
  ascii?: boolean;
  hexdump?: boolean;
  raw?: boolean;
  print?: boolean;
  time?: boolean;
  mirror?: boolean;
  count?: number;
}

const FORMS: readonly PortForm[] = ['ascii', 'hexdump', 'raw', 'print'];

/** Copies frames until the network ends, a signal comes, or stdout is closed. */
export async function port(net: string | undefined, options: PortOptions): Promise<number> {
  const directory = networkDirectory(net);
  const stream = await PortStream.connect({
    directory,
    form: formOf(options),
    time: options.time ?? false,
    count: options.count ?? Number.POSITIVE_INFINITY,
    write: (chunk) => process.stdout.write(chunk),
    tell: (text) => process.stderr.write(`weft: ${text}\n`),
  });
  const leave = (error: unknown): never => {
    stream.close();
    throw error;
  };
  const unmirror = options.mirror ? await mirror(directory).catch(leave) : async () => {};
  process.stdout.on('drain', () => stream.resume());
  process.stdout.on('error', () => stream.close()); // the reader left, as `head` does
  process.stdin.on('data', (chunk: Buffer) => stream.take(chunk));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stream.close());
  await stream.ended;
  await unmirror();
  process.stdin.destroy();
  return 0;
}

function formOf(options: PortOptions): PortForm {
  const given = FORMS.filter((form) => options[form]);
  if (given.length > 1) throw new UsageError(`port: --${given.join(' and --')} exclude each other; take one`);
  return given[0] ?? (process.stdout.isTTY ? 'print' : 'raw');
}

/** Makes our port the network's mirror; returns how to undo it. */
async function mirror(directory: string): Promise<() => Promise<void>> {
  const client = await Client.connect(directory);
  const ports = (await client.do('port/list')) as { port: number; kind: string; pid?: number }[];
  const ours = ports.filter((p) => p.kind === 'stream' && p.pid === process.pid).pop();
  if (!ours) throw new UsageError('port: the network does not list this port');
  await client.do('mirror', 'all', String(ours.port));
  return async () => {
    await client.do('mirror/off').catch(() => undefined);
    client.close();
  };
}
