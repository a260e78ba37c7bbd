// The documents name everything that is there, and nothing else.

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DROP_NAMES } from '../core/drop.ts';
import { COMMANDS, usage } from '../engine/commands.ts';
import { parseVnl, SCHEMES } from '../plug/plug.ts';
import { ROOT } from './kit/tidy.ts';

// The formatter pads the cells of tables.
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8').replace(/ {2,}/g, ' ');
const commands = read('docs/commands.md');
const vnls = read('docs/vnl.md');
const design = read('docs/design.md');
const documents = ['README.md', 'CHANGELOG.md', 'bench/README.md'].concat(
  (readdirSync(join(ROOT, 'docs'), { recursive: true }) as string[])
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
);

describe('docs/commands.md', () => {
  test.each(COMMANDS.map(usage))('has a row for the command %s', (line) => {
    expect(commands).toContain(`| \`${line.replace(/\[(\w+)…\]/, '[$1…]')}\` |`);
  });

  test('has no row for a command that is gone', () => {
    const table = commands.slice(commands.indexOf('## The table'), commands.indexOf('## The lab file'));
    const rows = [...table.matchAll(/^\| `([^`]+)` \|/gm)].map(([, line]) => line);
    expect(rows.sort()).toEqual(COMMANDS.map(usage).sort());
  });

  test('has a row for every subcommand and names its options', () => {
    const weft = (...args: string[]): string =>
      execFileSync(process.execPath, [join(ROOT, 'dist/weft.js'), ...args], { encoding: 'utf8' });
    const [, list = ''] = /^Commands:\n([\s\S]*?)\n\n/m.exec(weft('--help')) ?? [];
    const names = [...list.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name!);
    expect(names).toContain('run');
    for (const name of names) {
      expect(commands).toContain(`\`weft ${name}`);
      if (name === 'help') continue;
      for (const [option] of weft(name, '--help').matchAll(/(?<=^ +(?:-\w, )?)--[a-z-]+/gm)) {
        if (option !== '--help') expect(commands, `weft ${name} ${option}`).toContain(option);
      }
    }
  });
});

describe('docs/vnl.md', () => {
  test.each(Object.entries(SCHEMES))('has a row for %s:// and explains its options', (scheme, rules) => {
    expect(vnls).toMatch(
      new RegExp(`^\\| \`${scheme}://\` \\| ${(rules.address ?? 'none').replace(/[[\]]/g, '\\$&')} \\|`, 'm'),
    );
    const section = sectionOf(scheme);
    for (const option of Object.keys(rules.options)) expect(section, option).toContain(`\`${option}\``);
  });

  test('knows no option that is gone', () => {
    const known = new Set(Object.values(SCHEMES).flatMap((rules) => Object.keys(rules.options)));
    const rows = [...vnls.matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)].flatMap(([, cell]) => cell!.match(/\w+/g)!);
    expect(rows.length).toBeGreaterThan(20);
    for (const option of rows) expect(known, option).toContain(option);
  });

  test.each([...vnls.matchAll(/\*\*`([^`]+)`\*\*/g)].map(([, vnl]) => vnl!))('the example %s is valid', (vnl) => {
    expect(parseVnl(vnl).scheme).toBe(vnl.split(':')[0]);
  });
});

/** The example of a scheme and its table. */
function sectionOf(scheme: string): string {
  const at = vnls.indexOf(`**\`${scheme}://`);
  expect(at).toBeGreaterThan(0);
  return vnls.slice(at, vnls.indexOf('\n\n**', at));
}

test.each(DROP_NAMES.slice(1))('docs/design.md explains the drop reason %s', (name) => {
  expect(design).toContain(`\`${name}\``);
});

test('every package has its paragraph in docs/dependencies.md, with its version', () => {
  const { dependencies, devDependencies, optionalDependencies } = JSON.parse(read('package.json'));
  const text = read('docs/dependencies.md');
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })) {
    expect(text).toContain(`**${name}** ${version}`);
  }
});

test.each(documents)('every link in %s leads somewhere', (file) => {
  for (const [, target] of read(file).matchAll(/\]\(([^)]+)\)/g)) {
    if (/^https?:/.test(target!)) continue;
    const [path = '', anchor] = target!.split('#');
    const to = path === '' ? file : join(dirname(file), path);
    expect(existsSync(join(ROOT, to)), `${file}: ${target}`).toBe(true);
    if (anchor !== undefined) expect(read(to).toLowerCase()).toContain(`\n## ${anchor.replaceAll('-', ' ')}`);
  }
});
