/** An operator who sends again what there is no need to send again: the books must balance all the same. */
import { ComioError, messageOf } from '../base/errors.ts'
import type { ReplayScope } from '../store/model/object-store.ts'
import { stateKey } from '../store/tables/keys.ts'
import { decodeStoreState } from '../store/tables/small-entries.ts'
import type { Chance } from './chance.ts'
import { SimSystemError } from './sim-device.ts'
import type { SimSite } from './sim-site.ts'
import type { Trace } from './trace.ts'
import { demand } from './violation.ts'

export interface ReplayOperatorOptions {
  readonly sites: readonly SimSite[]
  readonly chance: Chance
  readonly trace: Trace
  readonly options: { readonly buckets: number }
  readonly onViolation: (violation: unknown) => void
}

export class ReplayOperator {
  readonly #options: ReplayOperatorOptions

  constructor(options: ReplayOperatorOptions) {
    this.#options = options
  }

  /** Of a random site that runs, to one of its remotes. */
  replaySomething(): void {
    const { sites, chance, trace, onViolation } = this.#options
    const site = chance.pick(sites)
    const { process, name } = site
    const ledgers = [...(process?.ledgers.values() ?? [])]
    if (process === undefined || ledgers.length === 0) return
    const ledger = chance.pick(ledgers)
    const scope = this.#scope(ledger.position().high)
    const dryRun = chance.hits(0.2)
    const before = ledger.counters()
    const goneBefore = placesGone(site)
    ledger.replay(scope, { dryRun }).then(
      ({ count }) => {
        trace.add('replay', `${name} for ${ledger.remote}: ${count} of ${JSON.stringify(scope)}`)
        if (dryRun || count === 0 || !process.isAlive()) return
        // What was counted is written down, unless a newer write took the place before it could be:
        // that write is pending, so there is nothing to send again. Then all that was counted is gone.
        const { queued, replaying } = ledger.counters()
        const isKept = queued + replaying > before.queued || placesGone(site) - goneBefore >= count
        const say = (): string => `${count} selected at ${name}, nothing is queued again`
        this.#checked(() => demand(isKept, 'replay', say))
      },
      (error: unknown) => {
        const isExpected = error instanceof ComioError || error instanceof SimSystemError
        if (process.isAlive() && !isExpected) onViolation(error)
        trace.add('replay failed', `${name}: ${messageOf(error)}`)
      },
    )
  }

  #scope(high: number): ReplayScope {
    const { chance, options } = this.#options
    const bucket = `bucket-${chance.between(1, options.buckets)}`
    return chance.pick<ReplayScope>([
      { from: 'failed' },
      { from: chance.between(0, high) },
      { select: { bucket } },
      { select: { bucket, prefix: `key/${chance.between(1, 3)}` } },
      { select: {} },
    ])
  }

  #checked(check: () => void): void {
    try {
      check()
    } catch (violation) {
      this.#options.onViolation(violation)
    }
  }
}

/**
 * How many places have left the feed in all, as the index has it: what was counted as selected is
 * read there, and the counters are ahead of it.
 */
function placesGone(site: SimSite): number {
  const state = site.indexDisk.durable.get(stateKey)
  if (state === undefined) return 0
  const { seq, places } = decodeStoreState(state)
  return seq - places
}
