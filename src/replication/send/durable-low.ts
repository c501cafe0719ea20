/**
 * The low-water mark that the remote is told. It is never ahead of this site's disk: a remote that
 * remembers more than this site does shows that this site was set back to an older copy of itself,
 * and a crash must not look like that.
 */
import type { RemoteLedger } from '../../store/model/object-store.ts'

export class DurableLow {
  readonly #ledger: RemoteLedger
  #value = 0
  #highest = 0
  #rewinds = 0

  constructor(ledger: RemoteLedger) {
    this.#ledger = ledger
  }

  /** Every place at or below is done, durably. */
  get value(): number {
    return this.#value
  }

  /** What the remote may have been told since the start, before a replay moved the position too. */
  get highest(): number {
    return this.#highest
  }

  /** Runs a durable write of the ledger: it brings to disk what the ledger held before. */
  async cover(write: () => Promise<void>): Promise<void> {
    const { low } = this.#ledger.position()
    const rewinds = this.#rewinds
    await write()
    if (rewinds !== this.#rewinds || low <= this.#value) return
    this.#value = low
    this.#highest = Math.max(this.#highest, low)
  }

  /** The position moved back: what was done above it is not done any more. */
  rewound(): void {
    this.#rewinds++
    this.#value = 0
  }
}
