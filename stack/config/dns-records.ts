// Records in snapshots, for the parts that keep them.

import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import { buildMessage, parseMessage, type ResourceRecord } from '../../wire/dns.ts';

/** Records of one name and type that are kept; the rest of a larger set is forgotten. */
export const RECORDS_MAX = 64;

const NAME_TEXT_MAX = 1024; // 255 bytes, each of which may be an escape of four characters
/** A name in a snapshot. */
export const readNameText = (state: StateReader): string => state.text(NAME_TEXT_MAX);

/** Writes them as the answers of one message. */
export function saveRecords(state: StateWriter, answers: readonly ResourceRecord[]): void {
  state.column(buildMessage({ id: 0, flags: 0, questions: [], answers, authorities: [], additionals: [] }));
}

/** What `saveRecords` wrote. */
export function loadRecords(state: StateReader): ResourceRecord[] {
  const message = parseMessage(state.bytes(1 << 20));
  if (!message) throw new StateError('records that cannot be read');
  return message.answers.slice(0, RECORDS_MAX);
}
