/** The clients of one life of a site: each chooses an operation after the other. */
import type { SlotName } from '../site-contents.ts'
import type { CrashClient } from './crash-client.ts'
import { IncomingWork } from './incoming-work.ts'
import { LedgerWork } from './ledger-work.ts'
import { ObjectWork } from './object-work.ts'

/** Operations that are left to begin, over all lives. */
export interface Budget {
  left: number
}

type Action = (name: SlotName) => Promise<void>

export class CrashWorkload {
  readonly #client: CrashClient
  readonly #budget: Budget
  readonly #actions: readonly (readonly [weight: number, action: Action])[]
  #running = 0

  constructor(client: CrashClient, budget: Budget) {
    this.#client = client
    this.#budget = budget
    const objects = new ObjectWork(client)
    const incoming = new IncomingWork(client)
    const ledger = new LedgerWork(client)
    this.#actions = [
      [30, (name) => objects.put(name)],
      [3, (name) => objects.putBroken(name)],
      [14, (name) => objects.delete(name)],
      [8, (name) => objects.get(name)],
      [3, (name) => objects.purge(name)],
      [2, (name) => objects.createBucket(name)],
      [3, (name) => objects.deleteBucket(name)],
      [6, (name) => incoming.apply(name)],
      [6, (name) => incoming.upload(name)],
      [5, (name) => incoming.resume(name)],
      [10, () => ledger.ship()],
      [1, () => ledger.decide()],
    ]
  }

  /** Everything that was begun has ended. */
  get isIdle(): boolean {
    return this.#running === 0
  }

  start(onViolation: (violation: unknown) => void): void {
    for (let left = this.#client.parts.options.clients; left > 0; left--) {
      this.#running++
      this.#live().then(() => this.#running--, onViolation)
    }
  }

  async #live(): Promise<void> {
    const { chance, model } = this.#client.parts
    const total = this.#actions.reduce((sum, [weight]) => sum + weight, 0)
    for (;;) {
      await this.#client.pause()
      if (this.#budget.left === 0) return
      this.#budget.left--
      let at = chance.below(total)
      const chosen = this.#actions.find(([weight]) => {
        at -= weight
        return at < 0
      })
      await chosen?.[1](chance.pick(model.names))
    }
  }
}
