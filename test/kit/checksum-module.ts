// Assembles the WebAssembly module that wire/checksum.ts embeds, so that its bytes can be read and made again.

type Code = number | Code[];

const leb = (value: number): number[] => {
  const out: number[] = [];
  for (let rest = value; ; ) {
    const low = Number(BigInt(rest) & 0x7fn);
    rest = Math.floor(rest / 128); // not >>: the numbers have more than 32 bits
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return [...out, low];
    out.push(low | 0x80);
  }
};
const uleb = (value: number): number[] => (value < 128 ? [value] : [(value & 0x7f) | 0x80, ...uleb(value >>> 7)]);
const flat = (code: Code): number[] => (typeof code === 'number' ? [code] : code.flatMap(flat));
const sized = (code: Code): number[] => [...uleb(flat(code).length), ...flat(code)];
const section = (id: number, code: Code): number[] => [id, ...sized(code)];
const text = (s: string): number[] => sized([...s].map((c) => c.charCodeAt(0)));

const I32 = 0x7f;
const I64 = 0x7e;
const V128 = 0x7b;
const EMPTY = 0x40;

const get = (local: number): Code => [0x20, local];
const set = (local: number, value: Code): Code => [value, 0x21, local];
const i32 = (value: number): Code => [0x41, leb(value)];
const i64 = (value: number): Code => [0x42, leb(value)];
const add32 = (a: Code, b: Code): Code => [a, b, 0x6a];
const and32 = (a: Code, b: Code): Code => [a, b, 0x71];
const add64 = (a: Code, b: Code): Code => [a, b, 0x7c];
const and64 = (a: Code, b: Code): Code => [a, b, 0x83];
const shr64 = (a: Code, bits: number): Code => [a, i64(bits), 0x88];
const block = (code: Code): Code => [0x02, EMPTY, code, 0x0b];
const loop = (code: Code): Code => [0x03, EMPTY, code, 0x0b];
const when = (condition: Code, code: Code): Code => [condition, 0x04, EMPTY, code, 0x0b];
const simd = (opcode: number): Code => [0xfd, uleb(opcode)];
const load128 = (at: Code, offset: number): Code => [at, simd(0), 0, offset];
const store128 = (at: Code, offset: number, value: Code): Code => [at, value, simd(11), 0, offset];
const pairs = (v: Code): Code => [v, simd(0x7f)]; // i32x4.extadd_pairwise_i16x8_u
const add32x4 = (a: Code, b: Code): Code => [a, b, simd(0xae)];
const add64x2 = (a: Code, b: Code): Code => [a, b, simd(0xce)];
const low64x2 = (v: Code): Code => [v, simd(0xc9)]; // i64x2.extend_low_i32x4_u
const high64x2 = (v: Code): Code => [v, simd(0xca)];
const lane64 = (v: Code, lane: number): Code => [v, simd(0x1d), lane];

const LOAD64 = { 8: 0x29, 4: 0x35, 2: 0x33, 1: 0x31 } as const;
const STORE64 = { 8: 0x37, 4: 0x3e, 2: 0x3d, 1: 0x3c } as const;

/** `sum(at, length)` or, with a target, `copy(from, to, length)`: the same walk, which also stores what it loads. */
function body(copies: boolean): Code {
  const from = 0;
  const to = 1; // only if it copies
  const length = copies ? 2 : 1;
  const lanes = [length + 1, length + 2, length + 3, length + 4]; // four sums, so that additions overlap
  const end = length + 5;
  const sum = length + 6;
  const word = length + 7;
  const spare = length + 8;

  const step = (bytes: number): Code => [
    set(from, add32(get(from), i32(bytes))),
    copies ? set(to, add32(get(to), i32(bytes))) : [],
  ];
  const wide = (lane: number, offset: number): Code => [
    set(spare, load128(get(from), offset)),
    copies ? store128(get(to), offset, get(spare)) : [],
    set(lanes[lane]!, add32x4(get(lanes[lane]!), pairs(get(spare)))),
  ];
  const narrow = (bytes: 8 | 4 | 2 | 1): Code =>
    when(and32(get(length), i32(bytes)), [
      set(word, [get(from), LOAD64[bytes], 0, 0]),
      copies ? [get(to), get(word), STORE64[bytes], 0, 0] : [],
      set(sum, add64(get(sum), add64(and64(get(word), i64(0xffff_ffff)), shr64(get(word), 32)))),
      step(bytes),
    ]);
  const foldOnce = set(sum, add64(and64(get(sum), i64(0xffff)), shr64(get(sum), 16)));
  const all = add32x4(add32x4(get(lanes[0]!), get(lanes[1]!)), add32x4(get(lanes[2]!), get(lanes[3]!)));

  return [
    [4, [4, V128], [1, I32], [2, I64], [1, V128]],
    set(end, add32(get(from), and32(get(length), i32(-64)))),
    block(
      loop([
        [get(from), get(end), 0x4f, 0x0d, 1], // br_if from >= end
        [wide(0, 0), wide(1, 16), wide(2, 32), wide(3, 48)],
        [step(64), 0x0c, 0],
      ]),
    ),
    when(and32(get(length), i32(32)), [wide(0, 0), wide(1, 16), step(32)]),
    when(and32(get(length), i32(16)), [wide(2, 0), step(16)]),
    set(spare, all),
    set(spare, add64x2(low64x2(get(spare)), high64x2(get(spare)))),
    set(sum, add64(lane64(get(spare), 0), lane64(get(spare), 1))),
    [narrow(8), narrow(4), narrow(2), narrow(1)],
    [foldOnce, foldOnce, foldOnce],
    // The words were read little-endian: the sum of swapped words is the swapped sum, RFC 1071 §2 (B).
    set(end, [get(sum), 0xa7]),
    [and32(get(end), i32(0xff)), i32(8), 0x74, get(end), i32(8), 0x76, 0x72],
    0x0b,
  ];
}

/** The whole module: imports memory `m.m`, exports `sum` and `copy`. */
export function checksumModule(): Uint8Array<ArrayBuffer> {
  const code = [
    [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    section(1, [2, [0x60, 2, I32, I32, 1, I32], [0x60, 3, I32, I32, I32, 1, I32]]),
    section(2, [1, text('m'), text('m'), 2, 0, 0]),
    section(3, [2, 0, 1]),
    section(7, [2, text('sum'), 0, 0, text('copy'), 0, 1]),
    section(10, [2, sized(body(false)), sized(body(true))]),
  ];
  return new Uint8Array(flat(code));
}
