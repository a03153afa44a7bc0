import type { Requirement } from '#api';
import { labelValueFaults, qualifiedNameFaults } from './metadata.ts';
import { failure } from './status-error.ts';

/** A label selector as kubectl and client-go write it: `a=b,c!=d,e in (f,g),!h`. Throws 400 in apimachinery's words. */
export function parseLabelSelector(text: string): Requirement[] {
  const parser = new SelectorParser(text);
  const requirements = parser.parse();
  for (const requirement of requirements) {
    for (const fault of qualifiedNameFaults(requirement.key)) {
      throw failure.badRequest(`unable to parse requirement: <nil>: Invalid value: ${JSON.stringify(requirement.key)}: ${fault}`);
    }
    for (const [index, value] of requirement.values.entries()) {
      for (const fault of labelValueFaults(value)) {
        throw failure.badRequest(
          `unable to parse requirement: values[${index}][${requirement.key}]: Invalid value: ${JSON.stringify(value)}: ${fault}`,
        );
      }
    }
  }
  return requirements;
}

const SPECIAL = new Set(['=', '!', '(', ')', ',', '<', '>']);

/** labels.Parser of apimachinery, without the numeric comparisons, which match nothing that a label selector selects here. */
class SelectorParser {
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#tokens = tokensOf(text);
  }

  parse(): Requirement[] {
    const out: Requirement[] = [];
    for (;;) {
      const token = this.#peek();
      if (token === '') {
        if (out.length > 0) throw this.#unexpected(token, "identifier after ','");
        return out;
      }
      if (token !== '!' && !isIdentifier(token)) throw this.#unexpected(token, "!, identifier, or 'end of string'");
      out.push(this.#requirement());
      const next = this.#take();
      if (next === '') return out;
      if (next !== ',') throw this.#unexpected(next, "',' or 'end of string'");
      const after = this.#peek();
      if (after !== '!' && !isIdentifier(after)) throw this.#unexpected(after, "identifier after ','");
    }
  }

  #requirement(): Requirement {
    const first = this.#take();
    if (first === '!') {
      const key = this.#take();
      if (!isIdentifier(key)) throw this.#unexpected(key, 'identifier', 'unable to parse requirement: ');
      return { key, operator: 'DoesNotExist', values: [] };
    }
    const operator = this.#peek();
    if (operator === '' || operator === ',') return { key: first, operator: 'Exists', values: [] };
    this.#at += 1;
    switch (operator) {
      case 'in':
      case 'notin':
        return { key: first, operator: operator === 'in' ? 'In' : 'NotIn', values: this.#values() };
      case '=':
      case '==':
      case '!=':
        return { key: first, operator: operator === '!=' ? 'NotIn' : 'In', values: [this.#exactValue()] };
      default:
        throw this.#unexpected(operator, 'in, notin, =, ==, !=, gt, lt', 'unable to parse requirement: ');
    }
  }

  #exactValue(): string {
    const token = this.#peek();
    if (token === '' || token === ',') return '';
    this.#at += 1;
    if (!isIdentifier(token)) throw this.#unexpected(token, 'identifier', 'unable to parse requirement: ');
    return token;
  }

  #values(): string[] {
    const open = this.#take();
    if (open !== '(') throw this.#unexpected(open, "'('", 'unable to parse requirement: ');
    if (this.#peek() !== ',' && this.#peek() !== ')' && !isIdentifier(this.#peek())) {
      throw this.#unexpected(this.#take(), "',', ')' or identifier", 'unable to parse requirement: ');
    }
    const values = new Set<string>();
    let isAfterValue = false;
    for (;;) {
      const token = this.#take();
      if (token === ')' || token === ',') {
        if (!isAfterValue) values.add('');
        if (token === ')') return [...values];
        isAfterValue = false;
      } else if (isIdentifier(token) && !isAfterValue) {
        values.add(token);
        isAfterValue = true;
      } else throw this.#unexpected(token, isAfterValue ? "',' or ')'" : "',', or identifier", 'unable to parse requirement: ');
    }
  }

  #peek(): string {
    return this.#tokens[this.#at] ?? '';
  }

  #take(): string {
    return this.#tokens[this.#at++] ?? '';
  }

  #unexpected(found: string, expected: string, prefix = ''): Error {
    return failure.badRequest(`${prefix}found '${found}', expected: ${expected}`);
  }
}

function isIdentifier(token: string): boolean {
  return token !== '' && !SPECIAL.has(token.charAt(0));
}

/** Operators, brackets, commas, and what stands between them. */
function tokensOf(text: string): string[] {
  return text.match(/==|!=|[=!(),<>]|[^\s=!(),<>]+/g) ?? [];
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
