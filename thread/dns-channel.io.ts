// The handle of a `dns.Resolver`: what c-ares' channel is to Node, over a stack's resolver, or to servers of the program's own.

import { randomInt } from 'node:crypto';
import {
  answersQuestion,
  Errno,
  formatAddress,
  outcomeOf,
  parseAddress,
  Resolved,
  SocketError,
} from '../stack/stack.ts';
import * as dns from '../wire/dns.ts';
import { ednsRecord } from '../wire/dns-data.ts';
import { reverseName } from '../wire/dns-name.ts';
import { anyOf, contentOf, QUERY_TYPES } from './dns-records.ts';
import type { Request } from './node-internals.io.ts';
import type { Place } from './place.io.ts';

const PORT = 53;
const EDNS_BYTES = 1232;
const LENGTH_BYTES = 2; // before a message over TCP
const TIMEOUT_MS = 5000; // c-ares' own
const TRIES = 4;
const US_PER_MS = 1000;
const ALIASES_MAX = 16;

/** A server as Node tells it: family, address, port. */
type Server = [family: number, address: string, port: number];

interface Found {
  readonly status: Resolved;
  readonly records: readonly dns.ResourceRecord[];
}

/** Answers by `request.oncomplete(error code or null, result, ttls)`. */
export class DnsChannel {
  private readonly place: Place;
  private readonly timeoutUs: number;
  private readonly tries: number;
  private servers: Server[] | undefined; // the stack's while undefined
  private readonly cancels = new Set<() => void>();

  /** @param timeout ms and @param tries as `new dns.Resolver` takes them; below 1: the defaults. */
  constructor(place: Place, timeout = -1, tries = -1) {
    this.place = place;
    this.timeoutUs = (timeout > 0 ? timeout : TIMEOUT_MS) * US_PER_MS;
    this.tries = tries > 0 ? tries : TRIES;
    for (const [call, type] of Object.entries(QUERY_TYPES)) {
      Object.defineProperty(this, call, { value: (request: Request, name: string) => this.ask(request, name, type) });
    }
  }

  getHostByAddr(request: Request, text: string): number | string {
    const address = parseAddress(text);
    if (!address) return 'ENOTIMP'; // as c-ares calls it
    const bytes = new Uint8Array(text.includes(':') ? 16 : 4);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < bytes.length; i += 4) view.setInt32(i, address[bytes.length === 4 ? 3 : i / 4]!);
    return this.ask(request, reverseName(bytes), dns.Type.PTR);
  }

  cancel(): void {
    for (const cancel of this.cancels) cancel();
  }

  getServers(): [string, number][] {
    if (this.servers) return this.servers.map(([, address, port]) => [address, port]);
    return this.place.stack.configuration.resolver.config.servers.map((address) => [formatAddress(address), PORT]);
  }

  setServers(servers: Server[]): number {
    this.servers = servers;
    return 0;
  }

  /** The stack chooses sources. */
  setLocalAddress(): void {}

  private ask(request: Request, name: string, type: number): number {
    const { place, cancels } = this;
    let cancel = (): void => {};
    const cancelled = new Promise<string>((resolve) => {
      cancel = () => resolve('ECANCELLED');
    });
    cancels.add(cancel);
    place.alive.hold();
    void Promise.race([this.find(name, type), cancelled])
      .finally(() => {
        cancels.delete(cancel);
        place.alive.release();
      })
      .then((found) => tell(request, typeof found === 'string' ? found : codeOf(found, type), found, type));
    return 0;
  }

  private async find(name: string, type: number): Promise<Found> {
    const { place, servers } = this;
    if (servers) return this.askServers(servers, name, type);
    place.tick();
    const asked = place.stack.configuration.names.query(name, type);
    place.wake();
    const answer = await asked;
    if (typeof answer !== 'number') return answer;
    return { status: answer === -Errno.EINVAL ? Resolved.NoName : Resolved.Failed, records: [] };
  }

  private async askServers(servers: Server[], name: string, type: number): Promise<Found> {
    let found: Found = { status: Resolved.Failed, records: [] };
    for (let tried = 0; tried < this.tries; tried++) {
      for (const [, host, port] of servers) {
        found = await this.askServer(host, port, name, type).catch(failureOf);
        if (found.status !== Resolved.Timeout && found.status !== Resolved.Failed) return found;
      }
    }
    return found;
  }

  /** Follows aliases that a server leaves to us. */
  private async askServer(host: string, port: number, name: string, type: number): Promise<Found> {
    let asked = name;
    for (let aliases = 0; aliases < ALIASES_MAX; aliases++) {
      const message = await this.exchange(host, port, asked, type);
      const code = dns.rcode(message);
      if (code !== dns.Rcode.NoError && code !== dns.Rcode.NxDomain) break;
      const outcome = outcomeOf(message, asked, type);
      if (outcome.alias === '') return outcome;
      asked = outcome.alias;
    }
    return { status: Resolved.Failed, records: [] };
  }

  /** One question, one answer; by TCP if it was cut. Rejects with `SocketError`. */
  private async exchange(host: string, port: number, name: string, type: number): Promise<dns.Message> {
    const { place, timeoutUs } = this;
    const query = dns.buildMessage({
      id: randomInt(65_536),
      flags: dns.Flag.RecursionDesired,
      questions: [{ name, type, class: dns.Class.In }],
      answers: [],
      authorities: [],
      additionals: [ednsRecord(EDNS_BYTES)],
    });
    const isAnswer = (bytes: Uint8Array): dns.Message | undefined => {
      const message = dns.parseMessage(bytes);
      const isOurs = message && message.id === ((query[0]! << 8) | query[1]!) && answersQuestion(message, name, type);
      return isOurs ? message : undefined;
    };
    place.tick();
    const socket = place.stack.streams.udp({ peer: { host, port } });
    try {
      await socket.send(query);
      for (;;) {
        const message = isAnswer((await socket.receive({ timeoutUs })).bytes);
        if (!message) continue;
        if ((message.flags & dns.Flag.Truncated) === 0) return message;
        return await this.exchangeByTcp(host, port, query, isAnswer);
      }
    } finally {
      socket.close();
    }
  }

  private async exchangeByTcp(
    host: string,
    port: number,
    query: Uint8Array,
    isAnswer: (bytes: Uint8Array) => dns.Message | undefined,
  ): Promise<dns.Message> {
    const { place, timeoutUs } = this;
    place.tick();
    const stream = await place.stack.streams.connect({ host, port }, { timeoutUs });
    try {
      const framed = new Uint8Array(LENGTH_BYTES + query.length);
      framed.set([query.length >>> 8, query.length & 255]);
      framed.set(query, LENGTH_BYTES);
      await stream.write(framed);
      let got = new Uint8Array(0);
      for (
        let bytes = await stream.read(65_536, { timeoutUs });
        bytes;
        bytes = await stream.read(65_536, { timeoutUs })
      ) {
        got = Uint8Array.of(...got, ...bytes);
        const end = LENGTH_BYTES + ((got[0]! << 8) | got[1]!);
        const message =
          got.length >= LENGTH_BYTES && got.length >= end ? isAnswer(got.slice(LENGTH_BYTES, end)) : undefined;
        if (message) return message;
      }
      throw new SocketError(Errno.ECONNRESET, 'query');
    } finally {
      stream.close();
    }
  }
}

const failureOf = (error: unknown): Found => {
  if (!(error instanceof SocketError)) throw error;
  return { status: error.errno === -Errno.ETIMEDOUT ? Resolved.Timeout : Resolved.Failed, records: [] };
};

/** c-ares' word for how it ended; null if well. */
function codeOf({ status, records }: Found, type: number): string | null {
  if (status === Resolved.NoName) return 'ENOTFOUND';
  if (status === Resolved.NoData) return 'ENODATA';
  if (status === Resolved.Timeout) return 'ETIMEOUT';
  if (status === Resolved.Failed) return 'ESERVFAIL';
  return wanted(records, type).length === 0 ? 'ENODATA' : null;
}

/** Without the aliases on the way. */
const wanted = (records: readonly dns.ResourceRecord[], type: number): dns.ResourceRecord[] =>
  records.filter((record) => record.type === type || type === dns.Type.ANY);

function tell(request: Request, code: string | null, found: Found | string, type: number): void {
  if (code !== null || typeof found === 'string') {
    request.oncomplete?.(code);
    return;
  }
  const records = wanted(found.records, type);
  const values = records.map(type === dns.Type.ANY ? anyOf : contentOf).filter((value) => value !== undefined);
  const ttls = records.map(({ ttl }) => ttl);
  request.oncomplete?.(null, type === dns.Type.SOA ? values[0] : values, ttls);
}
