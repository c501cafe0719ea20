/**
 * The S3 data plane as a request handler. It promises that every request gets exactly one answer in
 * S3's terms, with a request id, that an answer is never a wrong one (what is not done yet is refused
 * by name), that memory stays within the budget, and that nobody who stands still holds anything for
 * long. It must never know segments, index keys, replication or configuration: it sees an ObjectStore.
 *
 *   request -> authorize -> parse -> handler of the operation -> answer -> observe
 *                  \__________\____________\_ throws _____________/
 *
 * Errors leave through one place; there the layers' codes become S3's.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { rethrowAssertion } from '../base/assert.ts'
import { BudgetWaitAbortedError, type ByteBudget } from '../base/byte-budget.ts'
import type { Clock } from '../base/clock.ts'
import { ComioError, messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { ObjectsElsewhere } from '../store/model/elsewhere.ts'
import type { ObjectStore } from '../store/model/object-store.ts'
import type { Authorize } from './access.ts'
import { S3Error, toS3Error } from './errors.ts'
import { Exchange } from './exchange.ts'
import {
  collectBytesDefault,
  idleMsDefault,
  ignoredBodyBytesMax,
  objectBytesMax,
  slowAfterMs,
  wholeBytesDefault,
} from './limits.ts'
import { accessOf, parseOperation } from './operation-parser.ts'
import { runOperation } from './operations/handlers.ts'
import { ProgressWatch } from './progress-watch.ts'
import type { S3Service } from './service.ts'

/** One answered request, for metrics. */
export interface S3Observation {
  /** S3's name of the operation; `Unknown` when the request was refused before it was understood. */
  readonly operation: string
  /** 0 when the client was gone before it could be answered. */
  readonly status: number
  readonly durationMs: number
  /** Bytes of bodies, without heads. */
  readonly bytesIn: number
  readonly bytesOut: number
}

export interface S3HandlerOptions {
  readonly store: ObjectStore
  /** Asked for objects that the store lacks. */
  readonly elsewhere?: ObjectsElsewhere | undefined
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly budget: ByteBudget
  readonly authorize: Authorize
  /** The first PUT into a bucket creates it. */
  readonly autoCreateBuckets: boolean
  readonly region?: string
  /** A body up to this size reaches the store as one buffer. */
  readonly collectBytesMax?: number
  /** An object up to this size is read in one call; at most the store's own limit for that. */
  readonly wholeBytesMax?: number
  readonly objectBytesMax?: number
  /** A client that sends or takes nothing for this long is cut off. */
  readonly idleMsMax?: number
  readonly observe?: (observation: S3Observation) => void
}

/**
 * For a server's `request` and `checkContinue` events alike: with the latter, a request that cannot
 * be served is refused before its body is sent. Without it node:http asks for the body by itself.
 */
export type S3Handler = (request: IncomingMessage, response: ServerResponse) => void

const defaultRegion = 'us-east-1'

export function createS3Handler(options: S3HandlerOptions): S3Handler {
  const { clock, observe, authorize } = options
  const service = makeService(options)
  const nextRequestId = requestIds(options.random)

  const finish = (exchange: Exchange): void => {
    observe?.({
      operation: exchange.operation?.name ?? 'Unknown',
      status: exchange.status,
      durationMs: clock.monotonic() - exchange.startedAt,
      bytesIn: exchange.bytesIn,
      bytesOut: exchange.bytesOut,
    })
  }

  return (request, response) => {
    const exchange = new Exchange({ request, response, requestId: nextRequestId(), clock })
    let pending: Promise<void> | undefined
    try {
      pending = serve(service, exchange, authorize)
    } catch (thrown) {
      answerFailure(service, exchange, thrown)
    }
    if (pending === undefined) return finish(exchange)
    void pending.then(
      () => finish(exchange),
      (thrown) => {
        answerFailure(service, exchange, thrown)
        finish(exchange)
      },
    )
  }
}

function makeService(options: S3HandlerOptions): S3Service {
  const { store, clock, logger, budget, autoCreateBuckets } = options
  return {
    store,
    elsewhere: options.elsewhere,
    logger,
    budget,
    autoCreateBuckets,
    watch: new ProgressWatch({ clock, idleMs: options.idleMsMax ?? idleMsDefault }),
    pace: new ProgressWatch({ clock, idleMs: slowAfterMs }),
    region: options.region ?? defaultRegion,
    collectBytesMax: options.collectBytesMax ?? collectBytesDefault,
    wholeBytesMax: options.wholeBytesMax ?? wholeBytesDefault,
    objectBytesMax: options.objectBytesMax ?? objectBytesMax,
  }
}

/** Sixteen hex digits: eight that tell this start of the server from others, and a count. */
export function requestIds(random: Random): () => string {
  const start = Buffer.from(random.bytes(4)).toString('hex').toUpperCase()
  let count = 0
  return () => {
    count = (count + 1) >>> 0
    return start + count.toString(16).toUpperCase().padStart(8, '0')
  }
}

function serve(
  service: S3Service,
  exchange: Exchange,
  authorize: Authorize,
): Promise<void> | undefined {
  const { method = '', url = '', headers } = exchange.request
  const decision = authorize(exchange.request, accessOf(method))
  if (!decision.allowed) {
    throw new S3Error(decision.status === 401 ? 'Unauthorized' : 'AccessDenied', {
      message: decision.message,
      ...(decision.status === 401 ? { headers: ['WWW-Authenticate', 'Bearer'] } : {}),
    })
  }
  const operation = parseOperation({ method, target: url, headers })
  exchange.operation = operation
  if (operation.name !== 'PutObject' && (exchange.bodyBytes ?? Infinity) > ignoredBodyBytesMax) {
    throw new S3Error('EntityTooLarge', { message: 'This request takes no such body.' })
  }
  return runOperation(service, exchange, operation)
}

/** Answers what was thrown, if there is still somebody and nothing was said yet. */
export function answerFailure(
  service: Pick<S3Service, 'logger'>,
  exchange: Exchange,
  thrown: unknown,
): void {
  // A broken invariant stops the process (see base/assert.ts); it is never an answer.
  rethrowAssertion(thrown)
  if (thrown instanceof BudgetWaitAbortedError || exchange.clientGone) {
    service.logger.debug({ requestId: exchange.requestId }, 'the client left before the answer')
    return
  }
  const error = toS3Error(thrown)
  if (error.status >= 500 && error.s3Code !== 'NotImplemented') report(service, exchange, error)
  if (exchange.response.headersSent) {
    // Too late for a status: a cut connection tells the client that the body is not complete.
    exchange.response.destroy()
    return
  }
  exchange.refuse(error)
}

function report(service: Pick<S3Service, 'logger'>, exchange: Exchange, error: S3Error): void {
  const cause = error.cause ?? error
  const fields = {
    component: 's3',
    requestId: exchange.requestId,
    operation: exchange.operation?.name,
    code: cause instanceof ComioError ? cause.code : undefined,
    facts: cause instanceof ComioError ? cause.facts : undefined,
    error: messageOf(cause),
    stack: error.s3Code === 'InternalError' && cause instanceof Error ? cause.stack : undefined,
  }
  if (error.status === 500) service.logger.error(fields, 'a request failed')
  else service.logger.warn(fields, 'a request could not be taken')
}
