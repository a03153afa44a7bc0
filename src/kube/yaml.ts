import {
  CORE_SCHEMA,
  DUMP_SCHEMA,
  NOT_RESOLVED,
  YAMLException,
  boolYaml11Tag,
  defineScalarTag,
  dump,
  floatCoreTag,
  loadAll,
  mapTag,
  mergeTag,
} from 'js-yaml';
import { FairleadError, messageOf } from '#base';
import { isRecord } from './objects.ts';

const DIGITS = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];

function withoutUnderscores(source: string): string {
  return /^[-+0-9.]/.test(source) ? source.replaceAll('_', '') : source;
}

/**
 * Integers as sigs.k8s.io/yaml (go-yaml v2) reads them: Go's ParseInt with base 0 after removing `_`, so `0777` and
 * `0o777` are octal, `0x1f`, `0b101` and `1_000` count, sexagesimal does not. What passes 2^53 becomes a bigint, never a
 * neighbouring number.
 */
const intTag = defineScalarTag<number | bigint>('tag:yaml.org,2002:int', {
  implicit: true,
  implicitFirstChars: ['-', '+', ...DIGITS],
  resolve: (source) => {
    const match = /^([-+]?)(?:0[bB]([01]+)|0[xX]([0-9a-fA-F]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))$/.exec(withoutUnderscores(source));
    if (match === null) return NOT_RESOLVED;
    const [, sign, binary, hex, octal, decimal] = match;
    const digits =
      binary !== undefined
        ? `0b${binary}`
        : hex !== undefined
          ? `0x${hex}`
          : octal !== undefined
            ? `0o${octal}`
            : (decimal ?? '');
    const big = BigInt(digits) * (sign === '-' ? -1n : 1n);
    if (big > 18_446_744_073_709_551_615n || big < -9_223_372_036_854_775_808n) return NOT_RESOLVED;
    const small = Number(big);
    // `-0` is an integer zero in YAML; JavaScript would keep its sign.
    return Number.isSafeInteger(small) ? small + 0 : big;
  },
  identify: (data) => typeof data === 'bigint' || (Number.isInteger(data) && !Object.is(data, -0)),
  represent: (data: number | bigint) => data.toString(10),
});

/** `.inf` and `.nan` are refused: JSON, and so Kubernetes, has no such number. */
const floatTag = defineScalarTag<number>('tag:yaml.org,2002:float', {
  implicit: true,
  implicitFirstChars: ['-', '+', '.', ...DIGITS],
  resolve: (source) => {
    if (/^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$/.test(source)) {
      throw new YAMLException(`${source} has no JSON form; quote it if text is meant`);
    }
    const plain = withoutUnderscores(source);
    if (!/^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/.test(plain)) return NOT_RESOLVED;
    const value = Number(plain);
    return Number.isFinite(value) ? value : NOT_RESOLVED;
  },
  identify: floatCoreTag.identify,
  represent: floatCoreTag.represent,
});

/** YAML as the Kubernetes tools read it: YAML 1.1 booleans (`yes`, `on`, `y`), merge keys, no timestamps, no language tags. */
const KUBERNETES_SCHEMA = CORE_SCHEMA.withTags(boolYaml11Tag, intTag, floatTag, mergeTag, mapTag);

/** Quotes whatever any YAML version, or Go, could misread, and writes a bigint as the digits it is. */
const DUMP = DUMP_SCHEMA.withTags(
  defineScalarTag<unknown>(intTag.tagName, {
    implicit: true,
    resolve: (source, isExplicit, tagName) => resolveEither(intTag, source, isExplicit, tagName),
    identify: intTag.identify,
    // A number from 1e21 on would print with an exponent, which is no integer in YAML.
    represent: (data) => BigInt(data as number | bigint).toString(10), // what `identify` let through
  }),
  defineScalarTag<unknown>(floatTag.tagName, {
    implicit: true,
    resolve: (source, isExplicit, tagName) => resolveEither(floatTag, source, isExplicit, tagName),
    identify: floatTag.identify,
    represent: floatTag.represent,
  }),
);

/** As any YAML version reads it, else as the Kubernetes tools do. */
function resolveEither(ours: typeof intTag | typeof floatTag, source: string, isExplicit: boolean, tagName: string): unknown {
  const wide = DUMP_SCHEMA.tags.find((tag) => tag.nodeKind === 'scalar' && tag.tagName === ours.tagName);
  const value: unknown = wide?.nodeKind === 'scalar' ? wide.resolve(source, isExplicit, tagName) : NOT_RESOLVED;
  return value === NOT_RESOLVED ? ours.resolve(source, isExplicit, tagName) : value;
}

export interface YamlOptions {
  /** Names the text in errors: `kubeconfig /path`, `file web.yaml`. */
  readonly what?: string;
  readonly maxBytes?: number;
  readonly maxDocuments?: number;
}

const LIMITS = { bytes: 4 * 1024 * 1024, documents: 5000, depth: 100, aliases: 100, mergeKeys: 1000, nodes: 1_000_000 };

/** Every non-empty document of a stream. Duplicate keys, depth over 100 and over 100 aliases are errors that name the line. */
export function parseYamlAll(text: string, options: YamlOptions = {}): unknown[] {
  const what = options.what ?? 'YAML';
  const maxBytes = options.maxBytes ?? LIMITS.bytes;
  const maxDocuments = options.maxDocuments ?? LIMITS.documents;
  if (Buffer.byteLength(text) > maxBytes) {
    throw new FairleadError('FL_YAML_TOO_LARGE', `${what} is larger than ${maxBytes} bytes; split it`, { kind: 'too-large' });
  }
  let documents: unknown[];
  try {
    documents = loadAll(text, {
      schema: KUBERNETES_SCHEMA,
      maxDepth: LIMITS.depth,
      maxAliases: LIMITS.aliases,
      maxTotalMergeKeys: LIMITS.mergeKeys,
    });
  } catch (error) {
    const line = error instanceof YAMLException && error.mark !== undefined ? ` at line ${error.mark.line + 1}` : '';
    // `reason` has no snippet: a snippet of a Secret would put its data into logs.
    const reason = error instanceof YAMLException ? error.reason : messageOf(error);
    throw new FairleadError('FL_YAML_INVALID', `${what} is not valid YAML${line}: ${reason}`, { kind: 'invalid' });
  }
  if (documents.length > maxDocuments) {
    throw new FairleadError(
      'FL_YAML_TOO_LARGE',
      `${what} holds ${documents.length} documents; at most ${maxDocuments} are read`,
      {
        kind: 'too-large',
      },
    );
  }
  const found = documents.filter((document) => document !== null && document !== undefined);
  checkNodes(found, what);
  return found;
}

/** The one document of a text; undefined when it is empty. */
export function parseYaml(text: string, options: YamlOptions = {}): unknown {
  const documents = parseYamlAll(text, options);
  if (documents.length > 1) {
    throw new FairleadError(
      'FL_YAML_INVALID',
      `${options.what ?? 'YAML'} holds ${documents.length} documents where one is expected`,
      {
        kind: 'invalid',
      },
    );
  }
  return documents[0];
}

/** Counts what a walk would visit: a few nested aliases stand for billions of nodes (CVE-2019-11253). */
function checkNodes(documents: readonly unknown[], what: string): void {
  let left = LIMITS.nodes;
  const visit = (value: unknown): void => {
    left -= 1;
    if (left < 0) {
      throw new FairleadError('FL_YAML_TOO_LARGE', `${what} expands to more than ${LIMITS.nodes} values through its aliases`, {
        kind: 'too-large',
      });
    }
    if (Array.isArray(value)) value.forEach(visit);
    else if (isRecord(value)) Object.values(value).forEach(visit);
  };
  documents.forEach(visit);
}

const FIRST = ['apiVersion', 'kind', 'metadata', 'name', 'namespace', 'spec', 'data'];

/** Block-style YAML for people; `apiVersion`, `kind`, `metadata` first, other keys as they are. Ambiguous text is quoted. */
export function formatYaml(value: unknown): string {
  return dump(isRecord(value) ? ordered(value) : value, { schema: DUMP, noRefs: true, lineWidth: -1 });
}

function ordered(value: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const rank = (key: string): number => (FIRST.indexOf(key) + FIRST.length + 1) % (FIRST.length + 1);
  return Object.fromEntries(
    Object.keys(value)
      .sort((a, b) => rank(a) - rank(b))
      .map((key) => [key, value[key]]),
  );
}

/** JSON text of a parsed document, with bigints as the digits they are. */
export function toJson(value: unknown): string {
  if (typeof value === 'bigint') return value.toString(10);
  if (Array.isArray(value)) return `[${value.map((item) => toJson(item)).join(',')}]`;
  if (isRecord(value)) {
    return `{${Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([key, item]) => `${JSON.stringify(key)}:${toJson(item)}`)
      .join(',')}}`;
  }
  return JSON.stringify(value) ?? 'null';
}
