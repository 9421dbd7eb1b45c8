// Writes what users read about the API: control/api/openapi.json and control/api/METRICS.md. --check only compares.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { API_DOCUMENTS } from './lib/api_documents.ts';
import { firstDifference } from './lib/difference.ts';

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
process.chdir(new URL('..', import.meta.url).pathname);

for (const document of API_DOCUMENTS) {
  const text = await document.text();
  const committed = existsSync(document.path) ? readFileSync(document.path, 'utf8') : '';
  const difference = firstDifference(committed, text);
  if (difference === undefined) continue;
  if (values.check) {
    console.error(`${document.path} is not what the API says now:\n${difference}\nfix: npm run generate`);
    process.exitCode = 1;
  } else {
    writeFileSync(document.path, text);
    console.log(`wrote ${document.path}`);
  }
}
