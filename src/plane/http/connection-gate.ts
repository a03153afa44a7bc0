import type { Socket } from 'node:net';

export interface ConnectionGateLimits {
  /** Connections let in per turn of the event loop. */
  readonly perTurn: number;
  /** Connections that wait for their handshake; beyond, the newest is closed. */
  readonly waiting: number;
  /** A connection that waited longer is closed: its client has given up or soon will. */
  readonly waitMs: number;
}

export const connectionGateLimits: ConnectionGateLimits = { perTurn: 4, waiting: 20_000, waitMs: 30_000 };

interface Waiting {
  readonly socket: Socket;
  readonly address: string;
  readonly timer: NodeJS.Timeout;
}

/**
 * Lets new connections into the TLS server a few per turn of the event loop, by remote address in turn. A handshake costs a
 * millisecond; a thousand at once, as after a restart, would be one long turn in which nothing else is answered. Whoever calls
 * from an address of their own waits for at most one connection of every other address. Only work is counted, not who is let
 * in: clients that never finish a handshake keep nobody out.
 */
export class ConnectionGate {
  readonly #limits: ConnectionGateLimits;
  readonly #admit: (socket: Socket) => void;
  readonly #queues = new Map<string, Set<Waiting>>();
  #waiting = 0;
  #letIn = 0;
  #turn: NodeJS.Immediate | undefined;

  constructor(admit: (socket: Socket) => void, limits: Partial<ConnectionGateLimits> = {}) {
    this.#admit = admit;
    this.#limits = { ...connectionGateLimits, ...limits };
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** A socket that was just accepted. */
  enter(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    if (this.#waiting === 0 && this.#mayAdmit()) {
      this.#letInNow(socket);
      return;
    }
    if (this.#waiting >= this.#limits.waiting) {
      socket.destroy();
      return;
    }
    const queue = this.#queues.get(address) ?? new Set<Waiting>();
    const timer = setTimeout(() => socket.destroy(), this.#limits.waitMs);
    const one: Waiting = { socket, address, timer };
    queue.add(one);
    this.#queues.set(address, queue);
    this.#waiting += 1;
    // Nobody else listens yet: an unheard error would end the process.
    socket.on('error', ignore);
    socket.once('close', () => this.#leave(one));
    this.#nextTurn();
  }

  /** Closes what waits. */
  close(): void {
    for (const queue of this.#queues.values()) for (const { socket } of queue) socket.destroy();
  }

  #mayAdmit(): boolean {
    return this.#letIn < this.#limits.perTurn;
  }

  #letInNow(socket: Socket): void {
    this.#letIn += 1;
    this.#nextTurn();
    this.#admit(socket);
  }

  #nextTurn(): void {
    if (this.#turn !== undefined) return;
    this.#turn = setImmediate(() => {
      this.#turn = undefined;
      this.#letIn = 0;
      this.#pump();
      if (this.#waiting > 0) this.#nextTurn();
    });
  }

  #pump(): void {
    while (this.#waiting > 0 && this.#mayAdmit()) {
      const [address, queue] = first(this.#queues);
      const one = queue?.values().next().value;
      if (address === undefined || queue === undefined || one === undefined) return;
      this.#leave(one);
      // The next connection of this address comes after one of each other.
      if (queue.size > 0) {
        this.#queues.delete(address);
        this.#queues.set(address, queue);
      }
      one.socket.off('error', ignore);
      this.#letInNow(one.socket);
    }
  }

  #leave(one: Waiting): void {
    const queue = this.#queues.get(one.address);
    if (queue?.delete(one) !== true) return;
    clearTimeout(one.timer);
    this.#waiting -= 1;
    if (queue.size === 0) this.#queues.delete(one.address);
  }
}

function first<K, V>(map: ReadonlyMap<K, V>): readonly [K, V] | readonly [undefined, undefined] {
  for (const entry of map) return entry;
  return [undefined, undefined];
}

function ignore(): void {
  // The socket closes after an error, and `close` is heard.
}
