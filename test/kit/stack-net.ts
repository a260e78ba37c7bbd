// A network with a host on weft's own stack, 10.0.0.9 and fd00::9, and beside it the kernel's, 10.0.0.1 and fd00::1.

import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { Rng } from '../../core/rng.ts';
import { StackHost, type StackHostOptions } from '../../engine/stack-host.io.ts';
import type { Running } from './run-kit.ts';
import { eventually, Home, weft } from './weft-kit.ts';

/** What the tests ask the stack for, by family. */
export const FAMILIES = [
  { family: 'IPv4', stack: '10.0.0.9', kernel: '10.0.0.1', inUrl: '10.0.0.9', kernelInUrl: '10.0.0.1', v6: '' },
  { family: 'IPv6', stack: 'fd00::9', kernel: 'fd00::1', inUrl: '[fd00::9]', kernelInUrl: '[fd00::1]', v6: '6' },
] as const;

export const STACK_LINE = 'eth,ip=10.0.0.9/24,ip=fd00::9/64';

/** A home with one switch. `close` ends what it started. */
export class StackNet {
  readonly home = new Home();
  directory = '';
  private readonly hosts: StackHost[] = [];
  private readonly closers: (() => void)[] = [];

  async up(): Promise<void> {
    this.directory = await this.home.switch('net');
  }

  /** Starts `weft stack WORDS`; resolves when its addresses are up. */
  async stack(...words: readonly string[]): Promise<Running> {
    return this.stackIn(this.directory, ...words);
  }

  async stackIn(net: string, ...words: readonly string[]): Promise<Running> {
    const running = this.home.start(weft('stack', '--net', net, ...words, STACK_LINE));
    await eventually('the stack', () => {
      if (running.child.exitCode !== null) throw new Error(running.stderr);
      return running.stderr.includes('stack is up');
    });
    return running;
  }

  /** A host in this process; resolves when its addresses are up. */
  async host(options: Partial<StackHostOptions> = {}): Promise<StackHost> {
    let news = '';
    const host = await StackHost.open({
      name: 'net',
      vnl: `stream://${this.directory}/stream`,
      mustBeUp: true,
      line: STACK_LINE,
      tell: (text) => {
        news += `${text}\n`;
      },
      ...options,
    });
    this.hosts.push(host);
    await eventually('the stack', () => news.includes('stack is up'));
    return host;
  }

  /** The command that runs a line of shell beside the kernel's stack. */
  kernelCommand(line: string, net = this.directory): string[] {
    const addresses = ['--mac', '02:00:00:00:00:01', '--ip', '10.0.0.1/24', '--ip', 'fd00::1/64'];
    return weft('run', '--net', net, ...addresses, '--', 'sh', '-c', line);
  }

  /** Runs a line of shell beside the kernel's stack; what it printed. Rejects unless it succeeds. */
  async kernel(line: string, net = this.directory): Promise<string> {
    const { status, stdout, stderr } = await this.home.exec(this.kernelCommand(line, net));
    if (status !== 0) throw new Error(`status ${status}: ${line}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Starts a line of shell beside the kernel's stack; resolves when it said `pattern`. */
  async kernelServes(line: string, pattern: RegExp): Promise<Running> {
    const running = this.home.start(this.kernelCommand(line));
    await running.said(pattern);
    return running;
  }

  /** Joins two networks by a wire that loses every `oneIn`th frame, by chance, and delays the others. */
  async wire(nets: readonly [string, string], { delayMs, oneIn, seed }: WireOptions): Promise<Wire> {
    const [one, other] = await Promise.all(nets.map(connectTo));
    const rng = new Rng(seed);
    const wire: Wire = { frames: 0, lost: 0 };
    const carry = (from: Socket, to: Socket): void =>
      eachRecord(from, (record) => {
        wire.frames++;
        if (rng.u32() % oneIn === 0) wire.lost++;
        else setTimeout(() => to.destroyed || to.write(record), delayMs);
      });
    carry(one!, other!);
    carry(other!, one!);
    this.closers.push(() => {
      one!.destroy();
      other!.destroy();
    });
    return wire;
  }

  async close(): Promise<void> {
    for (const close of this.closers) close();
    for (const host of this.hosts) host.close();
    await this.home.close();
  }
}

export interface WireOptions {
  readonly delayMs: number;
  readonly oneIn: number;
  readonly seed: number;
}

/** What it carried so far. */
export interface Wire {
  frames: number;
  lost: number;
}

async function connectTo(directory: string): Promise<Socket> {
  const socket = createConnection(`${directory}/stream`);
  await once(socket, 'connect');
  socket.on('error', () => {});
  return socket;
}

/** Whole records: a length of 4 bytes and a frame. */
function eachRecord(socket: Socket, act: (record: Buffer) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE()) {
      const end = 4 + rest.readUInt32BE();
      act(rest.subarray(0, end));
      rest = rest.subarray(end);
    }
  });
}

/** The port that `weft stack` chose for a `-L 0:…`. */
export function chosenPort({ stderr }: Running, leadsTo: string): number {
  const line = stderr.split('\n').find((text) => text.includes(leadsTo)) ?? '';
  return Number(/:(\d+) on this host/.exec(line)?.[1]);
}
