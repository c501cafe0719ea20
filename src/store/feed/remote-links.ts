/**
 * Where this site ships to, kept in the volume: each remote with its settings, what of the feed it
 * wants, and the epoch that names its link. A removed remote leaves its epoch behind, so that the next
 * link, under whatever name, has a higher one and nobody takes the one for the other.
 */
import { assert } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { SerialQueue } from '../../base/serial-queue.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { Location } from '../../volume/volume.ts'
import { type Discards, encodeDiscards, fitting, noDiscards } from '../model/discards.ts'
import { RemoteTooLargeError } from '../model/errors.ts'
import type {
  ChangeFeed,
  LinkedRemote,
  RemoteChange,
  RemoteLedger,
  RemoteRegistry,
} from '../model/object-store.ts'
import { wantsEverything } from '../model/place-filter.ts'
import type { Accounts } from '../tables/accounts.ts'
import { dropLetter, remoteChanged } from '../tables/effects.ts'
import { deadLettersRange, seqOf } from '../tables/keys.ts'
import { readSteps } from '../tables/read-all.ts'
import { remoteRecord } from '../tables/records.ts'
import type { RemoteRecord } from '../tables/remote-entry.ts'
import type { CommitPipeline } from '../write/commit-pipeline.ts'
import type { Sequencer } from '../write/sequencer.ts'
import type { LaunchedPlaces } from './launched-places.ts'
import { StoredLedger } from './ledger.ts'
import type { DiscardRegister } from './ledger-discards.ts'

export interface RemoteLinksOptions {
  readonly accounts: Accounts
  readonly index: OrderedIndex
  readonly pipeline: CommitPipeline
  readonly sequencer: Sequencer
  readonly feed: ChangeFeed
  readonly clock: Clock
  readonly launched: LaunchedPlaces
  /** The longest head of a record. */
  readonly headBytesMax: number
}

/** A link that nothing was said about. */
const plainLink: RemoteChange = { filter: wantsEverything, settings: '', state: 'linked' }

export class RemoteLinks implements RemoteRegistry {
  readonly #options: RemoteLinksOptions
  readonly #ledgers = new Map<string, StoredLedger>()
  /** Each record follows from the one before. Nothing in here waits for a ledger, which may wait for it. */
  readonly #records = new SerialQueue()
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: RemoteLinksOptions) {
    this.#options = options
  }

  /** Finishes what a crash cut off. */
  async open(): Promise<void> {
    for (const { record } of this.#options.accounts.remotes.values()) {
      if (record.state === 'removed') await this.#dropLetters(record.name)
      else await this.#openLedger(record.name).fill()
    }
  }

  /** The ledger of a remote, linked at its first mention. */
  ledger(name: string): Promise<RemoteLedger> {
    return this.#inTurn(
      async () => this.#ledgers.get(name) ?? (await this.#link(name, plainLink)).ledger,
    )
  }

  ledgers(): readonly RemoteLedger[] {
    return [...this.#ledgers.values()]
  }

  list(): readonly LinkedRemote[] {
    const linked: LinkedRemote[] = []
    for (const [name, ledger] of this.#ledgers) {
      const record = this.#recordOf(name)
      assert(record !== undefined, 'a ledger belongs to a remote')
      linked.push(linkedRemote(record, ledger))
    }
    return linked
  }

  wasRemoved(name: string): boolean {
    return this.#recordOf(name)?.state === 'removed'
  }

  link(name: string, change: RemoteChange): Promise<LinkedRemote> {
    return this.#inTurn(() => this.#link(name, change))
  }

  change(name: string, change: Partial<RemoteChange>): Promise<LinkedRemote> {
    return this.#inTurn(async () => {
      await this.#write(name, (previous) => {
        assert(previous !== undefined && previous.state !== 'removed', 'a linked remote is changed')
        return { ...previous, ...change, revision: previous.revision + 1 }
      })
      return this.#filled(name)
    })
  }

  unlink(name: string): Promise<void> {
    return this.#inTurn(async () => {
      await this.#write(name, (previous) => {
        assert(previous !== undefined && previous.state !== 'removed', 'a linked remote is removed')
        return {
          ...previous,
          revision: previous.revision + 1,
          state: 'removed',
          filter: wantsEverything,
          settings: '',
          discards: noDiscards,
        }
      })
      this.#ledgers.delete(name)
      await this.#dropLetters(name)
    })
  }

  async #link(name: string, change: RemoteChange): Promise<LinkedRemote> {
    await this.#write(name, (previous) => {
      assert(previous === undefined || previous.state === 'removed', 'a remote is linked once')
      return {
        ...{ name, ...change },
        revision: (previous?.revision ?? 0) + 1,
        epoch: this.#nextEpoch(),
        begunAt: this.#options.accounts.state.seq,
        discards: noDiscards,
      }
    })
    return this.#filled(name)
  }

  /** Above that of every link there was: the same site may have been linked by another name, and clocks go back. */
  #nextEpoch(): number {
    const { accounts, clock } = this.#options
    let epoch = Math.floor(clock.now())
    for (const { record } of accounts.remotes.values()) epoch = Math.max(epoch, record.epoch + 1)
    return epoch
  }

  #recordOf(name: string): RemoteRecord | undefined {
    return this.#options.accounts.remote(name)?.record
  }

  /** @throws RemoteTooLargeError */
  #write(
    name: string,
    next: (previous: RemoteRecord | undefined) => RemoteRecord | undefined,
  ): Promise<void> {
    return this.#records.run(async () => {
      const wanted = next(this.#recordOf(name))
      if (wanted === undefined) return
      const record = this.#fitted(wanted)
      await this.#options.sequencer.sequenceUnplaced(
        remoteRecord(record),
        (context, location: Location) => remoteChanged(context, { record, location }),
      )
    })
  }

  /** What was given up takes the room that is left: what does not fit is forgotten. */
  #fitted(record: RemoteRecord): RemoteRecord {
    const { headBytesMax: limit } = this.#options
    const { name, discards } = record
    const bytes = remoteRecord({ ...record, discards: noDiscards }).head.length
    if (bytes > limit) throw new RemoteTooLargeError({ remote: name, bytes, limit })
    if (bytes + encodeDiscards(discards).length <= limit) return record
    return { ...record, discards: fitting(discards, limit - bytes) }
  }

  #discardsOf(name: string): DiscardRegister {
    return {
      current: () => this.#recordOf(name)?.discards ?? noDiscards,
      write: (change: (discards: Discards) => Discards) =>
        this.#write(name, (previous) => {
          // Removed meanwhile: nothing is offered to it any more.
          if (previous === undefined || previous.state === 'removed') return undefined
          const { revision, discards } = previous
          return { ...previous, revision: revision + 1, discards: change(discards) }
        }),
    }
  }

  async #filled(name: string): Promise<LinkedRemote> {
    const ledger = this.#ledgers.get(name) ?? this.#openLedger(name)
    await ledger.fill()
    const record = this.#recordOf(name)
    assert(record !== undefined, 'what was written is there')
    return linkedRemote(record, ledger)
  }

  #openLedger(name: string): StoredLedger {
    const state = this.#options.accounts.ledger(name)
    assert(state !== undefined, 'a ledger begins with its link')
    const ledger = new StoredLedger({
      ...{ remote: name, state, register: this.#discardsOf(name) },
      ...this.#options,
    })
    this.#ledgers.set(name, ledger)
    return ledger
  }

  /** In steps, since there may be many. */
  async #dropLetters(name: string): Promise<void> {
    const { index, pipeline, sequencer } = this.#options
    for await (const entries of readSteps(index, deadLettersRange(name))) {
      await pipeline.runTask((batch) => {
        const context = sequencer.effectContext(batch)
        for (const [key] of entries) dropLetter(context, name, seqOf(key))
      })
    }
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => undefined) // the caller has it; the next in line goes on
    return turn
  }
}

function linkedRemote(record: RemoteRecord, ledger: RemoteLedger): LinkedRemote {
  const { name, epoch, filter, settings, state } = record
  return { name, epoch, filter, settings, isPaused: state === 'paused', ledger }
}
