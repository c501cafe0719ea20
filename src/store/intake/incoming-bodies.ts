/**
 * The bytes that changes of other sites come with: nothing of them takes effect before their length and
 * hash are those that were announced.
 */
import { hash } from 'node:crypto'
import { assert, unreachable } from '../../base/assert.ts'
import type { BlobWriter } from '../bodies/blob-writer.ts'
import type { ByteHasher, Hashing } from '../model/body-hasher.ts'
import type { ObjectMeta } from '../model/mutation.ts'
import type { ApplyOutcome, IncomingChange } from '../model/object-store.ts'
import type { PlacedBlob } from '../tables/records.ts'
import type { Admission } from '../write/admission.ts'
import type { ReadyBody } from '../write/write-decision.ts'
import { OpenUpload } from './uploads.ts'

export interface LargeBodiesOptions {
  readonly openWriter: (hasher: ByteHasher) => BlobWriter
  readonly hashing: Hashing
  readonly admission: Admission
  /** Tells who waits while the index cannot be written. */
  readonly answered: <T>(done: Promise<T>, late?: (value: T) => void) => Promise<T>
}

/** A body that does not go into a record. */
export interface LargeBody {
  readonly pieces: readonly Uint8Array[]
  readonly length: number
}

export type Refusal = ApplyOutcome & { readonly result: 'refused' }

/** One batch may bring dozens: so many keep disk and hashing busy, in chunks that are used over and over. */
const writtenAtATime = 8

export class LargeBodies {
  readonly #options: LargeBodiesOptions
  readonly #turns = new Turns(writtenAtATime)

  constructor(options: LargeBodiesOptions) {
    this.#options = options
  }

  /** Hands the body to `use` once it is durable and has its hash; its bytes stay for as long as that takes. */
  async placed(
    meta: ObjectMeta,
    body: LargeBody,
    use: (blob: PlacedBlob) => Promise<ApplyOutcome>,
  ): Promise<ApplyOutcome> {
    const hasher = this.#options.hashing.openContent()
    const writer = this.#options.openWriter(hasher)
    try {
      const { blob, sha256 } = await this.#turns.run(async () => ({
        blob: await this.#write(writer, body),
        sha256: await hasher.digest(),
      }))
      return mismatch(meta, sha256) ?? (await use(blob))
    } finally {
      hasher.close()
      await writer.close()
    }
  }

  async #write(writer: BlobWriter, { pieces, length }: LargeBody): Promise<PlacedBlob> {
    const { admission, answered } = this.#options
    const room = admission.admit(length)
    const promise = room instanceof Promise ? await answered(room, (late) => late.release()) : room
    try {
      for (const piece of pieces) {
        await writer.write(piece)
        promise.spend(piece.length)
      }
      return await writer.finish()
    } finally {
      promise.release()
    }
  }
}

/** Work of which a few run at a time; the others wait in the order in which they came. */
class Turns {
  readonly #atATime: number
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(atATime: number) {
    this.#atATime = atATime
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    // Whoever ends hands its turn on: nobody comes in between.
    if (this.#running < this.#atATime) this.#running++
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}

/** The body as it will be recorded, verified; undefined when there is none; or why it is not taken. */
export async function verifiedBody({
  mutation,
  body,
}: IncomingChange): Promise<ReadyBody | Refusal | undefined> {
  if (mutation.kind !== 'put' || body.kind === 'offered') return undefined
  const { meta } = mutation
  switch (body.kind) {
    case 'none':
      return refused('BODY_MISSING', 'a put came without its bytes')
    case 'inline':
      return verifiedBytes(meta, body.bytes)
    case 'passing':
      return verifiedBytes(meta, Buffer.concat(body.pieces, body.length))
    case 'staged': {
      assert(body.upload instanceof OpenUpload, 'uploads are staged by this store')
      const blobs = await body.upload.complete()
      const { heldBytes, sha256 } = body.upload
      return unfitFor(meta, heldBytes) ?? mismatch(meta, sha256) ?? { blobs }
    }
    default:
      return unreachable(body)
  }
}

function verifiedBytes(meta: ObjectMeta, bytes: Uint8Array): ReadyBody | Refusal {
  const unfit = unfitFor(meta, bytes.length)
  return unfit ?? mismatch(meta, hash('sha256', bytes, 'buffer')) ?? { bytes }
}

/** What can be said of a body before it is hashed. */
export function unfitFor(meta: ObjectMeta, size: number): Refusal | undefined {
  if (size !== meta.size) {
    return refused('SIZE_MISMATCH', `it announced ${meta.size} bytes and came with ${size}`)
  }
  if (meta.contentHash.algorithm !== 'sha256-parts') return undefined
  return refused('HASH_UNSUPPORTED', 'this site does not take objects made of parts yet')
}

function mismatch({ contentHash }: ObjectMeta, sha256: Buffer): Refusal | undefined {
  if (sha256.equals(contentHash.digest)) return undefined
  return refused('CONTENT_MISMATCH', 'its bytes do not have the hash that it announced')
}

export function refused(code: string, message: string): Refusal {
  return { result: 'refused', code, message }
}
