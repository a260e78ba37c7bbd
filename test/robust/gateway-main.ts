// Runs an attack on a gateway by hand: `node main.mjs NAME COUNT`.

import { ATTACKS } from './gateway-attacks.ts';

const [what = 'crowd', count = '100'] = process.argv.slice(2);
console.log(JSON.stringify(ATTACKS[what]!(Number(count)), null, 1));
