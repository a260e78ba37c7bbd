// Runs a campaign by hand: `node main.js SEED COUNT`.

import { Campaign } from './campaign.ts';

const [seed = '1', count = '1000000'] = process.argv.slice(2);
const report = new Campaign(Number(seed)).run(Number(count));
console.log(JSON.stringify({ seed, ...report }, null, 1));
