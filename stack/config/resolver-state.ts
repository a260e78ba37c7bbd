// Queries in hand, and how they are written into a snapshot.

import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import { NEVER } from '../../core/time.ts';
import type { ResourceRecord } from '../../wire/dns.ts';
import type { Address } from '../address.ts';
import { loadRecords, readNameText, saveRecords } from './dns-records.ts';
import type { Answer } from './resolver.ts';
import { Resolved } from './resolver-reply.ts';

// Bounds of what is read.
const NAMES_MAX = 16;
const MESSAGE_BYTES_MAX = 2 + 65535;

/** One type of one query: what is asked now, of whom, and what was found. */
export interface Transaction {
  name: string; // changes with each alias
  type: number;
  status: number; // a value of `Resolved`, -1 while it is not known
  server: Address;
  tries: number;
  messageId: number;
  hasEdns: boolean;
  hasFailed: boolean; // a server answered that it cannot
  handle: number;
  stream: number;
  multicastId: number;
  deadlineUs: number;
  out: Uint8Array;
  outDone: number;
  in: Uint8Array;
  inDone: number;
  records: ResourceRecord[];
}

/** What somebody asked for. */
export interface Query {
  readonly id: number;
  readonly names: readonly string[]; // candidates
  readonly types: readonly number[];
  index: number; // of the candidate
  status: Resolved; // the best of the candidates before
  transactions: Transaction[];
}

/** One that was not sent yet. */
export const newTransaction = (name: string, type: number): Transaction => ({
  name,
  type,
  status: -1,
  server: new Int32Array(4),
  tries: 0,
  messageId: 0,
  hasEdns: true,
  hasFailed: false,
  handle: -1,
  stream: -1,
  multicastId: -1,
  deadlineUs: NEVER,
  out: new Uint8Array(0),
  outDone: 0,
  in: new Uint8Array(0),
  inDone: 0,
  records: [],
});

/** Writes queries and answers that were not fetched. */
export function saveQueries(state: StateWriter, queries: ReadonlyMap<number, Query>, done: readonly Answer[]): void {
  state.number(queries.size);
  for (const query of queries.values()) {
    state.number(query.id).number(query.index).number(query.status).text(query.names.join(' '));
    state.number(query.transactions.length);
    for (const t of query.transactions) saveTransaction(state, t);
  }
  state.number(done.length);
  for (const { id, status, name, records } of done) {
    state.number(id).number(status).text(name);
    saveRecords(state, records);
  }
}

function saveTransaction(state: StateWriter, t: Transaction): void {
  state.text(t.name).column(t.server).column(t.out).column(t.in).boolean(t.hasEdns).boolean(t.hasFailed);
  const { type, status, tries, messageId, handle, stream, multicastId, deadlineUs, outDone, inDone } = t;
  for (const value of [type, status, tries, messageId, handle, stream, multicastId, outDone, inDone])
    state.number(value);
  state.number(deadlineUs);
  saveRecords(state, t.records);
}

/** Reads what `saveQueries` wrote into `queries`; returns the answers, whose addresses the caller derives. */
export function loadQueries(state: StateReader, queries: Map<number, Query>, max: number): Omit<Answer, 'addresses'>[] {
  for (let n = state.integer(0, max); n > 0; n--) {
    const id = state.integer(1, 2 ** 53 - 1);
    const index = state.integer(0, NAMES_MAX - 1);
    const status = state.integer(0, Resolved.Failed) as Resolved;
    const names = state.text(1024 * NAMES_MAX).split(' ');
    const transactions = Array.from({ length: state.integer(1, 2) }, () => loadTransaction(state));
    if (index >= names.length) throw new StateError(`query ${id} is at candidate ${index} of ${names.length}`);
    queries.set(id, { id, index, status, names, types: transactions.map((t) => t.type), transactions });
  }
  return Array.from({ length: state.integer(0, max) }, () => ({
    id: state.integer(1, 2 ** 53 - 1),
    status: state.integer(0, Resolved.Failed) as Resolved,
    name: readNameText(state),
    records: loadRecords(state),
  }));
}

function loadTransaction(state: StateReader): Transaction {
  const t = newTransaction(readNameText(state), 0);
  state.into(t.server);
  t.out = state.bytes(MESSAGE_BYTES_MAX);
  t.in = state.bytes(MESSAGE_BYTES_MAX);
  t.hasEdns = state.boolean();
  t.hasFailed = state.boolean();
  t.type = state.integer(0, 0xffff);
  t.status = state.integer(-1, Resolved.Failed);
  t.tries = state.integer(0, 256);
  t.messageId = state.integer(0, 0xffff);
  t.handle = state.integer(-1, 2 ** 31 - 1);
  t.stream = state.integer(-1, 2 ** 31 - 1);
  t.multicastId = state.integer(-1, 2 ** 53 - 1);
  t.outDone = state.integer(0, t.out.length);
  t.inDone = state.integer(0, t.in.length);
  t.deadlineUs = state.number();
  t.records = loadRecords(state);
  return t;
}
