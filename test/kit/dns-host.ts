// A DNS server on a stack, over our own `dgram` and `net`: answers from a table, cuts what is long, keeps silent for some.

import { once } from 'node:events';
import { createDgram } from '../../thread/dgram.io.ts';
import { createNet } from '../../thread/net.io.ts';
import type { StackContext } from '../../thread/place.io.ts';
import * as dns from '../../wire/dns.ts';
import { record } from '../../wire/dns-data.ts';

/** Records by `name/type`; a name that is in none does not exist, and `silent.*` gets no answer. */
export type Zone = Readonly<Record<string, readonly Uint8Array[]>>;

const TTL_S = 60;
const CUT_BYTES = 512;

export interface DnsHost {
  readonly port: number;
  /** Questions that came, by UDP and TCP: `udp www.lab/1`. */
  readonly asked: string[];
  close(): void;
}

/** Serves `zone` on a port of the stack. */
export async function serveDns(context: StackContext, zone: Zone, port: number): Promise<DnsHost> {
  const asked: string[] = [];
  const answer = (bytes: Uint8Array, way: string): Uint8Array | undefined => {
    const query = dns.parseMessage(bytes)!;
    const { name, type } = query.questions[0]!;
    asked.push(`${way} ${name}/${type}`);
    if (name.startsWith('silent.')) return undefined;
    const types =
      type === dns.Type.ANY ? Object.keys(zone).filter((key) => key.startsWith(`${name}/`)) : [`${name}/${type}`];
    const answers = types.flatMap((key) => {
      const found = zone[key] ?? [];
      return found.map((data) => record(name, Number(key.split('/')[1]), TTL_S, data));
    });
    const alias = zone[`${name}/${dns.Type.CNAME}`];
    if (answers.length === 0 && alias) answers.push(record(name, dns.Type.CNAME, TTL_S, alias[0]!));
    const isKnown = Object.keys(zone).some((key) => key.startsWith(`${name}/`));
    const flags = dns.Flag.Response | dns.Flag.RecursionDesired | (isKnown ? 0 : dns.Rcode.NxDomain);
    const reply = { ...query, flags, answers, authorities: [], additionals: [] };
    const built = dns.buildMessage(reply);
    if (way === 'tcp' || built.length <= CUT_BYTES) return built;
    return dns.buildMessage({ ...reply, flags: flags | dns.Flag.Truncated, answers: [] });
  };
  const udp = createDgram(context).createSocket('udp4');
  udp.on('message', (bytes, from) => {
    const reply = answer(bytes, 'udp');
    if (reply) udp.send(reply, from.port, from.address);
  });
  udp.bind(port);
  const tcp = createNet(context).createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      const reply = answer(bytes.subarray(2), 'tcp')!;
      socket.write(Buffer.from([reply.length >> 8, reply.length & 255]));
      socket.write(reply);
    });
  });
  tcp.listen(port);
  await Promise.all([once(udp, 'listening'), once(tcp, 'listening')]);
  const close = (): void => {
    udp.close();
    tcp.close();
  };
  return { port, asked, close };
}
