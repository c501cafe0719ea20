/**
 * What the log keeps besides mutations: uploads on their way, dead letters, conflicts. Which of these
 * records are still referred to, and how to write one again from what the index holds, so that its
 * segment can be freed. A copy is not made behind the end of what it is of, or is known as a copy: replay
 * must not bring back what has ended.
 */
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { ListedRecord } from '../../volume/volume.ts'
import type { Conflicts } from '../conflicts/conflicts.ts'
import type { Uploads } from '../intake/uploads.ts'
import { decodeLabel } from '../model/mutation.ts'
import type { Slot } from '../model/slot.ts'
import type { Accounts } from '../tables/accounts.ts'
import { blobKey, deadLetterKey } from '../tables/keys.ts'
import { decodeLetterEntry } from '../tables/letter-entry.ts'
import { isSame, letterMoved } from '../tables/moved-records.ts'
import {
  conflictRecord,
  deadLetterRecord,
  partRecord,
  recordKinds,
  uploadRecord,
} from '../tables/records.ts'
import { decodeExtents } from '../tables/small-entries.ts'
import type { Sequencer } from '../write/sequencer.ts'

export type UnplacedOwner =
  | { readonly kind: 'upload'; readonly label: Buffer }
  | { readonly kind: 'part'; readonly label: Buffer; readonly id: string; readonly size: number }
  | { readonly kind: 'letter'; readonly remote: string; readonly seq: number }
  | { readonly kind: 'conflict'; readonly id: number }

export interface UnplacedRecordsOptions {
  readonly index: OrderedIndex
  readonly accounts: Accounts
  readonly sequencer: Sequencer
  readonly uploads: Uploads
  readonly conflicts: Conflicts
}

export class UnplacedRecords {
  readonly #options: UnplacedRecordsOptions

  constructor(options: UnplacedRecordsOptions) {
    this.#options = options
  }

  /** Undefined for a record that is dead, or about to die. */
  ownerOf(record: ListedRecord): UnplacedOwner | undefined {
    const { conflicts } = this.#options
    switch (record.kind) {
      case recordKinds.upload:
      case recordKinds.part:
        return this.#uploadOwner(record)
      case recordKinds.deadletter:
        return this.#letterOwner(record)
      case recordKinds.conflict: {
        const id = conflicts.idAt(record.label, record.location)
        return id === undefined ? undefined : { kind: 'conflict', id }
      }
      default:
        return undefined
    }
  }

  /** Resolves when the copy is durable and indexed; at once when there is nothing any more to copy. */
  async move(owner: UnplacedOwner): Promise<void> {
    const { sequencer, uploads } = this.#options
    switch (owner.kind) {
      case 'upload': {
        const { label } = owner
        return sequencer.sequenceUnplaced(uploadRecord('upload', label), (context, location) =>
          uploads.recordMoved(context, label, { location, part: undefined }),
        )
      }
      case 'part':
        return this.#movePart(owner)
      case 'letter':
        return this.#moveLetter(owner)
      case 'conflict':
        return this.#moveConflict(owner.id)
    }
  }

  #uploadOwner({ label: bytes, location }: ListedRecord): UnplacedOwner | undefined {
    const { uploads, sequencer } = this.#options
    const label = Buffer.from(bytes)
    const entry = uploads.entryOf(label)
    if (entry === undefined || uploads.isEnding(label)) return undefined
    // A write of its slot that is under way may be its end.
    const isSettled =
      sequencer.pendingOf(entry) === undefined && sequencer.floorOf(entry.bucket).done === undefined
    if (!isSettled) return undefined
    if (isSame(entry.location, location)) return { kind: 'upload', label }
    const part = entry.parts.find((one) => isSame(one.location, location))
    return part && { kind: 'part', label, id: part.id, size: part.size }
  }

  /** A letter is about what its slot holds now: what is newer has ended it. */
  #letterOwner({ label, location }: ListedRecord): UnplacedOwner | undefined {
    const { index, accounts } = this.#options
    const seq = this.#seqOf(decodeLabel(label).slot)
    if (seq === undefined) return undefined
    for (const [remote, ledger] of accounts.ledgers) {
      if (ledger.openLetters === 0) continue
      const stored = index.get(deadLetterKey(remote, seq))
      if (stored === undefined || !isSame(decodeLetterEntry(stored).location, location)) continue
      return { kind: 'letter', remote, seq }
    }
    return undefined
  }

  #seqOf(slot: Slot): number | undefined {
    const { accounts, sequencer } = this.#options
    const { register, floorPlace } = accounts.bucket(slot.bucket)
    switch (slot.kind) {
      case 'object':
        return sequencer.current(slot).entry?.seq
      case 'bucket':
        return register?.seq
      case 'floor':
        return floorPlace?.seq
    }
  }

  async #movePart({ label, id, size }: UnplacedOwner & { readonly kind: 'part' }): Promise<void> {
    const { index, sequencer, uploads } = this.#options
    const stored = index.get(blobKey(id))
    if (stored === undefined) return
    const record = partRecord(label, { id, size, extents: decodeExtents(stored) })
    await sequencer.sequenceUnplaced(record, (context, location) =>
      uploads.recordMoved(context, label, { location, part: id }),
    )
  }

  async #moveLetter({ remote, seq }: UnplacedOwner & { readonly kind: 'letter' }): Promise<void> {
    const { index, sequencer } = this.#options
    const stored = index.get(deadLetterKey(remote, seq))
    if (stored === undefined) return
    const { letter } = decodeLetterEntry(stored)
    await sequencer.sequenceUnplaced(
      deadLetterRecord(remote, letter, 'copied'),
      (context, location) => void letterMoved(context, { remote, seq, location }),
    )
  }

  async #moveConflict(id: number): Promise<void> {
    const { conflicts, sequencer } = this.#options
    const conflict = conflicts.get(id)
    if (conflict === undefined) return
    await sequencer.sequenceUnplaced(conflictRecord(conflict, 'open'), (context, location) =>
      conflicts.recordMoved(context, conflict, location),
    )
  }
}
