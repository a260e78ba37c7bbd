// `weft up` and `weft switch`: bring up networks in this process, and stay, or go on in the background.

import { spawn } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { UsageError } from '../core/assert.ts';
import { Engine, type EngineEvent } from '../engine/engine.io.ts';
import type { NetworkOptions } from '../engine/network-service.io.ts';
import { notifyReady } from '../engine/readiness.io.ts';
import { groupNumber } from '../sys/group.io.ts';
import { whyNoNative } from '../sys/libc.io.ts';
import { networkDirectory } from './net-dir.ts';

export interface NodeOptions {
  daemon?: boolean;
  pidfile?: string;
  metrics?: string;
  rxUsecs: number;
  quiet?: boolean;
}

export interface UpOptions extends NodeOptions {
  /** Options as behind `slirp:///`; true: as they are by default; false: no gateway. */
  gateway?: string | boolean;
}

export interface SwitchOptions extends NodeOptions {
  ports: number;
  hub?: boolean;
  mode: number;
  dirmode?: number;
  group?: string;
  plug?: string[];
  age?: number;
  stations?: number;
}

const DEFAULT_PORTS = 1024;
const DAEMON_ENV = 'WEFT_READY_FD';

type Plugs = { network: string; vnl: string; port?: number | undefined }[];

/** The lab in `file`, or the default network. */
export async function up(file: string | undefined, options: UpOptions): Promise<number> {
  const path = file ?? (existsSync('weft.yaml') ? 'weft.yaml' : undefined);
  if (path !== undefined && options.gateway !== undefined && options.gateway !== true) {
    throw new UsageError(
      `up: --gateway and --no-gateway are for the default network; ${path} says it for each of its own`,
    );
  }
  if (path === undefined) {
    const directory = networkDirectory('default');
    const network: NetworkOptions = {
      name: 'default',
      directory,
      kind: 'switch',
      ports: DEFAULT_PORTS,
      mode: 0o600,
      dirMode: 0o700,
      gateway: options.gateway === false ? undefined : options.gateway === true ? '' : (options.gateway ?? ''),
    };
    return serve([network], [], options);
  }
  const { readLabFile } = await import('../engine/lab-file.io.ts');
  const lab = readLabFile(path);
  const networks = lab.networks.map((network) => ({ ...network, directory: networkDirectory(network.name) }));
  return serve(networks, lab.plugs, options, lab.commands);
}

/** One switch with its directory. */
export async function switchAlone(directory: string | undefined, options: SwitchOptions): Promise<number> {
  const gid = options.group === undefined ? undefined : groupNumber(options.group);
  const path = networkDirectory(directory);
  const network: NetworkOptions = {
    name: path.split('/').pop()!,
    directory: path,
    kind: options.hub ? 'hub' : 'switch',
    ports: options.ports,
    mode: options.mode,
    dirMode: options.dirmode ?? dirModeOf(options.mode),
    gid,
    ageSeconds: options.age,
    stationsMax: options.stations,
  };
  return serve(
    [network],
    (options.plug ?? []).map((vnl) => ({ network: network.name, vnl })),
    options,
  );
}

/** Who may connect must be able to enter: x where r. Where others may write, sticky: our sockets are not theirs to remove. */
const dirModeOf = (mode: number): number => mode | ((mode & 0o444) >> 2) | 0o700 | (mode & 0o022 ? 0o1000 : 0);

/** Serves networks until a signal comes or the node is ended. */
export async function serve(
  networks: readonly NetworkOptions[],
  plugs: Plugs,
  options: NodeOptions,
  commands: readonly { network: string; words: readonly string[] }[] = [],
): Promise<number> {
  if (options.daemon && process.env[DAEMON_ENV] === undefined) return startDaemon();
  const say = (text: string): void => {
    if (!options.quiet) process.stdout.write(`${text}\n`);
  };
  const engine = new Engine({
    networks,
    plugs,
    rxUsecs: options.rxUsecs,
    metrics: options.metrics === undefined ? undefined : listenAddress(options.metrics),
    onEvent: (event) => say(sentence(event)),
  });
  process.stdout.on('error', () => {}); // whoever read our news left, as `head` does: the networks stay
  await engine.start();
  try {
    for (const { network, words } of commands) await engine.execute(network, words);
    if (options.pidfile) writePid(options.pidfile);
  } catch (error) {
    await engine.close(); // else it would run on behind the error
    throw error;
  }
  const why = whyNoNative();
  if (why)
    process.stderr.write(`weft: ${why}: VDE, TAP and 'weft run' cannot join; stream, WebSocket and UDP plugs can\n`);
  for (const { name, directory, isPrivate } of networks) {
    const joined = plugs.find((plug) => plug.network === name)?.vnl;
    say(isPrivate ? `gateway '${name}' is up in ${joined}` : `network '${name}' is up in ${directory}`);
  }
  if (networks[0]?.name === 'default') say(networks[0].gateway === undefined ? HOW_CLOSED : HOW);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void engine.close());
  await tellReady();
  await engine.ended();
  if (options.pidfile) rmSync(options.pidfile, { force: true });
  return 0;
}

const HOW_CLOSED = `join it:  weft run --ip 10.0.0.1/24 -- sh      watch it:  weft port --print      end it:  weft down`;
const HOW = 'join it:  weft run -- sh      watch it:  weft port --print      end it:  weft down';

function sentence({ event, network, port, text }: EngineEvent): string {
  return [event, network, port === undefined ? '' : `port ${port}`, text ?? ''].filter((part) => part !== '').join(' ');
}

function listenAddress(text: string): { host: string; port: number } {
  const match = /^(?:\[?([^\]]*?)\]?:)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2] ?? Number.NaN);
  if (!(port <= 65535)) throw new UsageError(`--metrics '${text}': take [HOST:]PORT, PORT 0 … 65535`);
  return { host: match?.[1] || '127.0.0.1', port };
}

function writePid(path: string): void {
  try {
    writeFileSync(path, `${process.pid}\n`);
  } catch (error) {
    throw new UsageError(`${path}: cannot be written (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** Starts this command again, detached; returns when that one is ready, or says why it is not. */
function startDaemon(): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env: { ...process.env, [DAEMON_ENV]: '3' },
  });
  let errors = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    errors += chunk;
  });
  return new Promise((resolve) => {
    child.stdio[3]!.once('data', () => {
      child.unref();
      process.stderr.write(errors);
      resolve(0);
      setImmediate(() => process.exit(0));
    });
    child.once('exit', (code) => {
      process.stderr.write(errors);
      resolve(code ?? 1);
    });
  });
}

async function tellReady(): Promise<void> {
  const fd = process.env[DAEMON_ENV];
  if (fd !== undefined) {
    writeFileSync(Number(fd), 'ready\n');
    delete process.env[DAEMON_ENV];
    detachOutput();
  }
  await notifyReady();
}

/** A daemon's output goes nowhere, and a closed pipe must not end it. */
function detachOutput(): void {
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
}
