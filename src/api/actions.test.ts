import assert from 'node:assert/strict';
import { test } from 'node:test';
import { actionFor } from './actions.ts';
import { argumentsOf, reasons } from './reasons.ts';

const about = { project: 'shop', application: 'web', cluster: 'eu' };
const commandOf = (code: string, args: Readonly<Record<string, string>> = {}): string =>
  actionFor({ code, args, ...about }).command;

test('every reason has one action, whose command names what it is about, with all of its arguments or none', () => {
  for (const code of Object.keys(reasons)) {
    const full = Object.fromEntries(
      argumentsOf(code).map((name) => [name, name === 'object' ? 'Deployment shop/web' : `a-${name}`]),
    );
    for (const args of [{}, full]) {
      const { words, command } = actionFor({ code, args, ...about });
      assert.match(
        command,
        /^(fairlead (why|enroll|resume|reconcile|plane) |kubectl (annotate|edit|patch|describe|logs|get) )/,
        `${code}: ${command}`,
      );
      assert.ok(words.length > 0 && !/undefined|''|  | $/.test(command), `${code}: ${command}`);
    }
    // Of a cluster or an application alone it is as whole.
    for (const subject of [{ cluster: 'eu' }, { application: 'web' }]) {
      const { command } = actionFor({ code, args: full, project: 'shop', ...subject });
      assert.ok(!/undefined|''|  | $/.test(command), `${code}: ${command}`);
    }
  }
});

test('what waits for a person is never answered with a mere look where the reason names what lifts it', () => {
  for (const [code, definition] of Object.entries(reasons)) {
    const next = 'next' in definition ? definition.next : '';
    const lifts = /(fairlead (?:resume|enroll|plane adopt|reconcile)|kubectl annotate --overwrite \w+)/.exec(next)?.[1];
    if (lifts === undefined) continue;
    const args = Object.fromEntries(argumentsOf(code).map((name) => [name, `a-${name}`]));
    assert.ok(commandOf(code, args).startsWith(lifts), `${code} says "${lifts}" and offers ${commandOf(code, args)}`);
  }
});

test('what holds a delivery names the command that lifts it', () => {
  assert.equal(
    commandOf('FL_HOLD_BUDGET', { waiver: 'sha256:ab' }),
    'kubectl annotate --overwrite delivery web.eu -n shop fairlead.dev/waiver=sha256:ab',
  );
  for (const code of ['FL_HOLD_SUSPENDED', 'FL_SOURCE_SUSPENDED'])
    assert.equal(commandOf(code, { object: 'application/web' }), 'fairlead resume application/web -n shop');
  assert.equal(commandOf('FL_CONTACT_NEVER'), 'fairlead enroll eu');
});

test('what is to be seen in the cluster is asked of the cluster, about the object that the reason names', () => {
  assert.equal(
    commandOf('FL_HEALTH_CRASH_LOOP', { object: 'Deployment shop/web', pod: 'web-5f', container: 'main' }),
    'kubectl logs web-5f -c main --previous -n shop --context eu',
  );
  assert.equal(
    commandOf('FL_HEALTH_IMAGE', { object: 'Deployment shop/web', pod: 'web-5f' }),
    'kubectl describe pod web-5f -n shop --context eu',
  );
  assert.equal(
    commandOf('FL_HEALTH_FAILED', { object: 'Job shop/migrate' }),
    'kubectl describe job migrate -n shop --context eu',
  );
  assert.equal(
    commandOf('FL_HEALTH_FAILED', { object: 'release web.3' }),
    'fairlead why web eu -n shop',
    'no object of a cluster',
  );
});

test('what is corrected in Git or in the cluster is tried again by a command', () => {
  for (const code of ['FL_RENDER_FAILED', 'FL_SOURCE_NO_REF', 'FL_APPLY_DENIED', 'FL_CLAIM_RESERVED'])
    assert.equal(commandOf(code), 'fairlead reconcile application/web -n shop', code);
  assert.equal(
    commandOf('FL_DRIFT_FOUND'),
    `kubectl patch application web -n shop --type merge -p '{"spec":{"drift":{"mode":"Correct"}}}'`,
  );
});

test('an argument that an agent sent cannot break out of the command, nor become an option of it', () => {
  for (const pod of ['--kubeconfig=/tmp/x', '-x'])
    assert.equal(
      commandOf('FL_HEALTH_CRASH_LOOP', { object: 'Deployment shop/web', pod, container: 'main' }),
      'fairlead why web eu -n shop',
    );
  assert.equal(commandOf('FL_HEALTH_FAILED', { object: 'Job shop/--all' }), 'fairlead why web eu -n shop');
  assert.ok(commandOf('FL_HOLD_BUDGET', { waiver: `x'; rm -rf / #` }).endsWith(`fairlead.dev/waiver='x'\\''; rm -rf / #'`));
  assert.equal(
    commandOf('FL_HEALTH_CRASH_LOOP', { object: 'Deployment shop/web', pod: '$(reboot)', container: 'main' }),
    `kubectl logs '$(reboot)' -c main --previous -n shop --context eu`,
  );
});

test('what a report says cannot become an option, or reach a terminal as a key that is pressed', () => {
  const kept = /^fairlead (why|reconcile) [a-z/]+/;
  assert.match(commandOf('FL_CLAIM_CONFLICT', { owner: 'shop/--server=https://evil.example' }), kept);
  assert.match(commandOf('FL_CLAIM_CONFLICT', { owner: '--context=evil/web' }), kept);
  // ^C ends the line that is being pasted, quoted or not, and what follows it is the next command.
  for (const hostile of ['web\u0003\nid\n', 'a\u001b[201~', 'x\u009by', 'a\u202eb', 'a\nb']) {
    const command = commandOf('FL_HOLD_DEPENDENCY', { dependency: hostile });
    assert.ok(!/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(command), JSON.stringify(command));
    assert.ok(!/[\p{Cc}\p{Cf}]/u.test(commandOf('FL_CLAIM_CONFLICT', { owner: `shop/${hostile}` })));
    assert.ok(!/[\p{Cc}\p{Cf}]/u.test(commandOf('FL_HEALTH_IMAGE', { object: `Deployment shop/${hostile}` })));
  }
});
