/**
 * Compression of what travels: zstd, fast rather than small, in the thread pool, and only where a
 * sample says that it pays. Whoever decodes says first how many bytes there are to be, and takes not
 * one more.
 */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import {
  constants,
  createZstdCompress,
  createZstdDecompress,
  zstdCompress,
  zstdCompressSync,
  zstdDecompress,
} from 'node:zlib'
import { rethrowAssertion } from '../../base/assert.ts'
import { MalformedBytesError } from '../../base/byte-reader.ts'
import { ComioError, systemCodeOf } from '../../base/errors.ts'

export type CompressionMode = 'auto' | 'off'

/** The value of Content-Encoding and Accept-Encoding. */
export const zstdEncoding = 'zstd'

/** A codec writes into buffers that are made before it is known how full they get: of a stream this large. */
const pieceBytesMax = 256 * 1024
/** Node takes no less than 64. */
const pieceBytesMin = 1024
const packing = {
  params: { [constants.ZSTD_c_compressionLevel]: 1 },
  chunkSize: pieceBytesMax,
} as const
/** No sender needs more memory at the other end than a window of 8 MiB. */
const unpacking = {
  params: { [constants.ZSTD_d_windowLogMax]: 23 },
  chunkSize: pieceBytesMax,
} as const

/** Less is not worth the work. */
const plainBytesMin = 4096
const sampleSpots = 4
const sampleSpotBytes = 1024
/** It pays when so much of the bytes is left at most. */
const shareMax = 0.9
/** Opportunities that are passed over after one that did not pay: doubled each time, up to this. */
const passesMax = 64

/** After one that has paid, so many are compressed without a look. */
const trustedMax = 15

/** Batches are much alike; what one large object is like says nothing of the next. */
export type CompressedKind = 'batch' | 'body'

/** Whether to compress, for one kind of bytes to one remote. */
export class CompressionGate {
  readonly #mode: CompressionMode
  readonly #kind: CompressedKind
  #passes = 0
  #passesNext = 1
  #trusted = 0

  constructor(mode: CompressionMode, kind: CompressedKind) {
    this.#mode = mode
    this.#kind = kind
  }

  /** Looks at a few KiB of `pieces`, unless it has just been found not to pay. */
  pays(pieces: readonly Uint8Array[], length: number): boolean {
    if (this.#mode === 'off' || length < plainBytesMin) return false
    if (this.#passes > 0) {
      this.#passes--
      return false
    }
    if (this.#trusted > 0) {
      this.#trusted--
      return true
    }
    const sample = sampleOf(pieces, length)
    const small = zstdCompressSync(sample, packingOf(sample.length))
    const promises = hasPaid(sample.length, small.length)
    if (!promises && this.#kind === 'batch') this.#pause()
    return promises
  }

  /** What came of it; whether it has paid. */
  learned(plainBytes: number, packedBytes: number): boolean {
    const paid = hasPaid(plainBytes, packedBytes)
    if (!paid) {
      this.#pause()
      return false
    }
    this.#passesNext = 1
    if (this.#trusted === 0 && this.#kind === 'batch') this.#trusted = trustedMax
    return true
  }

  #pause(): void {
    this.#trusted = 0
    this.#passes = this.#passesNext
    this.#passesNext = Math.min(passesMax, 2 * this.#passesNext)
  }
}

function hasPaid(plainBytes: number, packedBytes: number): boolean {
  return packedBytes <= shareMax * plainBytes
}

/** Bytes from evenly spread places. */
function sampleOf(pieces: readonly Uint8Array[], length: number): Buffer {
  const sample: Uint8Array[] = []
  let passed = 0
  let spot = 0
  for (const piece of pieces) {
    for (; spot < sampleSpots; spot++) {
      const at = Math.floor((spot * length) / sampleSpots) - passed
      if (at >= piece.length) break
      sample.push(piece.subarray(Math.max(0, at), Math.max(0, at) + sampleSpotBytes))
    }
    passed += piece.length
  }
  return Buffer.concat(sample)
}

const compressWhole = promisify(zstdCompress)
const decompressWhole = promisify(zstdDecompress)

/** Into one buffer that takes what comes of `length` bytes at most, or into several of a stream's. */
function packingOf(length: number) {
  // Bytes that do not become fewer grow by a 256th and the frame around them.
  const most = length + Math.ceil(length / 256) + 128
  return { ...packing, chunkSize: Math.min(pieceBytesMax, Math.max(pieceBytesMin, most)) }
}

export async function packed(bytes: Uint8Array): Promise<Buffer> {
  return await compressWhole(bytes, packingOf(bytes.length))
}

/**
 * Into one buffer of that length: a batch of a hundred small changes is a few KiB, and must not keep
 * the 256 KiB of a stream's pieces for as long as its changes are looked at.
 *
 * @throws MalformedBytesError unless there are exactly `length` bytes in it
 */
export async function unpacked(bytes: Uint8Array, length: number): Promise<Buffer> {
  const plain = await unpackedUpTo(bytes, length)
  if (plain.length === length) return plain
  throw new MalformedBytesError(
    `${plain.length} bytes were compressed, not the ${length} announced`,
  )
}

async function unpackedUpTo(bytes: Uint8Array, maxOutputLength: number): Promise<Buffer> {
  try {
    return await decompressWhole(bytes, {
      ...unpacking,
      // One more than are to come: a buffer that is full asks for a second one.
      chunkSize: Math.max(pieceBytesMin, maxOutputLength + 1),
      maxOutputLength: Math.max(1, maxOutputLength),
    })
  } catch (cause) {
    rethrowAssertion(cause)
    const tooMany = systemCodeOf(cause) === 'ERR_BUFFER_TOO_LARGE'
    const what = tooMany
      ? `more than the ${maxOutputLength} bytes announced`
      : 'nothing that can be read'
    throw new MalformedBytesError(`what was compressed is ${what}`, { cause })
  }
}

/** The same bytes, compressed on the way. */
export async function* packedStream(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  yield* through(bytes, createZstdCompress(packing))
}

/**
 * The bytes that were compressed.
 *
 * @throws MalformedBytesError when there are more than `length`, or they cannot be read
 */
export async function* unpackedStream(
  bytes: AsyncIterable<Uint8Array>,
  length: number,
): AsyncGenerator<Buffer> {
  let left = length
  try {
    for await (const piece of through(bytes, createZstdDecompress(unpacking))) {
      left -= piece.length
      if (left < 0) {
        throw new MalformedBytesError(`more than the ${length} bytes announced were compressed`)
      }
      yield piece
    }
  } catch (cause) {
    rethrowAssertion(cause)
    if (cause instanceof ComioError || !isZstdFailure(cause)) throw cause
    throw new MalformedBytesError('what was compressed cannot be read', { cause })
  }
}

function isZstdFailure(error: unknown): boolean {
  return /^(?:ZSTD_|Z_)/.test(systemCodeOf(error) ?? '')
}

async function* through(
  bytes: AsyncIterable<Uint8Array>,
  codec: NodeJS.ReadWriteStream & AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  const feeding = pipeline(Readable.from(bytes, { objectMode: true, highWaterMark: 1 }), codec)
  // What feeding fails with is thrown to the reader as well; here it only must not go unhandled.
  feeding.catch(() => undefined)
  for await (const piece of codec) yield piece
  await feeding
}
