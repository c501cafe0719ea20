/**
 * Stores what HTTP threads have collected and hashed, as any client's write is stored, and answers all that
 * ends in one turn of the event loop with one message.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import { ComioError, messageOf } from '../../base/errors.ts'
import { toS3Error } from '../../s3/errors.ts'
import type { ObjectStore } from '../../store/model/object-store.ts'
import type { FromThread, PutOrder, Refusal, ToThread } from './messages.ts'
import { digestBytes, md5Bytes } from './put-layout.ts'

type Answers = Extract<ToThread, { kind: 'put' }>

export class PutReceiver {
  readonly #store: Pick<ObjectStore, 'putObject'>
  readonly #answer: (answers: Answers) => void
  readonly #endOfTurn: () => Promise<void>
  #stored: number[] = []
  #refused: Refusal[] = []

  constructor(options: {
    readonly store: Pick<ObjectStore, 'putObject'>
    readonly answer: (answers: Answers) => void
    readonly endOfTurn: () => Promise<void>
  }) {
    this.#store = options.store
    this.#answer = options.answer
    this.#endOfTurn = options.endOfTurn
  }

  take({ orders, bytes }: Extract<FromThread, { kind: 'put' }>): void {
    for (const order of orders) {
      void this.#put(order, bytes).then(
        () => this.#ended(() => this.#stored.push(order.id)),
        (thrown) => {
          rethrowAssertion(thrown)
          this.#ended(() => this.#refused.push(refusalOf(order.id, thrown)))
        },
      )
    }
  }

  #put({ id: _, at, expectedMd5: sent, ...put }: PutOrder, bytes: ArrayBuffer): Promise<unknown> {
    const md5 = Buffer.from(bytes, at, md5Bytes)
    const sha256 = Buffer.from(bytes, at + md5Bytes, digestBytes - md5Bytes)
    const body = Buffer.from(bytes, at + digestBytes, put.contentLength)
    const expected = sent === undefined ? {} : { expectedMd5: Buffer.from(sent) }
    return this.#store.putObject({ ...put, ...expected, body, digests: { md5, sha256 } })
  }

  #ended(note: () => void): void {
    if (this.#stored.length + this.#refused.length === 0) {
      void this.#endOfTurn().then(() => this.#flush())
    }
    note()
  }

  #flush(): void {
    const [stored, refused] = [this.#stored, this.#refused]
    this.#stored = []
    this.#refused = []
    this.#answer({ kind: 'put', stored, refused })
  }
}

function refusalOf(id: number, thrown: unknown): Refusal {
  const { s3Code, message, headers } = toS3Error(thrown)
  const known = thrown instanceof ComioError ? thrown : undefined
  return {
    ...{ id, s3Code, message, headers },
    cause: {
      code: known?.code,
      message: messageOf(thrown),
      facts: known?.facts,
      stack: thrown instanceof Error ? thrown.stack : undefined,
    },
  }
}
