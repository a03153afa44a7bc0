#!/usr/bin/env node
// `fairlead …` from a checkout: the command line with the pinned Node, in the caller's directory.
import { fileURLToPath } from 'node:url';
import { dirname, join } from 'node:path';

process.argv.splice(2, 0, 'fairlead');
process.argv[1] = join(dirname(fileURLToPath(import.meta.url)), 'run.mjs');
await import('./run.mjs');
