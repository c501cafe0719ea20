/**
 * The S3 data plane of a thread beside the store's. What it can answer by itself it does: GET and HEAD of
 * objects that are at hand, and PUTs of small bodies, which it collects and hashes and hands to the store. All
 * else, and whatever it is not sure of, it passes on unread to the thread that has the store, so that rights,
 * and what the store refuses, are decided in one place. It must never know how that is reached.
 */
import type { IncomingMessage } from 'node:http'
import type { ObjectName } from '../store/model/open-object.ts'
import type { Access } from './access.ts'
import { S3Error } from './errors.ts'
import { Exchange } from './exchange.ts'
import { answerFailure, requestIds, type S3Handler, type S3HandlerOptions } from './handler.ts'
import {
  collectBytesDefault,
  idleMsDefault,
  objectBytesMax,
  slowAfterMs,
  wholeBytesDefault,
} from './limits.ts'
import type { OperationOf, S3Operation } from './operation.ts'
import { accessOf, parseOperation } from './operation-parser.ts'
import { answerHead, getObjectNow, type ObjectAtHand } from './operations/get-object.ts'
import { type PutService, putObject } from './operations/put-object.ts'
import { ProgressWatch } from './progress-watch.ts'

export interface FrontHandlerOptions
  extends Pick<S3HandlerOptions, 'autoCreateBuckets' | 'budget' | 'clock' | 'observe' | 'random'> {
  readonly logger: S3HandlerOptions['logger']
  /** An object that is at hand; undefined when the store has to be asked. */
  readonly find: (name: ObjectName) => ObjectAtHand | undefined
  readonly store: PutService['store']
  /** Whether this thread is sure that the request may do what it asks for. */
  readonly mayAnswer: (request: IncomingMessage, access: Access) => boolean
  readonly passOn: S3Handler
}

export function createFrontHandler(options: FrontHandlerOptions): S3Handler {
  const { clock, passOn } = options
  const service = makeService(options)
  const nextRequestId = requestIds(options.random)

  return (request, response) => {
    const operation = ownOperation(options, request)
    if (operation === undefined) return passOn(request, response)
    const exchange = new Exchange({ request, response, requestId: nextRequestId(), clock })
    exchange.operation = operation
    let answering: boolean | Promise<void>
    try {
      answering =
        operation.name === 'PutObject'
          ? putObject(service, exchange, operation)
          : read(options, service, { exchange, operation })
    } catch (thrown) {
      return fail(options, exchange, thrown)
    }
    if (answering === false) return passOn(request, response)
    if (answering === true) return finish(options, exchange)
    void answering.then(
      () => finish(options, exchange),
      (thrown) => fail(options, exchange, thrown),
    )
  }
}

type ReadOperation = OperationOf<'GetObject'> | OperationOf<'HeadObject'>
type OwnOperation = ReadOperation | OperationOf<'PutObject'>

/** What this thread may be able to answer; undefined for everything else. */
function ownOperation(
  { mayAnswer }: FrontHandlerOptions,
  request: IncomingMessage,
): OwnOperation | undefined {
  const { method = '', url = '', headers } = request
  if (method === 'PUT' ? !hasSmallBody(request) : !isBareRead(request)) return undefined
  let operation: S3Operation
  try {
    operation = parseOperation({ method, target: url, headers })
  } catch (thrown) {
    if (thrown instanceof S3Error) return undefined
    throw thrown
  }
  const { name } = operation
  if (name !== 'GetObject' && name !== 'HeadObject' && name !== 'PutObject') return undefined
  return mayAnswer(request, accessOf(method)) ? operation : undefined
}

function isBareRead({ method, headers }: IncomingMessage): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false
  return (
    headers['content-length'] === undefined &&
    headers['transfer-encoding'] === undefined &&
    headers.expect === undefined
  )
}

function hasSmallBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length']
  if (length === undefined || headers.expect !== undefined) return false
  return Number(length) <= collectBytesDefault
}

/** False when the store has to be asked. */
function read(
  { find }: FrontHandlerOptions,
  service: PutService,
  asked: { readonly exchange: Exchange; readonly operation: ReadOperation },
): boolean | Promise<void> {
  const { exchange, operation } = asked
  const object = find(operation)
  if (object === undefined) return false
  if (operation.name === 'GetObject') {
    return getObjectNow(service, exchange, { operation, object })
  }
  answerHead(exchange, operation, object)
  return true
}

function fail(options: FrontHandlerOptions, exchange: Exchange, thrown: unknown): void {
  answerFailure(options, exchange, thrown)
  finish(options, exchange)
}

function finish({ clock, observe }: FrontHandlerOptions, exchange: Exchange): void {
  observe?.({
    operation: exchange.operation?.name ?? 'Unknown',
    status: exchange.status,
    durationMs: clock.monotonic() - exchange.startedAt,
    bytesIn: exchange.bytesIn,
    bytesOut: exchange.bytesOut,
  })
}

function makeService(options: FrontHandlerOptions): PutService {
  const { store, clock, logger, budget, autoCreateBuckets } = options
  return {
    ...{ store, logger, budget, autoCreateBuckets, objectBytesMax },
    watch: new ProgressWatch({ clock, idleMs: idleMsDefault }),
    pace: new ProgressWatch({ clock, idleMs: slowAfterMs }),
    region: '',
    collectBytesMax: collectBytesDefault,
    wholeBytesMax: wholeBytesDefault,
  }
}
