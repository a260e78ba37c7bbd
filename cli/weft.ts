// The subcommands and their options; each one's work is in a file of its own, loaded when it runs.

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { FailedError, UsageError } from '../core/assert.ts';
import { VERSION } from '../engine/engine.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

/** Runs the command line; resolves to the exit status: 0 done, 1 failed, 2 usage. */
export async function weft(argv: readonly string[]): Promise<number> {
  let status = 0;
  const program = describe((result) => {
    status = result;
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    if (error instanceof UsageError) {
      process.stderr.write(`weft: ${error.message}\n`);
      return EXIT_USAGE;
    }
    if (error instanceof FailedError || isSystemError(error)) {
      process.stderr.write(`weft: ${error.message}\n`);
      return EXIT_FAILED;
    }
    throw error;
  }
}

const isSystemError = (error: unknown): error is Error =>
  error instanceof Error && (error.name === 'SysError' || typeof (error as NodeJS.ErrnoException).syscall === 'string');

/** A whole number in a range, for options. */
const int =
  (min: number, max: number) =>
  (text: string): number => {
    const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`take a whole number, ${min} … ${max}.`);
  };

const octal = (text: string): number => {
  if (/^0?[0-7]{1,4}$/.test(text)) return Number.parseInt(text, 8);
  throw new InvalidArgumentError('take an octal mode as 0600.');
};

const list = (text: string, before: string[] = []): string[] => [...before, text];

function describe(done: (status: number) => void): Command {
  const program = new Command('weft')
    .description('Private Ethernets for processes, virtual machines, containers and browsers, without root.')
    .version(`weft ${VERSION}`, '-V, --version')
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(`${text.replace(/^error: /, 'weft: ').trimEnd()} See weft --help.\n`),
    })
    .enablePositionalOptions()
    .addHelpText('after', EXAMPLES);
  addNodes(program, done);
  addPlugs(program, done);
  addStack(program, done);
  addControl(program, done);
  program
    .command('run')
    .description('run a program inside a network: its own namespace, its own addresses, no root')
    .usage('[--net NET] [--ip ADDRESS/BITS …] [options] -- COMMAND [ARG …]')
    .helpOption(false)
    .allowUnknownOption();
  return program;
}

const EXAMPLES = `
Examples:
  weft up                                          bring up the default network
  weft run --ip 10.0.0.1/24 -- python3 -m http.server
  weft run --ip 10.0.0.2/24 -- curl http://10.0.0.1:8000/
  weft port --raw | tcpdump -nr -                  watch it
NET is a name from 'weft ls', a directory, or a VNL; by default $WEFT_NET, else 'default'.`;

function addNodes(program: Command, done: (status: number) => void): void {
  const common = (command: Command): Command =>
    command
      .option('-d, --daemon', 'return when it is ready and go on in the background')
      .option('--pidfile <FILE>', 'write the process number there')
      .option('--metrics <ADDRESS>', 'serve Prometheus metrics on [HOST:]PORT (loopback unless HOST is given)')
      .addOption(
        new Option('--rx-usecs <N>', 'wait between wake-ups, so that batches grow').argParser(int(0, 1000)).default(0),
      )
      .option('-q, --quiet', 'print nothing but errors');
  common(program.command('up [FILE]'))
    .description('bring up the lab in FILE (default ./weft.yaml), without one the default network')
    .action(async (file, options) => done(await (await import('./up.ts')).up(file, options)));
  common(program.command('switch [DIR]'))
    .description('one switch alone; DIR is its VDE control directory')
    .addOption(new Option('-n, --ports <N>', 'how many ports').argParser(int(1, 4095)).default(128))
    .option('-x, --hub', 'repeat every frame to every port')
    .addOption(new Option('-m, --mode <MODE>', 'permissions of the sockets').argParser(octal).default(0o600, '0600'))
    .addOption(new Option('--dirmode <MODE>', 'permissions of the directory').argParser(octal))
    .option('-g, --group <GROUP>', 'group of the sockets')
    .option('-p, --plug <VNL>', 'also open this plug (repeatable)', list)
    .addOption(new Option('--age <SECONDS>', 'forget silent stations after').argParser(int(1, 1_000_000)))
    .addOption(
      new Option('--stations <N>', 'how many to remember; frames to others are flooded').argParser(int(1, 1 << 24)),
    )
    .action(async (directory, options) => done(await (await import('./up.ts')).switchAlone(directory, options)));
  program
    .command('down [NET]')
    .description('end the node that serves a network')
    .action(async (net) => done(await (await import('./control.ts')).down(net)));
}

function addPlugs(program: Command, done: (status: number) => void): void {
  program
    .command('plug [VNL] [VNL2]')
    .description(
      'a cable between two plugs; with one VNL the other end is stdin and stdout (2-byte framing, as vde_plug)',
    )
    .option('-q, --quiet', 'print nothing but errors')
    .action(async (one, other, options) => done(await (await import('./plug.ts')).plug(one, other, options)));
  program
    .command('port [NET]')
    .description('a port as a byte stream on stdin and stdout')
    .option('--ascii', 'one line of hexadecimal text a frame, both ways')
    .option('--hexdump', 'what text2pcap reads; output only')
    .option('--raw', 'a pcap stream, both ways (the default unless stdout is a terminal)')
    .option('--print', 'one line for people a frame (the default on a terminal)')
    .option('--time', 'with --ascii: start lines with the time')
    .option('--mirror', 'see every frame of the network, not only what reaches a new port')
    .addOption(new Option('-c, --count <N>', 'end after N frames').argParser(int(1, 1e9)))
    .action(async (net, options) => done(await (await import('./port.ts')).port(net, options)));
}

function addStack(program: Command, done: (status: number) => void): void {
  program
    .command('stack [CONFIG]')
    .description("a host on weft's own TCP/IP stack, in this process; CONFIG is one line, 'eth' by default")
    .option('--net <NET>', 'the network: a name, a directory or a VNL')
    .option('-L <[BIND:]PORT:HOST:PORT>', "listen on this host's loopback, lead into the network (repeatable)", list)
    .option('-R <[BIND:]PORT:HOST:PORT>', 'listen in the network, lead to HOST as seen from here (repeatable)', list)
    .option('--echo', 'serve echo, discard and chargen in the network: ports 7, 9 and 19, TCP and UDP')
    .option('--mac <MAC>', "the host's MAC address (default: random)")
    .option('-q, --quiet', 'print nothing but errors')
    .addHelpText('after', STACK_EXAMPLES)
    .action(async (line, options) => done(await (await import('./stack.ts')).stack(line, options)));
}

const STACK_EXAMPLES = `
CONFIG: eth dhcp dhcp6 rd slaac temp eui64 auto, ip=ADDRESS/BITS gw=ADDRESS dns=ADDRESS domain=NAME mtu=BYTES, with commas.

Examples:
  weft stack --echo eth,ip=10.0.0.9/24             a host that answers pings and echoes
  weft stack -L 8080:10.0.0.2:80 eth,ip=10.0.0.9/24
                                                   http://127.0.0.1:8080/ is port 80 of a program in the network
  weft stack -R 80:127.0.0.1:8000 auto             port 80 in the network is port 8000 here`;

function addControl(program: Command, done: (status: number) => void): void {
  program
    .command('status [NET]')
    .description('what a network is and who is attached')
    .option('--json', 'for programs')
    .action(async (net, options) => done(await (await import('./control.ts')).status(net, options)));
  program
    .command('ls')
    .description('networks of this user')
    .option('--json', 'for programs')
    .action(async (options) => done(await (await import('./control.ts')).ls(options)));
  program
    .command('ctl [WORDS...]')
    .description("a command for a running node; 'weft ctl help' lists them")
    .option('--net <NET>', 'which network')
    .option('--json', 'for programs')
    .passThroughOptions()
    .action(async (words, options) => done(await (await import('./control.ts')).ctl(words, options)));
  program
    .command('events [NET]')
    .description('what happens, a JSON object a line, until interrupted')
    .action(async (net) => done(await (await import('./control.ts')).events(net)));
}
