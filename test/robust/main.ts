// Runs a campaign or an attack by hand: `node main.mjs SEED COUNT`, `node main.mjs NAME COUNT`.

import { Campaign } from './campaign.ts';
import { FLOODS } from './floods.ts';

const [what = '1', count = '1000000'] = process.argv.slice(2);
const flood = FLOODS[what];
const report = flood ? flood(Number(count)) : new Campaign(Number(what)).run(Number(count));
console.log(JSON.stringify(report, null, 1));
