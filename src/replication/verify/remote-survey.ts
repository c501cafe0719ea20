/** The remote as the site that compares sees it: questions asked, answers parsed, bytes counted. */
import { assert } from '../../base/assert.ts'
import { MalformedBytesError } from '../../base/byte-reader.ts'
import type { Slot } from '../../store/model/slot.ts'
import type { BucketState, SurveyEntry, SurveyRange } from '../../store/model/survey.ts'
import { type DecodedFrame, decodeBatch } from '../wire/batch-codec.ts'
import { RemoteProtocolError } from '../wire/errors.ts'
import type { Inquiry } from '../wire/protocol.ts'
import type { RemoteTransport } from '../wire/transport.ts'
import {
  type AnsweredDigest,
  type DigestQuery,
  type LookedSlot,
  parseBucketsAnswer,
  parseBytesAnswer,
  parseDigestsAnswer,
  parseListAnswer,
  parseLookAnswer,
  type ReadBytes,
  verifyLimits,
} from '../wire/verify-documents.ts'

type WithoutAsker<Q> = Q extends DigestQuery ? Omit<Q, 'volumeId'> : never
type Question = WithoutAsker<DigestQuery>

export class RemoteSurvey {
  readonly #transport: RemoteTransport
  readonly #volumeId: string
  readonly #signal: AbortSignal
  /** Questions and answers, without what HTTP adds. */
  bytesExchanged = 0

  constructor(options: {
    readonly transport: RemoteTransport
    /** Of the site that asks. */
    readonly volumeId: string
    readonly signal: AbortSignal
  }) {
    this.#transport = options.transport
    this.#volumeId = options.volumeId
    this.#signal = options.signal
  }

  /** Every bucket that the remote knows. */
  async buckets(): Promise<readonly BucketState[]> {
    const all: BucketState[] = []
    for (;;) {
      const after = all.at(-1)?.bucket ?? ''
      const { buckets } = await this.#ask({ ask: 'buckets', after }, parseBucketsAnswer)
      // One that begins again would never come to an end.
      const news = buckets.filter(({ bucket }) => bucket > after)
      all.push(...news)
      if (news.length < verifyLimits.buckets) return all
    }
  }

  digests(ranges: readonly SurveyRange[]): Promise<readonly AnsweredDigest[]> {
    const asked = ranges.map(plainRange)
    return this.#askAll(asked.length, () =>
      this.#ask({ ask: 'digests', ranges: asked }, parseDigestsAnswer),
    )
  }

  list(range: SurveyRange, limit: number): Promise<readonly SurveyEntry[]> {
    return this.#ask({ ask: 'list', range: plainRange(range), limit }, parseListAnswer)
  }

  look(slots: readonly Slot[]): Promise<readonly LookedSlot[]> {
    return this.#askAll(slots.length, () => this.#ask({ ask: 'look', slots }, parseLookAnswer))
  }

  bytes(slots: readonly Slot[]): Promise<readonly ReadBytes[]> {
    return this.#askAll(slots.length, () => this.#ask({ ask: 'bytes', slots }, parseBytesAnswer))
  }

  /** Of some of these slots, what they hold at the remote. */
  async fetch(slots: readonly Slot[]): Promise<readonly DecodedFrame[]> {
    const answer = await this.#exchange('fetch', JSON.stringify({ slots }))
    return understood(() => decodeBatch(answer).frames)
  }

  async #ask<T>(question: Question, parse: (text: string) => T): Promise<T> {
    const text = JSON.stringify({ volumeId: this.#volumeId, ...question })
    const answer = await this.#exchange('digest', text)
    return understood(() => parse(answer.toString()))
  }

  async #askAll<T>(count: number, ask: () => Promise<readonly T[]>): Promise<readonly T[]> {
    assert(count > 0, 'a question is about something')
    const answers = await ask()
    if (answers.length === count) return answers
    throw new RemoteProtocolError(`the remote gave ${answers.length} answers to ${count} questions`)
  }

  async #exchange(what: Inquiry, question: string): Promise<Buffer> {
    const answer = await this.#transport.inquire(what, question, this.#signal)
    this.bytesExchanged += Buffer.byteLength(question) + answer.length
    return answer
  }
}

/** Without what was computed here. */
function plainRange({ table, bucket, after, until, floor }: SurveyRange): SurveyRange {
  return { table, bucket, after, until, floor }
}

function understood<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof MalformedBytesError)) throw cause
    throw new RemoteProtocolError(`the remote answers a comparison otherwise: ${cause.message}`, {
      cause,
      hint: 'Run the same version of ComIO at both sites.',
    })
  }
}
