import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { S3Client } from '../s3/client.ts'
import type { PlannedPut, PlannedWrite } from './demo-plan.ts'
import type { GeneratedContent } from './generated-content.ts'

export interface WrittenObject {
  readonly bucket: string
  readonly key: string
  readonly size: number
  readonly sha256: string
}

export interface WriterOptions {
  readonly client: S3Client
  readonly content: GeneratedContent
  readonly concurrency: number
  readonly signal: AbortSignal | undefined
}

/** Writes at one site and remembers what was answered: that, and nothing else, must be there in the end. */
export class Writer {
  readonly #options: WriterOptions
  readonly #written = new Map<string, WrittenObject>()
  #writes = 0
  #bytes = 0

  constructor(options: WriterOptions) {
    this.#options = options
  }

  /** Answered writes. */
  get writes(): number {
    return this.#writes
  }

  /** Bytes of answered uploads. */
  get bytes(): number {
    return this.#bytes
  }

  /** What must be readable now, wherever everything has arrived. */
  get written(): readonly WrittenObject[] {
    return [...this.#written.values()]
  }

  /** All of them, several at a time. `onWrite` is called after each answer. */
  async writeAll(
    planned: readonly PlannedWrite[],
    onWrite?: (done: number) => void,
  ): Promise<void> {
    const queue = planned.values()
    let done = 0
    const work = async (): Promise<void> => {
      for (const write of queue) {
        await this.write(write)
        onWrite?.(++done)
      }
    }
    await Promise.all(Array.from({ length: this.#options.concurrency }, work))
  }

  async write(write: PlannedWrite): Promise<void> {
    this.#options.signal?.throwIfAborted()
    const name = nameOf(write.bucket, write.key)
    if (write.kind === 'delete') {
      await this.#options.client.deleteObject({ ...address(write), ...this.#signal() })
      this.#written.delete(name)
    } else {
      this.#written.set(name, await this.#put(write))
    }
    this.#writes++
  }

  /** The site was told to purge the bucket, and answered. */
  forgetBucket(bucket: string): void {
    for (const [name, object] of this.#written) {
      if (object.bucket === bucket) this.#written.delete(name)
    }
    this.#writes++
  }

  async #put(put: PlannedPut): Promise<WrittenObject> {
    const hash = createHash('sha256')
    const body = put.path === undefined ? this.#generated(put, hash) : await readFile(put.path)
    if (body instanceof Uint8Array) hash.update(body)
    const size = body instanceof Uint8Array ? body.length : put.size
    await this.#options.client.putObject({
      ...address(put),
      ...this.#signal(),
      body,
      contentLength: size,
      headers: put.headers,
    })
    this.#bytes += size
    return { bucket: put.bucket, key: put.key, size, sha256: hash.digest('hex') }
  }

  async *#generated(put: PlannedPut, hash: { update(bytes: Uint8Array): unknown }) {
    const label = `${nameOf(put.bucket, put.key)} round ${put.round}`
    for (const piece of this.#options.content.pieces(label, put.size)) {
      hash.update(piece)
      yield piece
    }
  }

  #signal(): { readonly signal?: AbortSignal } {
    const { signal } = this.#options
    return signal === undefined ? {} : { signal }
  }
}

export function nameOf(bucket: string, key: string): string {
  return `${bucket}/${key}`
}

function address({ bucket, key }: PlannedWrite): { bucket: string; key: string } {
  return { bucket, key }
}
