// The states of the DHCPv6 client, and the message that each of them sends until it is answered. RFC 8415 §16, §18.2.

import { MessageType } from '../../wire/dhcp6.ts';
import { SCHEDULES, type Schedule } from './dhcp6-retry.ts';

/** Where the client stands. */
export const Dhcp6State = {
  Stopped: 0,
  Waiting: 1,
  Soliciting: 2,
  Requesting: 3,
  Bound: 4,
  Renewing: 5,
  Rebinding: 6,
  Confirming: 7,
  Releasing: 8,
  Declining: 9,
  Informing: 10,
  Informed: 11,
} as const;
export type Dhcp6State = (typeof Dhcp6State)[keyof typeof Dhcp6State];

/** What is sent, and how often. */
export interface Exchange {
  readonly type: number;
  readonly schedule: Schedule;
}

/** By state; a state that is not here sends nothing. */
export const EXCHANGES: ReadonlyMap<Dhcp6State, Exchange> = new Map<Dhcp6State, Exchange>([
  [Dhcp6State.Soliciting, { type: MessageType.Solicit, schedule: SCHEDULES.solicit }],
  [Dhcp6State.Requesting, { type: MessageType.Request, schedule: SCHEDULES.request }],
  [Dhcp6State.Renewing, { type: MessageType.Renew, schedule: SCHEDULES.renew }],
  [Dhcp6State.Rebinding, { type: MessageType.Rebind, schedule: SCHEDULES.rebind }],
  [Dhcp6State.Confirming, { type: MessageType.Confirm, schedule: SCHEDULES.confirm }],
  [Dhcp6State.Releasing, { type: MessageType.Release, schedule: SCHEDULES.release }],
  [Dhcp6State.Declining, { type: MessageType.Decline, schedule: SCHEDULES.decline }],
  [Dhcp6State.Informing, { type: MessageType.InformationRequest, schedule: SCHEDULES.inform }],
]);

/** Messages that name the server they are for, §16. */
export const NAMES_SERVER: ReadonlySet<number> = new Set([
  MessageType.Request,
  MessageType.Renew,
  MessageType.Release,
  MessageType.Decline,
]);
