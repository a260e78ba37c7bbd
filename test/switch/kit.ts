// Frames for the tests of the switch.

import { Switch, type SwitchOptions, TAG_KEEP, TAG_POP, TAG_REPLACE } from '../../switch/switch.ts';

export const BROADCAST_MAC = 0xffffffffffff;
export const MULTICAST_MAC = 0x01005e000001;

/** A station's MAC by a small number. */
export const station = (n: number): number => 0x020000000000 + n;

export interface FrameSpec {
  readonly dst: number;
  readonly src: number;
  /** TCI of an 802.1Q tag; absent: untagged. */
  readonly tci?: number | undefined;
  readonly type?: number;
  readonly length?: number;
}

/** The bytes of a frame, at an odd offset on purpose: `at` need not be aligned. */
export const AT = 3;

export function frame({ dst, src, tci, type = 0x0800, length = 64 }: FrameSpec): DataView {
  const view = new DataView(new ArrayBuffer(AT + Math.max(length, 32)));
  const mac = (at: number, value: number): void => {
    view.setUint16(at, Math.floor(value / 2 ** 32));
    view.setUint32(at + 2, value % 2 ** 32);
  };
  mac(AT, dst);
  mac(AT + 6, src);
  let at = AT + 12;
  if (tci !== undefined) {
    view.setUint16(at, 0x8100);
    view.setUint16(at + 2, tci);
    at += 4;
  }
  view.setUint16(at, type);
  return view;
}

/** A switch whose ports are all up. */
export function newSwitch(options: SwitchOptions): Switch {
  const sw = new Switch(options);
  for (let port = 0; port < options.portsMax; port++) sw.portUp(port, 0);
  return sw;
}

/** The decision as text: `2 3:pop 4:push 10 5:tci a00a`, ports in order; empty if the frame goes nowhere. */
export function send(sw: Switch, ingress: number, spec: FrameSpec, nowUs = 0): string {
  const count = sw.forward(frame(spec), AT, spec.length ?? 64, ingress, nowUs);
  const rows = Array.from({ length: count }, (_, i) => ({ port: sw.egress[i]!, tag: sw.egressTag[i]! }));
  rows.sort((a, b) => a.port - b.port);
  return rows.map(({ port, tag }) => `${port}${tagText(tag)}`).join(' ');
}

function tagText(tag: number): string {
  if (tag === TAG_KEEP) return '';
  if (tag === TAG_POP) return ':pop';
  return tag >= TAG_REPLACE ? `:tci ${(tag - TAG_REPLACE).toString(16)}` : `:push ${tag}`;
}
