/**
 * The way of an object's bytes into the store: hashed, collected into a record when small, streamed
 * into the bulk log when large, and sequenced only when exactly the announced bytes have come.
 */
import { assert } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { VolumeFullError } from '../../volume/format/errors.ts'
import type { Volume } from '../../volume/volume.ts'
import type { BlobWriter } from '../bodies/blob-writer.ts'
import type { Losers } from '../conflicts/losers.ts'
import { type BodyDigests, type ByteHasher, digestsOf, type Hashing } from '../model/body-hasher.ts'
import {
  BadDigestError,
  IncompleteBodyError,
  NoSuchBucketError,
  ObjectTooLargeError,
  StorageFullError,
} from '../model/errors.ts'
import type { ObjectMeta } from '../model/mutation.ts'
import { checkBucketName, checkKey, checkMeta } from '../model/names.ts'
import type { ObjectInfo, PutInput } from '../model/object-store.ts'
import type { Admission } from '../write/admission.ts'
import type { CommitPipeline } from '../write/commit-pipeline.ts'
import type { RoomPromise } from '../write/room-promise.ts'
import { runDecision } from '../write/run-decision.ts'
import type { Sequencer } from '../write/sequencer.ts'
import type { ReadyBody } from '../write/write-decision.ts'

/** A chunk that follows its predecessor takes about five bytes of the map, others a few more. */
const extentBytesMax = 6

export interface ObjectWriterOptions {
  readonly volume: Volume
  readonly sequencer: Sequencer
  readonly losers: Losers
  readonly pipeline: CommitPipeline
  readonly openWriter: (hasher: ByteHasher) => BlobWriter
  readonly hashing: Hashing
  readonly admission: Admission
  readonly clock: Clock
}

export class ObjectWriter {
  readonly #volume: Volume
  readonly #sequencer: Sequencer
  readonly #losers: Losers
  readonly #pipeline: CommitPipeline
  readonly #openWriter: (hasher: ByteHasher) => BlobWriter
  readonly #hashing: Hashing
  readonly #admission: Admission
  readonly #clock: Clock

  constructor(options: ObjectWriterOptions) {
    this.#volume = options.volume
    this.#sequencer = options.sequencer
    this.#losers = options.losers
    this.#pipeline = options.pipeline
    this.#openWriter = options.openWriter
    this.#hashing = options.hashing
    this.#admission = options.admission
    this.#clock = options.clock
  }

  async put(input: PutInput): Promise<ObjectInfo> {
    if (this.#pipeline.refusal !== undefined) throw this.#pipeline.refusal
    const { bucket, key, contentLength, headers, userMetadata } = input
    checkBucketName(bucket)
    checkKey(key)
    checkMeta({ size: contentLength, headers, userMetadata })
    this.#checkSize(contentLength)
    if (!input.createBucket && !this.#sequencer.bucketExists(bucket))
      throw new NoSuchBucketError(bucket)
    const room = this.#admission.admit(contentLength)
    const promise =
      room instanceof Promise ? await this.#pipeline.answered(room, (late) => late.release()) : room
    try {
      return await this.#putAdmitted(input, promise)
    } finally {
      promise.release()
    }
  }

  /** Throws at once, or rejects: the caller awaits it. */
  #putAdmitted(input: PutInput, promise: RoomPromise): Promise<ObjectInfo> {
    const { body, contentLength } = input
    if (body instanceof Uint8Array) return this.#putBytes(input, body, promise)
    if (contentLength > this.#volume.limits.inlineBytesMax) {
      return this.#putStream(input, body, promise)
    }
    return collect(body, contentLength).then((bytes) => this.#putBytes(input, bytes, promise))
  }

  #putBytes(input: PutInput, bytes: Uint8Array, promise: RoomPromise): Promise<ObjectInfo> {
    if (bytes.length !== input.contentLength) {
      throw new IncompleteBodyError({ expected: input.contentLength, received: bytes.length })
    }
    if (bytes.length > this.#volume.limits.inlineBytesMax) {
      return this.#putStream(input, oneOf(bytes), promise)
    }
    return this.#commitPut(input, input.digests ?? digestsOf(bytes), { bytes })
  }

  async #putStream(
    input: PutInput,
    body: AsyncIterable<Uint8Array>,
    promise: RoomPromise,
  ): Promise<ObjectInfo> {
    const { contentLength } = input
    const hasher = this.#hashing.openBody()
    const writer = this.#openWriter(hasher)
    try {
      for await (const bytes of body) {
        if (bytes.length === 0) await writer.rest()
        if (writer.size + bytes.length > contentLength) {
          throw new IncompleteBodyError({
            expected: contentLength,
            received: writer.size + bytes.length,
          })
        }
        await writer.write(bytes)
        promise.spend(bytes.length)
      }
      if (writer.size !== contentLength) {
        throw new IncompleteBodyError({ expected: contentLength, received: writer.size })
      }
      const blob = await writer.finish()
      return await this.#commitPut(input, await hasher.digest(), { blobs: [blob] })
    } catch (thrown) {
      throw thrown instanceof VolumeFullError
        ? new StorageFullError({ wanted: contentLength })
        : thrown
    } finally {
      hasher.close()
      await writer.close()
    }
  }

  #commitPut(input: PutInput, digests: BodyDigests, body: ReadyBody): Promise<ObjectInfo> {
    const { bucket, key, conditions, createBucket } = input
    if (input.expectedMd5 !== undefined && !input.expectedMd5.equals(digests.md5)) {
      throw new BadDigestError({ bucket, key })
    }
    input.verify?.(digests)
    const meta: ObjectMeta = {
      size: input.contentLength,
      etag: digests.md5.toString('hex'),
      contentHash: { algorithm: 'sha256', digest: digests.sha256 },
      lastModified: Math.max(0, Math.floor(this.#clock.now())),
      headers: input.headers,
      userMetadata: input.userMetadata,
    }
    const put = { meta, body, conditions, createBucket }
    return runDecision(this.#pipeline, {
      decide: () => {
        const until = this.#losers.loseHidden({ bucket, key })
        return until === undefined
          ? this.#sequencer.put({ bucket, key }, put)
          : { kind: 'wait', until }
      },
      answer: (decision) => {
        assert(decision !== undefined, 'a put is sequenced or refused')
        return { bucket, key, seq: decision.seq, version: decision.version, meta }
      },
      whenFull: () => this.#admission.makeRoom(),
    })
  }

  /** The map of an object's chunks must fit a record of the log. */
  #checkSize(bytes: number): void {
    const { chunkBytes, inlineBytesMax } = this.#volume.limits
    const limit = chunkBytes * Math.floor(inlineBytesMax / extentBytesMax / 2)
    if (bytes > limit) throw new ObjectTooLargeError({ bytes, limit })
  }
}

async function collect(body: AsyncIterable<Uint8Array>, expected: number): Promise<Buffer> {
  const whole = Buffer.allocUnsafe(expected)
  let received = 0
  for await (const bytes of body) {
    if (received + bytes.length <= expected) whole.set(bytes, received)
    received += bytes.length
    if (received > expected) break
  }
  if (received !== expected) throw new IncompleteBodyError({ expected, received })
  return whole
}

async function* oneOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
