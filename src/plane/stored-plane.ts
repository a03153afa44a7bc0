import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { FairleadError, silentLog, systemClock, type Log, type Sensitive } from '#base';
import { allKinds } from '#api';
import { openKeys, type PlaneKeys } from '#plane/keys';
import { backupStore, openStore, restoreStore, type BackupInfo, type DatabasePlace, type OpenStoreOptions } from '#plane/store';

/** Where a plane keeps itself. */
export interface DatabaseOptions {
  /** What the process writes beside its database is below: `keys/`, `sources/`, `fetched/`, `admin.kubeconfig`; without a URL also `store/`. */
  readonly dataDir: string;
  /** The same for every process of a plane. Default: `keys/` in `dataDir`. May be read-only once it is complete. */
  readonly keysDir?: string;
  /** `postgres://…`; absent: SQLite. */
  readonly databaseUrl?: Sensitive<string>;
}

/** `fairlead plane adopt`: a person says that these keys and this database belong together from now on. */
export async function adoptPlane(options: DatabaseOptions & { readonly log?: Log }): Promise<void> {
  const keys = await openKeys({ dir: keysDirOf(options), clock: systemClock });
  const log = options.log ?? silentLog;
  const store = await openStore({ ...databaseOf(options, keys), kinds: allKinds, log, clock: systemClock });
  keys.bind(store.instanceId);
  await store.close();
}

/** `fairlead plane rotate-key`: processes that run take it over by themselves. The version of the key set from now on. */
export async function rotatePlaneKey(
  options: Pick<DatabaseOptions, 'dataDir' | 'keysDir'> & { readonly revoke: boolean },
): Promise<number> {
  const dir = keysDirOf(options);
  if (!existsSync(join(dir, 'plane-id'))) {
    throw new FairleadError('FL_PLANE_NO_KEYS', `${dir} holds no keys of a plane; give --keys, or --data of the plane`, {
      kind: 'invalid',
    });
  }
  const keys = await openKeys({ dir, clock: systemClock });
  keys.rotateSigningKey({ revoke: options.revoke });
  return keys.keySet.version;
}

/** `fairlead backup`: one state of the database, while the plane goes on. */
export function backupPlane(options: DatabaseOptions & { readonly out: string }): Promise<BackupInfo> {
  return backupStore(placeOf(options), options.out, systemClock);
}

/**
 * `fairlead restore`: the backup in the place of the database. `isForeign`: the keys belong to another database, and the plane
 * will start frozen.
 */
export async function restorePlane(
  options: DatabaseOptions & { readonly from: string; readonly replace: boolean; readonly log?: Log },
): Promise<BackupInfo & { readonly isForeign: boolean }> {
  const keys = await openKeys({ dir: keysDirOf(options), clock: systemClock });
  const { from, replace } = options;
  const { revisionFloor: floor } = databaseOf(options, keys);
  const info = await restoreStore(placeOf(options), from, { replace, floor, log: options.log ?? silentLog });
  return { ...info, isForeign: keys.checkInstance(info.instanceId) === 'foreign' };
}

function placeOf({ dataDir, databaseUrl }: DatabaseOptions): DatabasePlace {
  return databaseUrl === undefined ? { dir: join(dataDir, 'store') } : { url: databaseUrl };
}

export function keysDirOf({ dataDir, keysDir }: Pick<DatabaseOptions, 'dataDir' | 'keysDir'>): string {
  return keysDir ?? join(dataDir, 'keys');
}

/** A key directory that cannot be written to has no floor; PostgreSQL knows a copy of itself by other marks. */
export function databaseOf(
  { dataDir, databaseUrl }: DatabaseOptions,
  keys: PlaneKeys,
): Pick<OpenStoreOptions, 'dir' | 'url' | 'revisionFloor'> {
  if (databaseUrl === undefined) return { dir: join(dataDir, 'store'), revisionFloor: keys.revisionFloor };
  return { url: databaseUrl, ...(keys.isReadOnly ? {} : { revisionFloor: keys.revisionFloor }) };
}
