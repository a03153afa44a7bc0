import { codeOf, messageOf } from './errors.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/**
 * error = someone must act, warn = degraded and healing, info = state changes only, debug = the rest.
 * `message` is a constant; everything that varies goes into `fields`, named as in the API.
 */
export interface Log {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A log that adds `fields` to every line. */
  with(fields: LogFields): Log;
}

export type LogFields = Readonly<Record<string, unknown>>;

export interface LogOptions {
  readonly level?: LogLevel;
  readonly write?: (line: string) => void;
  readonly now?: () => number;
}

const order: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** JSON lines on standard error. */
export function jsonLog(options: LogOptions = {}, bound: LogFields = {}): Log {
  const level = options.level ?? 'info';
  const write = options.write ?? ((line: string): void => void process.stderr.write(line));
  const now = options.now ?? Date.now;
  function emit(at: LogLevel, fields: LogFields, message: string): void {
    if (order[at] < order[level]) return;
    write(`${JSON.stringify({ time: new Date(now()).toISOString(), level: at, msg: message, ...bound, ...fields }, plain)}\n`);
  }
  return {
    debug: (fields, message) => emit('debug', fields, message),
    info: (fields, message) => emit('info', fields, message),
    warn: (fields, message) => emit('warn', fields, message),
    error: (fields, message) => emit('error', fields, message),
    with: (fields) => jsonLog(options, { ...bound, ...fields }),
  };
}

/** A log that says nothing; for pure tests. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  with: () => silentLog,
};

function plain(_key: string, value: unknown): unknown {
  if (value instanceof Error) {
    return {
      message: messageOf(value),
      code: codeOf(value),
      cause: value.cause,
      stack: value.stack?.split('\n').slice(1, 6).join('\n'),
    };
  }
  return typeof value === 'bigint' ? value.toString() : value;
}
