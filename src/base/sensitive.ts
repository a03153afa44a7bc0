import { inspect } from 'node:util';

export const REDACTED = '[redacted]';

/** A value that must never be printed. Every way of turning it into text gives `[redacted]`; `reveal()` is the one way out. */
export class Sensitive<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  reveal(): T {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}
