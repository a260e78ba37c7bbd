import { dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const PROTOCOLS = ['core', 'wire', 'switch', 'stack', 'slirp', 'overlay'];
const GUESTS = ['service', 'plug', 'thread', 'sys'];

/** The import direction of the design, as code. A room may import itself and what is listed; nothing else. */
export const ROOMS: Readonly<Record<string, readonly string[]>> = {
  core: [],
  wire: ['core'],
  sys: ['core'],
  switch: ['core', 'wire'],
  stack: ['core', 'wire'],
  overlay: ['core', 'wire'],
  slirp: ['core', 'wire', 'stack', 'sys'],
  service: ['core', 'wire', 'stack', 'sys'],
  plug: ['core', 'wire', 'overlay', 'sys'],
  thread: ['core', 'wire', 'stack', 'sys'],
  engine: [...PROTOCOLS, ...GUESTS],
  sim: [...PROTOCOLS, ...GUESTS, 'engine'],
  cli: ['core', 'engine', 'sim'],
  console: ['core', 'engine'],
};

/** Packages a room may import besides `node:*` (which only `*.io.ts` may). Each has its paragraph in docs/dependencies.md. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  sys: ['koffi'],
  plug: ['ws'],
  engine: ['yaml'],
  cli: ['commander'],
};

/** Rooms whose every file may be imported from outside; the others have one front door, `room/room.ts`. */
const LIBRARIES: ReadonlySet<string> = new Set(['core', 'wire']);

/** Rooms without a single `*.io.ts`: nothing in them can touch the world. */
const NO_IO: ReadonlySet<string> = new Set(['core', 'wire', 'switch', 'stack', 'sim']);

/** Inputs that are not arguments: with one of these a run can differ from its replay. */
const AMBIENT = new RegExp(
  [
    /\b(Date\.now|performance\.now|setTimeout|setInterval|setImmediate|queueMicrotask)\b/,
    /\b(new Date\(\)|process\.|crypto\.getRandomValues|WeakRef|FinalizationRegistry|localeCompare|Intl\.)/,
    /\bMath\.(?!abs|ceil|clz32|floor|fround|imul|max|min|round|sign|sqrt|trunc)\w+/, // the rest may differ by platform
  ]
    .map((r) => r.source)
    .join('|'),
);

/** `import … from 'x'`, `export … from 'x'`; `import('x')`; `import 'x'`. */
const IMPORT = /^(?:import|export)\b[^'"]*?\bfrom\s*'([^']+)'|\bimport\s*\(\s*'([^']+)'|^import\s+'([^']+)'/gm;

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

const stripComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '');

/** What is wrong with one import, or undefined. `room` imports `source` from `file`. */
function judgeImport(file: string, room: string, source: string, isIo: boolean): string | undefined {
  if (source.startsWith('node:')) return isIo ? undefined : `imports ${source}: only *.io.ts may`;
  if (!source.startsWith('.')) {
    return PACKAGES[room]?.includes(source) ? undefined : `imports package ${source}: not in PACKAGES`;
  }
  const target = relative(ROOT, resolve(ROOT, dirname(file), source));
  const to = target.split('/')[0]!;
  if (room === 'cli' && target.endsWith('.io.ts')) return undefined; // the composition root
  if (to !== room && !ROOMS[room]!.includes(to)) return `imports ${target}: ${room}/ may not import ${to}/`;
  if (target.endsWith('.io.ts')) return isIo ? undefined : `imports ${target}: only *.io.ts may`;
  const open = to === room || LIBRARIES.has(to) || target === `${to}/${to}.ts`;
  return open ? undefined : `imports ${target}: use the front door, ${to}/${to}.ts`;
}

/** Everything wrong with one file of a room; `file` is relative to the repository. */
export function tidy(file: string, text: string): string[] {
  const room = file.split('/')[0]!;
  const isIo = file.endsWith('.io.ts') || room === 'cli';
  const code = stripComments(text);
  const errors: (string | undefined)[] = [];
  for (const [, named, dynamic, bare] of code.matchAll(IMPORT)) {
    errors.push(judgeImport(file, room, (named ?? dynamic ?? bare)!, isIo));
  }
  const ambient = AMBIENT.exec(code);
  if (ambient && !isIo) errors.push(`uses ${ambient[0]}: take it as an argument`);
  if (file.endsWith('.io.ts') && NO_IO.has(room)) errors.push(`no I/O in ${room}/`);
  if (/\b(FIXME|XXX)\b/.test(text)) errors.push('leftover FIXME or XXX');
  return errors.filter((e) => e !== undefined).map((e) => `${file}: ${e}`);
}
