import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Bug } from '../../core/assert.ts';
import { NEVER } from '../../core/time.ts';
import { NO_TIMER, TimerWheel } from '../../core/timer-wheel.ts';

function drain(wheel: TimerWheel, nowUs: number): number[] {
  const out: number[] = [];
  for (let id = wheel.expire(nowUs); id !== NO_TIMER; id = wheel.expire(nowUs)) out.push(id);
  return out;
}

test('an empty wheel waits for nothing', () => {
  const wheel = new TimerWheel({ timersMax: 1 });
  expect([wheel.deadlineUs(), wheel.expire(0), wheel.expire(1e15), wheel.count]).toEqual([
    NEVER,
    NO_TIMER,
    NO_TIMER,
    0,
  ]);
});

test.each([
  0,
  1,
  63,
  64,
  65,
  4095,
  4096,
  200_000,
  2 ** 30 - 1,
  2 ** 30,
  2 ** 30 + 1,
  7_200_000_000,
  2 ** 48,
  2 ** 53 - 1,
])('fires at %i µs and not one before', (deadlineUs) => {
  for (const startUs of [0, 1, 63, 1000, 2 ** 29, 1_700_000_000_000_000]) {
    if (startUs >= deadlineUs) continue;
    const wheel = new TimerWheel({ timersMax: 1 });
    wheel.expire(startUs);
    wheel.set(0, deadlineUs);
    expect(wheel.deadlineUs()).toBe(deadlineUs);
    expect(wheel.expire(deadlineUs - 1)).toBe(NO_TIMER);
    expect([wheel.deadlineUs(), wheel.deadlineOf(0)]).toEqual([deadlineUs, deadlineUs]);
    expect(wheel.expire(deadlineUs)).toBe(0);
    expect([wheel.deadlineUs(), wheel.deadlineOf(0), wheel.count]).toEqual([NEVER, NEVER, 0]);
  }
});

describe('a wheel', () => {
  test('fires by deadline, equal ones in the order they were set', () => {
    const wheel = new TimerWheel({ timersMax: 8 });
    wheel.set(3, 5000);
    wheel.set(1, 5000);
    wheel.set(2, 70);
    expect(drain(wheel, 4999)).toEqual([2]);
    wheel.set(0, 5000);
    wheel.set(4, 4999);
    expect(wheel.ids()).toEqual([4, 3, 1, 0]);
    expect(drain(wheel, 5000)).toEqual([4, 3, 1, 0]);
  });

  test('moves a timer that is set again, and NEVER cancels', () => {
    const wheel = new TimerWheel({ timersMax: 2 });
    wheel.set(0, 100);
    wheel.set(1, 200);
    wheel.set(0, 300);
    expect([wheel.deadlineUs(), wheel.count]).toEqual([200, 2]);
    wheel.set(1, NEVER);
    expect([wheel.deadlineUs(), wheel.count]).toEqual([300, 1]);
    wheel.cancel(1);
    expect(drain(wheel, 1000)).toEqual([0]);
  });

  test('fires what was set in the past at once', () => {
    const wheel = new TimerWheel({ timersMax: 2 });
    expect(wheel.expire(1000)).toBe(NO_TIMER);
    wheel.set(0, 10);
    wheel.set(1, 1000);
    expect(wheel.deadlineUs()).toBe(10);
    expect(drain(wheel, 1000)).toEqual([0, 1]);
  });

  test('takes ids below its bound only', () => {
    const wheel = new TimerWheel({ timersMax: 2 });
    expect(() => wheel.set(2, 1)).toThrow(Bug);
    expect(() => wheel.cancel(-1)).toThrow(Bug);
    expect(() => wheel.set(0, Number.NaN)).toThrow(Bug);
  });

  test('may set timers while it is drained', () => {
    const wheel = new TimerWheel({ timersMax: 1 });
    let fired = 0;
    wheel.set(0, 0);
    while (wheel.expire(10) !== NO_TIMER) wheel.set(0, ++fired);
    expect([fired, wheel.deadlineUs()]).toEqual([11, 11]);
  });
});

test('behaves as a sorted list does', () => {
  const deadline = fc.oneof(fc.nat(100), fc.nat(100_000), fc.nat(2 ** 31 - 1), fc.maxSafeNat());
  const step = fc.oneof(
    fc.record({ op: fc.constant('set' as const), id: fc.nat(15), us: deadline }),
    fc.record({ op: fc.constant('cancel' as const), id: fc.nat(15), us: fc.constant(0) }),
    fc.record({ op: fc.constant('wait' as const), id: fc.constant(0), us: deadline }),
    fc.record({ op: fc.constant('next' as const), id: fc.constant(0), us: fc.constant(0) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const wheel = new TimerWheel({ timersMax: 16 });
      let list: { id: number; us: number }[] = [];
      let nowUs = 0;
      const advance = (toUs: number): void => {
        nowUs = toUs;
        const due = list.filter((t) => t.us <= nowUs).map((t) => t.id);
        list = list.filter((t) => t.us > nowUs);
        expect(drain(wheel, nowUs)).toEqual(due);
      };
      for (const { op, id, us } of steps) {
        if (op === 'wait') advance(Math.min(nowUs + us, Number.MAX_SAFE_INTEGER));
        else if (op === 'next') {
          if (list.length > 0) advance(list[0]!.us);
        } else {
          list = list.filter((t) => t.id !== id);
          if (op === 'cancel') wheel.cancel(id);
          else {
            const deadlineUs = Math.min(nowUs + us, Number.MAX_SAFE_INTEGER);
            wheel.set(id, deadlineUs);
            list.push({ id, us: deadlineUs });
            list.sort((a, b) => a.us - b.us);
          }
        }
        expect(wheel.deadlineUs()).toBe(list[0]?.us ?? NEVER);
        expect(wheel.count).toBe(list.length);
        expect(wheel.ids()).toEqual(list.map((t) => t.id));
      }
    }),
    { numRuns: 1000 },
  );
});
