/**
 * Conflicts as people meet them: the list, the choice between the two writes, and what each bucket
 * does with the loser.
 */
import type { ConflictPolicy } from '../model/bucket-register.ts'
import { policyOf } from '../model/bucket-register.ts'
import {
  LoserNotKeptError,
  NoSuchBucketError,
  NoSuchConflictError,
  PreconditionFailedError,
} from '../model/errors.ts'
import { keptVersionOf, markOf } from '../model/kept-copy.ts'
import type {
  ConflictChoice,
  ConflictStore,
  ConflictTotals,
  ObjectName,
  ObjectStore,
  OpenObject,
  WriteConflict,
} from '../model/object-store.ts'
import { joinContext, siteOf, type VersionClock } from '../model/version.ts'
import type { CommitPipeline } from '../write/commit-pipeline.ts'
import type { ReservedRoom } from '../write/reserved-room.ts'
import { runDecision } from '../write/run-decision.ts'
import type { Sequencer } from '../write/sequencer.ts'
import type { WriteDecision } from '../write/write-decision.ts'
import { contextAfter, withoutSite } from '../write/write-rules.ts'
import { type Conflicts, isMarkOf } from './conflicts.ts'
import type { Losers } from './losers.ts'

export interface ConflictDeskOptions {
  readonly conflicts: Conflicts
  readonly losers: Losers
  readonly sequencer: Sequencer
  readonly pipeline: CommitPipeline
  readonly reserved: ReservedRoom
  readonly versions: VersionClock
  readonly store: Pick<ObjectStore, 'putObject' | 'deleteObject' | 'openObject'>
}

export class ConflictDesk implements ConflictStore {
  readonly #options: ConflictDeskOptions

  constructor(options: ConflictDeskOptions) {
    this.#options = options
  }

  conflicts(limit: number, before?: number): readonly WriteConflict[] {
    return this.#options.conflicts.list(limit, before)
  }

  conflict(id: number): WriteConflict | undefined {
    return this.#options.conflicts.get(id)
  }

  conflictTotals(): ConflictTotals & { readonly open: number } {
    const { conflicts } = this.#options
    return { ...conflicts.totals(), open: conflicts.openCount }
  }

  async resolveConflict(id: number, choice: ConflictChoice): Promise<void> {
    const { conflicts, sequencer } = this.#options
    const conflict = conflicts.get(id)
    if (conflict === undefined) throw new NoSuchConflictError(id)
    const { bucket, key, keptAs, loser } = conflict
    // A copy that fell to a purge is kept under its own name: there it is current already.
    const isInPlace = keptAs === key
    if (choice === 'loser') await this.#makeCurrent(conflict, { isInPlace })
    else if (isInPlace && loser.kind === 'put') {
      await this.#deleteIfSame({ bucket, key }, loser.etag)
    }
    // Only once the object is where it shall be: what fails in between is done again.
    await this.#leaveMark(conflict)
    if (conflicts.get(id) !== undefined) await conflicts.resolve(conflict, sequencer)
  }

  conflictPolicy(bucket: string): { readonly policy: ConflictPolicy; readonly isOwn: boolean } {
    const { sequencer, losers } = this.#options
    if (!sequencer.bucketExists(bucket)) throw new NoSuchBucketError(bucket)
    const isOwn = policyOf(sequencer.registerOf(bucket)) !== undefined
    return { policy: losers.policyOf(bucket), isOwn }
  }

  async setConflictPolicy(bucket: string, policy: ConflictPolicy | undefined): Promise<void> {
    const { sequencer, pipeline } = this.#options
    await runDecision(pipeline, {
      decide: () => sequencer.setConflictPolicy(bucket, policy),
      answer: () => undefined,
    })
  }

  /** A write of its own: it has seen the winner, and whatever came after. */
  async #makeCurrent(
    conflict: WriteConflict,
    { isInPlace }: { readonly isInPlace: boolean },
  ): Promise<void> {
    const { store } = this.#options
    const { bucket, key, loser } = conflict
    if (loser.kind === 'delete') {
      await store.deleteObject({ bucket, key })
      return
    }
    const object = this.#openCopy(conflict)
    if (object === undefined) throw new LoserNotKeptError(conflict.id)
    const { size, headers, userMetadata } = object.info.meta
    try {
      if (isInPlace) return
      await store.putObject({
        bucket,
        key,
        contentLength: size,
        body: object.read(),
        headers,
        userMetadata,
        createBucket: true,
      })
    } finally {
      object.close()
    }
  }

  /**
   * Deletes the kept copy, or the place where it would be, as somebody who has seen both writes: by
   * that every site that lists the conflict takes it off its list. What somebody has written in the
   * copy's place since is not the copy, and stays.
   */
  async #leaveMark(conflict: WriteConflict): Promise<void> {
    const { pipeline, reserved } = this.#options
    await runDecision(pipeline, {
      decide: () => this.#decideMark(conflict),
      answer: () => undefined,
      essential: true,
      room: () => reserved.forDelete(),
    })
  }

  #decideMark(conflict: WriteConflict): WriteDecision {
    const { sequencer, losers, versions } = this.#options
    const { bucket, key, loser, winner } = conflict
    const mark = markOf(conflict)
    const hidden = losers.loseHidden(mark)
    if (hidden !== undefined) return { kind: 'wait', until: hidden }
    const { entry, live, after } = sequencer.current(mark)
    const isCopy = loser.kind === 'put' && live?.meta.etag === loser.etag
    if (live !== undefined && !isCopy) return { kind: 'nothing-to-do', after }
    const sides = { loser: loser.version, winner: winner.version }
    if (entry?.kind === 'tombstone' && isMarkOf(entry, sides)) {
      return { kind: 'nothing-to-do', after }
    }
    const floor = winner.kind === 'purge' ? winner.version : undefined
    const { entry: current } = sequencer.current({ bucket, key })
    const seen = [
      ...[loser.version, winner.version, keptVersionOf(loser.version, floor)],
      // A third write may have won at another site.
      ...(current === undefined ? [] : [...current.context, current.version]),
    ]
    const version = versions.next()
    const known = joinContext(contextAfter(entry, version), seen)
    const context = withoutSite(known, siteOf(version))
    return sequencer.sequenceDelete(mark, { version, context, previous: entry })
  }

  async #deleteIfSame(name: ObjectName, etag: string): Promise<void> {
    try {
      await this.#options.store.deleteObject({ ...name, conditions: { ifMatch: [etag] } })
    } catch (thrown) {
      // What somebody has written in its place since is another object, and stays.
      if (!(thrown instanceof PreconditionFailedError)) throw thrown
    }
  }

  #openCopy(conflict: WriteConflict): OpenObject | undefined {
    const copy = copyNameOf(conflict)
    const { loser } = conflict
    if (copy === undefined || loser.kind !== 'put') return undefined
    const object = this.#options.store.openObject(copy)
    if (object === undefined || object.info.meta.etag === loser.etag) return object
    object.close()
    return undefined
  }
}

function copyNameOf({ bucket, keptAs }: WriteConflict): ObjectName | undefined {
  return keptAs === undefined ? undefined : { bucket, key: keptAs }
}
