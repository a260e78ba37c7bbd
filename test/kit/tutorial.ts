// The commands of README.md as a test runs them, and how to compare what they print.

/** One ```sh tutorial=NAME block. */
export interface Lesson {
  readonly name: string;
  /** Programs that it needs: `needs=a,b` in the head of its block. */
  readonly needs: readonly string[];
  readonly script: string;
  /** The lines of the ```text block behind it, if that is the next block. */
  readonly expected: readonly string[];
}

const FENCE = /^```(.*)\n([\s\S]*?)^```$/gm;

/** The lessons of a Markdown text, in its order. */
export function lessonsOf(markdown: string): Lesson[] {
  const blocks = [...markdown.matchAll(FENCE)].map(([, head = '', body = '']) => ({ head: head.split(/\s+/), body }));
  return blocks.flatMap(({ head, body }, i) => {
    const [language, ...attributes] = head;
    const { tutorial, needs } = Object.fromEntries(attributes.map((attribute) => attribute.split('=')));
    if (language !== 'sh' || tutorial === undefined) return [];
    const next = blocks[i + 1];
    const expected = next?.head[0] === 'text' ? next.body.split('\n').filter((line) => line.trim() !== '') : [];
    return [{ name: tutorial as string, needs: needs ? needs.split(',') : [], script: body, expected }];
  });
}

/**
 * The first expected line that is missing in `output`, or undefined. Lines must come in this order, others may stand between
 * them; `...` stands for any text, blanks for any blanks. A line `...` alone is for the reader.
 */
export function missingLine(expected: readonly string[], output: string): string | undefined {
  const lines = output.split('\n');
  let at = 0;
  for (const line of expected) {
    if (line.trim() === '...') continue;
    const pattern = patternOf(line);
    while (at < lines.length && !pattern.test(lines[at]!)) at++;
    if (at === lines.length) return line;
    at++;
  }
  return undefined;
}

function patternOf(line: string): RegExp {
  const parts = line
    .trim()
    .split('...')
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/\s+/g, '\\s+'));
  return new RegExp(`^\\s*${parts.join('.*')}\\s*$`);
}
