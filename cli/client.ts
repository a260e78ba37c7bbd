// A client of a node's control socket.

import { createConnection, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { FailedError, UsageError } from '../core/assert.ts';
import { networkDirectory } from './net-dir.ts';

/** One connection; answers are matched by `id`. */
export class Client {
  private readonly socket: Socket;
  private readonly waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  private nextId = 1;
  /** Called for each event once `["events"]` was asked. */
  onEvent: (event: object) => void = () => {};
  readonly closed: Promise<void>;

  private constructor(socket: Socket) {
    this.socket = socket;
    const lines = createInterface({ input: socket });
    lines.on('line', (line) => this.take(line));
    lines.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.on('error', () => {});
      socket.on('close', () => {
        for (const { reject } of this.waiting.values()) reject(new FailedError('the node ended'));
        resolve();
      });
    });
  }

  /** Connects to the node that serves `net`. Rejects with `FailedError` if nobody does. */
  static connect(net: string | undefined): Promise<Client> {
    const path = `${networkDirectory(net)}/control`;
    return new Promise((resolve, reject) => {
      const socket = createConnection(path);
      socket.once('connect', () => resolve(new Client(socket)));
      socket.once('error', (error: NodeJS.ErrnoException) => {
        const network = `network '${net ?? 'default'}'`;
        const why = `(${path}: ${error.code})`;
        if (error.code === 'EACCES') reject(new FailedError(`${network} belongs to another user ${why}`));
        else reject(new FailedError(`${network} is not up ${why}; start it with: weft up`));
      });
    });
  }

  /** Runs a command. Rejects with `UsageError`, or `FailedError` where it could not be done. */
  do(...words: string[]): Promise<unknown> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.socket.write(`${JSON.stringify({ id, do: words })}\n`);
    });
  }

  close(): void {
    this.socket.destroy();
  }

  private take(line: string): void {
    const value = JSON.parse(line) as {
      id?: number;
      ok?: boolean;
      result?: unknown;
      error?: string;
      failed?: boolean;
      event?: string;
    };
    if (value.event !== undefined) {
      this.onEvent(value);
      return;
    }
    const waiting = this.waiting.get(value.id ?? 0);
    this.waiting.delete(value.id ?? 0);
    if (value.ok) waiting?.resolve(value.result);
    else if (value.failed) waiting?.reject(new FailedError(value.error ?? 'no answer'));
    else waiting?.reject(new UsageError(value.error ?? 'no answer'));
  }
}
