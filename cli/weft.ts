// The subcommands and their options; each one's work is in a file of its own, loaded when it runs.

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { FailedError, UsageError } from '../core/assert.ts';
import { VERSION } from '../engine/engine.ts';
import { GATEWAY_OPTIONS, RENAMED } from './slirp-options.ts';

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
  addSlirp(program, done);
  addGateway(program, done);
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
  weft run -- curl http://example.org/             a program in it, which reaches the outside by its gateway
  weft run --ip 10.0.2.9/24 -- python3 -m http.server
  weft forward add 8080:10.0.2.9:8000              http://127.0.0.1:8080/ is that server
  weft port --raw | tcpdump -nr -                  watch it
NET is a name from 'weft ls', a directory, or a VNL; by default $WEFT_NET, else 'default'.`;

/** What every node that stays takes. */
const nodeOptions = (command: Command): Command =>
  command
    .option('-d, --daemon', 'return when it is ready and go on in the background')
    .option('--pidfile <FILE>', 'write the process number there')
    .option('--metrics <ADDRESS>', 'serve Prometheus metrics on [HOST:]PORT (loopback unless HOST is given)')
    .addOption(
      new Option('--rx-usecs <N>', 'wait between wake-ups, so that batches grow').argParser(int(0, 1000)).default(0),
    )
    .option('-q, --quiet', 'print nothing but errors');

function addNodes(program: Command, done: (status: number) => void): void {
  nodeOptions(program.command('up [FILE]'))
    .description('bring up the lab in FILE (default ./weft.yaml), without one the default network with its gateway')
    .option('--gateway <OPTIONS>', "the default network's gateway, as behind slirp:///: mtu=9000/allow=127.0.0.1:5432")
    .option('--no-gateway', 'the default network is closed')
    .action(async (file, options) => done(await (await import('./up.ts')).up(file, options)));
  nodeOptions(program.command('switch [DIR]'))
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

function addSlirp(program: Command, done: (status: number) => void): void {
  const command = nodeOptions(program.command('slirp [NET]'))
    .description('one gateway alone, joined to NET by a plug: guests reach the outside, and are reached by forwards')
    .option('--name <NAME>', "what it is called: 'weft flows NAME', 'weft down NAME'", 'slirp');
  for (const [key, [kind, help]] of Object.entries(GATEWAY_OPTIONS)) {
    const name = RENAMED[key] ?? key;
    const option = name.length === 1 ? `-${name}` : `--${name}`;
    if (kind === 'flag') command.option(option, help);
    else if (kind === 'list') command.option(`${option} <VALUE>`, `${help} (repeatable)`, list);
    else command.option(`${option} <VALUE>`, help);
  }
  command.action(async (net, options) => done(await (await import('./slirp.ts')).slirp(net, options)));
}

function addGateway(program: Command, done: (status: number) => void): void {
  const asking = (command: Command): Command =>
    command.option('--net <NET>', 'which network, or the name of a gateway alone').option('--json', 'for programs');
  const forward = program.command('forward').description("ports that lead through a network's gateway: add, ls, rm");
  asking(forward.command('add <SPEC>'))
    .description(
      '[tcp:|udp:][BIND:]PORT[-PORT]:GUEST:PORT or unix:/PATH:GUEST:PORT: a port of this host leads to a guest',
    )
    .option(
      '-R, --reverse',
      '[BIND:]PORT:HOST:PORT or PORT:unix:/PATH: a port of the gateway leads to a place of the host',
    )
    .option('--keep-source', "the guest sees the client's own address")
    .action(async (spec, options) => done(await (await import('./gateway.ts')).addForward(spec, options)));
  asking(forward.command('ls'))
    .description('what is forwarded')
    .action(async (options) => done(await (await import('./gateway.ts')).listForwards(options)));
  asking(forward.command('rm <ID>'))
    .description('end a forward; its connections go on')
    .action(async (id, options) => done(await (await import('./gateway.ts')).removeForward(id, options)));
  program
    .command('flows [NET]')
    .description("what flows through a network's gateway")
    .option('--guest <ADDRESS>', 'of one guest only')
    .option('--json', 'for programs')
    .action(async (net, options) => done(await (await import('./gateway.ts')).flows(net, options)));
  program
    .command('leases [NET]')
    .description('who has which address of a network with a gateway')
    .option('--json', 'for programs')
    .action(async (net, options) => done(await (await import('./gateway.ts')).leases(net, options)));
}

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
