// The control socket: one JSON value a line in, one a line out.

import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import { FailedError, UsageError } from '../core/assert.ts';

const LINE_CHARS_MAX = 65536;
const CLIENTS_MAX = 256;
const WORDS_MAX = 4200;
const RUNNING_MAX = 64; // requests of one client at once
const UNREAD_BYTES_PAUSE = 1 << 20;
const UNREAD_BYTES_MAX = 16 << 20;

/** `{"id":1,"network":"default","do":["port/list"]}`; `do` is a command's words. */
interface Request {
  id: number | string | null;
  network: string | undefined;
  words: readonly string[];
}

export interface ControlOptions {
  path: string;
  mode: number;
  /** Rejects with `UsageError` or `FailedError`. */
  execute(network: string | undefined, words: readonly string[]): Promise<unknown>;
  /** Subscribes to events; returns how to stop. */
  watch(watcher: (event: object) => void): () => void;
}

/**
 * Serves `DIR/control`. Lines may be pipelined and split anywhere; answers come in order of completion with the request's
 * `id`: `{"id":1,"ok":true,"result":…}` or `{"id":1,"ok":false,"error":"one line"}`, with `"failed":true` where the command
 * was well-formed and could not be done. `["events"]` turns the connection into a stream of events as well.
 */
export class ControlServer {
  private readonly options: ControlOptions;
  private readonly server: Server;
  private readonly clients = new Set<Socket>();

  constructor(options: ControlOptions) {
    this.options = options;
    this.server = createServer((socket) => this.accept(socket));
  }

  /** The directory is ours and its other sockets prove that nobody else serves it: what is in the way is stale. */
  async listen(): Promise<void> {
    const { path, mode } = this.options;
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found && !found.isSocket()) throw new UsageError(`${path}: is in the way and not a socket; remove it`);
    if (found) unlinkSync(path);
    await new Promise<void>((resolve, reject) => {
      // Later errors are accept's, for want of descriptors: Node sends those clients away.
      this.server.on('error', reject);
      // Nobody else may connect in the moment before chmod.
      const umask = process.umask(0o177);
      this.server.listen(path, resolve);
      process.umask(umask);
    });
    chmodSync(path, mode);
  }

  close(): void {
    this.server.close();
    for (const socket of this.clients) socket.destroy();
  }

  private accept(socket: Socket): void {
    if (this.clients.size >= CLIENTS_MAX) {
      socket.destroy();
      return;
    }
    this.clients.add(socket);
    const connection = new Connection(socket, this.options);
    socket.on('data', (chunk: Buffer) => connection.take(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.clients.delete(socket);
      connection.end();
    });
  }
}

class Connection {
  private readonly socket: Socket;
  private readonly options: ControlOptions;
  private readonly decoder = new StringDecoder('utf8');
  private line = '';
  private unwatch: (() => void) | undefined;
  private running = 0;

  constructor(socket: Socket, options: ControlOptions) {
    this.socket = socket;
    this.options = options;
    socket.on('drain', () => this.look());
  }

  take(chunk: Buffer): void {
    const parts = (this.line + this.decoder.write(chunk)).split('\n');
    this.line = parts.pop()!;
    for (const part of parts) if (part.trim() !== '') void this.run(part);
    this.look();
    if (this.line.length > LINE_CHARS_MAX) {
      this.say({ id: null, ok: false, error: `a line is longer than ${LINE_CHARS_MAX} characters` });
      this.socket.destroySoon();
      this.line = '';
    }
  }

  end(): void {
    this.unwatch?.();
  }

  private async run(line: string): Promise<void> {
    const request = readRequest(line);
    if (typeof request === 'string') {
      this.say({ id: null, ok: false, error: request });
      return;
    }
    const { id, network, words } = request;
    if (words[0] === 'events') {
      this.unwatch ??= this.options.watch((event) => this.say(event));
      this.say({ id, ok: true, result: null });
      return;
    }
    this.running++;
    try {
      this.say({ id, ok: true, result: (await this.options.execute(network, words)) ?? null });
    } catch (error) {
      const isFailure = error instanceof FailedError;
      if (!(error instanceof UsageError) && !isFailure) throw error;
      this.say({ id, ok: false, error: error.message, ...(isFailure ? { failed: true } : {}) });
    } finally {
      this.running--;
      this.look();
    }
  }

  /** A client that asks faster than it is answered, or than it reads the answers, is not read from meanwhile. */
  private look(): void {
    const { socket } = this;
    const isBusy = this.running >= RUNNING_MAX || socket.writableLength > UNREAD_BYTES_PAUSE;
    if (isBusy !== socket.isPaused()) socket[isBusy ? 'pause' : 'resume']();
  }

  private say(value: object): void {
    if (!this.socket.writable) return;
    // Who does not read the events that it asked for is let go: they must not pile up here.
    if (this.socket.writableLength > UNREAD_BYTES_MAX) this.socket.destroy();
    else this.socket.write(`${JSON.stringify(value)}\n`);
  }
}

/** The request, or one line that says why it is none. */
function readRequest(line: string): Request | string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return 'not JSON: send one object a line, as {"id":1,"do":["status"]}';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return 'not an object; send {"id":1,"do":["status"]}';
  const { id, network, do: words } = value as Record<string, unknown>;
  if (
    !Array.isArray(words) ||
    words.length === 0 ||
    words.length > WORDS_MAX ||
    !words.every((w) => typeof w === 'string')
  ) {
    return '"do" must be a list of words, as ["port/list"]';
  }
  if (network !== undefined && typeof network !== 'string') return '"network" must be a name';
  return {
    id: typeof id === 'number' || typeof id === 'string' ? id : null,
    network,
    words: words as string[],
  };
}
