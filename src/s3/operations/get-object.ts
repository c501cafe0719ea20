import { giveBack } from '../../base/give-back.ts'
import type { ObjectElsewhere } from '../../store/model/elsewhere.ts'
import type { ByteRange, ObjectInfo, OpenObject } from '../../store/model/object-store.ts'
import { chooseRange, formatContentRange } from '../byte-range.ts'
import { evaluateReadConditions, rangeStillApplies } from '../conditions.ts'
import { Download } from '../download.ts'
import { type HeaderList, S3Error } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import { nowBytesMax } from '../limits.ts'
import { notModifiedHeaders, objectHeaders } from '../object-headers.ts'
import type { OperationOf } from '../operation.ts'
import { writePieces } from '../response-body.ts'
import { acquireBytes, releaseBytes, type S3Service, tryAcquireBytes } from '../service.ts'

/** What a GET or HEAD is answered with. */
interface ReadPlan {
  readonly status: 200 | 206
  readonly headers: HeaderList
  readonly range: ByteRange
}

/** Most small objects are read and answered in the turn in which they are asked for. */
export function getObject(
  service: S3Service,
  exchange: Exchange,
  operation: OperationOf<'GetObject'>,
): Promise<void> | undefined {
  const object = service.store.openObject(operation)
  if (object === undefined) return getElsewhere(service, exchange, operation)
  let sending: Promise<void> | undefined
  try {
    sending = send(service, exchange, { operation, object })
  } finally {
    if (sending === undefined) object.close()
  }
  return sending?.finally(() => object.close())
}

async function getElsewhere(
  service: S3Service,
  exchange: Exchange,
  operation: OperationOf<'GetObject'>,
): Promise<void> {
  const object = await openElsewhere(service, exchange, operation)
  if (object === undefined) return refuseMissing(service, exchange, operation)
  try {
    await send(service, exchange, { operation, object })
  } finally {
    object.close()
  }
}

/** Undefined when everything has been sent. */
function send(
  service: S3Service,
  exchange: Exchange,
  {
    operation,
    object,
  }: { readonly operation: OperationOf<'GetObject'>; readonly object: ReadObject },
): Promise<void> | undefined {
  const plan = planRead(exchange, operation, object)
  if (plan === undefined) return undefined
  const { start, end } = plan.range
  const { size } = object.info.meta
  if (start === end) {
    exchange.respond(200, plan.headers)
    return undefined
  }
  if (size > service.wholeBytesMax) return sendStreamed(service, exchange, { object, plan })
  if (sendNow(service, exchange, { object, plan })) return undefined
  return sendWhole(service, exchange, { object, plan })
}

/** What can be answered with in the turn in which it is asked for. */
export interface ObjectAtHand extends Pick<OpenObject, 'info' | 'readNow'> {
  /** The whole body, in pieces that nobody else has; undefined where that does not do. */
  readPiecesNow(): readonly Buffer[] | undefined
}

type NowService = Pick<S3Service, 'budget' | 'watch'>

/**
 * Answers a GET with what is at hand; false when that does not do, and nothing was said yet.
 * @returns a promise where the client has to take what the socket does not take at once
 * @throws S3Error InvalidRange, PreconditionFailed
 */
export function getObjectNow(
  service: NowService,
  exchange: Exchange,
  asked: { readonly operation: OperationOf<'GetObject'>; readonly object: ObjectAtHand },
): boolean | Promise<void> {
  const { operation, object } = asked
  const plan = planRead(exchange, operation, object)
  if (plan === undefined) return true
  if (plan.range.start === plan.range.end) {
    exchange.respond(200, plan.headers)
    return true
  }
  if (object.info.meta.size <= exchange.response.writableHighWaterMark) {
    return sendNow(service, exchange, { object, plan })
  }
  return sendPiecesNow(service, exchange, { object, plan }) ?? false
}

/** Undefined when that does not do: of larger objects, or of a part, too much would be read in one go. */
function sendPiecesNow(
  service: NowService,
  exchange: Exchange,
  { object, plan }: { readonly object: ObjectAtHand; readonly plan: ReadPlan },
): Promise<void> | undefined {
  const { budget } = service
  const { size } = object.info.meta
  // Slow clients hold what they have not taken: half of the budget is left to others.
  if (size > nowBytesMax || plan.status !== 200) return undefined
  if (budget.heldBytes + size > budget.capacityBytes / 2 || !budget.tryAcquire(size)) {
    return undefined
  }
  const pieces = object.readPiecesNow()
  if (pieces === undefined) {
    budget.release(size)
    return undefined
  }
  plan.headers.push('Content-Length', String(size))
  exchange.begin(plan.status, plan.headers)
  return writePieces(exchange, passing(pieces), service.watch).finally(() => budget.release(size))
}

/** Each is freed once it was taken. */
function* passing(pieces: readonly Buffer[]): Generator<Buffer> {
  for (const piece of pieces) {
    yield piece
    giveBack(piece)
  }
}

/** Whether it could be sent without waiting for memory or for the disk. */
function sendNow(
  service: Pick<S3Service, 'budget'>,
  exchange: Exchange,
  {
    object,
    plan,
  }: { readonly object: Pick<OpenObject, 'info' | 'readNow'>; readonly plan: ReadPlan },
): boolean {
  const { size } = object.info.meta
  if (size > exchange.response.writableHighWaterMark) return false
  if (!tryAcquireBytes(service, size)) return false
  try {
    const whole = object.readNow()
    if (whole !== undefined) exchange.respond(plan.status, plan.headers, partOf(whole, plan))
    return whole !== undefined
  } finally {
    releaseBytes(service, size)
  }
}

function partOf(whole: Buffer, { status, range }: ReadPlan): Buffer {
  return status === 200 ? whole : whole.subarray(range.start, range.end)
}

/** Answers from the index alone. */
export function headObject(
  service: S3Service,
  exchange: Exchange,
  operation: OperationOf<'HeadObject'>,
): Promise<void> | undefined {
  const info = service.store.headObject(operation)
  if (info === undefined) return headElsewhere(service, exchange, operation)
  answerHead(exchange, operation, { info })
  return undefined
}

/** @throws S3Error InvalidRange, PreconditionFailed */
export function answerHead(
  exchange: Exchange,
  operation: OperationOf<'HeadObject'>,
  found: { readonly info: ObjectInfo; readonly site?: string },
): void {
  const plan = planRead(exchange, operation, found)
  if (plan === undefined) return
  plan.headers.push('Content-Length', String(plan.range.end - plan.range.start))
  exchange.begin(plan.status, plan.headers)
  exchange.response.end()
}

async function headElsewhere(
  service: S3Service,
  exchange: Exchange,
  operation: OperationOf<'HeadObject'>,
): Promise<void> {
  const object = await openElsewhere(service, exchange, operation)
  if (object === undefined) return refuseMissing(service, exchange, operation)
  try {
    answerHead(exchange, operation, object)
  } finally {
    object.close()
  }
}

/** What another site has of it; or the store after all, when it has arrived in the meantime. */
async function openElsewhere(
  { store, elsewhere }: S3Service,
  { signal }: Exchange,
  operation: OperationOf<'GetObject' | 'HeadObject'>,
): Promise<ReadObject | undefined> {
  if (elsewhere === undefined) return undefined
  const found = await elsewhere.open(operation, { bytes: operation.name === 'GetObject', signal })
  const arrived = store.openObject(operation)
  if (arrived === undefined) return found
  found?.close()
  return arrived
}

/** A miss is no exception: it is answered without the cost of a stack trace where it can be. */
async function refuseMissing(
  service: S3Service,
  exchange: Exchange,
  { bucket }: { readonly bucket: string },
): Promise<void> {
  const exists = await service.store.bucketExists(bucket)
  exchange.refuse(new S3Error(exists ? 'NoSuchKey' : 'NoSuchBucket'))
}

/** The store's, or what another site has. */
type ReadObject = OpenObject & Partial<Pick<ObjectElsewhere, 'site'>>

/** Tells whose answer it is, when that is another site. */
const proxiedHeader = 'x-comio-proxied-from'

/** Undefined when a condition has answered the request. @throws S3Error InvalidRange, PreconditionFailed */
function planRead(
  exchange: Exchange,
  operation: OperationOf<'GetObject' | 'HeadObject'>,
  { info: { meta }, site }: { readonly info: ObjectInfo; readonly site?: string },
): ReadPlan | undefined {
  const { headers } = exchange.request
  const origin = site === undefined ? [] : [proxiedHeader, site]
  const outcome = evaluateReadConditions(headers, meta)
  if (outcome === 'failed') throw new S3Error('PreconditionFailed')
  if (outcome === 'not-modified') {
    exchange.respond(304, [...notModifiedHeaders(meta), ...origin])
    return undefined
  }
  const list = [...objectHeaders(meta, operation.query), ...origin]
  const whole: ByteRange = { start: 0, end: meta.size }
  if (
    headers.range === undefined ||
    !rangeStillApplies(headers['if-range'] as string | undefined, meta)
  ) {
    return { status: 200, headers: list, range: whole }
  }
  const range = chooseRange(headers.range, meta.size)
  if (range === undefined) return { status: 200, headers: list, range: whole }
  if (range === 'unsatisfiable') {
    throw new S3Error('InvalidRange', { headers: ['Content-Range', `bytes */${meta.size}`] })
  }
  list.push('Content-Range', formatContentRange(range, meta.size))
  return { status: 206, headers: list, range }
}

interface Reading {
  readonly object: ReadObject
  readonly plan: ReadPlan
}

async function sendWhole(
  service: S3Service,
  exchange: Exchange,
  { object, plan }: Reading,
): Promise<void> {
  const { size } = object.info.meta
  const waiting = acquireBytes(service, exchange, size)
  if (waiting !== undefined) await waiting
  try {
    const body = partOf(await object.readWhole(), plan)
    if (body.length <= exchange.response.writableHighWaterMark) {
      exchange.respond(plan.status, plan.headers, body)
      return
    }
    plan.headers.push('Content-Length', String(body.length))
    exchange.begin(plan.status, plan.headers)
    await writePieces(exchange, [body], service.watch)
  } finally {
    releaseBytes(service, size)
  }
}

async function sendStreamed(
  service: S3Service,
  exchange: Exchange,
  { object, plan }: Reading,
): Promise<void> {
  const { range, status, headers } = plan
  await Download.run(service, exchange, {
    ...{ object, range, mayReadAnew: object.site === undefined },
    begin: () => {
      headers.push('Content-Length', String(range.end - range.start))
      exchange.begin(status, headers)
    },
  })
}
