import { isArray, isObject, stableJson, type Json } from './json.ts';

/** `field.Error` of apimachinery: one thing wrong with one field. */
export interface Issue {
  readonly type:
    | 'FieldValueRequired'
    | 'FieldValueInvalid'
    | 'FieldValueTypeInvalid'
    | 'FieldValueNotSupported'
    | 'FieldValueForbidden'
    | 'FieldValueTooLong'
    | 'FieldValueTooMany'
    | 'FieldValueDuplicate';
  readonly field: string;
  /** What is there; undefined prints nothing. */
  readonly value?: Json | undefined;
  readonly detail: string;
}

const TITLES: Readonly<Record<Issue['type'], string>> = {
  FieldValueRequired: 'Required value',
  FieldValueInvalid: 'Invalid value',
  FieldValueTypeInvalid: 'Invalid value',
  FieldValueNotSupported: 'Unsupported value',
  FieldValueForbidden: 'Forbidden',
  FieldValueTooLong: 'Too long',
  FieldValueTooMany: 'Too many',
  FieldValueDuplicate: 'Duplicate value',
};
const WITHOUT_VALUE = new Set<Issue['type']>(['FieldValueRequired', 'FieldValueForbidden', 'FieldValueTooLong']);

/** `Invalid value: "x": must be …`, as `field.Error.ErrorBody` prints it. */
export function issueBody(issue: Issue): string {
  const title = TITLES[issue.type];
  const value = issue.value;
  const head =
    value === undefined || WITHOUT_VALUE.has(issue.type)
      ? title
      : `${title}: ${isArray(value) || isObject(value) ? stableJson(value) : JSON.stringify(value)}`;
  return issue.detail === '' ? head : `${head}: ${issue.detail}`;
}
