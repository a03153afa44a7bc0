import { childController, supervise } from '#base';
import { Reflector } from '#kube';
import type { ClusterPort } from '../apply/cluster-port.ts';
import type { AgentState } from '../core/model.ts';

export interface KindWaitOptions {
  readonly port: ClusterPort;
  readonly signal: AbortSignal;
  readonly onChange: () => void;
}

const definitions = { group: 'apiextensions.k8s.io', version: 'v1', kind: 'CustomResourceDefinition' };

/** While an object waits for its kind, and only then, CustomResourceDefinitions are watched: it is applied as soon as there is one. */
export class KindWait {
  readonly #options: KindWaitOptions;
  #running: AbortController | undefined;

  constructor(options: KindWaitOptions) {
    this.#options = options;
  }

  follow(state: AgentState): void {
    const isNeeded = [...state.apps.values()].some(
      (app) =>
        (app.plan?.unresolved.length ?? 0) > 0 ||
        [...app.objects.values()].some((one) => one.awaitsKind === true && one.status === 'failed'),
    );
    if (isNeeded && this.#running === undefined) this.#start();
    if (!isNeeded && this.#running !== undefined) {
      this.#running.abort();
      this.#running = undefined;
    }
  }

  #start(): void {
    const { port, onChange } = this.#options;
    const controller = childController(this.#options.signal);
    this.#running = controller;
    let timer: NodeJS.Timeout | undefined;
    controller.signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
    void port.mapper.mapping(definitions).then(
      (mapping) => {
        const reflector = new Reflector<string>({
          client: port.client,
          mapping,
          // Their status tells when they are served; a metadata watch would only see that something changed.
          metadataOnly: true,
          project: (object) => object.metadata.resourceVersion ?? '',
          onEvent: () => {
            if (!reflector.isSynced) return;
            clearTimeout(timer);
            // Established is one of several quick changes; discovery follows a moment later.
            timer = setTimeout(() => {
              port.mapper.invalidate();
              onChange();
            }, 150);
          },
          log: port.log,
          clock: port.clock,
        });
        void supervise([reflector], controller.signal, { log: port.log, clock: port.clock });
      },
      () => undefined,
    );
  }
}
