// Runs a campaign or an attack on a gateway by hand: `node main.mjs SEED COUNT`, `node main.mjs NAME COUNT`.

import { ATTACKS } from './gateway-attacks.ts';
import { GatewayCampaign } from './gateway-campaign.ts';

const [what = '1', count = '1000000'] = process.argv.slice(2);
const attack = ATTACKS[what];
const report = attack ? attack(Number(count)) : new GatewayCampaign(Number(what)).run(Number(count));
console.log(JSON.stringify(report, null, 1));
