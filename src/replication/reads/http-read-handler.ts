/** The endpoints where other sites read single objects, and bring sound bytes for damaged ones. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { rethrowAssertion } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import { handOver } from '../../base/hand-over.ts'
import type { Logger } from '../../base/log.ts'
import { answerRefusal, refusalFor } from '../http/refusal.ts'
import type { Denial, ReplicationHandler } from '../http/replication-handler.ts'
import { readBody, watchedBody } from '../http/request-body.ts'
import { ObjectGoneError } from '../wire/errors.ts'
import { startingWith } from '../wire/link-traffic.ts'
import { replicationPaths } from '../wire/protocol.ts'
import {
  mendedObjectHeader,
  parseMendedObject,
  parseReadQuestion,
  readQuestionBytesMax,
} from '../wire/read-documents.ts'
import type { ReadResponder } from './read-responder.ts'

export interface ReadHandlerOptions {
  readonly responder: ReadResponder
  readonly authorize: (request: IncomingMessage) => Denial | undefined
  readonly clock: Clock
  readonly logger: Logger
}

/** A reader that takes nothing for so long is cut off. */
const stallMs = 30_000

export function createReadHandler(options: ReadHandlerOptions): ReplicationHandler {
  const handlers = new ReadHandler(options)
  return (request, response, path) => handlers.handle(request, response, path)
}

class ReadHandler {
  readonly #options: ReadHandlerOptions

  constructor(options: ReadHandlerOptions) {
    this.#options = options
  }

  handle(request: IncomingMessage, response: ServerResponse, path: string): boolean {
    const isRead = path === replicationPaths.read
    if (!isRead && path !== replicationPaths.mend) return false
    const { authorize, clock } = this.#options
    const method = isRead ? 'POST' : 'PUT'
    const refusal =
      request.method === method
        ? authorize(request)
        : { status: 405, code: 'METHOD_NOT_ALLOWED', message: `${method} it` }
    if (refusal !== undefined) {
      if (refusal.status === 405) response.setHeader('allow', method)
      answerRefusal({ request, response, refusal, clock })
      return true
    }
    const answer = isRead ? this.#read(request, response) : this.#mend(request, response)
    answer.catch((error: unknown) => this.#fail(request, response, error))
    return true
  }

  async #read(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { responder, clock } = this.#options
    const text = await readBody(request, { limit: readQuestionBytesMax, clock })
    const question = parseReadQuestion(text.toString())
    if (question.ask === 'object') return reply(response, await responder.look(question))
    await responder.withObject(question, async (object) => {
      const { start, end } = question
      // The first piece is read before the status goes out: rot is an error then, and not a cut.
      const pieces = object.read({ start, end })[Symbol.asyncIterator]()
      const first = await pieces.next()
      response.writeHead(200, {
        'content-type': 'application/octet-stream',
        'content-length': end - start,
        'cache-control': 'no-store',
      })
      for await (const piece of startingWith(first, pieces)) {
        if (response.destroyed) return
        await this.#write(response, piece)
      }
      response.end()
    })
  }

  async #write(response: ServerResponse, piece: Buffer): Promise<void> {
    const timer = this.#options.clock.after(stallMs, () => response.destroy())
    try {
      await handOver(response, piece)
    } finally {
      timer.cancel()
    }
  }

  async #mend(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { responder, clock, logger } = this.#options
    const object = parseMendedObject(request.headers[mendedObjectHeader])
    const { bucket, key } = object.slot
    const result = await responder.mend(object, watchedBody(request, clock))
    if (result !== 'mended') {
      throw new ObjectGoneError(
        result === 'gone'
          ? 'another version of the object is current here'
          : 'the bytes that came are not those of this version here',
      )
    }
    logger.warn({ bucket, key }, 'Damaged bytes were replaced by those that another site brought')
    reply(response, Buffer.from(JSON.stringify({ result })))
  }

  #fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    rethrowAssertion(error)
    const { clock, logger } = this.#options
    const refusal = refusalFor(error)
    if (refusal.status >= 500) {
      logger.error({ error: messageOf(error), code: refusal.code }, 'A read for a site failed')
    }
    if (response.headersSent || response.destroyed) response.destroy()
    else answerRefusal({ request, response, refusal, clock })
  }
}

function reply(response: ServerResponse, body: Buffer): void {
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': body.length,
  })
  response.end(body)
}
