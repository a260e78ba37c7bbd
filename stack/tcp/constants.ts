// The words of TCP that users and parts share: states, options, readiness bits, times.

import { US_PER_MS, US_PER_S } from '../../core/time.ts';

/** RFC 9293 §3.3.2. */
export const State = {
  Closed: 0,
  Listen: 1,
  SynSent: 2,
  SynReceived: 3,
  Established: 4,
  FinWait1: 5,
  FinWait2: 6,
  CloseWait: 7,
  Closing: 8,
  LastAck: 9,
  TimeWait: 10,
} as const;
export type State = (typeof State)[keyof typeof State];

/** The states' names as RFC 9293 and `ss` spell them, by number. For people. */
export const STATE_NAMES: readonly string[] = [
  'CLOSED',
  'LISTEN',
  'SYN-SENT',
  'SYN-RECEIVED',
  'ESTABLISHED',
  'FIN-WAIT-1',
  'FIN-WAIT-2',
  'CLOSE-WAIT',
  'CLOSING',
  'LAST-ACK',
  'TIME-WAIT',
];

/** What `readiness` says: readable (or end of stream, or to be accepted), writable, failed, both ways over, peer's FIN. */
export const Ready = { In: 1, Out: 2, Error: 4, Hup: 8, ReadHup: 16 } as const;

/** Flags of `send` and `receive`. `More`: as MSG_MORE, hold back what does not fill a segment; `Peek`: leave the bytes. */
export const SendFlag = { More: 1 } as const;
export const ReceiveFlag = { Peek: 1 } as const;

/** How `shutdown` shuts: reading, writing, both. */
export const How = { Read: 0, Write: 1, Both: 2 } as const;

/** Options of a connection. Times in µs, sizes in bytes, switches 0 or 1. */
export const TcpOption = {
  NoDelay: 0,
  Cork: 1,
  KeepAlive: 2,
  KeepIdleUs: 3,
  KeepIntervalUs: 4,
  KeepCount: 5,
  UserTimeoutUs: 6, // 0: none, RFC 5482
  SendBuffer: 7,
  ReceiveBuffer: 8,
  LingerUs: 9, // -1: off; 0: close resets
  ReuseAddress: 10,
  ReusePort: 11,
  Congestion: 12, // 0 newreno, 1 cubic
  MaxSegment: 13, // what we announce and send at most; 0: by the path
  QuickAck: 14, // 1: the next 16 segments are acknowledged at once, as at the start; it is off by itself after them
  FastOpen: 15, // listener: the most half-open connections that carry data; client: 1 to use cookies
  TrafficClass: 16, // DSCP; its ECN bits are TCP's
  HopLimit: 17,
  V6Only: 18,
  DeferAccept: 19, // a connection is accepted when data came, or after 30 s
  InitialWindow: 20, // segments; 0: RFC 6928
  Ecn: 21,
  SynCount: 22,
  BindIface: 23,
  NotSentLowat: 24, // 0: none
  Timestamps: 25,
  Sack: 26,
  WindowScale: 27,
  Rack: 28, // losses by RACK-TLP (RFC 8985), else by RFC 6675
  UserTimeoutOption: 29, // RFC 5482: SYNs say our user timeout, and the peer's is taken where the user set none
} as const;
export type TcpOption = (typeof TcpOption)[keyof typeof TcpOption];

/** RFC 9293 §3.4.1: a lifetime of 2 minutes is the RFC's suggestion; everybody takes 30 s, so 2MSL is 60 s. */
export const TIME_WAIT_US = 60 * US_PER_S;
/** How long an orphan waits in FIN-WAIT-2 for the peer's FIN. */
export const FIN_WAIT_2_US = 60 * US_PER_S;
/** RFC 6298 §2.1. */
export const SYN_RTO_US = 1 * US_PER_S;
/** RFC 6298 §2.5: at least 60 s. */
export const RTO_US_MAX = 60 * US_PER_S;
/** With these the SYN is repeated for 183 s: RFC 9293 §3.8.3 (MUST-23) asks for 3 minutes. */
export const SYN_RETRIES = 7;
/** R2 in timeouts in a row: over 10 minutes; RFC 9293 §3.8.3 asks for 100 s. */
export const DATA_RETRIES = 15;
/** RFC 9293 §3.8.4: keep-alives are off by default, and their interval is at least two hours. */
export const KEEP_IDLE_US = 7200 * US_PER_S;
export const KEEP_INTERVAL_US = 75 * US_PER_S;
export const KEEP_COUNT = 9;
/** RFC 9293 §3.8.6.3: less than 500 ms. */
export const DELAYED_ACK_US = 40 * US_PER_MS;
/** A connection without data is accepted after so long, though its listener waits for data: its peer may wait for ours. */
export const DEFER_ACCEPT_US = 30 * US_PER_S;
/** RFC 5482 §3.1, L_LIMIT and U_LIMIT: what a peer may make our timeout. */
export const USER_TIMEOUT_S_MIN = 100;
export const USER_TIMEOUT_S_MAX = 3600;
/** Segments at the start that are acknowledged at once, so that slow start is not slowed. */
export const QUICK_ACKS = 16;
/** Shorter segments are no full ones, whatever the peer's habit. */
export const FULL_SEGMENT_BYTES_MIN = 536;
/** Who sent nothing for so long is not about to answer, so that an ACK has nothing to wait for. */
export const ANSWER_US = 1 * US_PER_S;
/** RFC 9293 §3.8.6.2.1: the sender's override timeout, 0.1 … 1 s. */
export const OVERRIDE_US = 200 * US_PER_MS;

/** RFC 9293 §3.7.1: the peer's MSS if it says none. */
export const MSS_DEFAULT_4 = 536;
export const MSS_DEFAULT_6 = 1220;

/** Buffers of a new connection, in bytes; they take memory as they fill. */
export const SEND_BUFFER_BYTES = 512 << 10;
export const RECEIVE_BUFFER_BYTES = 512 << 10;
