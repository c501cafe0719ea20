/**
 * Conflicts as clients get them: to resolve one, or to say what becomes of losers, is a write like any
 * other, refused where this site takes none.
 */
import type { ConflictPolicy } from '../store/model/bucket-register.ts'
import { NoSuchConflictError } from '../store/model/errors.ts'
import type {
  ConflictChoice,
  ConflictStore,
  ConflictTotals,
  WriteConflict,
} from '../store/model/object-store.ts'
import { objectSlot } from '../store/model/slot.ts'
import type { ClientStore } from './client-store.ts'

export class ClientConflicts implements ConflictStore {
  readonly #conflicts: ConflictStore
  readonly #clients: Pick<ClientStore, 'write'>

  constructor(conflicts: ConflictStore, clients: Pick<ClientStore, 'write'>) {
    this.#conflicts = conflicts
    this.#clients = clients
  }

  conflicts(limit: number, before?: number): readonly WriteConflict[] {
    return this.#conflicts.conflicts(limit, before)
  }

  conflict(id: number): WriteConflict | undefined {
    return this.#conflicts.conflict(id)
  }

  conflictTotals(): ConflictTotals & { readonly open: number } {
    return this.#conflicts.conflictTotals()
  }

  async resolveConflict(id: number, choice: ConflictChoice): Promise<void> {
    const conflict = this.#conflicts.conflict(id)
    if (conflict === undefined) throw new NoSuchConflictError(id)
    const slot = objectSlot(conflict.bucket, conflict.key)
    await this.#clients.write(slot, () => this.#conflicts.resolveConflict(id, choice))
  }

  conflictPolicy(bucket: string): { readonly policy: ConflictPolicy; readonly isOwn: boolean } {
    return this.#conflicts.conflictPolicy(bucket)
  }

  async setConflictPolicy(bucket: string, policy: ConflictPolicy | undefined): Promise<void> {
    const set = () => this.#conflicts.setConflictPolicy(bucket, policy)
    await this.#clients.write({ kind: 'bucket', bucket }, set)
  }
}
