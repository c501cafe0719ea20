/**
 * The load generator: speaks S3 to a site over the wire, as any client does, and knows nothing of
 * the engine. Puts, gets and deletes the same objects; every get is checked against the hash of what
 * was put. It touches no object that it did not write and leaves no bucket behind that it made.
 */
import { createHash } from 'node:crypto'
import { type Clock, systemClock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import { type Random, systemRandom } from '../base/random.ts'
import { S3Client, type S3ClientOptions } from '../s3/client.ts'
import { BenchBucket } from './bench-bucket.ts'
import { BenchContent } from './bench-content.ts'
import type { BenchPhase, BenchProgress, BenchReport } from './bench-report.ts'
import { MismatchError, type PhaseResult, runPhase } from './run-phase.ts'

export interface BenchOptions {
  readonly url: string
  readonly token?: string
  readonly tls?: S3ClientOptions['tls']
  readonly files: number
  readonly sizeBytes: number
  readonly concurrency: number
  /** Must be new or empty; by default a bucket `comio-bench-<random>` is made and removed. */
  readonly bucket?: string
  /** Called after every request. */
  readonly onProgress?: (progress: BenchProgress) => void
  readonly clock?: Clock
  readonly random?: Random
  /** Stops the run early; what it made is removed nevertheless. */
  readonly signal?: AbortSignal
}

/** Up to here a body is made before its request is timed; a larger one is made while it is sent. */
const wholeBytesMax = 2 ** 20
const digestBytes = 32
const keyPrefix = 'bench/'

/**
 * Runs the three phases. Failed requests and wrong bytes are in the report (`ok` is false then).
 * @throws BenchBucketInUseError, S3UnreachableError, S3ResponseError when it cannot even begin
 */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const { url, token, tls, concurrency, signal, random = systemRandom } = options
  const client = new S3Client({
    url,
    connections: concurrency,
    ...(token === undefined ? {} : { token }),
    ...(tls === undefined ? {} : { tls }),
  })
  try {
    const bucket = await BenchBucket.claim(client, { name: options.bucket, random, signal })
    const run = new BenchRun(options, { client, bucket: bucket.name, random })
    const outcome = await phasesThenRestore(run, bucket)
    return reportOf(options, bucket.name, outcome)
  } finally {
    await client.close()
  }
}

async function phasesThenRestore(run: BenchRun, bucket: BenchBucket): Promise<BenchOutcome> {
  const leftovers: string[] = []
  let phases: readonly PhaseResult[] = []
  try {
    phases = await run.phases()
  } finally {
    await bucket.restore(keyPrefix).catch((error: unknown) => {
      leftovers.push(`clean-up: ${bucket.name} could not be removed: ${messageOf(error)}`)
    })
  }
  return { phases, leftovers }
}

interface BenchParts {
  readonly client: S3Client
  readonly bucket: string
  readonly random: Random
}

class BenchRun {
  readonly #options: BenchOptions
  readonly #client: S3Client
  readonly #bucket: string
  readonly #content: BenchContent
  readonly #digests: Buffer

  constructor(options: BenchOptions, { client, bucket, random }: BenchParts) {
    this.#options = options
    this.#client = client
    this.#bucket = bucket
    this.#content = new BenchContent(random.bytes(32))
    this.#digests = Buffer.alloc(options.files * digestBytes)
  }

  async phases(): Promise<readonly PhaseResult[]> {
    const all = Array.from({ length: this.#options.files }, (_, index) => index)
    const put = await this.#phase('put', all, (index) => this.#preparePut(index))
    if (put.gaveUp) return [put]
    const get = await this.#phase('get', put.succeeded, (index) => () => this.#get(index))
    const remove = await this.#phase('delete', put.succeeded, (index) => {
      return () => this.#client.deleteObject(this.#address(index))
    })
    return [put, get, remove]
  }

  #phase(
    phase: BenchPhase,
    indices: readonly number[],
    prepare: (index: number) => () => Promise<void>,
  ): Promise<PhaseResult> {
    const { concurrency, signal, onProgress, sizeBytes, clock = systemClock } = this.#options
    const bytesPerOp = phase === 'delete' ? 0 : sizeBytes
    return runPhase({
      ...{ phase, indices, concurrency, clock, signal, onProgress, bytesPerOp },
      prepare,
    })
  }

  #preparePut(index: number): () => Promise<void> {
    const { sizeBytes } = this.#options
    const hash = createHash('sha256')
    const whole = sizeBytes <= wholeBytesMax ? this.#content.whole(index, sizeBytes) : undefined
    if (whole !== undefined) hash.update(whole)
    return async () => {
      await this.#client.putObject({
        ...this.#address(index),
        body: whole ?? this.#piecesHashed(index, hash),
        contentLength: sizeBytes,
        headers: { 'content-type': 'application/octet-stream' },
      })
      hash.digest().copy(this.#digests, index * digestBytes)
    }
  }

  async *#piecesHashed(index: number, hash: { update(bytes: Uint8Array): unknown }) {
    for (const piece of this.#content.pieces(index, this.#options.sizeBytes)) {
      hash.update(piece)
      yield piece
    }
  }

  async #get(index: number): Promise<void> {
    const { sha256 } = await this.#client.digestObject(this.#address(index))
    const at = index * digestBytes
    if (sha256 === this.#digests.toString('hex', at, at + digestBytes)) return
    throw new MismatchError(`${keyOf(index)} came back with other bytes than were stored`)
  }

  #address(index: number): { bucket: string; key: string; signal?: AbortSignal } {
    const { signal } = this.#options
    return { bucket: this.#bucket, key: keyOf(index), ...(signal === undefined ? {} : { signal }) }
  }
}

function keyOf(index: number): string {
  return `${keyPrefix}${String(index).padStart(8, '0')}`
}

interface BenchOutcome {
  readonly phases: readonly PhaseResult[]
  readonly leftovers: readonly string[]
}

function reportOf(options: BenchOptions, bucket: string, outcome: BenchOutcome): BenchReport {
  const { phases, leftovers } = outcome
  const interrupted = options.signal?.aborted ?? false
  const failures = [...phases.flatMap((phase) => phase.failures), ...leftovers]
  const errors = phases.reduce((sum, { report }) => sum + report.errors, 0)
  return {
    ok: errors === 0 && failures.length === 0 && !interrupted,
    url: options.url,
    bucket,
    files: options.files,
    size_bytes: options.sizeBytes,
    concurrency: options.concurrency,
    phases: phases.map(({ report }) => report),
    mismatches: phases.reduce((sum, phase) => sum + phase.mismatches, 0),
    interrupted,
    failures,
  }
}
