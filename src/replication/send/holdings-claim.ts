/**
 * What the remote has all of, by what it was sent: what this site had all of at some place of its feed,
 * once everything up to that place is done. The remote is told with the next batch, and its purges state it.
 *
 * Letters that the remote refused are done and not there: while there are any, nothing further is claimed. Nor
 * while a purge is swept: what it hides is not sent any more, and who had not seen it has yet to be told.
 */
import type { Holdings } from '../../store/model/holdings.ts'
import type { HoldingsMark, RemoteLedger, StoreHoldings } from '../../store/model/object-store.ts'
import type { PlaceFilter } from '../../store/model/place-filter.ts'
import { type Context, contextCovers, joinContext } from '../../store/model/version.ts'
import { encodeHoldingsPart } from '../wire/batch-codec.ts'
import { acceptedParts, type HelloAnswer } from '../wire/protocol.ts'
import type { DurableLow } from './durable-low.ts'

export interface HoldingsClaimOptions {
  readonly holdings: StoreHoldings
  readonly ledger: RemoteLedger
  readonly low: DurableLow
  /** What of the feed the remote is sent. */
  readonly scope: PlaceFilter
}

/** What goes with a batch. */
export interface ClaimPart {
  readonly bytes: Uint8Array
  /** The remote has it. */
  readonly told: () => void
}

export class HoldingsClaim {
  readonly #options: HoldingsClaimOptions
  #waiting: HoldingsMark | undefined
  #proven: Context = []
  /** What the remote was told in this session: it may have forgotten what it heard before. */
  #told: { readonly session: string; readonly upTo: Context } = { session: '', upTo: [] }

  constructor(options: HoldingsClaimOptions) {
    this.#options = options
  }

  /** What the remote has not been told yet, if it wants to know. */
  news(answer: HelloAnswer): ClaimPart | undefined {
    if (answer.accepts?.includes(acceptedParts.holdings) !== true) return undefined
    this.#prove(answer)
    const { session } = answer
    const told = this.#told.session === session ? this.#told.upTo : []
    const upTo = this.#proven
    if (upTo.every((version) => contextCovers(told, version))) return undefined
    const holdings: Holdings = { scope: this.#options.scope, upTo }
    return {
      bytes: encodeHoldingsPart(holdings),
      told: () => {
        this.#told = { session, upTo: joinContext(told, upTo) }
      },
    }
  }

  /** The position moved back: the remote may lack what it had. */
  rewound(): void {
    this.#waiting = undefined
    this.#proven = []
  }

  #prove(remote: { readonly volumeId: string; readonly siteId: string }): void {
    const { holdings, ledger, low, scope } = this.#options
    if (ledger.counters().openLetters > 0) return
    const now = holdings.mark(scope, remote)
    if (!now.isSettled) return
    if (low.value >= now.seq) {
      this.#proven = now.upTo
      this.#waiting = undefined
      return
    }
    const waiting = this.#waiting ?? now
    this.#waiting = waiting
    // A change that was moved behind the place before it was sent is not among what is done.
    if (low.value < Math.max(waiting.seq, now.movedTo)) return
    this.#proven = waiting.upTo
    this.#waiting = now
  }
}
