// Rooms write and read their state as named, versioned sections of tagged values: the snapshot of a thread or an engine.
//
//   file     'weft' u16 format | u32 FNV-1a of all that follows | section …
//   section  u8 n, n bytes of name | u16 version | u32 bytes | value …          everything little-endian
//   value    u8 kind | u32 count, for texts and columns | the elements

import { assert } from './assert.ts';

const MAGIC = 0x74666577; // 'weft'
const FORMAT = 2;
const HASH_AT = 6;
const FILE_HEADER_BYTES = 10;
const NAME_BYTES_MAX = 255;

// Ours: bounds of what is read.
const SECTIONS_MAX = 65536;

/** A snapshot that cannot be read: the operator gave a wrong or damaged one. One line: where, what, what was expected. */
export class StateError extends Error {
  override readonly name = 'StateError';
}

/** The tables that rooms are made of. */
export type Column = Uint8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float64Array;

const Kind = { Number: 1, Text: 2, U8: 3, U16: 4, I16: 5, U32: 6, I32: 7, F64: 8 } as const;
type Kind = (typeof Kind)[keyof typeof Kind];
const KIND_NAMES = ['nothing', 'a number', 'a text', 'u8[]', 'u16[]', 'i16[]', 'u32[]', 'i32[]', 'f64[]'];

function kindOf(column: Column): Kind {
  if (column instanceof Uint8Array) return Kind.U8;
  if (column instanceof Uint16Array) return Kind.U16;
  if (column instanceof Int16Array) return Kind.I16;
  if (column instanceof Uint32Array) return Kind.U32;
  return column instanceof Int32Array ? Kind.I32 : Kind.F64;
}

/** Writes a snapshot. It grows as needed; what is written is ours, so nothing is refused. */
export class StateWriter {
  private bytes = new Uint8Array(1024);
  private view = new DataView(this.bytes.buffer);
  private end = 0;
  private sectionAt = 0; // where the open section's length is; 0 if none is open

  constructor() {
    const at = this.grow(FILE_HEADER_BYTES);
    this.view.setUint32(at, MAGIC, true);
    this.view.setUint16(at + 4, FORMAT, true);
  }

  /** Begins a section, which ends where the next one begins. `name` is unique in the snapshot; `version` 0 … 65535. */
  section(name: string, version: number): this {
    this.closeSection();
    const text = new TextEncoder().encode(name);
    assert(text.length > 0 && text.length <= NAME_BYTES_MAX, `a section called ${name}`);
    const at = this.grow(1 + text.length + 2 + 4);
    this.view.setUint8(at, text.length);
    this.bytes.set(text, at + 1);
    this.view.setUint16(at + 1 + text.length, version, true);
    this.sectionAt = at + 1 + text.length + 2;
    return this;
  }

  /** Any number that a double holds, `NEVER` and NaN among them. */
  number(value: number): this {
    const at = this.grow(9);
    this.view.setUint8(at, Kind.Number);
    this.view.setFloat64(at + 1, value, true);
    return this;
  }

  boolean(value: boolean): this {
    return this.number(value ? 1 : 0);
  }

  text(value: string): this {
    const utf8 = new TextEncoder().encode(value);
    const at = this.begin(Kind.Text, utf8.length, utf8.length);
    this.bytes.set(utf8, at);
    return this;
  }

  /** A table, element by element. Bytes are a column of `Uint8Array`. */
  column(values: Column): this {
    const step = values.BYTES_PER_ELEMENT;
    const at = this.begin(kindOf(values), values.length, values.length * step);
    if (values instanceof Uint8Array) this.bytes.set(values, at);
    else for (let i = 0; i < values.length; i++) store(this.view, at + i * step, values, i);
    return this;
  }

  /** The snapshot, copied. The writer may go on. */
  finish(): Uint8Array<ArrayBuffer> {
    this.closeSection();
    const bytes = this.bytes.slice(0, this.end);
    sealSnapshot(bytes);
    return bytes;
  }

  private begin(kind: Kind, count: number, bytes: number): number {
    const at = this.grow(5 + bytes);
    this.view.setUint8(at, kind);
    this.view.setUint32(at + 1, count, true);
    return at + 5;
  }

  private closeSection(): void {
    if (this.sectionAt !== 0) this.view.setUint32(this.sectionAt, this.end - this.sectionAt - 4, true);
  }

  /** Makes room for `bytes` more and returns where they go. */
  private grow(bytes: number): number {
    const at = this.end;
    this.end += bytes;
    if (this.end > this.bytes.length) {
      const next = new Uint8Array(Math.max(this.end, 2 * this.bytes.length));
      next.set(this.bytes);
      this.bytes = next;
      this.view = new DataView(next.buffer);
    }
    return at;
  }
}

/** Reads a snapshot, which may be anything: every count is compared with what is there before anything is allocated. */
export class StateReader {
  private readonly view: DataView;
  private readonly sections = new Map<string, { at: number; end: number; version: number }>();
  private name = '';
  private at = 0;
  private end = 0;

  /** Finds the sections. Throws `StateError` unless `bytes` is a snapshot of this format, whole. */
  constructor(bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const length = bytes.length;
    if (length < FILE_HEADER_BYTES || this.view.getUint32(0, true) !== MAGIC) throw new StateError('not a snapshot');
    const format = this.view.getUint16(4, true);
    if (format !== FORMAT) throw new StateError(`snapshot format ${format}, this program reads ${FORMAT}`);
    for (let at = FILE_HEADER_BYTES; at < length; ) at = this.index(at, length);
    const hash = this.view.getUint32(HASH_AT, true);
    if (hash !== hashOf(bytes, FILE_HEADER_BYTES, length)) throw new StateError('the snapshot is damaged');
  }

  /** The names of all sections, in their order. */
  names(): string[] {
    return [...this.sections.keys()];
  }

  has(name: string): boolean {
    return this.sections.has(name);
  }

  /** Goes to a section's first value and returns the section's version, which is at most `versionMax`. */
  section(name: string, versionMax: number): number {
    const section = this.sections.get(name);
    if (!section) throw new StateError(`snapshot has no section ${name}`);
    if (section.version > versionMax) {
      throw new StateError(`section ${name} has version ${section.version}, this program reads up to ${versionMax}`);
    }
    this.name = name;
    this.at = section.at;
    this.end = section.end;
    return section.version;
  }

  /** True if the section has more values. */
  get hasMore(): boolean {
    return this.at < this.end;
  }

  /** A number of any size. */
  number(): number {
    this.expect(Kind.Number);
    return this.view.getFloat64(this.take(8), true);
  }

  /** A whole number, `min` … `max`. */
  integer(min: number, max: number): number {
    const value = this.number();
    if (!Number.isInteger(value) || value < min || value > max) throw this.error(`${value} is not in ${min} … ${max}`);
    return value;
  }

  boolean(): boolean {
    return this.integer(0, 1) === 1;
  }

  /** A text of at most `bytesMax` bytes of UTF-8. */
  text(bytesMax: number): string {
    const bytes = this.count(Kind.Text, 1, bytesMax);
    const at = this.take(bytes);
    return new TextDecoder().decode(new Uint8Array(this.view.buffer, this.view.byteOffset + at, bytes));
  }

  /** Bytes, at most `countMax`, copied. */
  bytes(countMax: number): Uint8Array<ArrayBuffer> {
    return this.fill(new Uint8Array(this.count(Kind.U8, 1, countMax)));
  }

  /** Numbers of 32 bits, at most `countMax`. */
  u32s(countMax: number): Uint32Array {
    return this.fill(new Uint32Array(this.count(Kind.U32, 4, countMax)));
  }

  /** Doubles, at most `countMax`. */
  f64s(countMax: number): Float64Array {
    return this.fill(new Float64Array(this.count(Kind.F64, 8, countMax)));
  }

  /** A column into a table of exactly its kind and size. */
  into(table: Column): void {
    const kind = kindOf(table);
    const count = this.count(kind, table.BYTES_PER_ELEMENT, table.length);
    if (count !== table.length) throw this.error(`${count} of ${KIND_NAMES[kind]}, expected ${table.length}`);
    this.fill(table);
  }

  /** Indexes the section that begins at `at` and returns where it ends. */
  private index(at: number, length: number): number {
    const nameBytes = this.view.getUint8(at);
    const header = 1 + nameBytes + 6;
    if (at + header > length) throw new StateError('snapshot ends within a section');
    const name = new TextDecoder().decode(new Uint8Array(this.view.buffer, this.view.byteOffset + at + 1, nameBytes));
    const version = this.view.getUint16(at + 1 + nameBytes, true);
    const end = at + header + this.view.getUint32(at + header - 4, true);
    if (end > length) throw new StateError(`snapshot ends within section ${name}`);
    if (this.sections.has(name)) throw new StateError(`snapshot has two sections ${name}`);
    if (this.sections.size === SECTIONS_MAX) throw new StateError(`snapshot has more than ${SECTIONS_MAX} sections`);
    this.sections.set(name, { at: at + header, end, version });
    return end;
  }

  private error(what: string): StateError {
    return new StateError(`section ${this.name}, byte ${this.at}: ${what}`);
  }

  /** Takes `bytes` bytes of the section and returns where they are. */
  private take(bytes: number): number {
    if (bytes > this.end - this.at) throw this.error(`${bytes} bytes expected, ${this.end - this.at} left`);
    const at = this.at;
    this.at += bytes;
    return at;
  }

  private expect(kind: Kind): void {
    if (!this.hasMore) throw this.error(`${KIND_NAMES[kind]} expected, the section ends`);
    const found = this.view.getUint8(this.at);
    if (found !== kind) throw this.error(`${KIND_NAMES[kind]} expected, ${KIND_NAMES[found] ?? `kind ${found}`} found`);
    this.at++;
  }

  /** How many elements follow: at most `countMax`, and all there. */
  private count(kind: Kind, elementBytes: number, countMax: number): number {
    this.expect(kind);
    const count = this.view.getUint32(this.take(4), true);
    if (count > countMax) throw this.error(`${count} of ${KIND_NAMES[kind]}, at most ${countMax}`);
    const left = this.end - this.at;
    if (count * elementBytes > left) throw this.error(`${count * elementBytes} bytes expected, ${left} left`);
    return count;
  }

  private fill<T extends Column>(table: T): T {
    const step = table.BYTES_PER_ELEMENT;
    const at = this.take(table.length * step);
    if (table instanceof Uint8Array) {
      table.set(new Uint8Array(this.view.buffer, this.view.byteOffset + at, table.length));
      return table;
    }
    for (let i = 0; i < table.length; i++) table[i] = fetch(this.view, at + i * step, table);
    return table;
  }
}

/** Writes the hash of a snapshot that was changed, so that it is no damage. */
export function sealSnapshot(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint32(HASH_AT, hashOf(bytes, FILE_HEADER_BYTES, bytes.length), true);
}

/** FNV-1a, 32 bits: against damage, not against malice. */
function hashOf(bytes: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash >>> 0;
}

/** Writes element `i` of `values`, little-endian whatever the host is. */
function store(view: DataView, at: number, values: Column, i: number): void {
  const value = values[i]!;
  if (values instanceof Float64Array) view.setFloat64(at, value, true);
  else if (values.BYTES_PER_ELEMENT === 4) view.setUint32(at, value, true);
  else view.setUint16(at, value, true);
}

/** Reads an element for `table`; integers of the right width, whose sign the table itself knows. */
function fetch(view: DataView, at: number, table: Column): number {
  if (table instanceof Float64Array) return view.getFloat64(at, true);
  if (table.BYTES_PER_ELEMENT === 4) return view.getUint32(at, true);
  return table.BYTES_PER_ELEMENT === 2 ? view.getUint16(at, true) : view.getUint8(at);
}
