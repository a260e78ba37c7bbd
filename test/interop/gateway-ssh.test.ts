// OpenSSH and git in `weft run` by an ordinary user, against sshd, git over HTTP and git over SSH outside.

import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { content, DISTANT4, DISTANT6, Outside, sha256 } from '../kit/distant-kit.ts';
import { eventually, PATIENT } from '../kit/weft-kit.ts';

const USER = 12345; // "traveller", whom only the server knows
const FILE_BYTES = 3_000_000;
const file = content(FILE_BYTES);

let outside: Outside | undefined;

beforeEach(async (ctx) => {
  Outside.need(ctx, 'ssh', 'ssh-keygen', '/usr/sbin/sshd', 'git', 'sha256sum');
  outside ??= await start();
}, 60_000);
afterAll(() => outside?.close(), 30_000);

async function start(): Promise<Outside> {
  const made = await Outside.make();
  try {
    await made.home.sh('ssh-keygen -q -t ed25519 -N "" -f key');
    await startSshd(made);
    makeRepository(made);
    await made.distant.script(GIT_HTTP, join(made.distant.directory, 'home'));
    await made.home.engine('up');
  } catch (error) {
    await made.close();
    throw error;
  }
  return made;
}

/** An sshd with a user of its own, who exists in the server's mount namespace only. */
async function startSshd({ world, distant, home }: Outside): Promise<void> {
  const { directory, inside } = distant;
  const here = (name: string): string => join(directory, name);
  mkdirSync(here('home'));
  chownSync(here('home'), USER, USER);
  const lines = [
    `cp /etc/passwd ${here('passwd')}`,
    `echo traveller:x:${USER}:${USER}::${here('home')}:/bin/sh >> ${here('passwd')}`,
    `mount --bind ${here('passwd')} /etc/passwd`,
    'mount -t tmpfs tmpfs /run; mkdir -p /run/sshd',
    `cp ${home.file('key.pub')} ${here('authorized')}; chmod 644 ${here('authorized')}`,
    `ssh-keygen -q -t ed25519 -N '' -f ${here('host-key')}`,
    `{ echo -n '* '; cat ${here('host-key.pub')}; } > ${here('known-hosts')}; chmod 644 ${here('known-hosts')}`,
  ];
  world.run(inside, lines.join('\n'));
  const options = {
    Port: '22',
    HostKey: here('host-key'),
    AuthorizedKeysFile: here('authorized'),
    StrictModes: 'no',
    UsePAM: 'no',
    PasswordAuthentication: 'no',
    PidFile: 'none',
    PrintMotd: 'no',
  };
  writeFileSync(
    here('sshd'),
    Object.entries(options)
      .map((pair) => `${pair.join(' ')}\n`)
      .join(''),
  );
  const sshd = distant.serve('/usr/sbin/sshd', '-D', '-e', '-f', here('sshd'));
  await eventually('sshd', () => {
    if (sshd.child.exitCode !== null) throw new Error(`sshd: ${sshd.stderr}`);
    return sshd.stderr.match(/listening on/g)?.length === 2;
  });
}

/** A repository with a file that nothing compresses, and some history. */
function makeRepository({ world, distant }: Outside): void {
  writeFileSync(join(distant.directory, 'file'), file);
  const git = 'git -c user.name=traveller -c user.email=traveller@distant.test';
  const lines = [
    `cd ${distant.directory}/home; export HOME=$PWD`,
    'git init -q -b main work; cd work; cp ../../file .; git add file',
    `${git} commit -q -m first; for n in 1 2 3; do echo $n > small; git add small; ${git} commit -q -m $n; done`,
    'cd ..; git clone -q --bare work depot.git; cd depot.git; git update-server-info',
  ];
  world.run(
    [...distant.inside, 'setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--clear-groups', '--'],
    lines.join('\n'),
  );
}

// Port 80 speaks git's own protocol; port 81 has nothing but the files.
const GIT_HTTP = `
const { createServer } = require('node:http');
const { spawn } = require('node:child_process');
const { createReadStream, statSync } = require('node:fs');
const [, root] = process.argv;
const smart = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://x');
  const env = {
    ...process.env, HOME: root, GIT_PROJECT_ROOT: root, GIT_HTTP_EXPORT_ALL: '1', PATH_INFO: pathname,
    QUERY_STRING: searchParams.toString(), REQUEST_METHOD: request.method,
    GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*',
    CONTENT_TYPE: request.headers['content-type'] ?? '', GIT_PROTOCOL: request.headers['git-protocol'] ?? '',
    HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
  };
  const git = spawn('git', ['http-backend'], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  request.pipe(git.stdin);
  let head = Buffer.alloc(0);
  git.stdout.on('data', function take(data) {
    head = Buffer.concat([head, data]);
    const end = head.indexOf('\\r\\n\\r\\n');
    if (end < 0) return;
    git.stdout.off('data', take);
    const headers = head.subarray(0, end).toString('latin1').split('\\r\\n').map((line) => line.split(': '));
    const status = headers.find(([name]) => name === 'Status');
    response.writeHead(status ? parseInt(status[1]) : 200, Object.fromEntries(headers.filter(([name]) => name !== 'Status')));
    response.write(head.subarray(end + 4));
    git.stdout.pipe(response);
  });
});
const plain = createServer((request, response) => {
  const path = root + new URL(request.url, 'http://x').pathname;
  const found = statSync(path, { throwIfNoEntry: false })?.isFile();
  response.writeHead(found ? 200 : 404);
  if (found) createReadStream(path).pipe(response);
  else response.end();
});
plain.httpAllowHalfOpen = true;
smart.listen(80, '::', () => plain.listen(81, '::', () => console.log('serving')));
`;

describe.each([
  { family: 'IPv4', digit: 4, distant: DISTANT4, literal: DISTANT4 },
  { family: 'IPv6', digit: 6, distant: DISTANT6, literal: `[${DISTANT6}]` },
])('$family', PATIENT, ({ digit, distant, literal }) => {
  const ssh = () =>
    [
      `ssh -F none -${digit} -i ${outside!.home.file('key')} -o BatchMode=yes -o IdentitiesOnly=yes`,
      `-o UserKnownHostsFile=${outside!.distant.directory}/known-hosts -o GlobalKnownHostsFile=/dev/null`,
    ].join(' ');

  test('ssh logs in, by address and by name, with a terminal and a status', async () => {
    for (const host of [distant, 'distant.test']) {
      const { status, stdout, stderr } = await outside!.ended(
        `${ssh()} traveller@${host} 'id -un; echo $SSH_CONNECTION; exit 7'`,
      );
      expect({ status, stderr }).toEqual({ status: 7, stderr: '' });
      expect(stdout).toMatch(
        new RegExp(`^traveller\n${digit === 4 ? '198.51.100.1' : '2001:db8:1::1'} \\d+ ${distant} 22\n$`),
      );
    }
    expect(await outside!.run(`${ssh()} -tt traveller@${distant} tty 2>/dev/null`)).toMatch(/^\/dev\/pts\/\d+\r\n$/);
  });

  test('ssh carries bytes both ways unharmed, and leads to a port there', async () => {
    const sum = `${sha256(file)}  -\n`;
    const pass = `${ssh()} traveller@${distant} cat < ${outside!.distant.directory}/file | sha256sum`;
    expect(await outside!.run(pass)).toBe(sum);
    const page = `printf 'GET /depot.git/HEAD HTTP/1.0\\r\\n\\r\\n' | ${ssh()} -W localhost:81 traveller@${distant}`;
    expect(await outside!.run(page)).toMatch(/^HTTP\/1\.1 200 [\s\S]*\nref: refs\/heads\/main\n$/);
  });

  test.each([
    { way: 'http', url: () => `http://${literal}/depot.git` },
    { way: 'http, by name', url: () => 'http://distant.test/depot.git' },
    { way: 'http without a server of git', url: () => `http://${literal}:81/depot.git` },
    { way: 'ssh', url: () => `ssh://traveller@${literal}${outside!.distant.directory}/home/depot.git` },
  ])('git clones over $way', async ({ way, url }) => {
    const to = outside!.home.file(`${digit}-${way.replaceAll(' ', '-')}`);
    const line = [
      `export GIT_SSH_COMMAND='${ssh()}'`,
      `git clone -q ${url()} ${to}`,
      `cd ${to}`,
      'git log --format=%s',
      'sha256sum < file',
    ];
    expect(await outside!.run(line.join(' && '))).toBe(`3\n2\n1\nfirst\n${sha256(file)}  -\n`);
  });
});
