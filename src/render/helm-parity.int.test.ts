/** Every chart of testdata/charts renders to the bytes that `helm template` of the pinned version prints. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import { after, test } from 'node:test';
import { exec } from '#base';
import { casesOf, filesIn, rawRender, readIfThere, reference, testdata } from './parity.ts';

interface CaseOptions {
  readonly releaseName?: string;
  readonly namespace?: string;
  /** Relative to the chart. */
  readonly valueFiles?: readonly string[];
  readonly values?: Readonly<Record<string, unknown>>;
  readonly crds?: 'Skip' | 'Create' | 'CreateReplace';
  readonly kubeVersion?: string;
}

const helm = await reference('helm');
const home = await mkdtemp(join(tmpdir(), 'fairlead-helm-'));
after(() => rm(home, { recursive: true, force: true }));
const cases = await casesOf('charts');

test('there are at least thirty', () => assert.ok(cases.length >= 30));

for (const name of cases) {
  test(`chart ${name}`, async () => {
    const directory = join(testdata, 'charts', name);
    // Written by us, next to the chart.
    const options = JSON.parse((await readIfThere(join(directory, 'options.json'))) ?? '{}') as CaseOptions;
    const { releaseName = 'rel', namespace = 'ns', valueFiles = [], values, crds = 'Skip', kubeVersion } = options;
    const args = ['template', releaseName, './chart', '--namespace', namespace];
    for (const file of valueFiles) args.push('--values', join('chart', file));
    if (values !== undefined) args.push('--set-json', JSON.stringify(values));
    if (crds !== 'Skip') args.push('--include-crds');
    if (kubeVersion !== undefined) args.push('--kube-version', kubeVersion);
    const env = { HOME: home, HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home };
    const real = await exec(helm, args, { cwd: directory, env, timeoutMs: 60_000, maxOutputBytes: 1_000_000 });
    assert.equal(real.exitCode, 0, real.stderr);
    const ours = await rawRender(await filesIn(directory), {
      path: 'chart',
      defaultNamespace: namespace,
      cluster: {
        name: 'c',
        labels: {},
        facts: {},
        ...(kubeVersion === undefined ? {} : { capabilities: { kubeVersion, apis: [] } }),
      },
      helm: {
        releaseName,
        valueFiles: valueFiles.map((file) => posix.join('chart', file)),
        ignoreMissingValueFiles: false,
        values: values ?? {},
        crds,
      },
    });
    assert.equal(ours.raw ?? JSON.stringify(ours.errors), real.stdout.toString('utf8'));
  });
}
