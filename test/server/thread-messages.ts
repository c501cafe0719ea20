/** What the engine's thread says to HTTP threads, held back by the test for as long as it likes. */
import { Worker } from 'node:worker_threads'
import { vi } from 'vitest'
import type { ToThread } from '../../src/server/threads/messages.ts'

export class ThreadMessages {
  /** The threads that serve, in the order in which they began to. */
  readonly workers: Worker[] = []
  readonly #kinds = new Set<ToThread['kind']>()
  readonly #held: (() => void)[] = []
  readonly #post = Worker.prototype.postMessage

  /** From now on, of all sites of this process. */
  static watch(): ThreadMessages {
    const messages = new ThreadMessages()
    vi.spyOn(Worker.prototype, 'postMessage').mockImplementation(function (this: Worker, ...args) {
      messages.#take(this, args)
    })
    return messages
  }

  /** Whatever comes of this kind waits; all others go on. */
  hold(kind: ToThread['kind']): void {
    this.#kinds.add(kind)
  }

  /** How many wait. */
  get held(): number {
    return this.#held.length
  }

  release(): void {
    this.#kinds.clear()
    for (const send of this.#held.splice(0)) send()
  }

  #take(worker: Worker, args: Parameters<Worker['postMessage']>): void {
    const { kind } = args[0] as ToThread
    if (kind === 'serve') this.workers.push(worker)
    const send = (): void => this.#post.apply(worker, args)
    if (this.#kinds.has(kind)) this.#held.push(send)
    else send()
  }
}
