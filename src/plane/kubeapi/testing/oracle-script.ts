/**
 * One kubectl script, run against this API and against a real API server that serves the same kinds as CRDs. NS stands for
 * the namespace of the run, which is different on each side.
 */
export interface Step {
  readonly args: readonly string[];
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Why the two may differ here; the step still must end with the same exit code unless `exitToo`. */
  readonly mayDiffer?: string;
  readonly exitToo?: boolean;
  /** Lines in any order: API servers walk Go maps. */
  readonly unordered?: boolean;
}

const app = (name: string, extra = '', labels = '{tier: front}'): string => `apiVersion: fairlead.dev/v1alpha1
kind: Application
metadata: {name: ${name}, namespace: NS, labels: ${labels}}
spec:
  source: {sourceRef: {kind: GitRepository, name: fleet}, path: apps/${name}}
  targets: [{clusterSelector: {matchLabels: {env: prod}}}]
${extra}`;

const repository = `apiVersion: fairlead.dev/v1alpha1
kind: GitRepository
metadata: {name: fleet, namespace: NS, labels: {team: core}}
spec: {url: "https://git.example.com/fleet.git", ref: {branch: main}, credential: {name: fleet-git}}
`;

const bad = `apiVersion: fairlead.dev/v1alpha1
kind: GitRepository
metadata: {name: bad, namespace: NS}
spec: {url: "ftp://git.example.com/x.git", interval: soon}
`;

const step = (command: string, more: Omit<Step, 'args'> = {}): Step => ({ args: split(command), ...more });

function split(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? '');
}

const APPLY = 'apply -n NS -f -';
const SERVER_SIDE = 'apply -n NS --server-side -f -';

export const oracleScript: readonly Step[] = [
  // Discovery and documentation.
  step('api-resources --api-group=fairlead.dev -o wide', {
    mayDiffer: 'kinds that controllers write offer no create and delete here; a CRD cannot say that',
  }),
  step('api-resources --api-group=fairlead.dev'),
  step('api-resources --api-group=fairlead.dev -o name'),
  step('explain applications'),
  step('explain app.spec'),
  step('explain app.spec.source.ref'),
  step('explain app.spec.targets.clusterSelector.matchExpressions'),
  step('explain gitrepo --recursive'),
  step('explain application --recursive'),
  step('explain clusters.status.conditions'),
  step('explain delivery.metadata'),
  step('explain delivery.metadata.managedFields'),
  step('explain app.spec.nothing'),

  // Creating.
  step('get app -n NS'),
  step('create -n NS -f -', { input: repository }),
  step('create -n NS -f -', { input: repository }),
  step('create -n NS -f - -o yaml', { input: app('first') }),
  step('create -n NS -f - --dry-run=server -o yaml', { input: app('dry') }),
  step('create -n NS -f - --dry-run=client -o name', { input: app('dry') }),
  step('get app dry -n NS'),
  step(APPLY, { input: bad, unordered: true }),
  step(`${APPLY} --validate=ignore`, { input: bad, unordered: true }),
  step(APPLY, { input: `${repository.replace('name: fleet,', 'name: typo,')}  # no\n`.replace('ref:', 'reff:') }),
  step(`${APPLY} --validate=warn`, { input: repository.replace('name: fleet,', 'name: typo,').replace('ref:', 'reff:') }),
  step(`${APPLY} --validate=false`, { input: repository.replace('name: fleet,', 'name: typo,').replace('ref:', 'reff:') }),
  step('get gitrepo typo -n NS -o yaml'),
  step('delete gitrepo typo -n NS'),
  step(APPLY, { input: app('Bad_Name') }),
  step(APPLY, { input: app('labels', '', '{tier: "no spaces"}') }),
  step(APPLY, { input: app('wrong', '  prune: 7\n  adoption: Perhaps\n'), unordered: true }),
  step(APPLY, { input: 'apiVersion: fairlead.dev/v1alpha1\nkind: Application\nmetadata: {name: empty, namespace: NS}\n' }),
  step(APPLY, { input: 'apiVersion: fairlead.dev/v1beta9\nkind: Application\nmetadata: {name: empty, namespace: NS}\n' }),
  step('create -n NS -f - --save-config -o name', { input: app('saved') }),
  step('create -n NS -f - -o name', {
    input: app('x').replace('name: x,', 'generateName: made-,').replace('apps/x', 'apps/made') + '  nothing: 1\n',
  }),
  step(`${APPLY} --validate=warn`, {
    input: app('saved', '  nothing: 1\n  targetz: []\n').replace('labels:', 'label: {}, labels:'),
  }),
  step(APPLY, { input: app('saved', '  nothing: 1\n  targetz: []\n').replace('labels:', 'label: {}, labels:') }),
  step(APPLY, {
    input: app('saved').replace('namespace: NS', 'namespace: NS, annotations: {a: 7}'),
    mayDiffer: "the words of Go's JSON decoder",
  }),
  step('delete app saved -n NS'),
  step('create -f -', { input: app('nowhere').replace('NS', 'no-such-namespace') }),
  step('create -n NS -f -', {
    input: 'apiVersion: fairlead.dev/v1alpha1\nkind: Cluster\nmetadata: {name: NS-prod, labels: {env: prod}}\n',
  }),
  step('get cluster NS-prod -o yaml'),

  // Client-side apply.
  step(APPLY, { input: app('web') }),
  step(APPLY, { input: app('web') }),
  step(APPLY, { input: app('web', '  suspend: true\n') }),
  step('get app web -n NS -o yaml --show-managed-fields'),
  step(APPLY, { input: app('web') }),
  step('get app web -n NS -o yaml --show-managed-fields'),
  step('diff -n NS -f -', { input: app('web', '  prune: false\n') }),
  step('diff -n NS -f -', { input: app('web') }),
  step('diff -n NS --server-side -f -', { input: app('web', '  prune: false\n') }),
  step('apply view-last-applied app web -n NS'),
  step('apply set-last-applied -n NS -f - --create-annotation=true', { input: app('web') }),

  // Reading.
  step('get app -n NS'),
  step('get app -n NS -o wide'),
  step('get app -n NS -o name'),
  step('get app -n NS -o json'),
  step('get app web -n NS -o json'),
  step('get app web -n NS -o jsonpath={.spec.source.path}/{.metadata.labels.tier}'),
  step('get app -n NS -o go-template={{range.items}}{{.metadata.name}}{{end}}'),
  step('get app -n NS -o custom-columns=NAME:.metadata.name,PATH:.spec.source.path'),
  step('get app -n NS --show-labels'),
  step('get app -n NS --show-kind'),
  step('get app/web gitrepo/fleet -n NS'),
  step('get applications.fairlead.dev web -n NS'),
  step('get applications.v1alpha1.fairlead.dev web -n NS'),
  step('get app -n NS -l tier --watch=false'),
  step("get app -n NS -l 'tier in (front'"),
  step("get app -n NS -l 'tier,,x'"),
  step("get app -n NS -l ',tier'"),
  step("get app -n NS -l 'tier ~ x'"),
  step("get app -n NS -l '-bad=x'"),
  step("get app -n NS -l 'tier=bad value'"),
  step('get app -n NS -L tier'),
  step('get app -n NS --no-headers'),
  step('get app -n NS --sort-by=.metadata.name'),
  step('get app -n NS -l tier=front'),
  step('get app -n NS -l tier!=front'),
  step("get app -n NS -l 'tier in (front,back),!gone' -o name"),
  step("get app -n NS -l 'tier notin (front)'"),
  step("get app -n NS -l 'tier=='"),
  step("get app -n NS -l 'a=b=c'"),
  step('get app -n NS --field-selector metadata.name=web'),
  step('get app -n NS --field-selector metadata.name!=web -o name'),
  step('get app -n NS --field-selector spec.source.sourceRef.name=fleet -o name'),
  step('get app -n NS --field-selector spec.source.path=apps/web'),
  step('get app,gitrepo -n NS'),
  step('get fairlead -n NS', { mayDiffer: 'every namespace is a Project here, and a CRD knows nothing of namespaces' }),
  step('get app -n NS --chunk-size=1'),
  step('get app -n NS --chunk-size=1 -o name'),
  step('get app nothing -n NS'),
  step('get app web nothing -n NS'),
  step('get app nothing -n NS --ignore-not-found'),
  step('get -n NS -f -', { input: app('web') }),
  step('describe app web -n NS'),
  step('describe gitrepo -n NS'),
  step('get --raw /apis/fairlead.dev'),
  step('get --raw /apis/fairlead.dev/v1alpha1/namespaces/NS/applications/nothing'),

  // Changing.
  step('label app web -n NS tier=back team=core'),
  step('label app web -n NS tier=back'),
  step('label app web -n NS --overwrite tier=back'),
  step('label app -n NS -l team=core team-'),
  step('annotate app web -n NS note=hello'),
  step('annotate app web -n NS note-'),
  step('annotate app web -n NS note-'),
  step(`patch app web -n NS --type=merge -p '{"spec":{"suspend":true,"path":null}}'`),
  step(`patch app web -n NS --type=merge -p '{"spec":{"suspend":null}}'`),
  step(`patch app web -n NS --type=merge -p '{"spec":{"suspend":null}}'`),
  step(`patch app web -n NS --type=merge -p '{"spec":{"nothing":1}}'`),
  step(`patch app web -n NS --type=json -p '[{"op":"replace","path":"/spec/prune","value":false}]' -o yaml`),
  step(
    `patch app web -n NS --type=json -p '[{"op":"test","path":"/spec/prune","value":true},{"op":"remove","path":"/spec/prune"}]'`,
  ),
  step(`patch app web -n NS --type=json -p '[{"op":"remove","path":"/spec/nothing"}]'`),
  step(`patch app web -n NS --type=json -p '[{"op":"replace","path":"/spec/dependsOn","value":[{"name":"other"}]}]'`),
  step(`patch app web -n NS --type=json -p '{"op":"add"}'`, { mayDiffer: "the words of Go's JSON decoder" }),
  step(`patch app web -n NS -p '{"spec":{"suspend":true}}'`),
  step(`patch app web -n NS --type=merge -p '{"metadata":{"uid":"other"}}'`),
  step(`patch app web -n NS --type=merge -p '{"metadata":{"resourceVersion":"1"}}'`),
  step(`patch app web -n NS --type=merge -p '{"spec":{"adoption":"Perhaps"}}'`),
  step(`patch app nothing -n NS --type=merge -p '{"spec":{}}'`),
  step(
    `patch app web -n NS --subresource=status --type=merge -p '{"status":{"observedGeneration":1,"conditions":[{"type":"Ready","status":"False","reason":"Waiting","message":"waiting","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}'`,
  ),
  step('get app web -n NS -o wide'),
  step('get app web -n NS -o yaml --show-managed-fields'),
  step('wait app/web -n NS --for=condition=Ready=False --timeout=5s'),
  step('wait app/web -n NS --for=condition=Ready --timeout=1s'),
  step('wait app/web -n NS --for=jsonpath={.status.observedGeneration}=1 --timeout=5s'),
  step('wait app/web -n NS --for=create --timeout=5s'),
  step(`patch app web -n NS --subresource=status --type=merge -p '{"status":{"observedGeneration":"one"}}'`),
  step('get app web -n NS --subresource=status -o yaml'),
  step(
    `patch app web -n NS --subresource=status --type=json -p '[{"op":"replace","path":"/status/observedGeneration","value":2}]' -o jsonpath={.metadata.generation}/{.status.observedGeneration}`,
  ),
  step('apply -n NS --server-side --subresource=status --field-manager=reporter -f -', {
    input: app('web', 'status: {observedGeneration: 3}\n'),
  }),
  step('apply -n NS --server-side --subresource=status --field-manager=reporter --force-conflicts -f -', {
    input: app('web', 'status: {observedGeneration: 3, commit: abc}\n'),
  }),
  step('get app web -n NS -o yaml --show-managed-fields'),
  step(
    `patch app web -n NS --subresource=status --type=merge -p '{"status":{"conditions":[{"type":"Ready"},{"type":"Ready"}]}}'`,
    { unordered: true },
  ),
  step('edit app web -n NS', { env: { KUBE_EDITOR: 'sed -i s/onTargetExit:.*/onTargetExit:\\ Delete/' } }),
  step('edit app web -n NS', { env: { KUBE_EDITOR: 'true' } }),
  step('get app web -n NS -o jsonpath={.spec.onTargetExit}'),
  step('replace -n NS -f - -o yaml', { input: app('web', '  prune: false\n') }),
  step('replace -n NS -f -', { input: app('absent') }),
  step('replace --force -n NS -f -', { input: app('first') }),

  // Server-side apply.
  step(SERVER_SIDE, { input: app('ssa') }),
  step(SERVER_SIDE, { input: app('ssa') }),
  step('get app ssa -n NS -o yaml --show-managed-fields'),
  step(`${SERVER_SIDE} --field-manager=other`, { input: app('ssa', '  prune: false\n') }),
  step(`${SERVER_SIDE} --field-manager=other --force-conflicts`, { input: app('ssa', '  prune: false\n  suspend: true\n') }),
  step(SERVER_SIDE, { input: app('ssa', '  suspend: false\n  prune: true\n') }),
  step('get app ssa -n NS -o yaml --show-managed-fields'),
  step(`${SERVER_SIDE} --field-manager=other`, { input: app('ssa') }),
  step('get app ssa -n NS -o yaml --show-managed-fields'),
  step(`${SERVER_SIDE} --dry-run=server -o yaml`, { input: app('ssa', '  deletionPolicy: Delete\n') }),
  step(SERVER_SIDE, {
    input: app('ssa', '  nothing: 1\n'),
    mayDiffer: 'Kubernetes answers 500 for an unknown field in an apply, this API 400',
  }),
  step(SERVER_SIDE, {
    input: app('ssa', '  prune: "yes"\n'),
    mayDiffer: 'Kubernetes answers 500 for a wrong type in an apply, this API 400',
  }),
  step(SERVER_SIDE, { input: app('ssa', '  adoption: Perhaps\n') }),
  step(SERVER_SIDE, { input: app('web') }),
  step(SERVER_SIDE, { input: app('web', '  prune: true\n') }),
  step('get app web -n NS -o yaml --show-managed-fields'),
  step('label app ssa -n NS owner=me --field-manager=labeler'),
  step('get app ssa -n NS -o yaml --show-managed-fields'),

  // Who may.
  step('auth can-i create applications.fairlead.dev -n NS'),
  step('auth can-i get clusters.fairlead.dev'),
  step('auth can-i list gitrepositories -A'),
  step('auth can-i --list -n NS', { mayDiffer: 'the rules of this plane are its own' }),
  step('auth whoami', { mayDiffer: 'the user is another one' }),

  // Events and namespaces.
  step('events -n NS'),
  step('events -n NS --for application/web'),
  step('get events -n NS'),
  step('get ns NS'),
  step('get ns NS -o jsonpath={.status.phase}'),
  step('label ns NS purpose=oracle'),
  step('annotate ns NS purpose=oracle'),
  step('get ns -l purpose=oracle -o name'),
  step(APPLY, { input: 'apiVersion: v1\nkind: Namespace\nmetadata: {name: NS, labels: {purpose: apply}}\n' }),
  step(APPLY, { input: 'apiVersion: v1\nkind: Namespace\nmetadata: {name: NS, labels: {purpose: apply}}\n' }),
  step('create namespace NS'),
  step('create namespace Bad_Name'),
  step('create namespace NS-second --dry-run=server'),

  // Going.
  step('delete app nothing -n NS'),
  step('delete app nothing -n NS --ignore-not-found'),
  step('delete app web -n NS --dry-run=server'),
  step('delete app web -n NS'),
  step(`patch app ssa -n NS --type=merge -p '{"metadata":{"finalizers":["example.com/hold"]}}'`),
  step(`patch app ssa -n NS --type=merge -p '{"metadata":{"finalizers":["example.com/hold","plain"]}}'`),
  step('delete app ssa -n NS --wait=false'),
  step('get app ssa -n NS -o yaml'),
  step(`patch app ssa -n NS --type=merge -p '{"metadata":{"finalizers":["example.com/hold","plain","example.com/more"]}}'`),
  step(`patch app ssa -n NS --type=merge -p '{"metadata":{"finalizers":null}}'`),
  step('get app ssa -n NS'),
  step('delete gitrepo -n NS -l team=core'),
  step('delete app -n NS --all'),
  step('get app,gitrepo -n NS'),
  step('delete cluster NS-prod'),
];
