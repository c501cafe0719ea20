/**
 * The control plane: everything under `/admin` but the replication streams, as JSON documents (see
 * `protocol.ts`) behind a Fastify instance that has no listener of its own. It promises that no
 * handler runs before its caller's right to it is established, that every error is a JSON document,
 * and that no bucket is purged without `confirm=true`. It must never know how the site stores,
 * replicates or is configured: it sees `ports.ts` and nothing else.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { rethrowAssertion } from '../base/assert.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { describeFailure, noSuchEndpoint } from './control-failure.ts'
import type { ControlAccess, ControlPlaneOptions } from './ports.ts'
import { remoteRoutes } from './remote-routes.ts'
import { controlRoutes } from './routes.ts'
import { answerUnread } from './unread-body.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the endpoint asks of its caller; a route without one asks for `read`. */
    readonly access?: ControlAccess
    /** The endpoint's name in the metrics. */
    readonly operation?: string
  }
}

/** The largest request of this plane is the filter of a remote, which is kept in the head of one record. */
const bodyBytesMax = 48 * 1024

export interface ControlPlane {
  /** Answers one request whose path is `/admin` or below. */
  handle(request: IncomingMessage, response: ServerResponse): void
  close(): Promise<void>
}

export async function createControlPlane(
  options: ControlPlaneOptions & { readonly logger: Logger; readonly random: Random },
): Promise<ControlPlane> {
  const app = fastify({
    logger: false,
    genReqId: requestIds(options.random),
    bodyLimit: bodyBytesMax,
    // Unknown fields are refused, not dropped, and nothing is bent into the type it should have.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false } },
    frameworkErrors: (error, request, reply) => sendFailure(error, request, reply),
  })
  // JSON is all that is understood; it is also what a web page cannot send without asking first.
  app.removeContentTypeParser('text/plain')

  function sendFailure(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    // A broken invariant stops the process (see base/assert.ts); it is never an answer.
    setImmediate(() => rethrowAssertion(error))
    const failure = describeFailure(error)
    if (failure.status >= 500) {
      const { operation } = request.routeOptions.config
      const fields = { operation, request_id: request.id, code: failure.code, error }
      options.logger.error(fields, 'A control request failed')
    }
    reply.hijack()
    answerUnread(request.raw, reply.raw, failure.answer)
  }

  app.addHook('onRequest', (request, reply, done) => {
    reply.raw.setHeader('x-request-id', request.id)
    const denial = options.authorize(request.raw, request.routeOptions.config.access ?? 'read')
    if (denial === undefined) done()
    else sendFailure(denial, request, reply)
  })
  app.addHook('preParsing', (request, reply, payload, done) => {
    // Only now is the body wanted.
    if (request.headers.expect?.toLowerCase() === '100-continue') reply.raw.writeContinue()
    done(null, payload)
  })
  app.addHook('onSend', (_request, reply, payload, done) => {
    reply.header('cache-control', 'no-store')
    done(null, payload)
  })
  app.addHook('onResponse', (request, reply, done) => {
    options.observe({
      operation: request.routeOptions.config.operation ?? 'AdminOther',
      status: reply.raw.statusCode,
      durationMs: reply.elapsedTime,
    })
    done()
  })
  app.setErrorHandler((error, request, reply) => sendFailure(error, request, reply))
  const routes = [...controlRoutes(options), ...remoteRoutes(options)]
  app.setNotFoundHandler((request, reply) => {
    sendFailure(noSuchEndpoint(request.raw, routes), request, reply)
  })
  for (const route of routes) app.route(route)
  await app.ready()
  return {
    handle: (request, response) => app.routing(request, response),
    close: () => app.close(),
  }
}

/** Sixteen hex digits: eight that tell this start of the site from others, and a count. */
function requestIds(random: Random): () => string {
  const start = Buffer.from(random.bytes(4)).toString('hex')
  let count = 0
  return () => {
    count = (count + 1) >>> 0
    return start + count.toString(16).padStart(8, '0')
  }
}
