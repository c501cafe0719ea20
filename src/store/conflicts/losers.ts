/**
 * What becomes of a write that loses a conflict. It is always listed, before anything makes the store
 * forget it; where the bucket keeps both, its object is put under a name of its own first. A site that
 * widens a context over a write has listed and kept that write: whoever meets the wider context later
 * need not know the loser any more.
 *
 * It must never know how the other write came here, nor choose which one wins: versions do.
 */
import { ComioError } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import { StaleLocationError, VolumeFullError } from '../../volume/format/errors.ts'
import type { BlobWriter } from '../bodies/blob-writer.ts'
import { openStored, type RecordReader } from '../bodies/stored-object.ts'
import { type ConflictPolicy, policyOf } from '../model/bucket-register.ts'
import { CorruptObjectError, StorageFullError } from '../model/errors.ts'
import { copyOf, type KeptCopy, markOf, originOf } from '../model/kept-copy.ts'
import type { DeleteMutation, ObjectMeta, PutMutation } from '../model/mutation.ts'
import type { ConflictSide, ObjectName, OpenObject } from '../model/object-store.ts'
import { objectSlot } from '../model/slot.ts'
import { contextCovers, covers, type SiteId, siteOf, type Version } from '../model/version.ts'
import type { Accounts } from '../tables/accounts.ts'
import { blobKey } from '../tables/keys.ts'
import type { LiveEntry, SlotEntry } from '../tables/slot-entry.ts'
import { decodeExtents } from '../tables/small-entries.ts'
import type { Admission } from '../write/admission.ts'
import type { Floor } from '../write/current-slot.ts'
import type { Sequencer } from '../write/sequencer.ts'
import type { ReadyBody } from '../write/write-decision.ts'
import { type Conflicts, isMarkOf } from './conflicts.ts'

export interface LosersOptions {
  readonly siteId: SiteId
  readonly sequencer: Sequencer
  readonly accounts: Pick<Accounts, 'bucket'>
  readonly conflicts: Conflicts
  readonly index: OrderedIndex
  readonly reader: RecordReader
  readonly admission: Admission
  readonly inlineBytesMax: number
  readonly openWriter: () => BlobWriter
  /** Where a bucket has no policy of its own. */
  readonly defaultPolicy: ConflictPolicy
  /** Takes a copy as if another site had made it: there may be something under its name. */
  readonly applyCopy: (mutation: PutMutation, body: ReadyBody) => Promise<unknown>
  readonly logger: Logger
}

/** `first`: the loser is being kept, decide again then. `listed`: it is known to be from then on. */
export type Loss =
  | { readonly kind: 'first'; readonly until: Promise<void> }
  | { readonly kind: 'listed'; readonly done: Promise<void> | undefined }

/** How often an object that reads as damaged is read again before its loss is listed without it. */
const readsMax = 4
/** Of damaged objects so many are remembered. */
const damagedMax = 1000

export class Losers {
  readonly #options: LosersOptions
  /** How often they could not be read, by the copy. */
  readonly #damaged = new Map<string, number>()

  constructor(options: LosersOptions) {
    this.#options = options
  }

  policyOf(bucket: string): ConflictPolicy {
    const register = this.#options.sequencer.registerOf(bucket)
    return policyOf(register) ?? this.#options.defaultPolicy
  }

  /** Where a put that loses is to be kept; undefined when it is not, or is kept already. */
  unkept(name: ObjectName, loser: Version, winner: ConflictSide): KeptCopy | undefined {
    const copy = this.#copyOf(name, loser, winner)
    return copy === undefined || this.#isKept(copy) ? undefined : copy
  }

  /** A write from elsewhere lost. Its object, if it is to be kept, has been. */
  loseIncoming(
    mutation: PutMutation | DeleteMutation,
    winner: ConflictSide,
  ): Promise<void> | undefined {
    const { slot, version } = mutation
    return this.#note(slot, sideOfMutation(mutation), {
      winner,
      copy: mutation.kind === 'put' ? this.#copyOf(slot, version, winner) : undefined,
    })
  }

  /** What is stored here lost, and is about to be replaced or taken out. */
  loseStored(name: ObjectName, entry: SlotEntry, winner: ConflictSide): Loss {
    const copy = entry.kind === 'live' ? this.#copyOf(name, entry.version, winner) : undefined
    if (entry.kind === 'live' && copy !== undefined && !this.#isKept(copy)) {
      return { kind: 'first', until: this.#keep(name, entry, copy) }
    }
    return { kind: 'listed', done: this.#note(name, sideOfEntry(entry), { winner, copy }) }
  }

  /**
   * What lies under the floor and has not been swept is about to be replaced. Returns what to wait for
   * first, if anything.
   *
   * @param next what replaces it: a copy's copy is the same write again, and loses nothing
   */
  loseHidden(name: ObjectName, next?: Version): Promise<void> | undefined {
    const { sequencer, accounts } = this.#options
    const floor = sequencer.floorOf(name.bucket)
    if (floor.value === undefined) return undefined
    if (floor.done === undefined && !accounts.bucket(name.bucket).sweeping) return undefined
    const { entry } = sequencer.current(name)
    if (entry?.kind !== 'live' || entry.version > floor.value.version) return undefined
    if (this.#hasSeen(floor.value, name.key, entry) || this.#wasDead(entry)) return undefined
    const origin = originOf(name.key, entry.version)
    if (next !== undefined && originOf(name.key, next) === origin) return undefined
    const loss = this.loseStored(name, entry, { kind: 'purge', version: floor.value.version })
    return loss.kind === 'first' ? loss.until : undefined
  }

  /** Whether an object under the floor is to be kept before it is swept, and is not yet. */
  waitsToBeKept(name: ObjectName, entry: LiveEntry): boolean {
    const floor = this.#options.sequencer.floorOf(name.bucket).value
    if (floor === undefined || this.#hasSeen(floor, name.key, entry)) return false
    if (this.#wasDead(entry)) return false
    const winner = { kind: 'purge', version: floor.version } as const
    return this.unkept(name, entry.version, winner) !== undefined
  }

  /** An object under the floor is about to be swept; resolves once it is listed, and kept if need be. */
  async loseSwept(name: ObjectName, entry: LiveEntry): Promise<void> {
    for (;;) {
      const { sequencer } = this.#options
      const floor = sequencer.floorOf(name.bucket).value
      // Whoever has replaced it meanwhile has answered for it; its copy may lie in its own place.
      const now = sequencer.current(name).entry
      if (
        now === undefined ||
        originOf(name.key, now.version) !== originOf(name.key, entry.version)
      )
        return
      if (floor === undefined || this.#hasSeen(floor, name.key, entry)) return
      if (this.#wasDead(entry)) return
      const winner = { kind: 'purge', version: floor.version } as const
      if (now.version !== entry.version) {
        // Kept in its own place, for this purge or for another one.
        await this.#note(name, sideOfEntry(entry), {
          winner,
          copy: this.#copyOf(name, entry.version, winner),
        })
        return
      }
      const loss = this.loseStored(name, entry, winner)
      if (loss.kind === 'listed') {
        await loss.done
        return
      }
      await loss.until
    }
  }

  // --- inner parts

  #hasSeen(floor: Floor, key: string, entry: SlotEntry): boolean {
    return isSeenHere(this.#options.siteId, floor, { key, entry })
  }

  /**
   * Only what was replaced or swept before has its bytes in segments that are freed: the index was built
   * anew from a log in which this put is, and what came behind it is not any more.
   */
  #wasDead({ body }: LiveEntry): boolean {
    const { index, reader } = this.#options
    if (body.kind === 'inline') return false
    for (const { id } of body.blobs) {
      const extents = index.get(blobKey(id))
      if (extents === undefined) continue
      try {
        reader.pin(decodeExtents(extents))()
      } catch (thrown) {
        // A segment that is missing, and not freed, is another matter.
        if (thrown instanceof StaleLocationError) return true
        if (!(thrown instanceof ComioError)) throw thrown
      }
    }
    return false
  }

  #copyOf(name: ObjectName, loser: Version, winner: ConflictSide): KeptCopy | undefined {
    if (this.policyOf(name.bucket) !== 'keep-both') return undefined
    const copy = copyOf(name, loser, winner.kind === 'purge' ? winner.version : undefined)
    if (copy === undefined || (this.#damaged.get(textOf(copy)) ?? 0) >= readsMax) return undefined
    return copy
  }

  /** Also when somebody has since overwritten or deleted the copy. */
  #isKept(copy: KeptCopy): boolean {
    const { entry } = this.#options.sequencer.current(copy)
    return entry !== undefined && covers(entry, copy.version)
  }

  #note(
    name: ObjectName,
    loser: ConflictSide,
    how: { readonly winner: ConflictSide; readonly copy: KeptCopy | undefined },
  ): Promise<void> | undefined {
    const { winner, copy } = how
    // Both want it gone: nobody has lost anything.
    if (loser.kind === 'delete' && winner.kind !== 'put') return undefined
    const { conflicts, sequencer } = this.#options
    const { bucket, key } = name
    const shown = { ...loser, version: originOf(key, loser.version) }
    // Another site has noticed it before, and there it was resolved.
    const mark = sequencer.current(markOf({ bucket, key, loser: shown }))
    const sides = { loser: shown.version, winner: winner.version }
    if (mark.entry?.kind === 'tombstone' && isMarkOf(mark.entry, sides)) return mark.after
    const done = conflicts.note({ bucket, key, loser: shown, winner, keptAs: copy?.key }, sequencer)
    // A failure reaches the caller through what is sequenced right behind.
    done?.catch(() => undefined)
    return done
  }

  /** Copies the loser's bytes: its own go with its slot. */
  async #keep(name: ObjectName, entry: LiveEntry, copy: KeptCopy): Promise<void> {
    const { sequencer, index, reader } = this.#options
    if (entry.location === undefined) return sequencer.pendingOf(name)
    const find = (): LiveEntry | undefined => {
      const { entry: now } = sequencer.current(name)
      const isStill = now?.kind === 'live' && now.version === entry.version
      return isStill && now.location !== undefined ? now : undefined
    }
    let object: OpenObject | undefined
    try {
      object = openStored(name, find, { reader, index })
      if (object !== undefined) await this.#copy(object, copy, entry.meta)
    } catch (thrown) {
      if (thrown instanceof VolumeFullError) throw new StorageFullError({ wanted: entry.meta.size })
      if (!(thrown instanceof CorruptObjectError)) throw thrown
      if (!this.#countDamage(copy, thrown)) throw thrown
    } finally {
      object?.close()
    }
  }

  /** True when it is given up: the winner must not wait for what will never be read. */
  #countDamage(copy: KeptCopy, error: CorruptObjectError): boolean {
    const text = textOf(copy)
    const failures = (this.#damaged.get(text) ?? 0) + 1
    for (const oldest of this.#damaged.keys()) {
      if (this.#damaged.size < damagedMax) break
      this.#damaged.delete(oldest)
    }
    this.#damaged.set(text, failures)
    if (failures < readsMax) return false
    const { bucket, key } = copy
    this.#options.logger.error(
      { bucket, key, error: error.message },
      'An object that lost a conflict is damaged and cannot be kept',
    )
    return true
  }

  async #copy(object: OpenObject, copy: KeptCopy, meta: ObjectMeta): Promise<void> {
    const { admission, inlineBytesMax, openWriter, applyCopy } = this.#options
    const mutation = copyMutation(copy, meta)
    const promise = await admission.admit(meta.size)
    try {
      if (meta.size <= inlineBytesMax) {
        await applyCopy(mutation, { bytes: await object.readWhole() })
        return
      }
      const writer = openWriter()
      try {
        for await (const bytes of object.read(undefined, { passing: true })) {
          await writer.write(bytes)
          promise.spend(bytes.length)
        }
        await applyCopy(mutation, { blobs: [await writer.finish()] })
      } finally {
        await writer.close()
      }
    } finally {
      promise.release()
    }
  }
}

/** The put that makes a copy: the same at every site. */
export function copyMutation(copy: KeptCopy, meta: ObjectMeta): PutMutation {
  const slot = objectSlot(copy.bucket, copy.key)
  return { kind: 'put', slot, version: copy.version, context: [], meta }
}

/**
 * Whether nobody loses anything when the entry goes. What lay here when this site itself purged was seen,
 * whatever the purge can say of it to others; what has been swept before comes from a log that holds dead
 * records still, and was overwritten in its time.
 */
export function isSeenHere(
  siteId: SiteId,
  floor: Floor,
  { key, entry }: { readonly key: string; readonly entry: Pick<SlotEntry, 'seq' | 'version'> },
): boolean {
  const isOwn = siteOf(floor.version) === siteId
  if (isOwn && entry.seq < floor.seq) return true
  // What a sweep took out was listed and kept then, or it was dead already.
  if (floor.swept !== undefined && entry.version <= floor.swept) return true
  return isSeenBy(floor, key, entry.version)
}

/** Whether the purging site had seen a write that falls under its floor. */
export function isSeenBy(
  floor: Pick<Floor, 'version' | 'context'>,
  key: string,
  version: Version,
): boolean {
  const origin = originOf(key, version)
  return contextCovers(floor.context, origin) || siteOf(floor.version) === siteOf(origin)
}

export function sideOfEntry(entry: SlotEntry): ConflictSide {
  const { version } = entry
  if (entry.kind === 'tombstone') return { kind: 'delete', version }
  return { kind: 'put', version, size: entry.meta.size, etag: entry.meta.etag }
}

export function sideOfMutation(mutation: PutMutation | DeleteMutation): ConflictSide {
  const { version } = mutation
  if (mutation.kind === 'delete') return { kind: 'delete', version }
  return { kind: 'put', version, size: mutation.meta.size, etag: mutation.meta.etag }
}

function textOf(copy: KeptCopy): string {
  return `${copy.bucket}/${copy.key} ${copy.version}`
}
