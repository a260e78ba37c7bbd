// The internet checksum (RFC 1071), in place in a slab by WebAssembly SIMD, and in any buffer by plain JavaScript.

import { assert } from '../core/assert.ts';
import { u8, u16, u32 } from './bytes.ts';

const SELF_CHECK_BYTES = 211; // odd, and every branch of the module: 3 x 64 + 16 + 2 + 1

/** Folds a partial sum below 2^53 to 16 bits with end-around carry. */
export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return folded;
}

/** What goes into a header's checksum field: the complement of the folded sum. */
export const finish = (sum: number): number => ~fold(sum) & 0xffff;

/**
 * The folded one's complement sum of `length` bytes at `at` as big-endian words, plus `initial`; not inverted. An odd last
 * byte counts as if a zero followed. A packet that carries its right checksum sums to 0xffff.
 */
export function checksumOf(view: DataView, at: number, length: number, initial = 0): number {
  let high = 0;
  let low = 0;
  const wordsEnd = at + (length & ~3);
  let p = at;
  for (; p < wordsEnd; p += 4) {
    const word = view.getInt32(p);
    high += word >>> 16;
    low += word & 0xffff;
  }
  let sum = initial + high + low;
  if (length & 2) {
    sum += u16(view, p);
    p += 2;
  }
  if (length & 1) sum += u8(view, p) << 8;
  return fold(sum);
}

/** The sum over the pseudo-header of the IPv4 packet at `ip` (RFC 9293 §3.1, RFC 768): a partial sum below 2^19. */
export function pseudoHeader4(view: DataView, ip: number, protocol: number, length: number): number {
  const source = u32(view, ip + 12);
  const target = u32(view, ip + 16);
  return (source >>> 16) + (source & 0xffff) + (target >>> 16) + (target & 0xffff) + protocol + length;
}

/** The sum over the pseudo-header of the IPv6 packet at `ip` (RFC 8200 §8.1): a partial sum below 2^21. */
export function pseudoHeader6(view: DataView, ip: number, protocol: number, length: number): number {
  let sum = protocol + (length >>> 16) + (length & 0xffff);
  for (let p = ip + 8; p < ip + 40; p += 4) {
    const word = u32(view, p);
    sum += (word >>> 16) + (word & 0xffff);
  }
  return sum;
}

type Sum = (at: number, length: number) => number;
type Copy = (from: number, to: number, length: number) => number;

/**
 * Checksums within one memory, a slab's. SIMD is about eight times as fast at 1460 bytes. Offsets are those of
 * the memory; a range outside of it is a bug of the caller. `length` is at most 256 KiB.
 */
export class Checksum {
  /** The folded one's complement sum as a big-endian number, not inverted. */
  readonly sum: Sum;
  /** Copies `length` bytes to a place that does not overlap, and returns their sum: one walk instead of two. */
  readonly copy: Copy;
  /** True if WebAssembly SIMD does the work. */
  readonly isSimd: boolean;

  constructor(memory: WebAssembly.Memory, { simd = true }: { simd?: boolean } = {}) {
    const view = new DataView(memory.buffer);
    const bytes = new Uint8Array(memory.buffer);
    const fast = simd ? instantiate(memory) : undefined;
    this.isSimd = fast !== undefined;
    this.sum = fast?.sum ?? ((at, length) => checksumOf(view, at, length));
    this.copy =
      fast?.copy ??
      ((from, to, length) => {
        bytes.copyWithin(to, from, from + length);
        return checksumOf(view, to, length);
      });
  }
}

/** The module on `memory`, or undefined where SIMD cannot be had. */
function instantiate(memory: WebAssembly.Memory): { sum: Sum; copy: Copy } | undefined {
  const code = compiled();
  return code ? link(code, memory) : undefined;
}

let module: WebAssembly.Module | null | undefined;

/** Compiles once, and trusts the result only after it agreed with plain JavaScript. */
function compiled(): WebAssembly.Module | null {
  if (module !== undefined) return module;
  module = null;
  if (typeof WebAssembly !== 'object') return null;
  const code = Uint8Array.from(atob(MODULE), (c) => c.charCodeAt(0));
  if (!WebAssembly.validate(code)) return null;
  const candidate = new WebAssembly.Module(code);
  if (agrees(candidate)) module = candidate;
  return module;
}

function agrees(candidate: WebAssembly.Module): boolean {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const { sum, copy } = link(candidate, memory);
  const view = new DataView(memory.buffer);
  for (let at = 0; at < 1024; at++) view.setUint8(at, at < 512 ? 0xff : Math.imul(at, 0x9e3779b1) >>> 24);
  for (let length = 0; length <= SELF_CHECK_BYTES; length++) {
    const at = 400 + length;
    const expected = checksumOf(view, at, length);
    if (sum(at, length) !== expected) return false;
    if (copy(at, 2048, length) !== expected || checksumOf(view, 2048, length) !== expected) return false;
  }
  return true;
}

function link(code: WebAssembly.Module, memory: WebAssembly.Memory): { sum: Sum; copy: Copy } {
  const { sum, copy } = new WebAssembly.Instance(code, { m: { m: memory } }).exports;
  assert(typeof sum === 'function' && typeof copy === 'function', 'the checksum module exports sum and copy');
  return { sum: sum as Sum, copy: copy as Copy };
}

// Assembled by test/kit/checksum-module.ts, which is its source; a test compares the two.
const MODULE =
  'AGFzbQEAAAABDgJgAn9/AX9gA39/fwF/AggBAW0BbQIAAAMDAgABBw4CA3N1bQAABGNvcHkAAQrXCALmAwQEewF/An4BeyAAIAFB' +
  'QHFqIQYCQANAIAAgBk8NASAA/QAAACEJIAIgCf1//a4BIQIgAP0AABAhCSADIAn9f/2uASEDIAD9AAAgIQkgBCAJ/X/9rgEhBCAA' +
  '/QAAMCEJIAUgCf1//a4BIQUgAEHAAGohAAwACwsgAUEgcQRAIAD9AAAAIQkgAiAJ/X/9rgEhAiAA/QAAECEJIAMgCf1//a4BIQMg' +
  'AEEgaiEACyABQRBxBEAgAP0AAAAhCSAEIAn9f/2uASEEIABBEGohAAsgAiAD/a4BIAQgBf2uAf2uASEJIAn9yQEgCf3KAf3OASEJ' +
  'IAn9HQAgCf0dAXwhByABQQhxBEAgACkAACEIIAcgCEL/////D4MgCEIgiHx8IQcgAEEIaiEACyABQQRxBEAgADUAACEIIAcgCEL/' +
  '////D4MgCEIgiHx8IQcgAEEEaiEACyABQQJxBEAgADMAACEIIAcgCEL/////D4MgCEIgiHx8IQcgAEECaiEACyABQQFxBEAgADEA' +
  'ACEIIAcgCEL/////D4MgCEIgiHx8IQcgAEEBaiEACyAHQv//A4MgB0IQiHwhByAHQv//A4MgB0IQiHwhByAHQv//A4MgB0IQiHwh' +
  'ByAHpyEGIAZB/wFxQQh0IAZBCHZyC+wEBAR7AX8CfgF7IAAgAkFAcWohBwJAA0AgACAHTw0BIAD9AAAAIQogASAK/QsAACADIAr9' +
  'f/2uASEDIAD9AAAQIQogASAK/QsAECAEIAr9f/2uASEEIAD9AAAgIQogASAK/QsAICAFIAr9f/2uASEFIAD9AAAwIQogASAK/QsA' +
  'MCAGIAr9f/2uASEGIABBwABqIQAgAUHAAGohAQwACwsgAkEgcQRAIAD9AAAAIQogASAK/QsAACADIAr9f/2uASEDIAD9AAAQIQog' +
  'ASAK/QsAECAEIAr9f/2uASEEIABBIGohACABQSBqIQELIAJBEHEEQCAA/QAAACEKIAEgCv0LAAAgBSAK/X/9rgEhBSAAQRBqIQAg' +
  'AUEQaiEBCyADIAT9rgEgBSAG/a4B/a4BIQogCv3JASAK/coB/c4BIQogCv0dACAK/R0BfCEIIAJBCHEEQCAAKQAAIQkgASAJNwAA' +
  'IAggCUL/////D4MgCUIgiHx8IQggAEEIaiEAIAFBCGohAQsgAkEEcQRAIAA1AAAhCSABIAk+AAAgCCAJQv////8PgyAJQiCIfHwh' +
  'CCAAQQRqIQAgAUEEaiEBCyACQQJxBEAgADMAACEJIAEgCT0AACAIIAlC/////w+DIAlCIIh8fCEIIABBAmohACABQQJqIQELIAJB' +
  'AXEEQCAAMQAAIQkgASAJPAAAIAggCUL/////D4MgCUIgiHx8IQggAEEBaiEAIAFBAWohAQsgCEL//wODIAhCEIh8IQggCEL//wOD' +
  'IAhCEIh8IQggCEL//wODIAhCEIh8IQggCKchByAHQf8BcUEIdCAHQQh2cgs=';
