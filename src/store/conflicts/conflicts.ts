/**
 * The list of conflicts that this site noticed: which write lost to which, and where it is kept. In
 * the log as records of their own, so that the list survives a restart and a rebuild of the index;
 * bounded, the oldest make room.
 */
import type { Clock } from '../../base/clock.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { Location } from '../../volume/volume.ts'
import { markOf } from '../model/kept-copy.ts'
import { decodeLabel } from '../model/mutation.ts'
import type { ConflictTotals, WriteConflict } from '../model/object-store.ts'
import { type Context, covers, type Version } from '../model/version.ts'
import { decodeConflictEntry, encodeConflictEntry } from '../tables/conflict-entry.ts'
import type { EffectContext } from '../tables/effects.ts'
import {
  chunksUnplacedKey,
  conflictKey,
  conflictsRange,
  conflictTotalsKey,
} from '../tables/keys.ts'
import { isSame } from '../tables/moved-records.ts'
import { readAll } from '../tables/read-all.ts'
import { conflictRecord } from '../tables/records.ts'
import {
  decodeConflictTotals,
  encodeConflictTotals,
  type StoredTotals,
} from '../tables/small-entries.ts'
import type { Sequencer } from '../write/sequencer.ts'

/** More than anybody goes through by hand. */
const conflictsMax = 10_000

const nothingYet: StoredTotals = { noticed: 0, kept: 0, dropped: 0, lastId: 0 }

export type NoticedConflict = Omit<WriteConflict, 'id' | 'noticedAt'>

interface Listed {
  readonly identity: string
  readonly mark: string
  /** The versions of both sides. */
  readonly loser: Version
  readonly winner: Version
  readonly location: Location
}

/** A delete that took effect, also in replay. */
interface Deletion {
  readonly bucket: string
  /** Undefined for a purge. */
  readonly key: string | undefined
  readonly version: Version
  readonly seen?: Context
  readonly context: EffectContext
}

export class Conflicts {
  readonly #index: OrderedIndex
  readonly #clock: Clock
  readonly #max: number
  /** By id: what is in the index. */
  readonly #listed = new Map<number, Listed>()
  /** By what they are about. */
  readonly #byIdentity = new Map<string, number>()
  /** By the slot whose tombstone resolves them. */
  readonly #byMark = new Map<string, number>()
  /** Of those listed and those on their way, by what they are about. */
  readonly #known = new Map<string, Promise<void> | undefined>()
  /** The log is all that is known: how a conflict was settled may not be in it any more. */
  readonly #isBuiltAnew: boolean
  #totals: StoredTotals
  #lastId: number

  private constructor(options: ConflictsOptions) {
    this.#index = options.index
    this.#clock = options.clock
    this.#max = options.max ?? conflictsMax
    const stored = options.index.get(conflictTotalsKey)
    this.#totals = stored === undefined ? nothingYet : decodeConflictTotals(stored)
    this.#lastId = this.#totals.lastId
    this.#isBuiltAnew = options.index.get(chunksUnplacedKey) !== undefined
  }

  static async load(options: ConflictsOptions): Promise<Conflicts> {
    const conflicts = new Conflicts(options)
    for (const [, value] of await readAll(options.index, conflictsRange)) {
      const { conflict, location } = decodeConflictEntry(value)
      conflicts.#add(conflict, location)
    }
    return conflicts
  }

  /** How many there were, ever. */
  totals(): ConflictTotals {
    const { noticed, kept, dropped } = this.#totals
    return { noticed, kept, dropped }
  }

  get openCount(): number {
    return this.#listed.size
  }

  /** The newest first, from below `before`. */
  list(limit: number, before: number = Number.MAX_SAFE_INTEGER): readonly WriteConflict[] {
    const ids = [...this.#listed.keys()].filter((id) => id < before).sort((a, b) => b - a)
    return ids.slice(0, limit).flatMap((id) => this.get(id) ?? [])
  }

  /** Which one a record is of; undefined when nothing refers to it. */
  idAt(label: Uint8Array, location: Location): number | undefined {
    const { slot, version } = decodeLabel(label)
    if (slot.kind !== 'object') return undefined
    const id = this.#byIdentity.get(identityOf({ ...slot, loser: { version } }))
    const listed = id === undefined ? undefined : this.#listed.get(id)
    return isSame(listed?.location, location) ? id : undefined
  }

  get(id: number): WriteConflict | undefined {
    const value = this.#index.get(conflictKey(id))
    return value === undefined ? undefined : decodeConflictEntry(value).conflict
  }

  /**
   * Writes it down, unless that has been done: a change that is sent again is the same conflict. What
   * makes the loser forgotten must be sequenced behind this.
   */
  note(noticed: NoticedConflict, sequencer: Sequencer): Promise<void> | undefined {
    const identity = identityOf(noticed)
    if (this.#known.has(identity)) return this.#known.get(identity)
    const noticedAt = Math.max(0, Math.floor(this.#clock.now()))
    const conflict: WriteConflict = { ...noticed, id: ++this.#lastId, noticedAt }
    const done = sequencer.sequenceUnplaced(conflictRecord(conflict, 'open'), (context, location) =>
      this.noticed(context, conflict, location),
    )
    this.#known.set(identity, done)
    done.then(
      () => this.#settle(identity, done),
      () => this.#known.delete(identity),
    )
    return done
  }

  /** Takes it off the list. */
  resolve(conflict: WriteConflict, sequencer: Sequencer): Promise<void> {
    return sequencer.sequenceUnplaced(conflictRecord(conflict, 'resolved'), (context) =>
      this.resolved(context, conflict),
    )
  }

  // --- effects, also in replay

  /** A record of the log: one that was noticed, or a copy of one that is listed, or was until it ended. */
  replayed(context: EffectContext, conflict: WriteConflict, location: Location): void {
    const isKnown = conflict.id <= this.#totals.lastId && !this.#isBuiltAnew
    if (isKnown || this.#listed.has(conflict.id)) this.recordMoved(context, conflict, location)
    else this.noticed(context, conflict, location)
  }

  /** The last copy in the log is the one that is referred to. */
  recordMoved(context: EffectContext, conflict: WriteConflict, location: Location): void {
    const listed = this.#listed.get(conflict.id)
    if (listed === undefined || isSame(listed.location, location)) return
    context.accounts.recordLives(location)
    context.accounts.recordDies(listed.location)
    context.batch.put(conflictKey(conflict.id), encodeConflictEntry({ conflict, location }))
    this.#listed.set(conflict.id, { ...listed, location })
  }

  noticed(context: EffectContext, conflict: WriteConflict, location: Location): void {
    if (this.#listed.has(conflict.id)) return
    context.accounts.recordLives(location)
    context.batch.put(conflictKey(conflict.id), encodeConflictEntry({ conflict, location }))
    this.#add(conflict, location)
    let { noticed, kept, dropped } = this.#totals
    noticed++
    if (conflict.keptAs !== undefined) kept++
    while (this.#listed.size > this.#max) {
      this.#remove(context, this.#oldest)
      dropped++
    }
    // Not the last that was given: those in between are not in the index yet.
    const lastId = Math.max(this.#totals.lastId, conflict.id)
    this.#totals = { noticed, kept, dropped, lastId }
    context.batch.put(conflictTotalsKey, encodeConflictTotals(this.#totals))
  }

  resolved(context: EffectContext, conflict: WriteConflict): void {
    this.#remove(context, conflict.id)
  }

  /** Somebody who had seen both writes has dealt with the one that lost, here or at another site. */
  deleted({ bucket, key, version, seen, context }: Deletion): void {
    if (key === undefined || seen === undefined || this.#byMark.size === 0) return
    const id = this.#byMark.get(`${bucket}/${key}`)
    const listed = id === undefined ? undefined : this.#listed.get(id)
    if (id !== undefined && listed !== undefined && isMarkOf({ version, context: seen }, listed)) {
      this.#remove(context, id)
    }
  }

  // --- inner parts

  /** Copies are replayed in the order of the log, which is not that of the ids. */
  get #oldest(): number {
    let oldest = Number.MAX_SAFE_INTEGER
    for (const id of this.#listed.keys()) oldest = Math.min(oldest, id)
    return oldest
  }

  #add(conflict: WriteConflict, location: Location): void {
    const identity = identityOf(conflict)
    const { bucket, key } = markOf(conflict)
    const mark = `${bucket}/${key}`
    const [loser, winner] = [conflict.loser.version, conflict.winner.version]
    this.#listed.set(conflict.id, { identity, mark, loser, winner, location })
    this.#byIdentity.set(identity, conflict.id)
    this.#byMark.set(mark, conflict.id)
    if (!this.#known.has(identity)) this.#known.set(identity, undefined)
    this.#lastId = Math.max(this.#lastId, conflict.id)
  }

  #remove(context: EffectContext, id: number): void {
    const listed = this.#listed.get(id)
    if (listed === undefined) return
    context.accounts.recordDies(listed.location)
    context.batch.del(conflictKey(id))
    this.#listed.delete(id)
    if (this.#byIdentity.get(listed.identity) === id) this.#byIdentity.delete(listed.identity)
    if (this.#byMark.get(listed.mark) === id) this.#byMark.delete(listed.mark)
    this.#known.delete(listed.identity)
  }

  #settle(identity: string, done: Promise<void>): void {
    if (this.#known.get(identity) === done) this.#known.set(identity, undefined)
  }
}

export interface ConflictsOptions {
  readonly index: OrderedIndex
  readonly clock: Clock
  /** How many are listed; 10,000 unless told. */
  readonly max?: number
}

/** Whether a tombstone was made by somebody who had seen both writes. */
export function isMarkOf(
  tombstone: { readonly version: Version; readonly context: Context },
  sides: { readonly loser: Version; readonly winner: Version },
): boolean {
  return covers(tombstone, sides.loser) && covers(tombstone, sides.winner)
}

function identityOf({
  bucket,
  key,
  loser,
}: {
  readonly bucket: string
  readonly key: string
  readonly loser: { readonly version: Version }
}): string {
  return `${bucket}/${key} ${loser.version}`
}
