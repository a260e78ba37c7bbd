// What a user may set at a connection, within bounds.

import { Errno } from '../errno.ts';
import { HOP_LIMIT_DEFAULT } from '../ip.ts';
import { QUICK_ACKS, State, TcpOption } from './constants.ts';
import { type Core, Timer } from './core.ts';
import { armKeepAlive } from './establish.ts';
import { push } from './stream.ts';
import { Opt } from './table.ts';

/** Options that are a bit of `options`. */
const BITS: Readonly<Partial<Record<TcpOption, number>>> = {
  [TcpOption.NoDelay]: Opt.NoDelay,
  [TcpOption.Cork]: Opt.Cork,
  [TcpOption.KeepAlive]: Opt.KeepAlive,
  [TcpOption.ReuseAddress]: Opt.ReuseAddress,
  [TcpOption.ReusePort]: Opt.ReusePort,
  [TcpOption.V6Only]: Opt.V6Only,
  [TcpOption.DeferAccept]: Opt.DeferAccept,
  [TcpOption.Ecn]: Opt.Ecn,
  [TcpOption.Timestamps]: Opt.Timestamps,
  [TcpOption.Sack]: Opt.Sack,
  [TcpOption.WindowScale]: Opt.Scaling,
  [TcpOption.Rack]: Opt.Rack,
  [TcpOption.UserTimeoutOption]: Opt.UserTimeout,
};

type NumberColumn =
  | 'keepIdleUs'
  | 'keepIntervalUs'
  | 'keepMax'
  | 'userTimeoutUs'
  | 'sndMax'
  | 'rcvMax'
  | 'lingerUs'
  | 'congestion'
  | 'maxSegment'
  | 'fastOpenMax'
  | 'trafficClass'
  | 'hopLimit'
  | 'initialWindow'
  | 'synMax'
  | 'iface'
  | 'notSentLowat';

const HOUR_US = 3_600_000_000;
const TIME_US_MAX = 32767 * 1_000_000;
const BUFFER_BYTES_MIN = 1024;

/** Options that are a number: column, least, most. */
const NUMBERS: Readonly<Partial<Record<TcpOption, readonly [NumberColumn, number, number]>>> = {
  [TcpOption.KeepIdleUs]: ['keepIdleUs', 1, TIME_US_MAX],
  [TcpOption.KeepIntervalUs]: ['keepIntervalUs', 1, TIME_US_MAX],
  [TcpOption.KeepCount]: ['keepMax', 1, 127],
  [TcpOption.UserTimeoutUs]: ['userTimeoutUs', 0, 1000 * HOUR_US],
  [TcpOption.SendBuffer]: ['sndMax', BUFFER_BYTES_MIN, 1 << 30],
  [TcpOption.ReceiveBuffer]: ['rcvMax', BUFFER_BYTES_MIN, 1 << 30],
  [TcpOption.LingerUs]: ['lingerUs', -1, TIME_US_MAX],
  [TcpOption.Congestion]: ['congestion', 0, 1],
  [TcpOption.MaxSegment]: ['maxSegment', 0, 65535],
  [TcpOption.FastOpen]: ['fastOpenMax', 0, 65535],
  [TcpOption.TrafficClass]: ['trafficClass', 0, 255],
  [TcpOption.HopLimit]: ['hopLimit', 1, 255],
  [TcpOption.InitialWindow]: ['initialWindow', 0, 255],
  [TcpOption.SynCount]: ['synMax', 0, 127],
  [TcpOption.BindIface]: ['iface', 0, 1 << 16],
  [TcpOption.NotSentLowat]: ['notSentLowat', 0, 1 << 30],
};

/** Options that mean something only before the connection begins. */
const isEarly = (option: TcpOption): boolean =>
  option === TcpOption.V6Only ||
  option === TcpOption.BindIface ||
  (option >= TcpOption.Timestamps && option <= TcpOption.WindowScale);

/** 0, -EINVAL for a value out of range or too late, -ENOPROTOOPT. Buffers are cut to the stack's limits. */
export function setOption(core: Core, c: number, option: TcpOption, value: number): number {
  const { col, limits } = core;
  if (isEarly(option) && col.state[c] !== State.Closed) return -Errno.EINVAL;
  const bit = BITS[option];
  if (bit !== undefined) {
    col.options[c] = value !== 0 ? col.options[c]! | bit : col.options[c]! & ~bit;
    switched(core, c, option, value !== 0);
    return 0;
  }
  if (option === TcpOption.QuickAck) {
    setQuickAck(core, c, value !== 0);
    return 0;
  }
  const spec = NUMBERS[option];
  if (spec === undefined) return -Errno.ENOPROTOOPT;
  const [name, least, most] = spec;
  if (!Number.isInteger(value)) return -Errno.EINVAL;
  let wanted = value;
  if (option === TcpOption.SendBuffer) wanted = Math.max(BUFFER_BYTES_MIN, Math.min(value, limits.sendBufferBytesMax));
  if (option === TcpOption.ReceiveBuffer) {
    wanted = Math.max(BUFFER_BYTES_MIN, Math.min(value, limits.receiveBufferBytesMax));
  }
  if (wanted < least || wanted > most) return -Errno.EINVAL;
  col[name][c] = wanted;
  if (option === TcpOption.SendBuffer) col.options[c] = col.options[c]! | Opt.SendFixed;
  if (option === TcpOption.ReceiveBuffer) col.options[c] = col.options[c]! | Opt.ReceiveFixed;
  if (option === TcpOption.KeepIdleUs) rearm(core, c);
  return 0;
}

function switched(core: Core, c: number, option: TcpOption, isOn: boolean): void {
  if (option === TcpOption.NoDelay || option === TcpOption.Cork) push(core, c);
  else if (option === TcpOption.KeepAlive) {
    if (isOn) rearm(core, c);
    else core.cancelTimer(c, Timer.Slow);
  }
}

/** As on Linux it does not last: it is off again after the segments that it is for, or when a listener's connection begins. */
function setQuickAck(core: Core, c: number, isOn: boolean): void {
  core.col.quickAcks[c] = isOn ? QUICK_ACKS : 0;
  if (isOn && core.isTimerSet(c, Timer.Ack)) core.ackSoon(c);
}

function rearm(core: Core, c: number): void {
  const state = core.col.state[c]!;
  if (state >= State.Established && state <= State.CloseWait) armKeepAlive(core, c);
}

/** The value, or -ENOPROTOOPT. A linger time that is off is -1. */
export function getOption(core: Core, c: number, option: TcpOption): number {
  const bit = BITS[option];
  if (bit !== undefined) return core.opted(c, bit) ? 1 : 0;
  if (option === TcpOption.QuickAck) return core.col.quickAcks[c]! > 0 ? 1 : 0;
  const spec = NUMBERS[option];
  if (spec === undefined) return -Errno.ENOPROTOOPT;
  if (option === TcpOption.MaxSegment && core.col.mss[c]! > 0) return core.col.mss[c]!;
  const value = core.col[spec[0]][c]!;
  return option === TcpOption.HopLimit && value === 0 ? HOP_LIMIT_DEFAULT : value;
}
