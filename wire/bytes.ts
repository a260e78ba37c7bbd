// Numbers in network byte order, read from and written to a view at an absolute offset.

/** The byte at `at`. The caller has checked that it is there, as for every reader of this room. */
export const u8 = (view: DataView, at: number): number => view.getUint8(at);
/** A big-endian number of 2 bytes. */
export const u16 = (view: DataView, at: number): number => view.getUint16(at);
/** A big-endian number of 4 bytes, 0 … 2^32 - 1. */
export const u32 = (view: DataView, at: number): number => view.getUint32(at);

/** Writes the low 8 bits of `value`. */
export const setU8 = (view: DataView, at: number, value: number): void => view.setUint8(at, value);
/** Writes the low 16 bits of `value`, big-endian. */
export const setU16 = (view: DataView, at: number, value: number): void => view.setUint16(at, value);
/** Writes the low 32 bits of `value`, big-endian. */
export const setU32 = (view: DataView, at: number, value: number): void => view.setUint32(at, value);

/** A little-endian number of 2 bytes, for the few formats that are not in network byte order. */
export const u16le = (view: DataView, at: number): number => view.getUint16(at, true);
/** Writes the low 16 bits of `value`, little-endian. */
export const setU16le = (view: DataView, at: number, value: number): void => view.setUint16(at, value, true);

/** A view of all of `bytes`, which it shares. */
export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
