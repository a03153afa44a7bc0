/**
 * The hostile inputs H1 to H37 of the threat list, all in one place. What concerns Git is tried here; for the rest stands the
 * test that tries it, by file and name, and this test fails when that test is gone. What is not applicable says why.
 */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { access, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { say } from '#api';
import { FairleadError } from '#base';
import type { GitContent } from '#testbed';
import { wantedRef } from './references.ts';
import { checkUrl } from './source-url.ts';
import { gitHarness, type GitHarness } from './testing/harness.ts';

const root = resolve(import.meta.dirname, '..', '..', '..');

/** What a person reads when something of a repository is refused. */
async function wordsOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof FairleadError, 'nothing was refused');
  return say({ code: error.code, args: error.details });
}

/** Files of a repository, read below `app`; `beside` is read as well and must not be touched by what is wrong there. */
async function readApp(h: GitHarness, files: Readonly<Record<string, GitContent>>, limits = {}): Promise<string> {
  const repo = `r${(repositories += 1)}`;
  await h.server.createRepo(repo);
  await h.server.commit(repo, { ...files, 'beside/a.yaml': 'a: 1\n' }, 'hostile');
  const mirror = h.mirror(repo);
  const { commit } = await h.fetch(mirror, repo);
  const reader = h.reader(mirror, commit, limits);
  const words = await wordsOf(reader.list('app').then((found) => reader.read(found)));
  const beside = await reader.list('beside');
  assert.equal((await reader.read(beside)).size, 1, 'what lies beside is read');
  return words;
}

let repositories = 0;

type Row =
  | { readonly what: string; readonly tried: (h: GitHarness) => Promise<void> }
  /** A file and (part of) the name of a test in it. */
  | { readonly what: string; readonly by: readonly (readonly [file: string, test: string])[] }
  | { readonly what: string; readonly notApplicable: string };

const hostile = 'src/plane/sources/hostile.int.test.ts';
const render = 'src/render/hostile.int.test.ts';
const refusals = 'src/agent/refusals.int.test.ts';

const table: Readonly<Record<string, Row>> = {
  H1: {
    what: 'a symbolic link to /etc/passwd',
    tried: async (h) =>
      assert.match(await readApp(h, { 'app/a.yaml': { symlink: '/etc/passwd' } }), /^app\/a\.yaml is a symbolic link/),
  },
  H2: {
    what: 'a chain and a loop of symbolic links',
    tried: async (h) =>
      assert.match(await readApp(h, { 'app/a': { symlink: 'b' }, 'app/b': { symlink: 'a' } }), /^app\/a is a symbolic link/),
  },
  H3: {
    what: 'a directory swapped for a link between check and use',
    async tried(h) {
      assert.match(await readApp(h, { 'real/a.yaml': 'a: 1', app: { symlink: 'real' } }), /^app is a symbolic link/);
      // There is nothing to swap: no file of a repository is ever on disk under a name of its own.
      const onDisk = await readdir(join(h.dir, `r${repositories}.git`), { recursive: true });
      assert.deepEqual(
        onDisk.filter((name) => /a\.yaml|app|beside/.test(name)),
        [],
      );
    },
  },
  H4: {
    what: '.., absolute and drive paths',
    by: [
      [hostile, 'a path that climbs, or asks git a second question, does not exist'],
      ['src/render/check-request.test.ts', 'file name ${JSON.stringify(name.slice(0, 20))} is refused'],
    ],
  },
  H5: {
    what: 'file names with line breaks, NUL, 4 KB, invalid UTF-8, reversed direction',
    by: [[hostile, 'a link, a submodule, a pointer or an unreadable name is one sentence that names the file']],
  },
  H6: {
    what: 'a submodule to file:// or ext::',
    async tried(h) {
      const marker = join(h.dir, 'submodule-ran');
      for (const url of ['file:///etc', `ext::sh -c "touch ${marker}"`]) {
        const modules = `[submodule "sub"]\n\tpath = app/sub\n\turl = ${url}\n`;
        const files = { '.gitmodules': modules, 'app/sub': { submodule: '1'.repeat(40) } };
        assert.match(
          await readApp(h, files),
          /^app\/sub is a submodule, which is not read; put an ordinary file there, or move it out/,
        );
      }
      await assert.rejects(access(marker));
    },
  },
  H7: {
    what: 'addresses that are options, commands or carry credentials; protocol.ext.allow in any case',
    async tried(h) {
      const marker = join(h.dir, 'address-ran');
      for (const url of [
        `--upload-pack=touch ${marker}`,
        `ext::sh -c "touch ${marker}"`,
        'https://user:pass@h/x',
        'HTTPS://h/x?y',
        `ssh://-oProxyCommand=touch@h/x`,
      ]) {
        assert.ok(!checkUrl(url, { allowFileUrls: true, allowHttp: true }).ok, url);
      }
      // Should one get as far as git.
      for (const config of [[], [['PROTOCOL.ext.allow', 'always'] as const]]) {
        const args = ['ls-remote', '--end-of-options', `ext::sh -c "touch ${marker}"`];
        const result = await h.git.run(args, { timeoutMs: 10_000, maxOutputBytes: 4_096, config });
        assert.notEqual(result.exitCode, 0);
        assert.match(result.stderr, /transport 'ext' not allowed/);
      }
      await assert.rejects(access(marker));
    },
  },
  H8: {
    what: 'branches named like options or paths',
    async tried(h) {
      for (const branch of [
        '-c core.sshCommand=touch',
        '--upload-pack=x',
        '../../x',
        'a/../../x',
        'a..b',
        'a b',
        'a\nb',
        '@{u}',
        'x.lock',
        ':x',
      ]) {
        assert.equal(wantedRef({ branch }), undefined, branch);
        assert.equal(wantedRef({ tag: branch }), undefined, branch);
      }
      assert.match(
        await wordsOf(h.fetch(h.mirror(), 'none', { branch: '-x' })),
        /has no branch -x; push it, or correct spec\.ref/,
      );
    },
  },
  H9: {
    what: 'a Git LFS pointer to an internal host',
    async tried(h) {
      const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n';
      const files = { '.lfsconfig': '[lfs]\n\turl = http://169.254.169.254/\n', 'app/big.yaml': pointer };
      assert.match(
        await readApp(h, files),
        /^app\/big\.yaml is a Git LFS pointer, which is not read; put an ordinary file there/,
      );
    },
  },
  H10: {
    what: 'pack bomb, a million refs, a blob of gigabytes, 200,000 files',
    async tried(h) {
      const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`app/${i % 20}/${i}.yaml`, 'a: 1']));
      assert.match(
        await readApp(h, many, { files: 250 }),
        /over a limit: the number of files under app is more than 250, allowed 250; make it smaller/,
      );
      assert.match(
        await readApp(h, { 'app/zeros.yaml': Buffer.alloc(20 << 20) }),
        /app\/zeros\.yaml, in bytes, is 20971520, allowed 8388608/,
      );
      await h.server.createRepo('refs');
      const commit = await h.server.commit('refs', { a: '1' }, 'one');
      const refs = Array.from({ length: 3_000 }, (_, i) => `create refs/tags/v1.0.${i} ${commit}\n`).join('');
      await h.server.git('refs', ['update-ref', '--stdin'], refs);
      const words = await wordsOf(h.fetch(h.mirror('refs', { listingBytes: 100_000 }), 'refs', { semver: '^1' }));
      assert.match(words, /over a limit: the list of tags, in bytes, is more than 100000, allowed 100000/);
      // Whom the list does not concern, it does not cost: one reference is asked for by name.
      const before = h.server.counters().bytes;
      await h.fetch(h.mirror('branch', { listingBytes: 100_000 }), 'refs');
      assert.ok(h.server.counters().bytes - before < 5_000);
    },
  },
  H11: {
    what: 'a redirect to another host',
    by: [
      ['src/plane/sources/mirror.int.test.ts', 'a credential is not sent to another origin, and a redirect is not followed'],
      [
        'src/plane/fetch/fetcher.int.test.ts',
        'a credential goes to its origin only, and a redirect elsewhere is followed without it',
      ],
    ],
  },
  H12: {
    what: 'archives with absolute, climbing, linked, device and sparse entries; zip bombs',
    // Nothing of a Git source is an archive; charts are.
    by: [
      [
        'src/plane/sources/charts/chart-archive.test.ts',
        'hostile archives are refused, and the sentence names the file and what is wrong',
      ],
    ],
  },
  H13: {
    what: 'hooks, filters and configuration in a repository',
    by: [
      [hostile, 'hooks, filters and configuration of a repository do nothing (H13)'],
      [hostile, 'objects that break the rules of Git do not come in (H6, H13)'],
    ],
  },
  H14: {
    what: 'alias bomb',
    by: [
      [render, 'H14 alias bomb'],
      [render, 'H14 alias cycle'],
    ],
  },
  H15: { what: 'quadratic merges', by: [[render, 'H15 quadratic merges']] },
  H16: {
    what: 'depth 10,000',
    by: [
      [render, 'H16 depth 10,000, flow'],
      [render, 'H16 depth 10,000, block'],
    ],
  },
  H17: {
    what: 'a huge document, 100,000 documents',
    by: [
      [render, 'H17 100,000 documents'],
      [render, 'H17 a long document'],
    ],
  },
  H18: { what: 'duplicate keys', by: [[render, 'H18 duplicate keys']] },
  H19: {
    what: '__proto__ and constructor as keys',
    by: [
      ['src/render/manifests.int.test.ts', 'keys are sorted, numbers exact, text as written'],
      ['src/kube/inject.fuzz.test.ts', '__proto__'],
    ],
  },
  H20: {
    what: 'tags such as !!js/function',
    by: [
      [render, 'H20 a tag of JavaScript'],
      [render, 'H20 !!binary'],
    ],
  },
  H21: {
    what: 'YAML 1.1: no, 012, 1e3, sexagesimal, huge integers, NaN',
    by: [
      [render, 'H21 not a number, infinity'],
      ['src/render/kubectl.int.test.ts', 'bodies are what kubectl reads'],
    ],
  },
  H22: {
    what: 'invalid UTF-8, byte order mark, CRLF, tabs',
    by: [
      [render, 'H22 invalid UTF-8'],
      [render, 'H22 a tab as indentation'],
    ],
  },
  H23: {
    what: 'objects over 1.5 MB, long names, lists, no kind',
    by: [
      [render, 'H23 object over 1.5 MB'],
      [render, 'H23 no kind'],
    ],
  },
  H24: {
    what: 'generateName, status, managedFields, resourceVersion, ownerReferences in Git',
    by: [
      [render, 'H24 generateName'],
      [render, 'H24 what the API server sets'],
    ],
  },
  H25: {
    what: 'templates without end, in time or memory',
    by: [
      ['src/render/children.int.test.ts', 'a render past its deadline is killed, and the next one works'],
      ['src/render/children.int.test.ts', 'the module stops at its memory maximum, which names the file'],
    ],
  },
  H26: {
    what: 'lookup, getHostByName, env, files outside of the chart',
    by: [
      ['src/render/children.int.test.ts', 'a child has no environment, no socket, no file of ours, and may not open any'],
      [
        'src/render/module.int.test.ts',
        'the module wants nothing but functions of preview 1, and whatever is about files is not there',
      ],
      [
        'src/render/helm.int.test.ts',
        'what a template asks of the cluster is answered from the cluster, and is all that is recorded of it',
      ],
    ],
  },
  H27: {
    what: 'dependencies at internal addresses, mapped IPv6, DNS rebinding',
    by: [
      ['src/plane/sources/sources.int.test.ts', 'a name is resolved once, by the plane, and what it may not connect to is named'],
      ['src/plane/fetch/guarded-connect.int.test.ts', 'a name whose addresses are refused is not connected to'],
      [
        'src/plane/sources/charts/charts.int.test.ts',
        'addresses are checked for repositories too, and a wrong password is told apart',
      ],
      [
        'src/plane/sources/remote/resolve-references.int.test.ts',
        'a dependency that is out of step, moved, forbidden or nowhere is a sentence',
      ],
    ],
  },
  H28: {
    what: 'a values schema with a remote $ref, links in a chart: a render has neither network nor files',
    by: [['src/render/module.int.test.ts', 'the clock stands at the commit, sleeping takes no time, files are not there']],
  },
  H29: {
    what: 'remote bases, exec plugins, cyclic bases of Kustomize',
    by: [
      ['src/render/kustomize.int.test.ts', 'errors name a file, say what is missing, and repeat no literal of a secret'],
      ['src/render/children.int.test.ts', 'a child has no environment, no socket, no file of ours, and may not open any'],
    ],
  },
  H30: { what: 'a Terraform plan that runs programs', notApplicable: 'the plane runs no plans' },
  H31: {
    what: 'two applications claim one object',
    by: [
      ['src/testbed/e2e/bad-input.int.test.ts', 'FL_CLAIM_CONFLICT'],
      ['src/agent/adoption.int.test.ts', 'an owner mark of another tool is refused and named, and the other objects go on'],
    ],
  },
  H32: {
    what: 'objects in forbidden namespaces, forbidden cluster kinds',
    by: [[refusals, 'limits of the Project: nothing is applied while one object is outside of them']],
  },
  H33: {
    what: 'labels of a namespace that weaken Pod Security',
    by: [[refusals, 'limits of the Project: nothing is applied while one object is outside of them']],
  },
  H34: {
    what: 'a definition and its objects in one bundle; a definition removed',
    by: [
      [refusals, 'a missing kind waits for its definition, and goes on as soon as it is there'],
      ['src/agent/removal.int.test.ts', 'a protected kind stays without a waiver, the rest goes'],
    ],
  },
  H35: {
    what: 'an empty render of what was not empty',
    by: [
      [
        'src/testbed/e2e/nothing-deleted-unasked.int.test.ts',
        'an empty render, an emptied, a force-pushed and a lost branch delete nothing',
      ],
      ['src/agent/removal.int.test.ts', 'an empty bundle counts fully against the budget'],
    ],
  },
  H36: {
    what: 'two objects of one name; a change of what cannot change',
    by: [
      [render, 'one object twice, also in two versions'],
      [refusals, 'an immutable field, an invalid object, a denied one: each with its reason, and the rest is applied'],
    ],
  },
  H37: {
    what: 'a webhook configuration that would block the agent',
    by: [[refusals, 'limits of the Project: nothing is applied while one object is outside of them']],
  },
};

test('the table is complete', () => {
  assert.deepEqual(
    Object.keys(table),
    Array.from({ length: 37 }, (_, i) => `H${i + 1}`),
  );
});

for (const [id, row] of Object.entries(table)) {
  if ('tried' in row) {
    test(`${id} ${row.what}`, async () => {
      await using h = await gitHarness();
      await row.tried(h);
    });
  } else if ('by' in row) {
    test(`${id} ${row.what}: tried elsewhere`, () => {
      for (const [file, name] of row.by) {
        assert.ok(existsSync(join(root, file)), `${file} is gone`);
        assert.ok(readFileSync(join(root, file), 'utf8').includes(name), `${file} has no test "${name}"`);
      }
    });
  } else test(`${id} ${row.what}: not applicable, ${row.notApplicable}`, () => assert.ok(row.notApplicable.length > 10));
}

test('numbers that other tests give are in the table', () => {
  const beyond = new Set(['H38']);
  for (const file of globSync('src/**/*.test.ts', { cwd: root })) {
    for (const [id] of readFileSync(join(root, file), 'utf8').matchAll(/\bH[1-9]\d?\b/g)) {
      if (Number(id.slice(1)) <= 37) assert.ok(id in table, `${file}: ${id}`);
      else assert.ok(beyond.has(id) || Number(id.slice(1)) <= 48, `${file}: ${id} is in no list`);
    }
  }
});
