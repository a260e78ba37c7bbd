// cmd:// and stdio://: frames with a 16-bit length through pipes, as vde_plug and dpipe do.

import { type ChildProcess, spawn } from 'node:child_process';
import * as net from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { ByteStreamPort } from './byte-stream.io.ts';
import type { PlugHost } from './host.ts';
import type { NodePlug, NodePlugHooks } from './node-plug.ts';
import { Redial } from './redial.io.ts';
import { reason } from './stream.io.ts';
import type { Vnl } from './vnl.ts';

const QUEUE_BYTES = 1 << 20;
const GRACE_MS = 2_000; // between asking a child to end and ending it

/** Runs a command, without a shell, and starts it again when it ends. What it says on stderr goes to ours. */
export function openCommand(vnl: Vnl, host: PlugHost, hooks: NodePlugHooks): NodePlug {
  const port = new ByteStreamPort({ host, framing: 'u16', queueBytesMax: QUEUE_BYTES });
  let child: ChildProcess | undefined;
  let told = '';
  const lost = (why: string): void => {
    child = undefined;
    const text = `cmd: ${vnl.address}: ${why}`;
    if (text !== told) host.tell(port, text);
    told = text;
    redial.lost();
  };
  const redial = new Redial(host, () => {
    child = run(vnl, port, () => redial.up(), lost);
  });
  hooks.onPort(port);
  redial.start();
  return {
    describe: () => `cmd://${[vnl.address, ...vnl.words].join(' ')} ${child?.pid ? `pid ${child.pid}` : 'not running'}`,
    close: () => {
      redial.close();
      port.close();
      if (child) end(child);
    },
  };
}

/** Starts the command. `lost` is called once, when the child is gone and everything that it had said was received. */
function run(vnl: Vnl, port: ByteStreamPort, up: () => void, lost: (why: string) => void): ChildProcess {
  const child = spawn(vnl.address, vnl.words, { stdio: ['pipe', 'pipe', 'inherit'] });
  const { stdin, stdout } = child;
  let status = '';
  let isSilent = false;
  const look = (): void => {
    if (status !== '' && isSilent) lost(status);
  };
  child.once('error', (error) => {
    if (child.pid === undefined) lost(reason(error));
  });
  child.once('exit', (code, signal) => {
    status = signal ? `ended by ${signal}` : `ended with status ${code}`;
    // A grandchild may still hold the pipe.
    if (!isSilent) setTimeout(() => stdout.destroy(), GRACE_MS).unref();
    look();
  });
  child.once('spawn', () => {
    up();
    const closed = (): void => {
      isSilent = true;
      end(child);
      look();
    };
    port.attach({ input: stdout, output: stdin, hello: undefined, closed });
  });
  return child;
}

/** Its input ends, it is asked to end, and then made to. */
function end(child: ChildProcess): void {
  child.stdin?.on('error', () => {});
  child.stdin?.end();
  child.stdout?.destroy();
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
  child.once('exit', () => clearTimeout(timer));
}

/** Standard input and output as a plug. When the input ends, the port is closed. */
export function openStdio(host: PlugHost, hooks: NodePlugHooks, input?: Readable, output?: Writable): NodePlug {
  const port = new ByteStreamPort({ host, framing: 'u16', queueBytesMax: QUEUE_BYTES });
  const from = input ?? process.stdin;
  hooks.onPort(port);
  port.attach({
    input: from,
    output: output ?? standardOutput(),
    hello: undefined,
    closed: () => {
      port.close();
      hooks.onPortClosed(port);
    },
  });
  return {
    describe: () => `stdio:// ${port.isUp ? 'open' : 'ended'}`,
    close: () => {
      port.close();
      from.pause();
    },
  };
}

/** Node writes to a pipe through process.stdout synchronously, so a slow reader would stop us; a socket of our own does not. */
function standardOutput(): Writable {
  try {
    return new net.Socket({ fd: 1, readable: false, writable: true });
  } catch {
    return process.stdout; // a file or a terminal
  }
}
