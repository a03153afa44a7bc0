/**
 * Reasons: why something is not done, who can act, what happens next. A sentence is written here once and said the same
 * by kubectl's column, the CLI, the console, events and pull-request comments. Codes are stable.
 */

/** The fixed precedence in which a Delivery explains itself: the first area that has something to say wins. */
export const reasonAreas = ['source', 'render', 'claim', 'hold', 'contact', 'apply', 'health', 'drift', 'agent', 'done'] as const;
export type ReasonArea = (typeof reasonAreas)[number];

/** Who can act on it. */
export type ReasonActor =
  | 'application owner'
  | 'platform team'
  | 'cluster owner'
  | 'nobody: it resolves itself'
  | 'nobody: it is done';

interface ReasonDefinition {
  readonly area: ReasonArea;
  readonly actor: ReasonActor;
  /** What happened, to which object. `{name}` stands for an argument. */
  readonly says: string;
  /** What to do next, or what it waits for. */
  readonly next?: string;
}

export const reasons = {
  // done
  FL_READY: { area: 'done', actor: 'nobody: it is done', says: 'release {release} is applied and healthy' },
  FL_SOURCE_READY: { area: 'done', actor: 'nobody: it is done', says: '{ref} is at {commit}' },
  FL_SOURCE_CHARTS_READY: {
    area: 'done',
    actor: 'nobody: it is done',
    says: '{url} answers; charts that applications name: {count}',
  },
  FL_APPLICATION_READY: {
    area: 'done',
    actor: 'nobody: it is done',
    says: 'all {total} deliveries are what Git says at {commit}',
  },
  FL_CLUSTER_READY: {
    area: 'done',
    actor: 'nobody: it is done',
    says: 'in contact; {ready} of {total} deliveries are what Git says',
  },
  FL_PROJECT_READY: { area: 'done', actor: 'nobody: it is done', says: 'in use' },

  // source
  FL_SOURCE_UNREACHABLE: {
    area: 'source',
    actor: 'platform team',
    says: 'cannot reach {url}: {words}',
    next: 'what is delivered stays; the next attempt is {retry}',
  },
  FL_SOURCE_DENIED: {
    area: 'source',
    actor: 'platform team',
    says: '{url} refused the credential {credential}',
    next: 'check the user name and token in the Credential, and what they may read; what is delivered stays',
  },
  FL_SOURCE_ADDRESS: {
    area: 'source',
    actor: 'platform team',
    says: 'the plane does not connect to {url}: {why}',
    next: 'correct spec.url, or start the plane with --allow-egress for that address; what is delivered stays',
  },
  FL_SOURCE_HOST_KEY: {
    area: 'source',
    actor: 'platform team',
    says: '{host} showed the ssh host key {key}; knownHosts of the Credential {credential} {finding}',
    next: 'ask whoever runs the host for the fingerprint, and only if it is this one put its line into knownHosts; what is delivered stays',
  },
  FL_SOURCE_NO_REF: {
    area: 'source',
    actor: 'application owner',
    says: '{url} has no {ref}',
    next: 'push it, or correct spec.ref; what is delivered stays',
  },
  FL_SOURCE_EMPTY: {
    area: 'source',
    actor: 'application owner',
    says: '{url} has no commit',
    next: 'push one; what is delivered stays',
  },
  FL_SOURCE_NO_CREDENTIAL: {
    area: 'source',
    actor: 'application owner',
    says: 'the Credential {credential} does not exist',
    next: 'create it, or remove spec.credential; what is delivered stays',
  },
  FL_SOURCE_FORBIDDEN: {
    area: 'source',
    actor: 'platform team',
    says: 'the Project {project} may not use {url}',
    next: 'add it to spec.sources of the Project; what is delivered stays',
  },
  FL_SOURCE_LIMIT: {
    area: 'source',
    actor: 'application owner',
    says: '{url} is over a limit: {what} is {value}, allowed {limit}',
    next: 'make it smaller; what is delivered stays',
  },
  FL_SOURCE_URL: {
    area: 'source',
    actor: 'application owner',
    says: '{url} cannot be used: {why}',
    next: 'correct spec.url; what is delivered stays',
  },
  FL_SOURCE_REFUSED: {
    area: 'source',
    actor: 'platform team',
    says: 'what {url} sent was refused: {words}',
    next: 'repair the repository (git fsck names the object); what is delivered stays',
  },
  FL_SOURCE_FILE: {
    area: 'source',
    actor: 'application owner',
    says: '{file} is {what}, which is not read',
    next: 'put an ordinary file there, or move it out of the path of the Application; clusters keep the last release',
  },
  FL_SOURCE_UNVERIFIED: {
    area: 'source',
    actor: 'application owner',
    says: 'commit {commit} ({ref} of {url}) is not accepted: {why}',
    next: 'sign it with a key that spec.verify names and push again, or add the key there; what is delivered stays',
  },
  FL_SOURCE_NO_CHART: {
    area: 'source',
    actor: 'application owner',
    says: '{url} has no chart {chart} with version {version}',
    next: 'publish it, or correct spec.source.chart and version; what is delivered stays',
  },
  FL_SOURCE_MOVED: {
    area: 'source',
    actor: 'platform team',
    says: 'the chart {chart} {version} of {url} is not what it was: its content was {was} and is {now}',
    next: 'publish it as a new version; if it is meant: kubectl annotate --overwrite chartrepository {source} -n {project} fairlead.dev/accept-moved={now}',
  },
  FL_SOURCE_PENDING: { area: 'source', actor: 'nobody: it resolves itself', says: 'waiting for the first look at {source}' },
  FL_SOURCE_MISSING: {
    area: 'source',
    actor: 'application owner',
    says: '{kind} {source} does not exist',
    next: 'create it, or correct the name in spec.source; what is delivered stays',
  },
  FL_SOURCE_FILES_TAKEN: {
    area: 'source',
    actor: 'application owner',
    says: 'the files of {source} cannot be at {at}: {owner} has something there at {commit}',
    next: 'choose another directory as at in spec.source.files; what is delivered stays',
  },
  FL_SOURCE_SUSPENDED: {
    area: 'source',
    actor: 'application owner',
    says: '{object} is suspended',
    next: 'fairlead resume {target}',
  },

  // render
  FL_RENDER_FAILED: {
    area: 'render',
    actor: 'application owner',
    says: '{file}:{line}: {message}',
    next: 'correct it in Git; clusters keep the last release',
  },
  FL_RENDER_REFUSED: {
    area: 'render',
    actor: 'application owner',
    says: '{path} at {commit}: {message}',
    next: 'correct it in Git; clusters keep the last release',
  },
  FL_RENDER_PATH: {
    area: 'render',
    actor: 'application owner',
    says: 'spec.source.path cannot be used: {message}',
    next: 'correct it, or label the cluster; clusters keep the last release',
  },
  FL_RENDER_NO_PATH: {
    area: 'render',
    actor: 'application owner',
    says: '{path} does not exist in {source} at {commit}',
    next: 'create it, or correct the path in spec.source; clusters keep the last release',
  },
  FL_RENDER_EMPTY: {
    area: 'render',
    actor: 'application owner',
    says: '{path} at {commit} holds no objects, and the last release has {objects}',
    next: 'if that is meant, delete the Application; clusters keep the last release',
  },
  FL_RENDER_VARIABLE: {
    area: 'render',
    actor: 'application owner',
    says: '{file}:{line}: {variable} is not known for cluster {cluster}',
    next: 'add it to the cluster, or correct the name; clusters keep the last release',
  },
  FL_RENDER_REMOTE: {
    area: 'render',
    actor: 'application owner',
    says: '{file}:{line}: needs {what}, which is not in the repository',
    next: 'commit it (helm dependency build, a copy of the base); clusters keep the last release',
  },
  FL_RENDER_NOT_LOCKED: {
    area: 'done',
    actor: 'nobody: it is done',
    says: '{what} resolved to {version} at {at}; it is not locked and stays as it is',
    next: 'commit Chart.lock, or name a version, tag or commit; to take what is there now: fairlead reconcile {target} --refresh',
  },
  FL_RENDER_LOCK_STALE: {
    area: 'done',
    actor: 'nobody: it is done',
    says: '{file} is out of sync with Chart.yaml; the versions that it locks are used',
    next: 'helm dependency update, and commit Chart.lock',
  },
  FL_RENDER_TIMEOUT: {
    area: 'render',
    actor: 'application owner',
    says: 'rendering {path} did not end within {limit}',
    next: 'render less or more simply; clusters keep the last release',
  },
  FL_RENDER_QUARANTINED: {
    area: 'render',
    actor: 'application owner',
    says: 'rendering {path} at {commit} took too long or too much memory {kills} times and is not tried again',
    next: 'render less or more simply; clusters keep the last release',
  },
  FL_RENDER_LIMIT: {
    area: 'render',
    actor: 'application owner',
    says: '{file}: {what} is {value}, allowed {limit}',
    next: 'make it smaller; clusters keep the last release',
  },
  FL_RENDER_UNAVAILABLE: {
    area: 'render',
    actor: 'platform team',
    says: '{path} is not rendered because no renderer can start: {message}',
    next: "look at the plane's log and its memory; it is tried again every 5 seconds, and clusters keep the last release",
  },
  FL_RENDER_PENDING: { area: 'render', actor: 'nobody: it resolves itself', says: 'waiting to be rendered at {commit}' },

  // claim: two applications, or the Project's limits
  FL_CLAIM_CONFLICT: {
    area: 'claim',
    actor: 'application owner',
    says: '{object} in {cluster} is claimed by application {owner} too',
    next: 'remove it from one of the two; until then {owner} keeps it',
  },
  FL_CLAIM_FOREIGN: {
    area: 'claim',
    actor: 'application owner',
    says: '{object} in {cluster} belongs to {owner}',
    next: 'remove it there, or from Git; spec.adoption: Always takes over what another delivery tool holds',
  },
  FL_CLAIM_EXISTS: {
    area: 'claim',
    actor: 'application owner',
    says: '{object} exists in {cluster} already and adoption is {adoption}',
    next: 'set spec.adoption: IfUnowned or Always, or remove the object',
  },
  FL_CLAIM_NAMESPACE: {
    area: 'claim',
    actor: 'platform team',
    says: '{object} in {cluster} is in namespace {namespace}, which the Project {project} may not use',
    next: 'add it to spec.namespaces of the Project, or give the object another namespace',
  },
  FL_CLAIM_KIND: {
    area: 'claim',
    actor: 'platform team',
    says: '{object} in {cluster}: the Project {project} may not deliver {kind}',
    next: 'allow the kind by spec.clusterKinds or spec.deniedKinds of the Project, or remove the object from Git',
  },
  FL_CLAIM_SERVICE_ACCOUNT: {
    area: 'claim',
    actor: 'platform team',
    says: 'the Project {project} does not allow the service account {serviceAccount}',
    next: 'add it to spec.serviceAccount.allowed of the Project, or correct spec.serviceAccountName',
  },
  FL_CLAIM_PLANE: {
    area: 'claim',
    actor: 'platform team',
    says: 'the Project {project} may not write {object} on the plane',
    next: 'add the kind to spec.planeKinds of the Project ("*" for other namespaces and objects without one)',
  },
  FL_CLAIM_PLANE_OWNER: {
    area: 'claim',
    actor: 'application owner',
    says: '{object} on the plane is held by the application {owner} already',
    next: 'remove it from one of the two',
  },
  FL_CLAIM_NO_SERVICE_ACCOUNT: {
    area: 'claim',
    actor: 'platform team',
    says: 'the application names no service account, and the Project {project} has no default',
    next: "set spec.serviceAccount.default of the Project, or agentIdentity for the agent's own rights",
  },
  FL_CLAIM_SERVICE_ACCOUNT_NAMESPACE: {
    area: 'claim',
    actor: 'application owner',
    says: 'the service account {serviceAccount} names no namespace, and the application has no defaultNamespace',
    next: 'write it as namespace/name, or set spec.defaultNamespace',
  },
  FL_CLAIM_PROJECT: {
    area: 'claim',
    actor: 'platform team',
    says: 'the Project {project} does not exist',
    next: 'create it; what is delivered stays',
  },
  FL_CLAIM_CLUSTER: {
    area: 'claim',
    actor: 'platform team',
    says: 'the Project {project} may not deliver to cluster {cluster}',
    next: 'widen spec.clusterSelector of the Project, or narrow the targets',
  },
  FL_CLAIM_RESERVED: {
    area: 'claim',
    actor: 'application owner',
    says: '{object} in {cluster} would reach into the agent itself: {why}',
    next: 'remove it from Git',
  },

  // hold
  FL_APPLY_STORED_VERSION: {
    area: 'apply',
    actor: 'application owner',
    says: '{object} in {cluster} may still hold objects stored as {version}, which Git takes away; it stays as it is',
    next: 'keep {version} in spec.versions (served: false is enough), rewrite every object (a StorageVersionMigration, or kubectl get piped to kubectl replace), take {version} out of status.storedVersions, then remove it from Git',
  },
  FL_HOOK_RUNNING: {
    area: 'apply',
    actor: 'nobody: it resolves itself',
    says: '{object} runs in {cluster} as {event} hook since {began}, for at most {limit}',
  },
  FL_HOOK_FAILED: {
    area: 'apply',
    actor: 'application owner',
    says: '{event} hook {object} failed in {cluster}: {words}',
    next: 'it runs once per content: correct it in Git, or let it run again with fairlead reconcile {application}',
  },
  FL_HOOK_DONE: { area: 'agent', actor: 'nobody: it is done', says: '{event} hook {object} succeeded in {cluster}' },
  FL_HOLD_SUSPENDED: {
    area: 'hold',
    actor: 'application owner',
    says: '{object} is suspended',
    next: 'fairlead resume {target}',
  },
  FL_HOLD_DEPENDENCY: { area: 'hold', actor: 'nobody: it resolves itself', says: 'waits for {dependency} on {cluster}: {why}' },
  FL_HOLD_BUDGET: {
    area: 'hold',
    actor: 'application owner',
    says: 'would delete {count} of {total} objects in {cluster}, and more than {limit} take a waiver; nothing is deleted',
    next: 'if that is meant: kubectl annotate --overwrite delivery {delivery} -n {project} fairlead.dev/waiver={waiver}',
  },
  FL_HOLD_HOOK: {
    area: 'hold',
    actor: 'application owner',
    says: '{event} hook {object} failed in {cluster}: {words}; the removal waits',
    next: 'to remove the objects without it: kubectl annotate --overwrite delivery {delivery} -n {project} fairlead.dev/waiver={waiver}',
  },
  FL_HOLD_PROTECTED: {
    area: 'hold',
    actor: 'application owner',
    says: 'would delete {object} in {cluster}, whose kind takes a waiver; it is kept',
    next: 'if that is meant: kubectl annotate --overwrite delivery {delivery} -n {project} fairlead.dev/waiver={waiver}',
  },
  FL_HOLD_PLANE: {
    area: 'hold',
    actor: 'application owner',
    says: 'would delete {objects} on the plane, which takes a waiver ({why})',
    next: 'if that is meant: kubectl annotate --overwrite application {application} -n {project} fairlead.dev/waiver={waiver}',
  },
  FL_HOLD_RECOVERY: {
    area: 'hold',
    actor: 'platform team',
    says: 'the plane was restored from an older copy, and {cluster} deletes nothing until a person confirms',
    next: 'check fairlead status, then: kubectl annotate --overwrite cluster {cluster} fairlead.dev/confirm-recovery={position}',
  },
  FL_HOLD_FROZEN: {
    area: 'hold',
    actor: 'platform team',
    says: 'the plane is frozen: its database and its keys do not belong together',
    next: 'restore the matching database, or run fairlead plane adopt',
  },
  FL_NO_TARGETS: {
    area: 'hold',
    actor: 'application owner',
    says: 'no cluster matches the targets',
    next: 'correct spec.targets, or label a cluster',
  },

  // contact
  FL_CONTACT_NEVER: {
    area: 'contact',
    actor: 'platform team',
    says: 'no agent has joined {cluster}',
    next: 'fairlead enroll {cluster}',
  },
  FL_CONTACT_LOST: {
    area: 'contact',
    actor: 'cluster owner',
    says: '{cluster} was last heard of {since}',
    next: 'check its agent and network; it goes on healing by itself meanwhile',
  },
  FL_RELEASING: { area: 'hold', actor: 'nobody: it resolves itself', says: 'release {release} is on its way' },
  FL_CONTACT_PENDING: {
    area: 'contact',
    actor: 'nobody: it resolves itself',
    says: 'waits for {cluster} to fetch release {release}',
  },
  FL_CONTACT_REFUSED: {
    area: 'contact',
    actor: 'platform team',
    says: 'the agent of {cluster} refused the desired state: {words}',
    next: 'see kubectl describe cluster {cluster}',
  },
  FL_CONTACT_TWIN: {
    area: 'contact',
    actor: 'cluster owner',
    says: 'two processes use the identity of {cluster}: {holder} applies, {other} waits',
    next: 'stop one of them',
  },
  FL_CONTACT_WRONG_CLUSTER: {
    area: 'contact',
    actor: 'cluster owner',
    says: 'the agent of {cluster} is pointed at another cluster (kube-system {found}, wanted {wanted}) and writes nothing',
    next: 'correct its kubeconfig',
  },

  // a look at a live object, asked for by a person
  FL_LOOK_SAME: {
    area: 'done',
    actor: 'nobody: it is done',
    says: 'every field that Git says is so in {cluster}',
  },
  FL_LOOK_DIFFERS: {
    area: 'drift',
    actor: 'application owner',
    says: 'not what release {release} says in {cluster}: {fields}',
  },
  FL_LOOK_LEFT: {
    area: 'done',
    actor: 'nobody: it is done',
    says: 'every field that Git says is so in {cluster}, but for those left to others',
  },
  FL_LOOK_UNCOMPARED: {
    area: 'apply',
    actor: 'nobody: it resolves itself',
    says: 'not compared: the agent of {cluster} does not hold release {release} yet',
  },
  FL_LOOK_ONCE: {
    area: 'done',
    actor: 'nobody: it is done',
    says: 'not compared: it is made where it is missing, and then left alone',
  },
  FL_LOOK_ABSENT: {
    area: 'apply',
    actor: 'application owner',
    says: 'it is not in {cluster}',
  },
  FL_LOOK_LOST: {
    area: 'contact',
    actor: 'cluster owner',
    says: 'the live object cannot be shown as it is now: {cluster} was last heard of {last}',
    next: 'check its agent and network, or ask the cluster itself with kubectl',
  },
  FL_LOOK_OLD: {
    area: 'contact',
    actor: 'cluster owner',
    says: 'the live object cannot be shown as it is now: the agent of {cluster} is too old (version {capability} of the protocol, {needed} is needed)',
    next: 'upgrade it, or ask the cluster itself with kubectl',
  },
  FL_LOOK_OFF: {
    area: 'contact',
    actor: 'cluster owner',
    says: 'the live object cannot be shown as it is now: {cluster} has turned that off (--live-objects of its agent)',
    next: 'ask the cluster itself with kubectl',
  },
  FL_LOOK_SILENT: {
    area: 'contact',
    actor: 'cluster owner',
    says: 'the live object cannot be shown as it is now: the agent of {cluster} did not answer within {seconds} s, last heard of {last}',
    next: 'look again, or ask the cluster itself with kubectl',
  },
  FL_LOOK_FROZEN: {
    area: 'contact',
    actor: 'platform team',
    says: 'the live object cannot be shown as it is now: the plane is frozen and asks no agent',
    next: 'see the notice on the fleet page',
  },
  FL_LOOK_UNKNOWN: {
    area: 'contact',
    actor: 'nobody: it resolves itself',
    says: 'the live object cannot be shown as it is now: the agent of {cluster} holds no such object for {application}, and knows of none that it should',
    next: 'wait until it has fetched the wanted release',
  },
  FL_LOOK_FORBIDDEN: {
    area: 'contact',
    actor: 'cluster owner',
    says: 'the live object cannot be shown as it is now: {words}',
    next: 'let the service account of {application} get it, or ask the cluster itself with kubectl',
  },
  FL_LOOK_BUSY: {
    area: 'contact',
    actor: 'nobody: it resolves itself',
    says: 'the live object cannot be shown as it is now: too many are being asked for on {cluster}',
    next: 'look again in a few seconds',
  },
  FL_LOOK_FAILED: {
    area: 'contact',
    actor: 'cluster owner',
    says: 'the live object cannot be shown as it is now: the agent of {cluster} could not read it: {words}',
    next: 'look again, or ask the cluster itself with kubectl',
  },
  FL_LOOK_WRONG: {
    area: 'contact',
    actor: 'cluster owner',
    says: 'the live object cannot be shown as it is now: what the agent of {cluster} answered is not about it',
    next: 'see who runs the agent there; nothing of the answer was kept',
  },

  // apply
  FL_CLUSTER_DELIVERIES: {
    area: 'apply',
    actor: 'application owner',
    says: 'in contact; {ready} of {total} deliveries to {cluster} are what Git says',
    next: 'see kubectl get deliveries -A --field-selector spec.cluster={cluster}',
  },
  FL_APPLYING: {
    area: 'apply',
    actor: 'nobody: it resolves itself',
    says: 'applying {release}: {applied} of {total} objects in {cluster}',
  },
  FL_PRUNING: {
    area: 'apply',
    actor: 'nobody: it resolves itself',
    says: 'removing what {release} no longer holds from {cluster}',
  },
  FL_RETIRING: { area: 'apply', actor: 'nobody: it resolves itself', says: 'letting go of {application} in {cluster} ({mode})' },
  FL_APPLY_PLANE: {
    area: 'apply',
    actor: 'application owner',
    says: '{object} is refused by the plane: {words}',
    next: 'correct it in Git; tried again {retry}',
  },
  FL_APPLY_IMMUTABLE: {
    area: 'apply',
    actor: 'application owner',
    says: '{object} in {cluster}: {field} cannot be changed: {words}',
    next: 'undo the change in Git, give the object another name, or delete it in the cluster to have it made anew',
  },
  FL_APPLY_INVALID: {
    area: 'apply',
    actor: 'application owner',
    says: '{object} ({file}:{line}) is refused by {cluster}: {words}',
    next: 'correct it in Git',
  },
  FL_APPLY_NO_KIND: {
    area: 'apply',
    actor: 'application owner',
    says: '{object} ({file}:{line}): {cluster} has no kind {kind}',
    next: 'deliver its CustomResourceDefinition first; it is tried again when the kind appears',
  },
  FL_APPLY_DENIED: {
    area: 'apply',
    actor: 'cluster owner',
    says: '{object} in {cluster} is denied by admission: {words}',
    next: 'change the object in Git so that the policy allows it, or change the policy',
  },
  FL_APPLY_FORBIDDEN: {
    area: 'apply',
    actor: 'cluster owner',
    says: '{identity} may not {verb} {object} in {cluster}: {words}',
    next: 'grant it by RBAC in the cluster, or choose another service account',
  },
  FL_APPLY_QUOTA: {
    area: 'apply',
    actor: 'cluster owner',
    says: '{object} in {cluster} is over quota: {words}',
    next: 'raise the quota, or ask for less',
  },
  FL_APPLY_CONFLICT: {
    area: 'apply',
    actor: 'application owner',
    says: '{object} in {cluster}: {field} is held by {manager}',
    next: 'leave the field out of Git, or add it to spec.drift.ignore',
  },
  FL_APPLY_TERMINATING: {
    area: 'apply',
    actor: 'nobody: it resolves itself',
    says: '{object} in {cluster} is being deleted, waiting for finalizers {finalizers}',
  },
  FL_APPLY_UNAVAILABLE: {
    area: 'apply',
    actor: 'nobody: it resolves itself',
    says: 'the API server of {cluster} does not answer: {words}',
    next: 'tried again {retry}',
  },
  FL_APPLY_CONTENT: {
    area: 'apply',
    actor: 'nobody: it resolves itself',
    says: 'the content of release {release} is not in {cluster} yet: {words}',
    next: 'what runs is kept, and healed; tried again {retry}',
  },
  FL_APPLY_FAILED: {
    area: 'apply',
    actor: 'application owner',
    says: '{object} in {cluster}: {words}',
    next: 'correct it in Git or in the cluster; tried again {retry}',
  },
  FL_APPLY_SECRET: {
    area: 'apply',
    actor: 'platform team',
    says: '{object} in {cluster} cannot be unsealed',
    next: 'the key of the agent has changed: enroll the cluster again',
  },

  // health
  FL_HEALTH_SETTLING: {
    area: 'health',
    actor: 'nobody: it resolves itself',
    says: 'release {release} is applied in {cluster}: {healthy} of {total} objects are healthy',
  },
  FL_HEALTH_PROGRESSING: { area: 'health', actor: 'nobody: it resolves itself', says: '{object} in {cluster}: {words}' },
  FL_HEALTH_FAILED: {
    area: 'health',
    actor: 'application owner',
    says: '{object} in {cluster} is not healthy: {words}',
    next: 'see its events and logs',
  },
  FL_HEALTH_CRASH_LOOP: {
    area: 'health',
    actor: 'application owner',
    says: '{object} in {cluster}: container {container} of {pod} keeps ending ({words})',
    next: 'see kubectl logs {pod} -c {container} --previous',
  },
  FL_HEALTH_IMAGE: {
    area: 'health',
    actor: 'application owner',
    says: '{object} in {cluster}: the image {image} cannot be pulled ({words})',
    next: 'correct its name, or the pull secret',
  },
  FL_HEALTH_UNSCHEDULABLE: {
    area: 'health',
    actor: 'cluster owner',
    says: '{object} in {cluster}: {pod} cannot be scheduled: {words}',
    next: 'add room, or ask for less',
  },

  // drift
  FL_DRIFT_FOUND: {
    area: 'drift',
    actor: 'application owner',
    says: '{object} in {cluster} is not what Git says: {fields} changed by {manager} at {at}',
    next: 'put it into Git; with drift.mode: Correct it is put back',
  },
  FL_DRIFT_CORRECTED: {
    area: 'drift',
    actor: 'nobody: it is done',
    says: '{object} in {cluster}: {fields} changed by {manager} at {at} were put back',
  },
  FL_DRIFT_DELETED: {
    area: 'drift',
    actor: 'nobody: it is done',
    says: '{object} in {cluster} was deleted by somebody (a deletion leaves no name) and made again',
  },
  FL_DRIFT_MISSING: {
    area: 'drift',
    actor: 'application owner',
    says: '{object} in {cluster} was deleted by somebody (a deletion leaves no name)',
    next: 'with drift.mode: Correct it is made again',
  },
  FL_DRIFT_FIGHT: {
    area: 'drift',
    actor: 'application owner',
    says: '{object} in {cluster}: {manager} changes {fields} again and again ({count} times in a minute)',
    next: 'leave the field out of Git, or add it to spec.drift.ignore; corrected every {retry} until then',
  },

  // agent and events
  FL_APPLIED: {
    area: 'agent',
    actor: 'nobody: it is done',
    says: 'applied {release} in {cluster}: {created} created, {configured} changed, {unchanged} unchanged, {deleted} deleted',
  },
  FL_HELM_WOUND_UP: {
    area: 'agent',
    actor: 'nobody: it is done',
    says: 'all objects of the Helm release {release} in {cluster} are held now; Helm no longer finds the release, and its records stay',
  },
  FL_HELM_SHARED: {
    area: 'agent',
    actor: 'application owner',
    says: 'the Helm release {release} in {cluster} has {count} objects that are not held, such as {object}; helm uninstall would delete those that are, too',
    next: 'deliver all of its objects with this application, or remove its records (secrets or config maps labelled owner=helm) by hand',
  },
  FL_HELM_KEPT: {
    area: 'agent',
    actor: 'platform team',
    says: 'the records of the Helm release {release} in {cluster} could not be wound up: {words}; helm uninstall would delete what is held',
    next: 'take the label owner=helm from its records by hand, or let the service account patch them and deliver again',
  },
  FL_KEPT: {
    area: 'agent',
    actor: 'nobody: it is done',
    says: '{object} and {more} more stay in {cluster} as their resource policy says; nothing manages them any more',
  },
  FL_ADOPTED: { area: 'agent', actor: 'nobody: it is done', says: '{object} in {cluster} was taken over from {manager}' },
  FL_ORPHANED: {
    area: 'agent',
    actor: 'platform team',
    says: '{objects} objects of {application} are still in {cluster}, and nothing wants or removes them',
    next: 'they are kept; deliver the Application again, or delete them by hand',
  },
  FL_RETIRED: {
    area: 'agent',
    actor: 'nobody: it is done',
    says: '{cluster} let go of {application}: {objects} objects {result}',
  },
  FL_DOCUMENT_SIGNATURE: { area: 'agent', actor: 'platform team', says: '{cluster} refused a document: {words}' },
  FL_DOCUMENT_OLD: {
    area: 'agent',
    actor: 'platform team',
    says: '{cluster} refused ({offered}): it holds ({held}) already',
    next: 'a plane restored from an older copy goes on by itself',
  },
  FL_DOCUMENT_FOREIGN: { area: 'agent', actor: 'platform team', says: '{cluster} refused a document for {found}' },
  FL_DOCUMENT_CRITICAL: {
    area: 'agent',
    actor: 'platform team',
    says: '{cluster} refused a document that needs {features}, which its agent does not know',
    next: 'upgrade the agent',
  },
  FL_DOCUMENT_DIGEST: {
    // Of one Delivery, unlike the others: what it should apply did not arrive whole.
    area: 'apply',
    actor: 'platform team',
    says: '{cluster} refused content whose digest is not {wanted}',
    next: 'fetched again {retry}',
  },
  FL_AGENT_JOINED: { area: 'agent', actor: 'nobody: it is done', says: 'the agent of {cluster} joined with key {keyId}' },
  FL_AGENT_RETURNED: { area: 'agent', actor: 'nobody: it is done', says: 'the agent of {cluster} came back by its receipt' },
  FL_AGENT_DETACHED: {
    area: 'agent',
    actor: 'nobody: it is done',
    says: '{cluster} was deleted and its agent is detached: what it runs stays',
  },
  FL_RECOVERY_STARTED: {
    area: 'agent',
    actor: 'platform team',
    says: '{cluster} holds {held}, which this plane never issued ({issued} is its newest): the plane goes on from what the cluster proves',
    next: 'check fairlead status, then: kubectl annotate --overwrite cluster {cluster} fairlead.dev/confirm-recovery={position}',
  },
  FL_EVENTS_DROPPED: {
    area: 'agent',
    actor: 'nobody: it is done',
    says: '{count} events of {cluster} were dropped for want of room',
  },
} as const satisfies Record<string, ReasonDefinition>;

export type ReasonCode = keyof typeof reasons;
export type ReasonArgs = Readonly<Record<string, unknown>>;

/** Why something is not done, as data. `since` is RFC 3339. */
export interface Reason {
  readonly code: ReasonCode;
  readonly args: ReasonArgs;
  readonly since: string;
}

export function reason(code: ReasonCode, args: ReasonArgs, since: string): Reason {
  return { code, args, since };
}

/** A reason before it is known since when it holds. */
export interface UntimedReason {
  readonly code: ReasonCode;
  readonly args: ReasonArgs;
}

export function reasonOf(code: ReasonCode, args: ReasonArgs): UntimedReason {
  return { code, args };
}

/** Names of the arguments that the sentences of a code use; none for an unknown code. */
export function argumentsOf(code: string): readonly string[] {
  if (!isReasonCode(code)) return [];
  const definition: ReasonDefinition = reasons[code];
  return [...`${definition.says} ${definition.next ?? ''}`.matchAll(/\{([A-Za-z]+)\}/g)].map((match) => match[1] ?? '');
}

export function isReasonCode(code: string): code is ReasonCode {
  return Object.hasOwn(reasons, code);
}

export function areaOf(code: ReasonCode): ReasonArea {
  return reasons[code].area;
}

export function actorOf(code: ReasonCode): ReasonActor {
  return reasons[code].actor;
}

/** The sentence: what happened to which object, and after a semicolon what to do next. An unknown code says itself and its arguments. */
export function say(given: { readonly code: string; readonly args: ReasonArgs }): string {
  if (!isReasonCode(given.code)) return `${given.code} ${JSON.stringify(given.args)}`;
  const definition: ReasonDefinition = reasons[given.code];
  const says = fill(definition.says, given.args);
  return definition.next === undefined ? says : `${says}; ${fill(definition.next, given.args)}`;
}

/** Arguments of the SUSPENDED reasons for `application/web`: what is suspended, and how a command names it. */
export function suspended(object: string, project?: string): ReasonArgs {
  return { object, target: project === undefined || project === 'default' ? object : `${object} -n ${project}` };
}

/** What to do next, alone. */
export function nextStep(given: { readonly code: string; readonly args: ReasonArgs }): string | undefined {
  if (!isReasonCode(given.code)) return undefined;
  const definition: ReasonDefinition = reasons[given.code];
  return definition.next === undefined ? undefined : fill(definition.next, given.args);
}

function fill(template: string, args: ReasonArgs): string {
  return template.replaceAll(/\{([A-Za-z]+)\}/g, (_, name: string) => {
    const value = Object.hasOwn(args, name) ? args[name] : undefined;
    if (value === undefined || value === null || value === '') return `(${name} not known)`;
    if (typeof value === 'string') return value;
    return Array.isArray(value) ? value.join(', ') : JSON.stringify(value);
  });
}
