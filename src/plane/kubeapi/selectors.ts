import type { Requirement } from '#api';
import { failure } from './status-error.ts';
import { labelValueFaults, qualifiedNameFaults } from './metadata.ts';

/** A label selector as kubectl and client-go write it: `a=b,c!=d,e in (f,g),!h`. Throws 400. */
export function parseLabelSelector(text: string): Requirement[] {
  const requirements: Requirement[] = [];
  for (const term of splitTerms(text)) {
    const set = /^(\S+?)\s+(in|notin)\s*\(([^()]*)\)$/.exec(term);
    const equality = /^([^=!\s]+)\s*(==|=|!=)\s*([^=!\s]*)$/.exec(term);
    const exists = /^(!?)\s*([^=!\s()]+)$/.exec(term);
    let requirement: Requirement;
    if (set !== null) {
      const values = (set[3] ?? '').split(',').map((value) => value.trim());
      requirement = { key: set[1] ?? '', operator: set[2] === 'in' ? 'In' : 'NotIn', values };
    } else if (equality !== null) {
      requirement = { key: equality[1] ?? '', operator: equality[2] === '!=' ? 'NotIn' : 'In', values: [equality[3] ?? ''] };
    } else if (exists !== null) {
      requirement = { key: exists[2] ?? '', operator: exists[1] === '!' ? 'DoesNotExist' : 'Exists', values: [] };
    } else throw failure.badRequest(`unable to parse requirement: ${term}`);
    for (const fault of qualifiedNameFaults(requirement.key)) {
      throw failure.badRequest(`unable to parse requirement: key: Invalid value: ${JSON.stringify(requirement.key)}: ${fault}`);
    }
    for (const value of requirement.values) {
      for (const fault of labelValueFaults(value)) {
        throw failure.badRequest(
          `unable to parse requirement: values[0][${requirement.key}]: Invalid value: ${JSON.stringify(value)}: ${fault}`,
        );
      }
    }
    requirements.push(requirement);
  }
  return requirements;
}

function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let depth = 0;
  let at = '';
  for (const char of text) {
    if (char === '(') depth += 1;
    if (char === ')') depth -= 1;
    if (char === ',' && depth === 0) {
      terms.push(at.trim());
      at = '';
    } else at += char;
  }
  terms.push(at.trim());
  if (terms.length === 1 && terms[0] === '') return [];
  if (terms.includes('')) throw failure.badRequest(`unable to parse requirement: found ',', expected: identifier`);
  return terms;
}

export interface FieldTerm {
  readonly label: string;
  readonly operator: '=' | '!=';
  readonly value: string;
}

/** `metadata.name=a,spec.cluster!=b`, with `\,` `\=` `\\` escaped. Throws 400. */
export function parseFieldSelector(text: string): FieldTerm[] {
  const terms: FieldTerm[] = [];
  for (const part of text.split(/(?<!\\),/)) {
    if (part === '') continue;
    const match = /^([^=!]+)(==|!=|=)(.*)$/s.exec(part);
    if (match === null) throw failure.badRequest(`invalid selector: '${text}'; can't understand '${part}'`);
    const [, label = '', operator = '', value = ''] = match;
    terms.push({ label, operator: operator === '!=' ? '!=' : '=', value: value.replace(/\\([\\,=])/g, '$1') });
  }
  return terms;
}
