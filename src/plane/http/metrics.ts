/** Counters, gauges and histograms in Prometheus' text format. Names begin with `fairlead_`. */
export type LabelValues = Readonly<Record<string, string | number>>;

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  lines(): string[];
}

export interface Counter {
  add(labels: LabelValues, by?: number): void;
}

export interface Gauge {
  set(labels: LabelValues, value: number): void;
}

export interface Histogram {
  observe(labels: LabelValues, value: number): void;
}

// A label that varies without bound (a name, a path) must not fill the memory.
const MAX_SERIES = 2000;

export class Metrics {
  readonly #families = new Map<string, Family>();

  counter(name: string, help: string): Counter {
    const values = new Map<string, number>();
    this.#add({ name, help, type: 'counter', lines: () => [...values].map(([labels, value]) => `${name}${labels} ${value}`) });
    return {
      add: (labels, by = 1) => {
        const key = render(labels);
        if (values.has(key) || values.size < MAX_SERIES) values.set(key, (values.get(key) ?? 0) + by);
      },
    };
  }

  gauge(name: string, help: string): Gauge {
    const values = new Map<string, number>();
    this.#add({ name, help, type: 'gauge', lines: () => [...values].map(([labels, value]) => `${name}${labels} ${value}`) });
    return {
      set: (labels, value) => {
        const key = render(labels);
        if (values.has(key) || values.size < MAX_SERIES) values.set(key, value);
      },
    };
  }

  /** A gauge that is asked when somebody reads. */
  read(name: string, help: string, value: () => number): void {
    this.#add({ name, help, type: 'gauge', lines: () => [`${name} ${value()}`] });
  }

  histogram(name: string, help: string, buckets: readonly number[]): Histogram {
    const series = new Map<string, { readonly labels: LabelValues; readonly counts: number[]; sum: number; count: number }>();
    this.#add({
      name,
      help,
      type: 'histogram',
      lines: () =>
        [...series.values()].flatMap(({ labels, counts, sum, count }) => [
          ...buckets.map((bound, index) => `${name}_bucket${render({ ...labels, le: bound })} ${counts[index] ?? 0}`),
          `${name}_bucket${render({ ...labels, le: '+Inf' })} ${count}`,
          `${name}_sum${render(labels)} ${sum}`,
          `${name}_count${render(labels)} ${count}`,
        ]),
    });
    return {
      observe: (labels, value) => {
        const key = render(labels);
        let one = series.get(key);
        if (one === undefined) {
          if (series.size >= MAX_SERIES) return;
          one = { labels, counts: buckets.map(() => 0), sum: 0, count: 0 };
          series.set(key, one);
        }
        one.sum += value;
        one.count += 1;
        for (const [index, bound] of buckets.entries()) if (value <= bound) one.counts[index] = (one.counts[index] ?? 0) + 1;
      },
    };
  }

  text(): string {
    return [...this.#families.values()]
      .flatMap((family) => [`# HELP ${family.name} ${family.help}`, `# TYPE ${family.name} ${family.type}`, ...family.lines()])
      .concat('')
      .join('\n');
  }

  #add(family: Family): void {
    this.#families.set(family.name, family);
  }
}

function render(labels: LabelValues): string {
  const parts = Object.entries(labels).map(
    ([name, value]) => `${name}="${String(value).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
  );
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}
