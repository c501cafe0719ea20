/** An operator who sends again what there is no need to send again: the books must balance all the same. */
import { ComioError, messageOf } from '../base/errors.ts'
import type { ReplayScope } from '../store/object-store.ts'
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
    const { process, name } = chance.pick(sites)
    const ledgers = [...(process?.ledgers.values() ?? [])]
    if (process === undefined || ledgers.length === 0) return
    const ledger = chance.pick(ledgers)
    const scope = this.#scope(ledger.position().high)
    const dryRun = chance.hits(0.2)
    const before = ledger.counters()
    ledger.replay(scope, { dryRun }).then(
      ({ count }) => {
        trace.add('replay', `${name} for ${ledger.remote}: ${count} of ${JSON.stringify(scope)}`)
        // What was counted is written down, unless writers came in between.
        const { queued, replaying } = ledger.counters()
        const isKept = dryRun || count === 0 || queued + replaying > before.queued
        const say = (): string => `${count} selected at ${name}, nothing is queued again`
        if (process.isAlive()) this.#checked(() => demand(isKept, 'replay', say))
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
