import assert from 'node:assert/strict';
import { test } from 'node:test';
import { actionFor } from './actions.ts';
import { reasons } from './reasons.ts';

const about = { project: 'shop', application: 'web', cluster: 'eu' };

test('every reason has one action, whose command names what it is about', () => {
  for (const code of Object.keys(reasons)) {
    const { words, command } = actionFor({ code, args: {}, ...about });
    assert.match(command, /^(fairlead (why|enroll|resume|reconcile|plane) |kubectl annotate )/, code);
    assert.ok(words.length > 0 && !command.includes('undefined'), `${code}: ${command}`);
  }
});

test('what holds a delivery names the command that lifts it', () => {
  assert.equal(
    actionFor({ code: 'FL_HOLD_BUDGET', args: { waiver: 'sha256:ab' }, ...about }).command,
    'kubectl annotate --overwrite delivery web.eu -n shop fairlead.dev/waiver=sha256:ab',
  );
  assert.equal(
    actionFor({ code: 'FL_HOLD_SUSPENDED', args: { object: 'application/web' }, ...about }).command,
    'fairlead resume application/web -n shop',
  );
  assert.equal(actionFor({ code: 'FL_CONTACT_NEVER', args: {}, ...about }).command, 'fairlead enroll eu');
});

test('an argument that an agent sent cannot break out of the command', () => {
  const { command } = actionFor({ code: 'FL_HOLD_BUDGET', args: { waiver: `x'; rm -rf / #` }, ...about });
  assert.ok(command.endsWith(`fairlead.dev/waiver='x'\\''; rm -rf / #'`), command);
});
