/** Stands in front of a site and refuses, in its name, every change of one object. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { decodeAnswer, encodeAnswer } from '../../src/replication/answer-codec.ts'
import {
  type ChangeFrame,
  type DecodedFrame,
  decodeBatch,
  encodeBatch,
} from '../../src/replication/batch-codec.ts'
import { type ChangeOutcome, replicationPaths } from '../../src/replication/protocol.ts'
import { decodeMutation } from '../../src/store/mutation.ts'

export class RefusingProxy {
  readonly #server: Server
  readonly #target: string
  readonly #key: string

  private constructor(target: string, key: string) {
    this.#target = target
    this.#key = key
    this.#server = createServer((request, response) => {
      this.#pass(request).then(
        ({ status, body }) => response.writeHead(status).end(body),
        (error: unknown) => response.destroy(error instanceof Error ? error : undefined),
      )
    })
  }

  static async listen(target: string, key: string): Promise<RefusingProxy> {
    const proxy = new RefusingProxy(target, key)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  async #pass(request: IncomingMessage): Promise<{ status: number; body: Buffer }> {
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
