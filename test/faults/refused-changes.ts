/** Answers in a site's name, and refuses every change of one object. */
import type { IncomingMessage, RequestListener } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { decodeAnswer, encodeAnswer } from '../../src/replication/wire/answer-codec.ts'
import {
  type ChangeFrame,
  type DecodedFrame,
  decodeBatch,
  encodeBatch,
} from '../../src/replication/wire/batch-codec.ts'
import { type ChangeOutcome, replicationPaths } from '../../src/replication/wire/protocol.ts'
import { decodeMutation } from '../../src/store/model/mutation.ts'

/** For a proxy in front of `target`: it passes everything on, but for changes of the object `key`. */
export function refusingChangesOf(key: string, target: string): RequestListener {
  const site = new RefusingSite(target, key)
  return (request, response) => {
    site.pass(request).then(
      ({ status, body }) => response.writeHead(status).end(body),
      (error: unknown) => response.destroy(error instanceof Error ? error : undefined),
    )
  }
}

class RefusingSite {
  readonly #target: string
  readonly #key: string

  constructor(target: string, key: string) {
    this.#target = target
    this.#key = key
  }

  async pass(request: IncomingMessage): Promise<{ status: number; body: Buffer }> {
    const body = await buffer(request)
    if (request.url !== replicationPaths.batch) return this.#forward(request, body)
    const { header, frames } = decodeBatch(body)
    const refused = frames.filter((frame) => this.#isRefused(frame))
    if (refused.length === 0) return this.#forward(request, body)
    const taken = frames.filter((frame) => !refused.includes(frame))
    const forwarded = encodeBatch(header, taken.map(frameOf))
    const answer = await this.#forward(request, Buffer.concat(forwarded))
    if (answer.status !== 200) return answer
    const { through, head, outcomes } = decodeAnswer(answer.body)
    const rest = [...outcomes]
    const refusal = { result: 'refused', code: 'TEST_REFUSED', message: 'not this one' } as const
    const all = frames.map((frame): ChangeOutcome => {
      const outcome = refused.includes(frame) ? refusal : rest.shift()
      if (outcome === undefined) throw new Error('the site did not answer for each change')
      return outcome
    })
    return { status: 200, body: encodeAnswer({ through, head, outcomes: all }) }
  }

  async #forward(
    request: IncomingMessage,
    body: Buffer,
  ): Promise<{ status: number; body: Buffer }> {
    const answer = await fetch(`${this.#target}${request.url}`, {
      method: request.method ?? 'GET',
      headers: {
        authorization: request.headers.authorization ?? '',
        'content-type': request.headers['content-type'] ?? '',
      },
      body: new Uint8Array(body),
    })
    return { status: answer.status, body: Buffer.from(await answer.arrayBuffer()) }
  }

  #isRefused({ kind, label, head }: DecodedFrame): boolean {
    if (kind === undefined) return false
    const { slot } = decodeMutation({ kind, label, head })
    return slot.kind === 'object' && slot.key === this.#key
  }
}

function frameOf({ seq, kind, label, head, body }: DecodedFrame): ChangeFrame {
  if (kind === undefined) throw new Error('a change of an unknown kind')
  const encoded = { kind, label, head }
  if (body.kind !== 'inline') return { seq, encoded, body }
  const { bytes } = body
  return { seq, encoded, body: { kind: 'inline', pieces: [bytes], length: bytes.length } }
}
