// Plays a packet script against one host and says, in the script's own words, where it went another way.

import { viewOf } from '../wire/bytes.ts';
import { parseAddress as parseIp4 } from '../wire/ipv4.ts';
import { parseAddress as parseIp6 } from '../wire/ipv6.ts';
import { Flag } from '../wire/tcp.ts';
import type { Script, ScriptLine, ScriptSegment } from './packet-script.ts';
import {
  differences,
  formatSegment,
  readSegment,
  type ScriptEnds,
  type ScriptFlow,
  scriptByte,
  writeIcmp,
  writeSegment,
} from './script-frame.ts';
import { type Segment, segmentIn } from './segment.ts';
import { formatTime } from './trace.ts';

const IP = 14;
const REMOTE_PORT = 40000; // of connection 1; the others follow
const EXPIRIES_MAX = 100_000; // within one line
const CONTEXT_LINES = 3;

/** The host under test. It knows the remote end's MAC: frames that are not TCP are not looked at. */
export interface ScriptHost {
  readonly nowUs: number;
  /** A frame arrives; the bytes are the host's. */
  inject(frame: Uint8Array): void;
  /** The oldest frame that it sent. */
  takeFrame(): Uint8Array | undefined;
  deadlineUs(): number;
  /** The clock goes on to `nowUs`; what is due happens. */
  expire(nowUs: number): void;
  /** A call of the script, as `['write', '1000']`; a result, or the name of an error such as `EAGAIN`. */
  call(words: readonly string[]): string | number;
}

/** The host did something else; the message shows the line and what was seen. */
export class ScriptFailure extends Error {
  override readonly name = 'ScriptFailure';
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

/** The addresses that a host needs to play a script: 192.0.2.1 and 192.0.2.2, or 2001:db8::1 and 2001:db8::2. */
export function scriptEnds({ isIp6 }: Pick<Script, 'isIp6'>): ScriptEnds {
  const address = (last: number): Uint8Array =>
    isIp6 ? parseIp6(`2001:db8::${last}`)! : fourBytes(parseIp4(`192.0.2.${last}`)!);
  return {
    localMac: Uint8Array.of(2, 0, 0, 0, 0, 1),
    remoteMac: Uint8Array.of(2, 0, 0, 0, 0, 2),
    local: address(1),
    remote: address(2),
  };
}

const fourBytes = (word: number): Uint8Array =>
  Uint8Array.of(word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255);

/** Throws `ScriptFailure` at the first line that does not come true. */
export function runScript(script: Script, host: ScriptHost, ends: ScriptEnds = scriptEnds(script)): void {
  const run = new Run(script, host, ends);
  for (const line of script.lines) run.play(line);
  run.finish();
}

interface Sent {
  readonly frame: Uint8Array;
  readonly segment: Segment;
  readonly timeUs: number;
}

class Run {
  private readonly script: Script;
  private readonly host: ScriptHost;
  private readonly ends: ScriptEnds;
  private readonly startUs: number;
  private readonly flows = new Map<number, ScriptFlow>();
  private readonly pending: Sent[] = [];
  private localPort = 0;
  private lastUs: number;
  private line: ScriptLine | undefined;

  constructor(script: Script, host: ScriptHost, ends: ScriptEnds) {
    this.script = script;
    this.host = host;
    this.ends = ends;
    this.startUs = host.nowUs;
    this.lastUs = host.nowUs;
  }

  play(line: ScriptLine): void {
    this.line = line;
    const { action, time } = line;
    const baseUs = time.isAbsolute ? this.startUs : this.lastUs;
    if (action.kind === 'expect') {
      this.expect(action.segment, baseUs + time.fromUs, baseUs + time.toUs, time.isAny);
      return;
    }
    const atUs = Math.max(this.host.nowUs, baseUs + time.fromUs);
    this.advance(atUs, () => false);
    this.lastUs = atUs;
    if (action.kind === 'silence') this.silence(atUs + action.us);
    else if (action.kind === 'call') this.call(action.words, action.result);
    else if (action.kind === 'inject')
      this.host.inject(writeSegment(action.segment, this.flow(action.segment.flow), this.ends));
    else {
      const quoted = this.flow(action.flow).lastSent;
      if (quoted === undefined) throw this.failure('the host has sent nothing to quote');
      this.host.inject(writeIcmp(action.error, action.mtu, quoted, this.ends));
    }
    this.collect();
  }

  /** What was sent and not expected is wrong, too. */
  finish(): void {
    this.collect();
    const [first] = this.pending;
    if (first !== undefined) throw this.failure('no line expects what was sent behind it', this.show(first));
  }

  private expect(written: ScriptSegment, fromUs: number, toUs: number, isAny: boolean): void {
    const { toleranceUs } = this.script;
    const latestUs = toUs + toleranceUs;
    this.collect();
    if (this.pending.length === 0) this.advance(latestUs, () => this.pending.length > 0);
    const sent = this.pending.shift();
    if (sent === undefined) {
      throw this.failure(`nothing was sent until ${this.time(Math.max(this.host.nowUs, isAny ? 0 : latestUs))}`);
    }
    const flow = this.flow(written.flow);
    this.learn(written, sent, flow);
    const seen = readSegment(sent.frame, sent.segment, flow, this.numberOf(sent.segment));
    const differing = differences(written, seen);
    if (differing.length > 0) throw this.failure(`${differing.join(', ')}: not as written`, this.show(sent));
    if (!isAny && (sent.timeUs < fromUs - toleranceUs || sent.timeUs > latestUs)) {
      throw this.failure(`not at its time, ${this.time(fromUs)} to ${this.time(toUs)}`, this.show(sent));
    }
    this.checkPayload(seen, sent);
    this.lastUs = sent.timeUs;
  }

  private silence(untilUs: number): void {
    this.collect();
    if (this.pending.length === 0) this.advance(untilUs, () => this.pending.length > 0);
    const [first] = this.pending;
    if (first !== undefined) throw this.failure('something was sent', this.show(first));
    this.lastUs = untilUs;
  }

  private call(words: readonly string[], wanted: string | undefined): void {
    if (words[0] === 'listen') this.localPort = Number(words[1] ?? 0);
    if (words[0] === 'connect') this.flow(1).remotePort = Number(words[1] ?? 0);
    const result = String(this.host.call(words));
    const isBad = wanted === undefined ? /^E[A-Z]+$/.test(result) && result !== 'EINPROGRESS' : result !== wanted;
    if (isBad) throw this.failure(`the call returned ${result}`);
  }

  /** Lets time pass until `toUs`, or until a deadline after which `isDone`. */
  private advance(toUs: number, isDone: () => boolean): void {
    const { host } = this;
    for (let n = 0; host.deadlineUs() <= toUs && host.deadlineUs() !== Infinity; n++) {
      if (n > EXPIRIES_MAX) throw this.failure('the host sets its deadline again and again without end');
      host.expire(Math.max(host.nowUs, host.deadlineUs()));
      this.collect();
      if (isDone()) return;
    }
    if (toUs !== Infinity && toUs > host.nowUs) host.expire(toUs);
    this.collect();
  }

  private collect(): void {
    for (let frame = this.host.takeFrame(); frame !== undefined; frame = this.host.takeFrame()) {
      const segment = segmentIn(viewOf(frame), 0, frame.length);
      if (segment === undefined) continue;
      this.pending.push({ frame, segment, timeUs: this.host.nowUs });
      const flow = this.flow(this.numberOf(segment));
      flow.lastSent = frame.slice(IP);
      flow.localPort = segment.sourcePort;
      if ((segment.flags & Flag.Syn) !== 0) flow.localIsn = segment.seq;
    }
  }

  /** The first TS value that a line gives a number for says what the script's numbers mean. */
  private learn(written: ScriptSegment, { frame, segment }: Sent, flow: ScriptFlow): void {
    const plain = { ...flow, stampOffset: 0 };
    const stamp = readSegment(frame, segment, plain, 1).options?.find(({ kind }) => kind === 'TS')?.values[0];
    if (stamp === undefined) return;
    flow.lastStamp = stamp;
    const value = written.options?.find(({ kind }) => kind === 'TS')?.values[0];
    if (flow.stampOffset === undefined && value !== undefined) flow.stampOffset = (stamp - value) >>> 0;
  }

  /** What the host says is what its `write` said, wherever it says it. */
  private checkPayload(seen: ScriptSegment, sent: Sent): void {
    const first = seen.seq! - ((seen.flags! & Flag.Syn) !== 0 ? 0 : 1);
    for (let i = 0; i < sent.segment.payloadBytes; i++) {
      if (sent.frame[sent.segment.payloadAt + i] === scriptByte(first + i)) continue;
      throw this.failure(`byte ${first + i} of the stream is not what was written`, this.show(sent));
    }
  }

  private flow(number: number): ScriptFlow {
    let flow = this.flows.get(number);
    if (flow === undefined) {
      flow = {
        localPort: this.localPort,
        remotePort: REMOTE_PORT + number - 1,
        localIsn: 0,
        remoteIsn: this.script.isn,
        stampOffset: undefined,
        lastStamp: 0,
        lastSent: undefined,
      };
      this.flows.set(number, flow);
    }
    return flow;
  }

  private numberOf({ targetPort }: Segment): number {
    for (const [number, flow] of this.flows) if (flow.remotePort === targetPort) return number;
    return targetPort - REMOTE_PORT + 1;
  }

  private show({ frame, segment, timeUs }: Sent): string {
    const number = this.numberOf(segment);
    const seen = readSegment(frame, segment, this.flow(number), number);
    return `+${formatTime(timeUs - this.lastUs)} > ${formatSegment(seen)}`;
  }

  private time(us: number): string {
    return us === Infinity ? 'the end' : `+${formatTime(Math.max(0, us - this.lastUs))}`;
  }

  /** The line and those before it, and what was seen instead. */
  private failure(what: string, seen?: string): ScriptFailure {
    const { file, text } = this.script;
    const number = this.line?.number ?? 1;
    const from = Math.max(1, number - CONTEXT_LINES + 1);
    const shown = text.slice(from - 1, number).map((line, i) => {
      const n = from + i;
      return `${n === number ? '>' : ' '} ${String(n).padStart(3)}  ${line}`;
    });
    if (seen !== undefined) shown.push(`  saw  ${seen}`);
    return new ScriptFailure(number, [`${file}:${number}: ${what}`, ...shown].join('\n'));
  }
}
