/** Tells the ledger, in bulk, what is done: one durable write for all that was answered meanwhile. */
import { rethrowAssertion } from '../../base/assert.ts'
import { type Clock, delay } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { RemoteLedger, Settlement } from '../../store/model/object-store.ts'
import type { DurableLow } from './durable-low.ts'
import type { Shipment } from './shipment.ts'

export interface Settled {
  readonly shipment: Shipment
  readonly result: Settlement['result']
  readonly remote?: Settlement['remote']
}

export interface SettlerOptions {
  readonly ledger: RemoteLedger
  readonly low: DurableLow
  readonly clock: Clock
  readonly logger: Logger
  readonly retryDelayMs: number
  /** The remote has answered; this site's own disk does not know yet. */
  readonly onAnswered: (settled: readonly Settled[]) => void
  /** They are durably done. */
  readonly onSettled: (settled: readonly Settled[]) => void
  readonly onError: (reason: string) => void
}

export class Settler {
  readonly #options: SettlerOptions
  readonly #stop = new AbortController()
  #waiting: Settled[] = []
  #flush: Promise<void> | undefined

  constructor(options: SettlerOptions) {
    this.#options = options
  }

  /** Bounded by the window, which a change leaves only when settled. */
  add(settled: readonly Settled[]): void {
    if (settled.length === 0) return
    for (const one of settled) this.#waiting.push(one)
    this.#options.onAnswered(settled)
    this.#flush ??= this.#run()
  }

  /** Ends after what was added is durable, or could not be made so. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#flush
  }

  async #run(): Promise<void> {
    // One turn of the loop is left for others: their answers go into the same write.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const settled = this.#waiting
      this.#waiting = []
      try {
        const { ledger, low } = this.#options
        await low.cover(() => ledger.settle(settled.map(settlementOf)))
        this.#options.onSettled(settled)
      } catch (error) {
        rethrowAssertion(error)
        if (!(await this.#waitAfter(error))) return
        this.#waiting = [...settled, ...this.#waiting]
      }
    }
    this.#flush = undefined
  }

  /** False when there is to be no further attempt: what is not settled is sent again. */
  async #waitAfter(error: unknown): Promise<boolean> {
    const reason = messageOf(error)
    this.#options.logger.error({ error: reason }, 'Cannot record what was replicated')
    this.#options.onError(`cannot record what was replicated: ${reason}`)
    await delay(this.#options.clock, this.#options.retryDelayMs, this.#stop.signal)
    return !this.#stop.signal.aborted
  }
}

function settlementOf({ shipment, result, remote }: Settled): Settlement {
  return { place: shipment.place, result, ...(remote === undefined ? {} : { remote }) }
}
