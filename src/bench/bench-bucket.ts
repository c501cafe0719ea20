import type { Random } from '../base/random.ts'
import type { S3Client } from '../s3/client.ts'
import { S3ResponseError } from '../s3/client-errors.ts'
import { BenchBucketInUseError } from './errors.ts'

const removalAttemptsMax = 5

/** The bucket of one run: made for it or found empty, and left as it was found. */
export class BenchBucket {
  readonly name: string
  readonly #client: S3Client
  readonly #isOurs: boolean

  private constructor(client: S3Client, name: string, isOurs: boolean) {
    this.#client = client
    this.name = name
    this.#isOurs = isOurs
  }

  /** @throws BenchBucketInUseError when a bucket of that name holds anything */
  static async claim(client: S3Client, options: ClaimOptions): Promise<BenchBucket> {
    const { random, signal } = options
    const name = options.name ?? `comio-bench-${Buffer.from(random.bytes(8)).toString('hex')}`
    if (!(await client.bucketExists(name, signal))) {
      // Not with the signal: broken off here, nobody would know whether the bucket exists.
      await client.createBucket(name)
      return new BenchBucket(client, name, true)
    }
    const page = await client.listPage({
      bucket: name,
      maxKeys: 1,
      ...(signal === undefined ? {} : { signal }),
    })
    if (page.objects.length > 0) throw new BenchBucketInUseError(name)
    return new BenchBucket(client, name, false)
  }

  /**
   * Deletes the objects of the run that are still there, then the bucket if the run made it. An
   * upload that was broken off can be stored after its key was deleted: hence several rounds.
   * @throws whatever the last round failed with
   */
  async restore(keyPrefix: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#deleteAll(keyPrefix)
        if (this.#isOurs) await this.#client.deleteBucket(this.name)
        return
      } catch (error) {
        if (isMissing(error)) return
        if (!isNotEmpty(error) || attempt === removalAttemptsMax) throw error
      }
    }
  }

  async #deleteAll(prefix: string): Promise<void> {
    for (;;) {
      const { objects } = await this.#client.listPage({ bucket: this.name, prefix })
      if (objects.length === 0) return
      // The client's bounded pool of connections is what limits how many run at once.
      await Promise.all(
        objects.map(({ key }) => this.#client.deleteObject({ bucket: this.name, key })),
      )
    }
  }
}

export interface ClaimOptions {
  readonly name: string | undefined
  readonly random: Random
  readonly signal: AbortSignal | undefined
}

function isMissing(error: unknown): boolean {
  return error instanceof S3ResponseError && error.status === 404
}

function isNotEmpty(error: unknown): boolean {
  return error instanceof S3ResponseError && error.status === 409
}
