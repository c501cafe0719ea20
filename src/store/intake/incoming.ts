/**
 * Changes that other sites made. Each is decided by what its author had seen: it takes effect when
 * that covers what is here, it is superseded when what is here covers it, and when neither does it
 * is a conflict, which the higher version wins at every site alike.
 *
 * It promises that nothing takes effect that is not sound and whole, and nothing twice. It must never know how
 * a change travelled, nor by which remote.
 */
import { assert, unreachable } from '../../base/assert.ts'
import { ComioError, messageOf } from '../../base/errors.ts'
import { VolumeFullError } from '../../volume/format/errors.ts'
import {
  copyMutation,
  isSeenBy,
  type Losers,
  sideOfEntry,
  sideOfMutation,
} from '../conflicts/losers.ts'
import { includesRegister } from '../model/bucket-register.ts'
import { IndexFullError, StorageFullError, TooManySitesError } from '../model/errors.ts'
import type {
  BucketMutation,
  DeleteMutation,
  Mutation,
  PurgeMutation,
  PutMutation,
} from '../model/mutation.ts'
import { checkMutation } from '../model/names.ts'
import {
  type ApplyOutcome,
  type ConflictSide,
  type IncomingBody,
  type IncomingChange,
  volumeFullReason,
} from '../model/object-store.ts'
import { checkJoin, type SiteCensus } from '../model/site-census.ts'
import {
  type Context,
  contextCovers,
  covers,
  joinContext,
  siteOf,
  timeOf,
  type Version,
  type VersionClock,
} from '../model/version.ts'
import type { SlotEntry } from '../tables/slot-entry.ts'
import type { HeldRoom, ReservedRoom } from '../write/reserved-room.ts'
import type { Sequencer } from '../write/sequencer.ts'
import type { ReadyBody, WriteDecision } from '../write/write-decision.ts'
import { withoutSite } from '../write/write-rules.ts'
import {
  LargeBodies,
  type LargeBodiesOptions,
  type LargeBody,
  refused,
  unfitFor,
  verifiedBody,
} from './incoming-bodies.ts'
import { OpenUpload } from './uploads.ts'

export interface IncomingOptions extends LargeBodiesOptions {
  readonly sequencer: Sequencer
  readonly versions: VersionClock
  readonly sites: SiteCensus
  readonly maxClockSkewMs: number
  /** Larger bodies are not recorded inline. */
  readonly inlineBytesMax: number
  readonly losers: Losers
  readonly reserved: ReservedRoom
  /** What room a put still needs, given what its upload holds already. */
  readonly missingBytesOf: (mutation: PutMutation) => number
  /** Resolves when the pipeline can take another record. */
  readonly room: () => Promise<void>
  /** Rejects when the index cannot be written for a while. */
  readonly answered: <T>(done: Promise<T>, late?: (value: T) => void) => Promise<T>
}

export interface SkewedChanges {
  readonly count: number
  /** Of the last one: how far ahead, and the wall time here. */
  readonly aheadMs: number
  readonly at: number
}

/** An outcome that holds once `done` has resolved; or something that must come first. */
type Decision =
  | { readonly outcome: ApplyOutcome; readonly done: Promise<void> | undefined }
  | { readonly until: Promise<void> }

/** What a put came with. */
interface Came {
  readonly offered: IncomingBody
  readonly body: ReadyBody | undefined
}

/** Each pass keeps a loser, and the slot would have to change under every one of them. */
const passesMax = 100

type ObjectMutation = PutMutation | DeleteMutation

/** What a mutation comes with, and what it is to replace. */
interface Replacement extends Came {
  /** What the slot holds, even when it lies under the floor. */
  readonly previous: SlotEntry | undefined
}

export class Incoming {
  readonly #options: IncomingOptions
  readonly #largeBodies: LargeBodies
  #skewed: SkewedChanges = { count: 0, aheadMs: 0, at: 0 }

  constructor(options: IncomingOptions) {
    this.#options = options
    this.#largeBodies = new LargeBodies(options)
  }

  /** Changes that were put off because their stamps are too far ahead. */
  get skewed(): SkewedChanges {
    return this.#skewed
  }

  /** Whether this site's clock may follow a version that another site made. */
  isNear(version: Version): boolean {
    return this.#options.versions.skewOf(version) <= this.#options.maxClockSkewMs
  }

  async apply(change: IncomingChange): Promise<ApplyOutcome> {
    try {
      checkMutation(change.mutation)
    } catch (thrown) {
      return refusedFor(thrown)
    }
    const skew = this.#options.versions.skewOf(change.mutation.version)
    if (skew > this.#options.maxClockSkewMs) {
      const at = timeOf(change.mutation.version) - skew
      this.#skewed = { count: this.#skewed.count + 1, aheadMs: skew, at }
      return later(`its version is ${Math.round(skew / 1000)} s ahead of this site's clock`)
    }
    try {
      this.#options.sites.admit(change.mutation)
      return await this.#applySane(change)
    } catch (thrown) {
      if (thrown instanceof TooManySitesError) return refusedFor(thrown)
      if (isFull(thrown)) return later(volumeFullReason)
      if (thrown instanceof ComioError) return later(thrown.message)
      throw thrown
    }
  }

  async #applySane(change: IncomingChange): Promise<ApplyOutcome> {
    const { mutation, body } = change
    if (mutation.kind === 'put' && (body.kind === 'inline' || body.kind === 'passing')) {
      const length = body.kind === 'inline' ? body.bytes.length : body.length
      if (length > this.#options.inlineBytesMax) {
        const pieces = body.kind === 'inline' ? [body.bytes] : body.pieces
        return await this.#applyLarge({ mutation, body }, { pieces, length })
      }
    }
    const verified = await verifiedBody(change)
    if (verified !== undefined && 'result' in verified) return verified
    return this.#settleAdmitted(change, verified)
  }

  /** A body that is too large for a record goes into the bulk log first, unless nobody wants it. */
  async #applyLarge(
    change: IncomingChange & { readonly mutation: PutMutation },
    body: LargeBody,
  ): Promise<ApplyOutcome> {
    const { mutation } = change
    const unfit = unfitFor(mutation.meta, body.length)
    if (unfit !== undefined) return unfit
    const asked = await this.#settle({ mutation, body: { kind: 'offered' } }, undefined)
    if (asked.result !== 'need') return asked
    return await this.#largeBodies.placed(mutation.meta, body, (blob) =>
      this.#settle(change, { blobs: [blob] }),
    )
  }

  /** A body that goes into a record needs room for it; one that lies in blobs has its room. */
  async #settleAdmitted(
    change: IncomingChange,
    body: ReadyBody | undefined,
  ): Promise<ApplyOutcome> {
    if (body === undefined || 'blobs' in body) return this.#settleReserved(change, body)
    const room = this.#options.admission.admit(body.bytes.length)
    const promise =
      room instanceof Promise ? await this.#options.answered(room, (late) => late.release()) : room
    try {
      return await this.#settle(change, body)
    } finally {
      promise.release()
    }
  }

  #reservedFor({ kind }: Mutation): HeldRoom | undefined | Promise<HeldRoom | undefined> {
    const { reserved } = this.#options
    if (kind === 'purge') return reserved.forPurge()
    return kind === 'delete' ? reserved.forDelete() : undefined
  }

  /** What takes something away may use the reserve. */
  async #settleReserved(
    change: IncomingChange,
    body: ReadyBody | undefined,
  ): Promise<ApplyOutcome> {
    const room = this.#reservedFor(change.mutation)
    const held =
      room instanceof Promise ? await this.#options.answered(room, (late) => late?.release()) : room
    try {
      return await this.#settle(change, body)
    } finally {
      held?.release()
    }
  }

  async #settle(change: IncomingChange, body: ReadyBody | undefined): Promise<ApplyOutcome> {
    const { room, answered } = this.#options
    for (let pass = 0; pass < passesMax; pass++) {
      await room()
      const decision = this.#decide(change, body)
      if (!('until' in decision)) {
        if (decision.done !== undefined) await answered(decision.done)
        return decision.outcome
      }
      await answered(decision.until)
    }
    return later('what it would replace changes all the time')
  }

  /** A copy of what lost a conflict here: as if another site had made it. */
  applyCopy(mutation: PutMutation, body: ReadyBody): Promise<ApplyOutcome> {
    const bytes = 'bytes' in body ? body.bytes : Buffer.alloc(0)
    return this.#settle({ mutation, body: { kind: 'inline', bytes } }, body)
  }

  #decide(change: IncomingChange, body: ReadyBody | undefined): Decision {
    const { mutation } = change
    switch (mutation.kind) {
      case 'put':
      case 'delete':
        return this.#decideObject(mutation, { offered: change.body, body })
      case 'purge':
        return this.#decidePurge(mutation)
      case 'bucket':
        return this.#decideBucket(mutation)
      default:
        return unreachable(mutation)
    }
  }

  #decideObject(mutation: ObjectMutation, came: Came): Decision {
    const { bucket, key } = mutation.slot
    const floor = this.#options.sequencer.floorOf(bucket)
    if (floor.value !== undefined && mutation.version <= floor.value.version) {
      if (isSeenBy(floor.value, key, mutation.version)) {
        return { outcome: { result: 'superseded' }, done: floor.done }
      }
      const purge = { kind: 'purge', version: floor.value.version } as const
      return this.#lose(mutation, { ...came, winner: purge, forget: () => floor.done })
    }
    const current = this.#options.sequencer.current(mutation.slot)
    const { after } = current
    // What lies under the floor is absent; only its sweep has not come by yet.
    const under =
      floor.value !== undefined &&
      current.entry !== undefined &&
      current.entry.version <= floor.value.version
    const entry = under ? undefined : current.entry
    const how = { ...came, previous: current.entry }
    if (entry === undefined) return this.#takeFree(mutation, how)
    checkJoin(mutation, entry)
    if (entry.version === mutation.version) return this.#same(mutation, entry, after)
    if (covers(mutation, entry.version)) {
      const context = withoutSite(
        joinContext(mutation.context, entry.context),
        siteOf(mutation.version),
      )
      return this.#take(mutation, { ...how, context, result: 'applied' })
    }
    if (covers(entry, mutation.version)) return { outcome: { result: 'superseded' }, done: after }
    return this.#conflict(mutation, entry, how)
  }

  /** Nothing is there, but perhaps something that fell to a purge and has not been swept yet. */
  #takeFree(mutation: ObjectMutation, how: Replacement): Decision {
    const isOffer = how.offered.kind === 'offered'
    const until = isOffer
      ? undefined
      : this.#options.losers.loseHidden(mutation.slot, mutation.version)
    if (until !== undefined) return { until }
    return this.#take(mutation, { ...how, context: mutation.context, result: 'applied' })
  }

  /** The same write again, perhaps with a wider context. */
  #same(mutation: ObjectMutation, entry: SlotEntry, after: Promise<void> | undefined): Decision {
    const context = withoutSite(joinContext(entry.context, mutation.context), siteOf(entry.version))
    if (context.every((version) => contextCovers(entry.context, version))) {
      return { outcome: { result: 'duplicate' }, done: after }
    }
    const { done } = this.#options.sequencer.sequenceJoin(mutation.slot, entry, context)
    return { outcome: { result: 'duplicate' }, done }
  }

  #conflict(mutation: ObjectMutation, entry: SlotEntry, how: Replacement): Decision {
    const { losers, sequencer } = this.#options
    if (mutation.version > entry.version) {
      if (how.offered.kind !== 'offered') {
        const loss = losers.loseStored(mutation.slot, entry, sideOfMutation(mutation))
        if (loss.kind === 'first') return { until: loss.until }
      }
      const context = withoutSite(
        joinContext(mutation.context, [...entry.context, entry.version]),
        siteOf(mutation.version),
      )
      return this.#take(mutation, { ...how, context, result: 'conflict' })
    }
    const context = withoutSite(
      joinContext(entry.context, [...mutation.context, mutation.version]),
      siteOf(entry.version),
    )
    return this.#lose(mutation, {
      ...how,
      winner: sideOfEntry(entry),
      forget: () => sequencer.sequenceJoin(mutation.slot, entry, context).done,
    })
  }

  /** The incoming write loses. It is kept and listed before `forget` makes the store forget it. */
  #lose(
    mutation: ObjectMutation,
    how: Came & {
      readonly winner: ConflictSide
      readonly forget: () => Promise<void> | undefined
    },
  ): Decision {
    const { losers, admission, missingBytesOf } = this.#options
    const { offered, body, winner, forget } = how
    const copy =
      mutation.kind === 'put' ? losers.unkept(mutation.slot, mutation.version, winner) : undefined
    let kept: Promise<void> | undefined
    if (mutation.kind === 'put' && copy !== undefined) {
      if (offered.kind === 'offered') {
        admission.check(missingBytesOf(mutation))
        return { outcome: { result: 'need' }, done: undefined }
      }
      // The winner takes its upload's parts away. None are made any more, now that it is there.
      if (hasParts(offered)) {
        return { outcome: later('it lost a conflict while it came in'), done: undefined }
      }
      const decision = this.#decideObject(copyMutation(copy, mutation.meta), {
        offered: { kind: 'inline', bytes: Buffer.alloc(0) },
        body,
      })
      if ('until' in decision) return decision
      kept = decision.done
    }
    const listed = losers.loseIncoming(mutation, winner)
    const outcome = { result: 'conflict', won: false } as const
    return { outcome, done: allDone([kept, listed, forget()]) }
  }

  #take(
    mutation: ObjectMutation,
    how: Replacement & {
      readonly context: Context
      readonly result: 'applied' | 'conflict'
    },
  ): Decision {
    if (how.offered.kind === 'offered') {
      if (mutation.kind === 'put') {
        this.#options.admission.check(this.#options.missingBytesOf(mutation))
      }
      return { outcome: { result: 'need' }, done: undefined }
    }
    const outcome: ApplyOutcome =
      how.result === 'applied' ? { result: 'applied' } : { result: 'conflict', won: true }
    return { outcome, done: this.#sequence(mutation, how) }
  }

  #sequence(
    mutation: ObjectMutation,
    how: Pick<Replacement, 'body' | 'previous'> & { readonly context: Context },
  ): Promise<void> {
    const { sequencer, versions } = this.#options
    const { version, slot } = mutation
    const { body, context, previous } = how
    versions.observe(version)
    if (mutation.kind === 'delete') {
      return sequencer.sequenceDelete(slot, { version, context, previous }).done
    }
    assert(body !== undefined, 'a put comes with its bytes')
    const { meta } = mutation
    return sequencer.sequencePut(slot, { meta, body, version, context, previous }).done
  }

  #decidePurge(mutation: PurgeMutation): Decision {
    const { sequencer, versions } = this.#options
    const floor = sequencer.floorOf(mutation.slot.bucket)
    if (floor.value !== undefined && mutation.version <= floor.value.version) {
      const result = mutation.version === floor.value.version ? 'duplicate' : 'superseded'
      return { outcome: { result }, done: floor.done }
    }
    // What the purging site had not seen falls with the rest: the purge wins, and is called a conflict.
    const author = siteOf(mutation.version)
    const unseen = sequencer
      .seenIn(mutation.slot.bucket)
      .some(
        (version) =>
          siteOf(version) !== author &&
          version < mutation.version &&
          !contextCovers(mutation.context, version),
      )
    const conflict = unseen && sequencer.hasObjects(mutation.slot.bucket)
    versions.observe(mutation.version)
    const { done } = sequencer.sequencePurge(mutation, () => undefined)
    const outcome: ApplyOutcome = conflict
      ? { result: 'conflict', won: true }
      : { result: 'applied' }
    return { outcome, done }
  }

  #decideBucket(mutation: BucketMutation): Decision {
    const { sequencer, versions } = this.#options
    const { after, ...register } = sequencer.registerOf(mutation.slot.bucket)
    if (includesRegister(register, mutation))
      return { outcome: { result: 'duplicate' }, done: after }
    versions.observe(mutation.version)
    return applied(sequencer.sequenceBucketMutation(mutation))
  }
}

function refusedFor(thrown: unknown): ApplyOutcome {
  if (thrown instanceof ComioError) return refused(thrown.code, thrown.message)
  throw thrown instanceof Error ? thrown : new Error(messageOf(thrown))
}

function later(reason: string): ApplyOutcome {
  return { result: 'later', reason }
}

function applied(decision: WriteDecision & { readonly kind: 'sequenced' }): Decision {
  return { outcome: { result: 'applied' }, done: decision.done }
}

function hasParts(body: IncomingBody): boolean {
  return body.kind === 'staged' && body.upload instanceof OpenUpload && body.upload.hasParts
}

/** Undefined when there is nothing to wait for. */
function allDone(writes: readonly (Promise<void> | undefined)[]): Promise<void> | undefined {
  const waiting = writes.filter((done) => done !== undefined)
  return waiting.length < 2 ? waiting[0] : Promise.all(waiting).then(() => undefined)
}

function isFull(error: unknown): boolean {
  return (
    error instanceof VolumeFullError ||
    error instanceof StorageFullError ||
    error instanceof IndexFullError
  )
}
