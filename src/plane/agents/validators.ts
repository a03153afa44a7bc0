import { Compile } from 'typebox/compile';
import type { Static, TSchema } from 'typebox';
import { FairleadError } from '#base';
import { DesiredState, JoinRequest, LookAnswer, ObjectsRequest, Receipt, ReportRequest, ReturnRequest, SyncRequest } from '#api';

interface Validated<S extends TSchema> {
  /** The value of a JSON text, checked. Errors: FL_AGENT_REQUEST, naming the first field that is wrong. */
  parse(bytes: Uint8Array): Static<S>;
}

function validated<S extends TSchema>(schema: S, what: string): Validated<S> {
  const validator = Compile(schema);
  return {
    parse(bytes) {
      let value: unknown;
      try {
        value = JSON.parse(Buffer.from(bytes).toString('utf8'));
      } catch {
        throw new FairleadError('FL_AGENT_REQUEST', `the ${what} is not JSON`, { kind: 'invalid' });
      }
      if (validator.Check(value)) return value;
      const [first] = validator.Errors(value);
      const where = first === undefined || first.instancePath === '' ? 'it' : first.instancePath.slice(0, 200);
      throw new FairleadError(
        'FL_AGENT_REQUEST',
        `the ${what} is refused: ${where} ${first?.message ?? 'is not as it should be'}`,
        {
          kind: 'invalid',
        },
      );
    },
  };
}

export const validate = {
  join: validated(JoinRequest, 'join request'),
  return: validated(ReturnRequest, 'return request'),
  sync: validated(SyncRequest, 'sync request'),
  objects: validated(ObjectsRequest, 'objects request'),
  report: validated(ReportRequest, 'report'),
  look: validated(LookAnswer, 'answer to a look'),
  receipt: validated(Receipt, 'receipt'),
  desired: validated(DesiredState, 'desired state'),
} as const;
