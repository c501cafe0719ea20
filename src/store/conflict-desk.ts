/**
 * Conflicts as people meet them: the list, the choice between the two writes, and what each bucket
 * does with the loser.
 */
import type { ConflictPolicy } from './bucket-register.ts'
import { policyOf } from './bucket-register.ts'
import type { CommitPipeline } from './commit-pipeline.ts'
import type { Conflicts } from './conflicts.ts'
import { LoserNotKeptError, NoSuchBucketError, NoSuchConflictError } from './errors.ts'
import type { Losers } from './losers.ts'
import type {
  ConflictChoice,
  ConflictStore,
  ConflictTotals,
  ObjectName,
  ObjectStore,
  OpenObject,
  WriteConflict,
} from './object-store.ts'
import { runDecision } from './run-decision.ts'
import type { Sequencer } from './sequencer.ts'

export interface ConflictDeskOptions {
  readonly conflicts: Conflicts
  readonly losers: Losers
  readonly sequencer: Sequencer
  readonly pipeline: CommitPipeline
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
    if (choice === 'loser') await this.#makeCurrent(conflict)
    // Only once the object is where it shall be: what fails in between is done again.
    await this.#dropCopy(conflict)
    await conflicts.resolve(conflict, sequencer)
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
  async #makeCurrent(conflict: WriteConflict): Promise<void> {
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

  /** What somebody has written in its place since is not the copy. */
  async #dropCopy(conflict: WriteConflict): Promise<void> {
    const copy = copyNameOf(conflict)
    const { loser } = conflict
    if (copy === undefined || loser.kind !== 'put') return
    const object = this.#openCopy(conflict)
    object?.close()
    if (object === undefined) return
    const conditions = { ifMatch: [loser.etag] }
    await this.#options.store.deleteObject({ ...copy, conditions })
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
