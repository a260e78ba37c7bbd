// ARP for IPv4 over Ethernet. RFC 826, RFC 5227 for probes and announcements.

import { Drop } from '../core/drop.ts';
import { setU8, setU16, setU32, u8, u16, u32 } from './bytes.ts';
import { EtherType } from './ethernet.ts';

// Offsets from the start of the packet.
const HARDWARE = 0;
const PROTOCOL = 2;
const HARDWARE_BYTES = 4;
const PROTOCOL_BYTES = 5;
const OPERATION = 6;
const SENDER_MAC = 8;
const SENDER_IP = 14;
const TARGET_MAC = 18;
const TARGET_IP = 24;

const HARDWARE_ETHERNET = 1;

/** Bytes of the packet; Ethernet pads it. */
export const PACKET_BYTES = 28;
/** What a packet asks or says. */
export const Operation = { Request: 1, Reply: 2 } as const;

/** None iff every reader below is safe on `avail` bytes at `at`, and it is about IPv4 over Ethernet. */
export function check(view: DataView, at: number, avail: number): Drop {
  if (avail < PACKET_BYTES) return Drop.ArpTruncated;
  const isOurs =
    u16(view, at + HARDWARE) === HARDWARE_ETHERNET &&
    u16(view, at + PROTOCOL) === EtherType.Ip4 &&
    u8(view, at + HARDWARE_BYTES) === 6 &&
    u8(view, at + PROTOCOL_BYTES) === 4;
  return isOurs ? Drop.None : Drop.ArpFormat;
}

/** What it is: a value of `Operation`, or another protocol's. */
export const operation = (view: DataView, at: number): number => u16(view, at + OPERATION);
/** Where the sender's hardware address is, 6 bytes. */
export const senderMacAt = (at: number): number => at + SENDER_MAC;
/** Where the target's hardware address is; zero in a request. */
export const targetMacAt = (at: number): number => at + TARGET_MAC;
/** The sender's IPv4 address as a number; 0 in a probe. */
export const senderIp = (view: DataView, at: number): number => u32(view, at + SENDER_IP);
/** The IPv4 address that is asked for, or told, as a number. */
export const targetIp = (view: DataView, at: number): number => u32(view, at + TARGET_IP);

/** Writes a value of `Operation`. */
export const setOperation = (view: DataView, at: number, value: number): void => setU16(view, at + OPERATION, value);
/** Writes the sender's IPv4 address; 0 in a probe, RFC 5227 §2.1.1. */
export const setSenderIp = (view: DataView, at: number, address: number): void => setU32(view, at + SENDER_IP, address);
/** Writes the target's IPv4 address. */
export const setTargetIp = (view: DataView, at: number, address: number): void => setU32(view, at + TARGET_IP, address);

/** Writes the fields that are the same in every packet, and the operation; the caller writes the four addresses. */
export function writeFixed(view: DataView, at: number, op: number): void {
  setU16(view, at + HARDWARE, HARDWARE_ETHERNET);
  setU16(view, at + PROTOCOL, EtherType.Ip4);
  setU8(view, at + HARDWARE_BYTES, 6);
  setU8(view, at + PROTOCOL_BYTES, 4);
  setOperation(view, at, op);
}
