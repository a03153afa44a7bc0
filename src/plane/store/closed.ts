import { FairleadError } from '#base';

export function closed(): FairleadError {
  return new FairleadError('FL_STORE_CLOSED', 'the database is closed', { kind: 'unavailable' });
}
