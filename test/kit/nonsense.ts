// Requests that are almost right, from a seed.

import { Rng } from '../../core/rng.ts';
import { COMMANDS } from '../../engine/commands.ts';
import { vdeRequest } from './raw.ts';

// What would open plugs of the host or end the engine is not asked for by chance.
const HARMLESS = COMMANDS.map(({ name }) => name).filter((name) => name !== 'shutdown' && !name.startsWith('plug/'));
const ARGUMENTS = [
  '0',
  '1',
  '7',
  '128',
  '129',
  '4095',
  '-1',
  '1.5',
  'NaN',
  '1e9',
  '',
  'on',
  'all',
  '02:00:00:00:00:01',
  'ff:ff',
  '1-4094',
  '\u0000',
  '☃',
];

/** Bytes, lines and packets; the same ones for the same seed. */
export class Nonsense {
  private readonly rng: Rng;

  constructor(seed: number) {
    this.rng = new Rng(seed);
  }

  below(n: number): number {
    return this.rng.u32() % n;
  }

  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) out[i] = this.rng.u32();
    return out;
  }

  /** A line that is no request: answered without asking anybody. */
  line(): string {
    const good = `{"id":${this.below(9)},"do":["${this.pick(HARMLESS)}","${this.pick(ARGUMENTS)}"]}`;
    switch (this.below(5)) {
      case 0:
        return good.slice(0, 1 + this.below(good.length - 1));
      case 1:
        return `{"id":1,"do":${this.pick(['[]', 'null', '7', '[7]', '{}', '"status"', '[["status"]]'])}}`;
      case 2:
        return this.pick(['null', '[]', '7', '"x"', '{}', 'true', '{"do":["status"],"network":7}']);
      case 3:
        return (
          Buffer.from(this.bytes(1 + this.below(30)))
            .toString('latin1')
            .replace(/[\n\r]/g, '.') || '.'
        );
      default:
        return good.replace(/["[{]/, '');
    }
  }

  /** A request whose command may be none and whose arguments may be wrong. */
  request(): string {
    const words = [this.below(8) === 0 ? 'nonsense' : this.pick(HARMLESS)];
    for (let n = this.below(4); n > 0; n--) words.push(this.pick(ARGUMENTS));
    return JSON.stringify({ id: this.below(1000), do: words });
  }

  /** A VDE request, cut or damaged. */
  vde(): Uint8Array {
    const bytes =
      this.below(4) === 0 ? this.bytes(1 + this.below(256)) : vdeRequest(this.below(300), this.bytes(110), 'x');
    if (this.below(2) === 0) bytes[this.below(bytes.length)] = this.below(256);
    return bytes.subarray(0, 1 + this.below(bytes.length));
  }

  /** `n` stream records of random frames, at their end sometimes a length out of range or half a record. */
  records(n: number): Uint8Array {
    const parts: Uint8Array[] = [];
    for (let i = 0; i < n; i++) {
      const frame = this.bytes(this.below(40));
      if (this.below(3) === 0) frame.fill(0xff, 0, 6);
      const prefix = Buffer.alloc(4);
      prefix.writeUInt32BE(frame.length);
      parts.push(prefix, frame);
    }
    if (this.below(2) === 0) parts.push(this.bytes(1 + this.below(20)));
    return Buffer.concat(parts);
  }

  /** A join request, cut or with wrong values. */
  join(): Uint8Array {
    const value = {
      v: this.below(2),
      kind: this.pick(['tap', 'packet', '', 'x']),
      port: this.pick([1, -1, '1', null, 1e300]),
      name: this.pick(['x', 7, {}, null]),
    };
    const bytes = new TextEncoder().encode(JSON.stringify(value));
    return this.below(2) === 0
      ? bytes
      : this.below(2) === 0
        ? bytes.subarray(0, this.below(bytes.length))
        : this.bytes(1 + this.below(80));
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}
