/**
 * Decides every write once, in one order: conditions, version, context, place in the feed. It is
 * synchronous and single-threaded; it looks at what is indexed, under what is pending. What it has
 * decided goes to the commit pipeline and takes effect there.
 *
 * It must never wait, nor know how bytes came in or who gives space back: room was promised before.
 */
import { assert } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import { type Location, type RecordInput, recordLength } from '../../volume/volume.ts'
import {
  type BucketRegister,
  type ConflictPolicy,
  mergeRegisters,
  registerVersion,
} from '../model/bucket-register.ts'
import { BucketNotEmptyError, NoSuchBucketError } from '../model/errors.ts'
import { originOf } from '../model/kept-copy.ts'
import {
  type BucketMutation,
  encodeMutation,
  type ObjectMeta,
  type PurgeMutation,
} from '../model/mutation.ts'
import type { DeleteInput, ObjectName, WriteConditions } from '../model/object-store.ts'
import { objectSlot, type Slot } from '../model/slot.ts'
import { type Context, joinContext, type Version, type VersionClock } from '../model/version.ts'
import type { Accounts } from '../tables/accounts.ts'
import {
  type EffectContext,
  joinSlot,
  mergeBucket,
  raiseFloor,
  replaceSlot,
} from '../tables/effects.ts'
import type { IndexBatch } from '../tables/index-batch.ts'
import {
  joinRecord,
  type PlacedBlob,
  plainRecord,
  purgeRecord,
  putRecord,
} from '../tables/records.ts'
import type { LiveEntry, SlotEntry, TombstoneEntry } from '../tables/slot-entry.ts'
import type { CommitPipeline } from './commit-pipeline.ts'
import {
  type CurrentSlot,
  type Floor,
  indexedFloor,
  readSlot,
  type StampedWrite,
} from './current-slot.ts'
import { PendingMap, type PendingValue } from './pending.ts'
import type { ReadyBody, WriteDecision } from './write-decision.ts'
import { behindFloor, contextAfter, refusalOf } from './write-rules.ts'

type Uncover = (succeeded: boolean) => void

interface Appended {
  readonly cover: (done: Promise<void>) => Uncover
  readonly logged: (location: Location) => void
  readonly effects: (batch: IndexBatch) => void
}

export interface SequencerOptions {
  readonly clock: Clock
  readonly versions: VersionClock
  readonly index: OrderedIndex
  readonly accounts: Accounts
  readonly pipeline: CommitPipeline
  readonly launched: EffectContext['launched']
  /** What a purge of the bucket has seen, of the sites that `seen` names. */
  readonly heldOf: (bucket: string, version: Version, seen: Context) => Context
  /** Called with each mutation that took effect on a slot, while its batch is built. */
  readonly onEffect: (effect: {
    readonly bucket: string
    readonly key: string | undefined
    readonly version: Version
    /** What the author of a delete had seen of the slot. */
    readonly seen?: Context
    readonly blobs?: readonly PlacedBlob[]
    readonly context: EffectContext
  }) => void
}

export class Sequencer {
  readonly #options: SequencerOptions
  readonly #slots = new PendingMap<SlotEntry | undefined>()
  readonly #floors = new PendingMap<Floor>()
  readonly #registers = new PendingMap<BucketRegister>()
  #seq: number

  constructor(options: SequencerOptions) {
    this.#options = options
    this.#seq = options.accounts.state.seq
  }

  // --- what the next write sees

  current(name: ObjectName): CurrentSlot {
    const pending = this.#slots.get(slotKeyOf(name))
    const entry = pending === undefined ? this.#indexed(name) : pending.value
    const floor = this.floorOf(name.bucket)
    const above =
      floor.value === undefined || entry === undefined || entry.version > floor.value.version
    // A floor that covers the entry was decided after it: what rests on both rests on the floor.
    const after = above ? pending?.done : (floor.done ?? pending?.done)
    return { entry, live: above && entry?.kind === 'live' ? entry : undefined, after }
  }

  floorOf(bucket: string): {
    readonly value: Floor | undefined
    readonly done: Promise<void> | undefined
  } {
    const pending = this.#floors.get(bucket)
    if (pending !== undefined) return pending
    return { value: indexedFloor(this.#options.accounts.bucket(bucket)), done: undefined }
  }

  /** Whether this write, or one that is newer, has been sequenced: its bytes change nothing more. */
  isDecided({ slot, version }: { readonly slot: Slot; readonly version: Version }): boolean {
    const floor = this.floorOf(slot.bucket).value
    if (floor !== undefined && version <= floor.version) return true
    if (slot.kind !== 'object') return false
    const { entry } = this.current(slot)
    return entry !== undefined && version <= entry.version
  }

  registerOf(bucket: string): BucketRegister & { readonly after: Promise<void> | undefined } {
    const pending = this.#registers.get(bucket)
    const register = pending?.value ?? this.#options.accounts.bucket(bucket)
    const { created, deleted, conflictPolicy } = register
    return { created, deleted, conflictPolicy, after: pending?.done }
  }

  /** A bucket exists while its creation is newer than its deletion, or it has an object. */
  bucketExists(bucket: string): boolean {
    const { created, deleted } = this.registerOf(bucket)
    if (created !== undefined && (deleted === undefined || created > deleted)) return true
    return this.#options.accounts.bucket(bucket).objectCount > 0
  }

  hasObjects(bucket: string): boolean {
    if (this.#options.accounts.bucket(bucket).objectCount > 0) return true
    for (const { value } of this.#pendingIn(bucket)) if (value?.kind === 'live') return true
    return false
  }

  /** The highest version of each site that was seen in the bucket, what is pending included. */
  seenIn(bucket: string): Context {
    const pending: Version[] = []
    for (const { value, key } of this.#pendingIn(bucket))
      if (value !== undefined) pending.push(originOf(key, value.version))
    return joinContext(this.#options.accounts.bucket(bucket).seen, pending)
  }

  /** The write to the slot that is under way, if there is one. */
  pendingOf(name: ObjectName): Promise<void> | undefined {
    return this.#slots.get(slotKeyOf(name))?.done
  }

  /** Lets later writes see the slot as what is under way will leave it: removed, or moved. */
  coverSlot(name: ObjectName, entry: SlotEntry | undefined, done: Promise<void>): Uncover {
    return this.#slots.cover(slotKeyOf(name), entry, done)
  }

  coverFloor(bucket: string, floor: Floor, done: Promise<void>): Uncover {
    return this.#floors.cover(bucket, floor, done)
  }

  // --- local writes

  put(
    name: ObjectName,
    input: {
      readonly meta: ObjectMeta
      readonly body: ReadyBody
      readonly conditions: WriteConditions | undefined
      readonly createBucket: boolean
    },
  ): WriteDecision {
    const current = this.current(name)
    const exists = this.bucketExists(name.bucket)
    if (!exists && !input.createBucket) return this.#noBucket(name.bucket)
    const refusal = refusalOf(name, input.conditions, current)
    if (refusal !== undefined) return refusal
    if (!exists) this.#detach(this.#sequenceBucket(name.bucket, 'created').done)
    const version = this.#options.versions.next()
    const context = contextAfter(current.entry, version)
    return this.sequencePut(name, { ...input, version, context, previous: current.entry })
  }

  delete({ conditions, seen, ...name }: DeleteInput): WriteDecision {
    const { live, entry: previous, after } = this.current(name)
    const refusal = refusalOf(name, conditions, { live, after })
    if (refusal !== undefined) return refusal
    const slot = objectSlot(name.bucket, name.key)
    const isComing = seen !== undefined && !this.isDecided({ slot, version: seen })
    // What only a purge hides is for its sweep to take out.
    const isFree = isComing && previous?.kind !== 'live'
    if (live === undefined && !isFree) return { kind: 'nothing-to-do', after }
    if (isComing) this.#options.versions.observe(seen)
    const version = this.#options.versions.next()
    const context = contextAfter(previous, version, isComing ? seen : undefined)
    return this.sequenceDelete(name, { version, context, previous })
  }

  createBucket(bucket: string): WriteDecision {
    const { created, deleted, after } = this.registerOf(bucket)
    if (created !== undefined && (deleted === undefined || created > deleted)) {
      return { kind: 'nothing-to-do', after }
    }
    return this.#sequenceBucket(bucket, 'created')
  }

  deleteBucket(bucket: string): WriteDecision {
    if (!this.bucketExists(bucket)) return this.#noBucket(bucket)
    const deletes: Promise<void>[] = []
    for (const pending of this.#pendingIn(bucket)) {
      if (pending.value?.kind === 'live') {
        return { kind: 'refused', error: new BucketNotEmptyError(bucket), after: pending.done }
      }
      deletes.push(pending.done)
    }
    if (this.#options.accounts.bucket(bucket).objectCount > 0) {
      if (deletes.length > 0)
        return { kind: 'wait', until: Promise.allSettled(deletes).then(() => undefined) }
      return { kind: 'refused', error: new BucketNotEmptyError(bucket), after: undefined }
    }
    return this.#sequenceBucket(bucket, 'deleted')
  }

  setConflictPolicy(bucket: string, policy: ConflictPolicy | undefined): WriteDecision {
    const { created, deleted } = this.registerOf(bucket)
    if (!this.bucketExists(bucket)) return this.#noBucket(bucket)
    const version = this.#options.versions.next()
    const slot = { kind: 'bucket', bucket } as const
    const conflictPolicy = { version, policy }
    return this.sequenceBucketMutation({
      kind: 'bucket',
      slot,
      version,
      created,
      deleted,
      conflictPolicy,
    })
  }

  purge(bucket: string, onBuild: () => void): WriteDecision {
    if (!this.bucketExists(bucket)) return this.#noBucket(bucket)
    const version = this.#options.versions.next()
    const context = this.#options.heldOf(bucket, version, this.seenIn(bucket))
    const mutation: PurgeMutation = {
      kind: 'purge',
      slot: { kind: 'floor', bucket },
      version,
      context,
    }
    return this.sequencePurge(mutation, onBuild)
  }

  // --- sequencing, also of what other sites made

  sequencePut(
    name: ObjectName,
    put: StampedWrite & { readonly meta: ObjectMeta; readonly body: ReadyBody },
  ): WriteDecision & { readonly kind: 'sequenced' } {
    const seq = this.#nextSeq()
    const { version, context, meta, previous } = put
    const slot = objectSlot(name.bucket, name.key)
    const encoded = encodeMutation({ kind: 'put', slot, version, context, meta })
    const blobs = 'blobs' in put.body ? put.body.blobs : []
    const written = 'bytes' in put.body ? { written: { encoded, bytes: put.body.bytes } } : {}
    const next: LiveEntry = {
      kind: 'live',
      seq,
      version,
      context,
      meta,
      body:
        'blobs' in put.body
          ? { kind: 'blobs', blobs: blobs.map(({ id, size }) => ({ id, size })) }
          : { kind: 'inline' },
      location: undefined,
      recordSeq: seq,
      joinLocation: undefined,
    }
    const done = this.#append(putRecord(seq, encoded, put.body), {
      cover: (promise) => this.#slots.cover(slotKeyOf(name), next, promise),
      logged: (location) => {
        next.location = location
      },
      effects: (batch) => {
        const context = this.effectContext(batch)
        replaceSlot(context, { ...name, previous, next, newBlobs: blobs, ...written })
        this.#options.onEffect({ ...name, version, blobs, context })
      },
    })
    return { kind: 'sequenced', seq, version, done }
  }

  sequenceDelete(
    name: ObjectName,
    input: StampedWrite,
  ): WriteDecision & { readonly kind: 'sequenced' } {
    const seq = this.#nextSeq()
    const { version, context, previous } = input
    const slot = objectSlot(name.bucket, name.key)
    const next: TombstoneEntry = { kind: 'tombstone', seq, version, context, location: undefined }
    const done = this.#append(plainRecord(seq, { kind: 'delete', slot, version, context }), {
      cover: (promise) => this.#slots.cover(slotKeyOf(name), next, promise),
      logged: (location) => {
        next.location = location
      },
      effects: (batch) => {
        const context = this.effectContext(batch)
        replaceSlot(context, { ...name, previous, next, newBlobs: [] })
        this.#options.onEffect({ ...name, version, seen: next.context, context })
      },
    })
    return { kind: 'sequenced', seq, version, done }
  }

  /** Widens the current entry's context. */
  sequenceJoin(
    name: ObjectName,
    current: SlotEntry,
    context: Context,
  ): WriteDecision & { readonly kind: 'sequenced' } {
    if (current.kind === 'tombstone') {
      return this.sequenceDelete(name, { version: current.version, context, previous: current })
    }
    const seq = this.#nextSeq()
    const { version } = current
    const next: LiveEntry = { ...current, seq, context, joinLocation: undefined }
    const record = joinRecord(seq, { slot: objectSlot(name.bucket, name.key), version, context })
    const done = this.#append(record, {
      cover: (promise) => this.#slots.cover(slotKeyOf(name), next, promise),
      logged: (location) => {
        next.location = current.location
        next.joinLocation = location
      },
      effects: (batch) => {
        joinSlot(this.effectContext(batch), { ...name, previous: current, next })
      },
    })
    return { kind: 'sequenced', seq, version, done }
  }

  sequencePurge(
    purge: PurgeMutation,
    onBuild: () => void,
  ): WriteDecision & { readonly kind: 'sequenced' } {
    const { bucket } = purge.slot
    const before = this.floorOf(bucket).value
    const mutation = behindFloor(purge, before)
    const seq = this.#nextSeq()
    const { version, context } = mutation
    const swept = before?.swept
    let at: Location | undefined
    const done = this.#append(purgeRecord(seq, mutation, swept), {
      cover: (promise) => this.coverFloor(bucket, { version, context, seq, swept }, promise),
      logged: (location) => {
        at = location
      },
      effects: (batch) => {
        assert(at !== undefined, 'effects follow the log')
        onBuild()
        const context = this.effectContext(batch)
        raiseFloor(context, { mutation, seq, location: at, swept })
        this.#options.onEffect({ bucket, key: undefined, version, context })
      },
    })
    return { kind: 'sequenced', seq, version, done }
  }

  /** What is recorded is the register as it is then: the records before it may be freed. */
  sequenceBucketMutation(change: BucketMutation): WriteDecision & { readonly kind: 'sequenced' } {
    const seq = this.#nextSeq()
    const { slot } = change
    const { after, ...current } = this.registerOf(slot.bucket)
    const register = mergeRegisters(current, change)
    const version = registerVersion(register) ?? change.version
    const mutation: BucketMutation = { kind: 'bucket', slot, version, ...register }
    let at: Location | undefined
    const done = this.#append(plainRecord(seq, mutation), {
      cover: (promise) => this.#registers.cover(slot.bucket, register, promise),
      logged: (location) => {
        at = location
      },
      effects: (batch) => {
        assert(at !== undefined, 'effects follow the log')
        mergeBucket(this.effectContext(batch), { mutation, seq, location: at })
      },
    })
    return { kind: 'sequenced', seq, version, done }
  }

  /** A record that takes no place in the feed. */
  sequenceUnplaced(
    record: RecordInput,
    effects: (context: EffectContext, location: Location) => void,
    hooks: Partial<Pick<Appended, 'cover' | 'logged'>> = {},
  ): Promise<void> {
    let at: Location | undefined
    return this.#append(record, {
      cover: hooks.cover ?? (() => () => undefined),
      logged: (location) => {
        at = location
        hooks.logged?.(location)
      },
      effects: (batch) => {
        assert(at !== undefined, 'effects follow the log')
        effects(this.effectContext(batch), at)
      },
    })
  }

  effectContext(batch: IndexBatch): EffectContext {
    const { accounts, launched, clock } = this.#options
    return { batch, accounts, launched, now: Math.max(0, Math.floor(clock.now())) }
  }

  // --- inner parts

  #noBucket(bucket: string): WriteDecision {
    const error = new NoSuchBucketError(bucket)
    return { kind: 'refused', error, after: this.registerOf(bucket).after }
  }

  #sequenceBucket(
    bucket: string,
    change: 'created' | 'deleted',
  ): WriteDecision & { readonly kind: 'sequenced' } {
    const version = this.#options.versions.next()
    return this.sequenceBucketMutation({
      kind: 'bucket',
      slot: { kind: 'bucket', bucket },
      version,
      created: change === 'created' ? version : undefined,
      deleted: change === 'deleted' ? version : undefined,
    })
  }

  #indexed(name: ObjectName): SlotEntry | undefined {
    const { index } = this.#options
    return readSlot(name, (key) => index.get(key))
  }

  *#pendingIn(
    bucket: string,
  ): Generator<PendingValue<SlotEntry | undefined> & { readonly key: string }> {
    const prefix = `${bucket}/`
    for (const [slot, { value, done }] of this.#slots.entries())
      if (slot.startsWith(prefix)) yield { key: slot.slice(prefix.length), value, done }
  }

  /** The last place that was given in the feed. */
  get lastSeq(): number {
    return this.#seq
  }

  #nextSeq(): number {
    return ++this.#seq
  }

  /** A failure reaches the caller through the write that was sequenced right behind. */
  #detach(done: Promise<void>): void {
    done.catch(() => undefined)
  }

  #append(record: RecordInput, item: Appended): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const uncover = item.cover(promise)
    this.#options.pipeline.append({
      record,
      bytes: recordLength(record),
      logged: item.logged,
      effects: item.effects,
      settled: (error) => {
        uncover(error === undefined)
        if (error === undefined) resolve()
        else reject(error)
      },
    })
    return promise
  }
}

function slotKeyOf(name: ObjectName): string {
  return `${name.bucket}/${name.key}`
}
