/** An operator who lets go what links hold back: now and then, and in the end as long as there is any. */
import { ComioError, messageOf } from '../base/errors.ts'
import type { RemoteLedger } from '../store/model/object-store.ts'
import type { Chance } from './chance.ts'
import type { EventQueue } from './event-queue.ts'
import { SimSystemError } from './sim-device.ts'
import type { SimSite } from './sim-site.ts'
import type { Trace } from './trace.ts'

export interface ReleaseOperatorOptions {
  readonly sites: readonly SimSite[]
  readonly queue: EventQueue
  readonly chance: Chance
  readonly trace: Trace
  readonly onViolation: (violation: unknown) => void
}

const lookEveryMs = 3000

export class ReleaseOperator {
  readonly #options: ReleaseOperatorOptions

  constructor(options: ReleaseOperatorOptions) {
    this.#options = options
  }

  /** What one remote of a random site waits for, if it does. */
  releaseSomething(): void {
    const { sites, chance } = this.#options
    const site = chance.pick(sites)
    const ledgers = [...(site.process?.ledgers.values() ?? [])]
    if (ledgers.length > 0) this.#release(site, chance.pick(ledgers))
  }

  /** From now on nothing is held for long. */
  releaseAll(): void {
    const { sites, queue } = this.#options
    for (const site of sites) {
      for (const ledger of site.process?.ledgers.values() ?? []) {
        const { held, ahead } = ledger.counters()
        if (held + ahead > 0) this.#release(site, ledger)
      }
    }
    queue.after(lookEveryMs, () => this.releaseAll())
  }

  #release({ name, process }: SimSite, ledger: RemoteLedger): void {
    const { trace, onViolation } = this.#options
    ledger.release().then(
      ({ count }) => {
        trace.add(
          count === 0 ? 'release-nothing' : 'release',
          `${name} for ${ledger.remote}: ${count}`,
        )
      },
      (error: unknown) => {
        const isExpected = error instanceof ComioError || error instanceof SimSystemError
        if (process?.isAlive() === true && !isExpected) onViolation(error)
        trace.add('release-failed', `${name}: ${messageOf(error)}`)
      },
    )
  }
}
