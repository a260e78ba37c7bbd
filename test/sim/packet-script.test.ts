import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NEVER } from '../../core/time.ts';
import {
  parseScript,
  runScript,
  ScriptError,
  ScriptFailure,
  type ScriptHost,
  scriptByte,
  segmentIn,
} from '../../sim/sim.ts';
import { setU8, setU32, u8, u16, u32, viewOf } from '../../wire/bytes.ts';
import { checksumOf, pseudoHeader4, pseudoHeader6 } from '../../wire/checksum.ts';
import * as tcp from '../../wire/tcp.ts';

const ISN = 0xffff_fff0; // so that the script's numbers cross the end of the circle
const STAMP = 7_000_000;

/** A host that answers in a fixed way: SYN-ACK with options, an ACK 200 ms after data, 1000 bytes after `write`. */
class FakeHost implements ScriptHost {
  nowUs = 0;
  readonly injected: Uint8Array[] = [];
  readonly calls: string[] = [];
  ackDelayUs = 200_000;
  spoilsPayload = false;
  private readonly out: Uint8Array[] = [];
  private ackUs: number = NEVER;
  private sndNxt = ISN;
  private rcvNxt = 0;
  private peer: Uint8Array = new Uint8Array(0);

  inject(frame: Uint8Array): void {
    this.injected.push(frame);
    const segment = segmentIn(viewOf(frame), 0, frame.length);
    if (segment === undefined) return;
    this.peer = frame;
    this.rcvNxt = (segment.seq + segment.payloadBytes + (segment.flags & tcp.Flag.Syn ? 1 : 0)) >>> 0;
    if (segment.flags & tcp.Flag.Syn) {
      this.emit(tcp.Flag.Syn | tcp.Flag.Ack, 0, [2, 4, 5, 180, 1, 1, 8, 10, ...stamp(STAMP), ...stamp(100)]);
      this.sndNxt = (this.sndNxt + 1) >>> 0;
    } else if (segment.payloadBytes > 0) this.ackUs = this.nowUs + this.ackDelayUs;
  }

  takeFrame(): Uint8Array | undefined {
    return this.out.shift();
  }

  deadlineUs(): number {
    return this.ackUs;
  }

  expire(nowUs: number): void {
    this.nowUs = nowUs;
    if (this.ackUs > nowUs) return;
    this.ackUs = NEVER;
    this.emit(tcp.Flag.Ack, 0, [1, 1, 8, 10, ...stamp(STAMP + 5), ...stamp(100)]);
  }

  call(words: readonly string[]): string | number {
    this.calls.push(words.join(' '));
    if (words[0] === 'state') return 'ESTABLISHED';
    if (words[0] === 'read') return 'EAGAIN';
    if (words[0] !== 'write') return 0;
    this.emit(tcp.Flag.Psh | tcp.Flag.Ack, 1000);
    this.sndNxt = (this.sndNxt + 1000) >>> 0;
    return 1000;
  }

  /** Turns the peer's last frame around. */
  private emit(flags: number, payload: number, options: readonly number[] = []): void {
    const isIp6 = u16(viewOf(this.peer), 12) === 0x86dd;
    const t = isIp6 ? 54 : 34;
    const frame = new Uint8Array(t + 20 + options.length + payload);
    frame.set(this.peer.subarray(0, t));
    const view = viewOf(frame);
    const [source, length] = isIp6 ? [22, 16] : [26, 4];
    frame.set(this.peer.subarray(source + length, source + 2 * length), source);
    frame.set(this.peer.subarray(source, source + length), source + length);
    if (isIp6) view.setUint16(18, frame.length - t);
    else view.setUint16(16, frame.length - 14);
    view.setUint16(t, u16(viewOf(this.peer), t + 2));
    view.setUint16(t + 2, u16(viewOf(this.peer), t));
    tcp.setSeq(view, t, this.sndNxt);
    tcp.setAck(view, t, this.rcvNxt);
    tcp.setHeaderBytes(view, t, 20 + options.length);
    tcp.setFlags(view, t, flags);
    tcp.setWindow(view, t, 5000);
    frame.set(options, t + 20);
    const first = (this.sndNxt - ISN - 1) >>> 0;
    for (let i = 0; i < payload; i++) setU8(view, t + 20 + options.length + i, scriptByte(first + i));
    if (this.spoilsPayload) frame[frame.length - 1]! ^= 1;
    this.out.push(frame);
  }
}

function stamp(value: number): number[] {
  const view = new DataView(new ArrayBuffer(4));
  setU32(view, 0, value);
  return [0, 1, 2, 3].map((i) => u8(view, i));
}

const SCRIPT = `
# a comment
+0      listen 80
+0    < S  0:0(0) win 32792 <mss 1000,sackOK,TS val 100 ecr 0,nop,wscale 7>
+0    > S. 0:0(0) ack 1 win 5000 <mss 1460,nop,nop,TS val 50 ecr 100>
+.1   < .  1:1(0) ack 1 win 257 <nop,nop,TS val 200 ecr 50>   // echoes 50, whatever that is
+0      write 1000 = 1000
+0    > P. 1:1001(1000) ack 1
+.05  < P. 1:101(100) ack 1 win 257 <nop,nop,sack 501:1001>
+.2~+.3 > . 1001:1001(0) ack 101 <nop,nop,TS val 55 ecr *>
+0    > nothing for 10s
+0      expect state ESTABLISHED
+0      read 10 = EAGAIN
`;

function play(text: string, host = new FakeHost()): FakeHost {
  runScript(parseScript(text, 'a.pkt'), host);
  return host;
}

function failureOf(text: string, host = new FakeHost()): string {
  try {
    play(text, host);
  } catch (error) {
    if (error instanceof ScriptFailure) return error.message;
    throw error;
  }
  return 'passes';
}

test.each(['', 'ip6\n', 'isn 4294967295\n'])('plays a script with the header %j', (header) => {
  const host = play(header + SCRIPT);
  expect(host.calls).toEqual(['listen 80', 'write 1000', 'state', 'read 10']);
  expect(host.nowUs).toBe(10_350_000);
  for (const frame of host.injected) {
    const view = viewOf(frame);
    const [ip, t, pseudo] = header === 'ip6\n' ? [14, 54, pseudoHeader6] : [14, 34, pseudoHeader4];
    const length = frame.length - t!;
    expect(checksumOf(view, t!, length, pseudo!(view, ip!, 6, length))).toBe(0xffff);
  }
});

test('what the peer sends is in the numbers of the host', () => {
  const [, ack, data] = play(SCRIPT).injected;
  const view = viewOf(ack!);
  expect(segmentIn(view, 0, ack!.length)!.ack).toBe((ISN + 1) >>> 0);
  expect([u32(view, 34 + 24), u32(view, 34 + 28)]).toEqual([200, STAMP]);
  expect([u32(viewOf(data!), 34 + 24), u32(viewOf(data!), 34 + 28)]).toEqual([(ISN + 501) >>> 0, (ISN + 1001) >>> 0]);
});

const START = '+0 listen 80\n+0 < S 0:0(0) win 1000\n';

test('a failure shows the line, those before it, and what was seen', () => {
  expect(failureOf(`${START}+0 > S. 0:0(0) ack 2 win 5000 <mss 1460>`)).toBe(
    [
      'a.pkt:3: ack, options: not as written',
      '    1  +0 listen 80',
      '    2  +0 < S 0:0(0) win 1000',
      '>   3  +0 > S. 0:0(0) ack 2 win 5000 <mss 1460>',
      '  saw  +0.000000 > S. 0:0(0) ack 1 win 5000 <mss 1460,nop,nop,TS val 7000000 ecr 100>',
    ].join('\n'),
  );
});

const ESTABLISHED = `${START}+0 > S. 0:0(0) ack 1\n+0 < P. 1:11(10) ack 1 win 9\n`;

test.each<[claim: string, text: string, expected: string]>([
  [
    'an answer that does not come',
    `${START}+0 > S. * ack *\n+0 > . 1:1(0) ack 1`,
    'a.pkt:4: nothing was sent until +0.000000',
  ],
  ['other flags', `${START}+0 > S * ack 1`, 'flags: not as written'],
  ['other bytes', `${START}+0 > S. 0:5(5) ack 1`, 'payloadBytes: not as written'],
  ['another mark', `${START}+0 > [ce] S. * ack 1`, 'ecn: not as written'],
  ['an answer too early', `${ESTABLISHED}+.3~+.4 > . * ack *`, 'not at its time, +0.300000 to +0.400000'],
  ['an answer too late', `${ESTABLISHED}+.1 > . * ack *`, 'nothing was sent until +0.100000'],
  ['noise in silence', `${ESTABLISHED}+0 > nothing for 1s`, 'something was sent'],
  ['what no line expects', `${START}`, 'no line expects what was sent behind it'],
  ['a call that fails', '+0 read 10', 'the call returned EAGAIN'],
  ['a call with another result', '+0 expect state CLOSED', 'the call returned ESTABLISHED'],
  ['an error about nothing', '+0 < icmp unreachable port', 'nothing to quote'],
])('reports %s', (_claim, text, expected) => {
  expect(failureOf(text)).toContain(expected);
});

test.each([
  ['at its last µs', `${ESTABLISHED}+.1~+.2 > . * ack 11`],
  ['within the tolerance', `tolerance 100ms\n${ESTABLISHED}+.1 > . * ack 11`],
  ['at any time', `${ESTABLISHED}* > . * ack 11`],
  ['at an absolute time', `${ESTABLISHED}.2 > . * ack 11`],
  ['after a silence to its last µs', `${ESTABLISHED}+0 > nothing for 199999us\n+1us > . * ack 11`],
])('accepts an answer %s', (_claim, text) => {
  expect(failureOf(text)).toBe('passes');
});

test('reports data that is not what was written', () => {
  const host = new FakeHost();
  host.spoilsPayload = true;
  const text = `${START}+0 > S. * ack 1\n+0 < . 1:1(0) ack 1 win 9\n+0 write 1000\n+0 > P. 1:1001(1000) ack 1`;
  expect(failureOf(text, host)).toContain('byte 999 of the stream is not what was written');
});

test.each([
  ['', 'unreachable port', [3, 3, 0]],
  ['', 'frag needed 1280', [3, 4, 1280]],
  ['', 'time exceeded', [11, 0, 0]],
  ['ip6\n', 'unreachable port', [1, 4, 0]],
  ['ip6\n', 'too-big 1280', [2, 0, 1280]],
])('injects %j icmp %s about the last segment', (header, what, expected) => {
  const { injected } = play(`${header}${START}+0 > S. * ack *\n+0 < icmp ${what}`);
  const at = header === '' ? 34 : 54;
  const view = viewOf(injected.at(-1)!);
  expect([u8(view, at), u8(view, at + 1), u32(view, at + 4)]).toEqual(expected);
  expect(u8(view, at + 8) >>> 4).toBe(header === '' ? 4 : 6);
});

test('keeps two connections apart', () => {
  expect(failureOf(`${START}+0 > S. 0:0(0) ack 1\n+0 < #2 S 0:0(0) win 9\n+0 > #2 S. 0:0(0) ack 1`)).toBe('passes');
  expect(failureOf(`${START}+0 > #2 S. * ack 1`)).toContain('flow');
});

test.each([
  ['+0', 1, 'is no time and action'],
  ['\n+x listen', 2, 'is no time'],
  ['+.3~+.2 > . * ack 1', 1, 'ends before it begins'],
  ['+0 < Q 0:0(0)', 1, 'are no flags'],
  ['+0 < S 0:5(4)', 1, '0:5 is not 4 bytes'],
  ['+0 < . 0:0(0)', 1, 'a segment with . has an ack'],
  ['+0 < S 0:0(0) win 65536', 1, 'win: "65536" is no number'],
  ['+0 < S 0:0(0) win 1 win 2', 1, 'two win'],
  ['+0 < S 0:0(0) <mss>', 1, 'has one number'],
  ['+0 < S 0:0(0) <mss *>', 1, 'has numbers'],
  ['+0 < S 0:0(0) <magic 1>', 1, 'is no option'],
  ['+0 < * *', 1, 'has flags and numbers'],
  ['+0 < S *', 1, 'has flags and numbers'],
  ['+0 < [ect9] S 0:0(0)', 1, 'is none of'],
  ['+0 < icmp hello', 1, 'is no ICMP error'],
  ['+0 listen 80\nip6 yes no', 2, 'is no time'],
  ['+0 expect state', 1, 'expect CALL RESULT'],
  ['+0 > nothing for ever', 1, 'is no time'],
])('refuses %j in line %i', (text, line, what) => {
  const parse = (): unknown => parseScript(text, 'b.pkt');
  expect(parse).toThrow(ScriptError);
  expect(parse).toThrow(`b.pkt:${line}: `);
  expect(parse).toThrow(what);
});

test('any text is a script or a ScriptError', () => {
  const word = fc.constantFrom(
    '+0',
    '<',
    '>',
    'S.',
    '1:1(0)',
    'ack',
    '1',
    'win',
    '<mss 1>',
    '<TS val',
    '*',
    '#2',
    '~',
    '=',
    '\n',
    'icmp',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(word).map((words) => words.join(' ')),
      ),
      (text) => {
        try {
          parseScript(text);
        } catch (error) {
          expect(error).toBeInstanceOf(ScriptError);
        }
      },
    ),
    { seed: 1, numRuns: 500 },
  );
});
