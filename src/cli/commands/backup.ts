import { backupPlane, restorePlane } from '#plane';
import { databaseName, databaseOptions } from '../database.ts';
import type { Io } from '../output.ts';

/** `fairlead backup`: beside the plane, which goes on. */
export async function backup(io: Io, options: Readonly<Record<string, unknown>>): Promise<number> {
  const out = options['out'] as string;
  const info = await backupPlane({ ...databaseOptions(io.env, options), out });
  io.out(
    `${out}: ${info.objects} objects, ${info.blobs} blobs, ${(info.bytes / 1_048_576).toFixed(1)} MiB, at revision ${info.revision}\n` +
      'the keys are not in it: keep a copy of the key directory elsewhere\n',
  );
  return 0;
}

/** `fairlead restore`: the backup in the place of the database. */
export async function restore(io: Io, from: string, options: Readonly<Record<string, unknown>>): Promise<number> {
  const database = databaseOptions(io.env, options);
  const info = await restorePlane({ ...database, from, replace: options['replace'] === true });
  io.out(
    `the database ${databaseName(database)} is as it was at ${info.at}: ${info.objects} objects, ${info.blobs} blobs\n` +
      'clusters that are ahead of it keep what they have and delete nothing until you confirm: see fairlead status\n',
  );
  if (info.isForeign) {
    io.err(
      'fairlead: these keys belong to another database: the plane will start frozen; give --keys of this plane, or run fairlead plane adopt\n',
    );
  }
  return 0;
}
