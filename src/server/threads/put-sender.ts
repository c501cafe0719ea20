/**
 * An HTTP thread's way to store small bodies. It hashes them, and what comes in one turn of the event loop goes
 * to the engine's thread in one message: a message costs both threads as much as a small request does.
 */
import { ComioError } from '../../base/errors.ts'
import { S3Error } from '../../s3/errors.ts'
import type { PutService, StoredTag } from '../../s3/operations/put-object.ts'
import { digestsOf } from '../../store/model/body-hasher.ts'
import type { PutInput } from '../../store/model/object-store.ts'
import type { FromThread, PutOrder, Refusal } from './messages.ts'
import { digestBytes, md5Bytes } from './put-layout.ts'

interface Waiting {
  readonly tag: StoredTag
  resolve(tag: StoredTag): void
  reject(error: S3Error): void
}

type PutMessage = Extract<FromThread, { kind: 'put' }>

interface Gathered {
  readonly order: PutOrder
  readonly md5: Buffer
  readonly sha256: Buffer
  readonly body: Uint8Array
}

export class PutSender {
  readonly #send: (message: PutMessage) => void
  readonly #endOfTurn: () => Promise<void>
  readonly #waiting = new Map<number, Waiting>()
  #gathered: Gathered[] = []
  #gatheredBytes = 0
  #lastId = 0

  constructor(options: {
    readonly send: (message: PutMessage) => void
    readonly endOfTurn: () => Promise<void>
  }) {
    this.#send = options.send
    this.#endOfTurn = options.endOfTurn
  }

  /** How many have not been answered yet. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** As an S3 service has it; only for bodies that have come whole. */
  readonly store: PutService['store'] = { putObject: (input) => this.#put(input) }

  async #put(input: PutInput): Promise<StoredTag> {
    const { body, expectedMd5, bucket, key } = input
    if (!(body instanceof Uint8Array)) throw new TypeError('a body that comes whole')
    const { md5, sha256 } = digestsOf(body)
    const id = ++this.#lastId
    const { contentLength, headers, userMetadata, conditions, createBucket } = input
    const order = {
      ...{ id, at: this.#gatheredBytes, bucket, key, contentLength, headers, userMetadata },
      ...(conditions === undefined ? {} : { conditions }),
      ...(expectedMd5 === undefined ? {} : { expectedMd5 }),
      createBucket,
    }
    this.#gather({ order, md5, sha256, body })
    return await new Promise((resolve, reject) => {
      const tag = { meta: { etag: md5.toString('hex') } }
      this.#waiting.set(id, { tag, resolve, reject })
    })
  }

  /** Takes the engine's answers. */
  answered(stored: readonly number[], refused: readonly Refusal[]): void {
    for (const id of stored) {
      const waiting = this.#take(id)
      waiting?.resolve(waiting.tag)
    }
    for (const refusal of refused) this.#take(refusal.id)?.reject(errorOf(refusal))
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    return waiting
  }

  #gather(put: Gathered): void {
    if (this.#gathered.length === 0) void this.#endOfTurn().then(() => this.#flush())
    this.#gathered.push(put)
    this.#gatheredBytes += digestBytes + put.body.length
  }

  #flush(): void {
    const bytes = new ArrayBuffer(this.#gatheredBytes)
    const target = new Uint8Array(bytes)
    for (const { order, md5, sha256, body } of this.#gathered) {
      target.set(md5, order.at)
      target.set(sha256, order.at + md5Bytes)
      target.set(body, order.at + digestBytes)
    }
    const orders = this.#gathered.map(({ order }) => order)
    this.#gathered = []
    this.#gatheredBytes = 0
    this.#send({ kind: 'put', orders, bytes })
  }
}

/** What the engine's thread had to say about it, for the log of the one that has the request. */
class EngineRefusal extends ComioError {
  readonly code: string

  constructor({ code, message, facts, stack }: Refusal['cause']) {
    super(message, facts === undefined ? {} : { facts: facts as ComioError['facts'] })
    this.code = code ?? 'INTERNAL'
    if (stack !== undefined) this.stack = stack
  }
}

function errorOf({ s3Code, message, headers, cause }: Refusal): S3Error {
  return new S3Error(s3Code, { message, headers: [...headers], cause: new EngineRefusal(cause) })
}
