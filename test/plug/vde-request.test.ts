import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ANY_PORT, addressPath, readRequest, requestBytes, writeReply, writeRequest } from '../../plug/vde-request.ts';

const path = new TextEncoder().encode('/tmp/plug.1');
const MAGIC = [0xce, 0xfa, 0xed, 0xfe];

/** Version 3, byte by byte: what QEMU and libvdeplug send. */
function v3(type: number, address: readonly number[] = [1, 0, ...path], description = ''): Uint8Array {
  const bytes = new Uint8Array(122 + description.length);
  bytes.set([...MAGIC, 3, 0, 0, 0, type & 0xff, (type >> 8) & 0xff, (type >> 16) & 0xff, (type >> 24) & 0xff]);
  bytes.set(address, 12);
  bytes.set(new TextEncoder().encode(description), 122);
  return bytes;
}

/** Version 1: no version, a MAC behind the type. */
function v1(type: number, description = ''): Uint8Array {
  const bytes = new Uint8Array(124 + description.length);
  bytes.set([...MAGIC, type, 0, 0, 0, 2, 0, 0, 0, 0, 9, 1, 0, ...path]);
  bytes.set(new TextEncoder().encode(description), 124);
  return bytes;
}

/** User Mode Linux: version 3 with an abstract name, in 124 bytes since its struct is not packed. */
function uml(): Uint8Array {
  const bytes = new Uint8Array(124);
  bytes.set(v3(0, [1, 0, 0, 7, 7, 7]));
  return bytes;
}

describe('readRequest', () => {
  test.each<[string, Uint8Array, number, string, number]>([
    ['any port', v3(0), ANY_PORT, '', 12],
    ['port 1', v3(1 << 8), 1, '', 12],
    ['port 4095', v3(4095 << 8, undefined, 'x'), 4095, 'x', 12],
    ['port 0', v3(1), 0, '', 12],
    ['port 0 and a number, which does not count', v3((7 << 8) | 1), 0, '', 12],
    ['a description', v3(0, undefined, 'QEMU user=me'), ANY_PORT, 'QEMU user=me', 12],
    ['a description with control characters', v3(0, undefined, 'a\x1b[2Jb\x7f'), ANY_PORT, 'a?[2Jb?', 12],
    ['a description that ends at its NUL', v3(0, undefined, 'a\0b'), ANY_PORT, 'a', 12],
    ['version 1', v1(0), ANY_PORT, '', 14],
    ['version 1, port 0', v1(1, 'old'), 0, 'old', 14],
    ['User Mode Linux', uml(), ANY_PORT, '', 12],
  ])('reads %s', (_name, bytes, port, description, addressAt) => {
    expect(readRequest(bytes)).toEqual({ port, description, addressAt });
  });

  test.each<[string, Uint8Array, RegExp]>([
    ['a wrong magic', v3(0).fill(0, 0, 1), /magic/],
    ['version 2', v3(0).fill(2, 4, 5), /version 2/],
    ['version 4', v3(0).fill(4, 4, 5), /version 4/],
    ['an unknown type', v3(2), /type 2/],
    ['a negative port', v3(0x80000000 | 0), /out of range/],
    ['version 1 with an address of another family', v1(0).fill(2, 14, 15), /AF_UNIX/],
  ])('refuses %s', (_name, bytes, why) => {
    expect(readRequest(bytes)).toMatch(why);
  });

  test.each([
    ['version 3', v3(5 << 8), 122],
    ['version 1', v1(0), 124],
  ])('refuses %s cut at any byte', (_name, bytes, whole) => {
    for (let length = 0; length < whole; length++) {
      expect(requestBytes(bytes.subarray(0, length))).toBeGreaterThan(length);
      expect(typeof readRequest(bytes.subarray(0, length))).toBe('string');
    }
    expect(typeof readRequest(bytes)).toBe('object');
  });

  test('takes any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 256 }), fc.boolean(), (bytes, hasMagic) => {
        if (hasMagic && bytes.length >= 8) bytes.set([...MAGIC, 3, 0, 0, 0]);
        const request = readRequest(bytes);
        if (typeof request === 'string') expect(request).not.toContain('\n');
        else {
          expect(request.description).toMatch(/^[ -~]*$/);
          addressPath(bytes, request.addressAt);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('writeRequest', () => {
  test.each([ANY_PORT, 0, 1, 4095])('is read back: port %i', (port) => {
    const bytes = writeRequest(port, path, 'me');
    expect(readRequest(bytes)).toEqual({ port, addressAt: 12, description: 'me' });
    expect(addressPath(bytes, 12)).toEqual(path);
  });

  test('keeps to one read of a reference switch, whatever is asked for', () => {
    const bytes = writeRequest(1, new Uint8Array(300).fill(0x61), 'd'.repeat(1000));
    expect(bytes.length).toBeLessThanOrEqual(256);
    expect(addressPath(bytes, 12)).toHaveLength(107);
  });
});

describe('addressPath', () => {
  test.each<[string, number[], number[] | undefined]>([
    ['a path up to its NUL', [1, 0, 0x2f, 0x61, 0, 9], [0x2f, 0x61]],
    ['no AF_UNIX', [2, 0, 0x2f], undefined],
    ['a family of another byte order', [0, 1, 0x2f], undefined],
  ])('is %s', (_name, address, expected) => {
    const got = addressPath(v3(0, address), 12);
    expect(got && [...got]).toEqual(expected);
  });

  test('is all 108 bytes where there is no NUL, and whole for an abstract name', () => {
    expect(addressPath(v3(0, [1, 0, ...new Array<number>(108).fill(0x61)]), 12)).toHaveLength(108);
    expect(addressPath(v3(0, [1, 0, 0, 0x61]), 12)).toHaveLength(108);
  });

  test('is what writeReply wrote', () => {
    expect(addressPath(writeReply(path), 0)).toEqual(path);
    expect(writeReply(path)).toHaveLength(110);
  });
});
