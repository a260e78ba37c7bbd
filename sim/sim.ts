// The deterministic world: everything that a network does, in virtual time, from one seed.
//
// Theory of operation. A `World` has one clock, one slab, nodes with ports, and links between ports. Something happens only
// at an event or at a node's deadline; `step` jumps to the next one, so a second of silence costs nothing.
//
//   step: next event ─▶ frame arrives: port.queue, port.flush ─┐
//         or deadline ─▶ port.expire ──────────────────────────┴─▶ port.receive of what was touched ─▶ lanes ─▶ events
//
// Order. Events come by (time, insertion number), deadlines of that time after them; nodes are fetched in the order in which
// they were touched. Nothing depends on anything else: no clock, no hash order, no Promise but between steps, where
// `runPrograms` awaits the caller's `settle`.
//
// Chance. Every purpose of every direction, rule and node has a stream of its own (stream.ts), derived from the seed, so that
// one more draw in one place shifts nothing elsewhere. A run's fingerprint is the `hash` of a `Trace`; equal seeds give equal
// fingerprints and equal capture files, and `compareRuns` shows the first event in which two runs differ.
//
// Links (lane.ts) have a rate, exact in fractions of a µs; a delay; a queue with bounds and RED, CoDel or an ECN threshold;
// and a medium that loses, corrupts, doubles and reorders. Rules (rules.ts) judge before all that: partitions, exact losses.
// Super-frames are split unless link and port take them.
//
// Observers see frames and change nothing: captures, traces, and checkers, which remember the first broken invariant with
// its time, link and frame. Packet scripts (packet-script.ts) drive one host and read like a trace.
//
// Limits: nodes, events, frames and the slab, set in `WorldOptions`; above them is a mistake of the scenario and throws,
// but a full slab loses frames. Scenarios are trusted: what they get wrong is a `UsageError` or a `Bug`.

export { Capture } from './capture.ts';
export { Checker, type Violation } from './checker.ts';
export type { CodelOptions, DisciplineOptions, RedOptions, ThresholdOptions } from './discipline.ts';
export { Ecn, ecnOf, markCe } from './ecn.ts';
export { fairness, GoodputMeter, type Transfer } from './goodput.ts';
export type { GilbertElliott, Impairments } from './impairment.ts';
export type { LaneCounts } from './lane.ts';
export type { LaneOptions, Link, LinkOptions } from './link.ts';
export { checksumChecker, hopLimitChecker, ipv4IdChecker, resetRateChecker } from './packet-checkers.ts';
export { parseScript, type Script, ScriptError } from './packet-script.ts';
export { Pair, type PairOptions } from './pair.ts';
export {
  between,
  DROP,
  delayBy,
  drop,
  dropNth,
  duplicateAfter,
  lossy,
  matching,
  onLink,
  PASS,
  type Rule,
  sentBy,
  split,
  type Verdict,
} from './rules.ts';
export { type ScriptEnds, scriptByte } from './script-frame.ts';
export { runScript, ScriptFailure, type ScriptHost, scriptEnds } from './script-runner.ts';
export { packetIn, type Segment, segmentIn, sequenceBytes } from './segment.ts';
export { type End, Fate, type Hop, type Observer, opposite, type SimPort } from './sim-port.ts';
export { Purpose, streamOf } from './stream.ts';
export { newSwitchNode, type SwitchNode } from './switch-node.ts';
export { ackChecker, payloadChecker, rightEdgeChecker, tcpCheckers, windowChecker } from './tcp-checkers.ts';
export { chain, dumbbell, type NodeFactory, pair, star } from './topology.ts';
export { compareRuns, type Divergence, describe, Fnv64, formatTime, type Recording, Trace } from './trace.ts';
export { Ending, type RunOptions, type SimNode, type Socket, World, type WorldOptions } from './world.ts';
