/**
 * The site that is asked: what it holds itself, never what it would have to ask others for, so that a
 * question cannot go round in circles. What its own link to the asking site leaves out is not told.
 */

import type { MendResult } from '../../store/model/elsewhere.ts'
import { encodeMutation } from '../../store/model/mutation.ts'
import type { OpenObject } from '../../store/model/object-store.ts'
import type { Slot } from '../../store/model/slot.ts'
import type { VolumeIdentity } from '../../volume/volume.ts'
import { isShipped } from '../verify/judge.ts'
import { type ComparedSite, currentChange } from '../verify/responder.ts'
import { type ChangeFrame, encodeBatch, type FrameBody } from '../wire/batch-codec.ts'
import { BadRangeError, ObjectGoneError, ReadsBusyError } from '../wire/errors.ts'
import type { ReadQuestion, VersionedObject } from '../wire/read-documents.ts'

export interface ReadResponderOptions {
  readonly site: ComparedSite
  readonly identity: VolumeIdentity
}

/** Objects that other sites read here at one time, and that they bring. */
const readsMax = 64
const mendsMax = 4

export class ReadResponder {
  readonly #options: ReadResponderOptions
  #reading = 0
  #mending = 0

  constructor(options: ReadResponderOptions) {
    this.#options = options
  }

  /** A batch with what the slot holds, and the bucket's floor. */
  async look(question: ReadQuestion & { readonly ask: 'object' }): Promise<Buffer> {
    const { site, identity } = this.#options
    const { slot, volumeId, inlineMax } = question
    const frames: ChangeFrame[] = []
    for (const one of this.#isShared(volumeId, slot) ? [slot, floorOf(slot)] : []) {
      const change = currentChange(site, one)
      if (change === undefined) continue
      const { seq, mutation, object } = change
      const body = await bodyOf(object, inlineMax)
      frames.push({ seq, encoded: encodeMutation(mutation), body })
    }
    const { volumeId: own, incarnation, siteId } = identity
    const header = { session: siteId, volumeId: own, incarnation, through: 0 }
    return Buffer.concat(encodeBatch(header, frames))
  }

  /**
   * Exactly this version, open until `use` is done with it.
   *
   * @throws ObjectGoneError, BadRangeError, ReadsBusyError
   */
  async withObject(
    question: ReadQuestion & { readonly ask: 'bytes' },
    use: (object: OpenObject) => Promise<void>,
  ): Promise<void> {
    const { slot, start, end, volumeId } = question
    if (this.#reading >= readsMax) throw busy()
    const object = this.#isShared(volumeId, slot) ? this.#options.site.openObject(slot) : undefined
    if (object === undefined) throw gone()
    this.#reading++
    try {
      if (!isVersion(object, question)) throw gone()
      const { size } = object.info.meta
      if (start >= end || end > size) {
        throw new BadRangeError(`bytes ${start} to ${end} of ${size} were asked for`)
      }
      await use(object)
    } finally {
      this.#reading--
      object.close()
    }
  }

  /**
   * Takes sound bytes in the place of damaged ones. They are believed for their hash, which this site
   * has in its index: nobody can change an object so.
   *
   * @throws ObjectGoneError, ReadsBusyError; what `bytes` and the store fail with
   */
  async mend(object: VersionedObject, bytes: AsyncIterable<Uint8Array>): Promise<MendResult> {
    if (this.#mending >= mendsMax) throw busy()
    this.#mending++
    try {
      return await this.#options.site.mender.mend(object.slot, object.version, bytes)
    } finally {
      this.#mending--
    }
  }

  /** What this site ships to the other one has a filter; what it only receives has none. */
  #isShared(volumeId: string, slot: Slot): boolean {
    const links = this.#options.site
      .ledgers()
      .filter((ledger) => ledger.confirmedPeer()?.volumeId === volumeId)
    return links.length === 0 || links.some((ledger) => isShipped(ledger, slot))
  }
}

/** The object is closed. */
async function bodyOf(object: OpenObject | undefined, inlineMax: number): Promise<FrameBody> {
  if (object === undefined) return { kind: 'none' }
  try {
    const length = object.info.meta.size
    if (length > inlineMax) return { kind: 'withheld', length }
    return { kind: 'inline', pieces: [await object.readWhole()], length }
  } finally {
    object.close()
  }
}

function isVersion({ info }: OpenObject, { version, sha256 }: VersionedObject): boolean {
  return info.version === version && info.meta.contentHash.digest.toString('hex') === sha256
}

function floorOf({ bucket }: Slot): Slot {
  return { kind: 'floor', bucket }
}

function gone(): ObjectGoneError {
  return new ObjectGoneError('this site does not hold that version of the object')
}

function busy(): ReadsBusyError {
  return new ReadsBusyError('too many objects are being read here for other sites', {
    hint: 'Try again in a moment.',
  })
}
