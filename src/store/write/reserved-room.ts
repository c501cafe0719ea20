/**
 * Room for what makes room. Deletes leave the last segment of the reserve to whoever gives space back, and
 * wait for him when they have used up the rest, and for writes under way, which may need less than they were
 * promised. Where nothing is gained they take that segment too, but for what a purge needs. A purge may use
 * whatever there is.
 */

import { StorageFullError } from '../model/errors.ts'
import { type Admission, purgeBytes } from './admission.ts'

/** Gives space back. False when nothing can be gained. */
export type MakeRoom = () => Promise<boolean>

export interface HeldRoom {
  release(): void
}

/** A delete with its footer entry. The blocks of its group are shared with all that wait for the same sync. */
const recordBytes = 1024
/** In each of them a segment was freed. */
const roundsMax = 64

export class ReservedRoom {
  readonly #admission: Admission
  readonly #makeRoom: MakeRoom

  constructor(options: { readonly admission: Admission; readonly makeRoom: MakeRoom }) {
    this.#admission = options.admission
    this.#makeRoom = options.makeRoom
  }

  /**
   * Answered at once when there is room, so that what comes behind does not overtake.
   * @throws StorageFullError when everything on the volume is live and the reserve is used up
   */
  forDelete(): HeldRoom | Promise<HeldRoom> {
    return this.#admission.hasReserve(recordBytes, { leave: 1 })
      ? this.#hold()
      : this.#waitToDelete()
  }

  /** Nothing is held: the purge goes as far as the log has a block. */
  forPurge(): undefined | Promise<undefined> {
    return this.#admission.hasReserve(0, { leave: 0 }) ? undefined : this.#waitToPurge()
  }

  async #waitToDelete(): Promise<HeldRoom> {
    const patience = this.#admission.patience()
    for (let round = 0; round < roundsMax; ) {
      if (this.#admission.hasReserve(recordBytes, { leave: 1 })) return this.#hold()
      if (await this.#makeRoom()) {
        patience.gained()
        round++
        continue
      }
      if (this.#admission.hasReserve(recordBytes + purgeBytes, { leave: 0 })) return this.#hold()
      if (!(await this.#admission.othersEnd(patience))) break
    }
    throw new StorageFullError({ wanted: 0 }, 'delete')
  }

  async #waitToPurge(): Promise<undefined> {
    for (let round = 0; round < roundsMax; round++) {
      if (this.#admission.hasReserve(0, { leave: 0 }) || !(await this.#makeRoom())) return
    }
  }

  #hold(): HeldRoom {
    return this.#admission.promise(0)
  }
}
