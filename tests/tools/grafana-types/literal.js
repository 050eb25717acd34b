// Writes a dashboard as TypeScript in which the compiler compares every part with Grafana's own types:
//
//   node literal.js DASHBOARD.json > dashboard.ts
//
// Grafana's types say nothing of a panel's options by its type, so those are compared one by one.
const fs = require('fs');

const dashboard = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const literal = (value) => JSON.stringify(value, null, 1);
const kinds = { stat: 'Stat', timeseries: 'TimeSeries' };
const panels = 'dist/esm/raw/composable';

console.log(`import type { Dashboard, Panel, RowPanel } from '@grafana/schema';
import type * as Stat from '@grafana/schema/${panels}/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as TimeSeries from '@grafana/schema/${panels}/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// An enum of strings takes no string as it stands in JSON.
type Json<T> = T extends string ? \`\${T}\` : T extends (infer U)[] ? Json<U>[]
  : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
export const dashboard: Json<Omit<Dashboard, 'panels'>> = ${literal({ ...dashboard, panels: undefined })};`);
for (const panel of dashboard.panels) {
  if (panel.type === 'row') {
    console.log(`export const panel${panel.id}: Json<RowPanel> = ${literal(panel)};`);
    continue;
  }
  const kind = kinds[panel.type];
  if (!kind) throw new Error(`panel ${panel.id} is of type ${panel.type}, whose options are not compared here yet`);
  console.log(`export const panel${panel.id}: Json<Panel> = ${literal(panel)};`);
  console.log(`export const options${panel.id}: Json<${kind}.Options> = ${literal(panel.options)};`);
  const { custom } = panel.fieldConfig.defaults;
  if (custom) console.log(`export const custom${panel.id}: Json<${kind}.FieldConfig> = ${literal(custom)};`);
}
