/** A store with one conflict in its list. */
import {
  LoserNotKeptError,
  NoSuchBucketError,
  NoSuchConflictError,
} from '../../src/store/model/errors.ts'
import type { ConflictStore, WriteConflict } from '../../src/store/model/object-store.ts'
import { makeVersion } from '../../src/store/model/version.ts'

const listed: WriteConflict = {
  id: 3,
  bucket: 'docs',
  key: 'a',
  noticedAt: Date.parse('2025-12-03T21:00:00Z'),
  loser: { kind: 'put', version: makeVersion(1000, 0, 'site-a'), size: 3, etag: 'e'.repeat(32) },
  winner: { kind: 'delete', version: makeVersion(2000, 0, 'site-b') },
  keptAs: 'a.conflict-site-a-00000000000003e8',
}

export class ListedConflicts implements ConflictStore {
  readonly done: string[] = []

  conflicts(limit: number, before = Number.MAX_SAFE_INTEGER): readonly WriteConflict[] {
    return [listed].filter(({ id }) => id < before).slice(0, limit)
  }

  conflict(id: number): WriteConflict | undefined {
    return id === listed.id ? listed : undefined
  }

  conflictTotals(): ReturnType<ConflictStore['conflictTotals']> {
    return { noticed: 5, kept: 4, dropped: 0, open: 1 }
  }

  async resolveConflict(id: number, choice: string): Promise<void> {
    if (id !== listed.id) throw new NoSuchConflictError(id)
    if (choice === 'loser') throw new LoserNotKeptError(id)
    this.done.push(`${id} ${choice}`)
  }

  conflictPolicy(bucket: string): ReturnType<ConflictStore['conflictPolicy']> {
    if (bucket === 'nowhere') throw new NoSuchBucketError(bucket)
    return { policy: 'keep-both', isOwn: this.done.length > 0 }
  }

  async setConflictPolicy(bucket: string, policy: string | undefined): Promise<void> {
    this.done.push(`${bucket} ${policy}`)
  }
}
