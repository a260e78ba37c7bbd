// When programs hear of their sockets: after the stack's turn and never within it, one callback at a time.
//
// Between two callbacks Node lets everything run that the first one put off (`process.nextTick`, promises), and programs
// rely on it. So do they get it here: a turn is a tick, the next one is asked for when microtasks are through.

/** Who has something to tell. `turn` makes at most one callback into the program; true asks for another turn. */
export interface Teller {
  isWaiting: boolean;
  turn(): boolean;
}

/** Those who wait, in their order. */
export class Turns {
  private readonly waiting: Teller[] = [];
  private isScheduled = false;

  /** `teller` gets its turn soon; once, however often it asks. */
  ask(teller: Teller): void {
    if (teller.isWaiting) return;
    teller.isWaiting = true;
    this.waiting.push(teller);
    if (this.isScheduled) return;
    this.isScheduled = true;
    process.nextTick(this.next);
  }

  private readonly next = (): void => {
    const teller = this.waiting.shift();
    try {
      if (!teller) return;
      teller.isWaiting = false;
      if (teller.turn()) this.ask(teller);
    } finally {
      // Also when the program threw: that is its own affair, and the others wait.
      this.isScheduled = this.waiting.length > 0;
      if (this.isScheduled) queueMicrotask(this.afterMicrotasks);
    }
  };

  private readonly afterMicrotasks = (): void => process.nextTick(this.next);
}

// Node's longest timer; when it fires it is set anew.
const FOREVER_MS = 0x7fff_ffff;

/** Keeps the process alive while anything is open that a program would wait for, as libuv's active handles do. */
export class Alive {
  private readonly timer: NodeJS.Timeout;
  private count = 0;

  constructor() {
    this.timer = setInterval(() => {}, FOREVER_MS);
    this.timer.unref();
  }

  hold(): void {
    if (this.count++ === 0) this.timer.ref();
  }

  release(): void {
    if (--this.count === 0) this.timer.unref();
  }

  close(): void {
    clearInterval(this.timer);
  }
}
