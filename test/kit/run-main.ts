// The smallest command around `weft run`, so that its tests need no other piece.
import { run } from '../../cli/run.ts';

process.exitCode = await run(process.argv.slice(2));
