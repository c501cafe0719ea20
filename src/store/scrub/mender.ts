/**
 * Replaces the damaged bytes of an object by sound ones that came from elsewhere. The record is
 * written again as the cleaner does it, with its seq and version and without a place in the feed; a
 * large object gets a new blob. What is written is compared with the hash in the index first.
 */
import { createHash } from 'node:crypto'
import type { BlobWriter } from '../bodies/blob-writer.ts'
import type { ByteHasher, Hashing } from '../model/body-hasher.ts'
import type { MendResult, ObjectMender } from '../model/elsewhere.ts'
import { encodeMutation, type ObjectMeta } from '../model/mutation.ts'
import type { ObjectName } from '../model/object-store.ts'
import { objectSlot } from '../model/slot.ts'
import type { Version } from '../model/version.ts'
import { entryAfterMove, putRewritten } from '../tables/moved-records.ts'
import { putRecord } from '../tables/records.ts'
import type { LiveEntry } from '../tables/slot-entry.ts'
import type { Admission } from '../write/admission.ts'
import type { Sequencer } from '../write/sequencer.ts'
import type { ReadyBody } from '../write/write-decision.ts'

export interface MenderOptions {
  readonly sequencer: Sequencer
  readonly admission: Admission
  readonly openWriter: (hasher: ByteHasher) => BlobWriter
  readonly hashing: Hashing
  /** Resolves when the pipeline can take another record. */
  readonly room: () => Promise<void>
}

/** A slot that is written all the time is new each time: nothing of it is to be mended then. */
const passesMax = 100

export class Mender implements ObjectMender {
  readonly #options: MenderOptions

  constructor(options: MenderOptions) {
    this.#options = options
  }

  async mend(
    name: ObjectName,
    version: Version,
    bytes: AsyncIterable<Uint8Array>,
  ): Promise<MendResult> {
    const entry = this.#options.sequencer.current(name).live
    if (entry?.version !== version) return 'gone'
    const { meta } = entry
    if (meta.contentHash.algorithm !== 'sha256') return 'mismatch'
    const mend = entry.body.kind === 'inline' ? this.#mendRecord : this.#mendBlob
    return await mend.call(this, { name, version, meta }, bytes)
  }

  async #mendRecord(damaged: Damaged, bytes: AsyncIterable<Uint8Array>): Promise<MendResult> {
    const { size } = damaged.meta
    const pieces: Uint8Array[] = []
    let length = 0
    for await (const piece of bytes) {
      length += piece.length
      if (length > size) return 'mismatch'
      pieces.push(Buffer.from(piece))
    }
    const whole = Buffer.concat(pieces)
    if (!isContent(damaged, length, createHash('sha256').update(whole).digest())) return 'mismatch'
    const promise = await this.#options.admission.admit(size)
    try {
      return await this.#rewrite(damaged, { bytes: whole })
    } finally {
      promise.release()
    }
  }

  async #mendBlob(damaged: Damaged, bytes: AsyncIterable<Uint8Array>): Promise<MendResult> {
    const { size } = damaged.meta
    const promise = await this.#options.admission.admit(size)
    const hasher = this.#options.hashing.openContent()
    const writer = this.#options.openWriter(hasher)
    try {
      for await (const piece of bytes) {
        if (writer.size + piece.length > size) return 'mismatch'
        await writer.write(piece)
        promise.spend(piece.length)
      }
      const blob = await writer.finish()
      promise.release()
      if (!isContent(damaged, writer.size, await hasher.digest())) return 'mismatch'
      return await this.#rewrite(damaged, { blobs: [blob] })
    } finally {
      promise.release()
      hasher.close()
      await writer.close()
    }
  }

  /** What is under way decides what becomes of the slot, and is waited for. */
  async #rewrite({ name, version }: Damaged, body: ReadyBody): Promise<MendResult> {
    const { sequencer, room } = this.#options
    for (let pass = 0; pass < passesMax; pass++) {
      await room()
      const pending = sequencer.pendingOf(name)
      if (pending !== undefined) {
        // Whoever wrote hears of a failure; here it only counts that it is over.
        await Promise.allSettled([pending])
        continue
      }
      const previous = sequencer.current(name).live
      if (previous?.version !== version) return 'gone'
      await this.#sequence(name, previous, body)
      return 'mended'
    }
    return 'gone'
  }

  #sequence(name: ObjectName, entry: LiveEntry, body: ReadyBody): Promise<void> {
    const { seq, version, context, meta } = entry
    const slot = objectSlot(name.bucket, name.key)
    const encoded = encodeMutation({ kind: 'put', slot, version, context, meta })
    const blobs = 'blobs' in body ? body.blobs : []
    const moved = entryAfterMove(entry, { kind: 'put', seq, location: undefined }) as LiveEntry
    const next: LiveEntry =
      'blobs' in body
        ? { ...moved, body: { kind: 'blobs', blobs: blobs.map(({ id, size }) => ({ id, size })) } }
        : moved
    const { sequencer } = this.#options
    return sequencer.sequenceUnplaced(
      putRecord(seq, encoded, body),
      (context) => putRewritten(context, { ...name, previous: entry, next, blobs }),
      {
        cover: (done) => sequencer.coverSlot(name, next, done),
        logged: (location) => {
          next.location = location
        },
      },
    )
  }
}

interface Damaged {
  readonly name: ObjectName
  readonly version: Version
  readonly meta: ObjectMeta
}

function isContent({ meta }: Damaged, length: number, sha256: Buffer): boolean {
  return length === meta.size && sha256.equals(meta.contentHash.digest)
}
