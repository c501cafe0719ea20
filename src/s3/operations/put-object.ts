import type { IncomingHttpHeaders } from 'node:http'
import type { PutInput } from '../../store/model/object-store.ts'
import { parseWriteConditions } from '../conditions.ts'
import { S3Error } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import { HeldBytes } from '../held-bytes.ts'
import { streamWindowBytes } from '../limits.ts'
import { readStoredHeaders } from '../object-headers.ts'
import type { OperationOf } from '../operation.ts'
import { pacedBody } from '../paced-body.ts'
import { PayloadCheck, parseContentMd5 } from '../payload-check.ts'
import { BodyStream, collectBody } from '../request-body.ts'
import { acquireBytes, releaseBytes, type S3Service } from '../service.ts'

/** What a put is answered with. */
export interface StoredTag {
  readonly meta: { readonly etag: string }
}

/** What a put takes of a service, and of its store. */
export type PutService = Omit<S3Service, 'store' | 'elsewhere'> & {
  readonly store: {
    putObject(input: PutInput): Promise<StoredTag>
  }
}

type PutHead = Omit<PutInput, 'body'>

const emptyBody = Buffer.alloc(0)

/**
 * Headers that ask for something which would have to hold for the stored object: storing it without
 * would be a wrong answer, so they are refused by name.
 */
const notYetHeaders = [
  'if-unmodified-since',
  'x-amz-decoded-content-length',
  'x-amz-object-lock-legal-hold',
  'x-amz-object-lock-mode',
  'x-amz-server-side-encryption',
  'x-amz-server-side-encryption-customer-algorithm',
  'x-amz-tagging',
  'x-amz-trailer',
  'x-amz-website-redirect-location',
  'x-amz-write-offset-bytes',
] as const

/** Everything that can refuse the upload without its body comes before the body is asked for. */
export async function putObject(
  service: PutService,
  exchange: Exchange,
  operation: OperationOf<'PutObject'>,
): Promise<void> {
  const head = readPutHead(service, exchange, operation)
  // Who waits to be asked gets a stream even for a small body: the store begins to read it, and so
  // the client is asked, only after the store has found no reason to refuse.
  const collected = head.contentLength <= service.collectBytesMax && !exchange.expectsContinue
  // Of what is streamed, the store has the SHA-256 of its own, on another thread.
  const elsewhere = collected ? undefined : 'sha256'
  const check = PayloadCheck.fromHeaders(exchange.request.headers, elsewhere)
  const info = collected
    ? await putCollected(service, exchange, { head, check })
    : await putStreamed(service, exchange, { head, check })
  exchange.respond(200, ['ETag', `"${info.meta.etag}"`])
}

function readPutHead(
  service: PutService,
  exchange: Exchange,
  { bucket, key }: OperationOf<'PutObject'>,
): PutHead {
  const { headers } = exchange.request
  refuseNotYet(headers)
  const contentLength = requireLength(exchange, service.objectBytesMax)
  const expectedMd5 = parseContentMd5(headers['content-md5'] as string | undefined)
  const conditions = parseWriteConditions(headers)
  return {
    bucket,
    key,
    contentLength,
    ...readStoredHeaders(headers),
    createBucket: service.autoCreateBuckets,
    ...(expectedMd5 === undefined ? {} : { expectedMd5 }),
    ...(conditions === undefined ? {} : { conditions }),
  }
}

function refuseNotYet(headers: IncomingHttpHeaders): void {
  const chunked =
    headers['content-encoding']?.toLowerCase().includes('aws-chunked') ||
    String(headers['x-amz-content-sha256'] ?? '').startsWith('STREAMING-')
  if (chunked) {
    throw new S3Error('NotImplemented', {
      message: 'ComIO does not take bodies in aws-chunked encoding yet. Send the plain bytes.',
    })
  }
  for (const name of notYetHeaders) {
    if (headers[name] !== undefined) {
      throw new S3Error('NotImplemented', {
        message: `ComIO does not do what the header ${name} asks for yet.`,
      })
    }
  }
}

function requireLength(exchange: Exchange, bytesMax: number): number {
  const bytes = exchange.bodyBytes
  if (bytes === undefined || exchange.request.headers['content-length'] === undefined) {
    throw new S3Error('MissingContentLength')
  }
  if (!Number.isSafeInteger(bytes) || bytes > bytesMax) throw new S3Error('EntityTooLarge')
  return bytes
}

interface Upload {
  readonly head: PutHead
  readonly check: PayloadCheck | undefined
}

async function putCollected(
  service: PutService,
  exchange: Exchange,
  { head, check }: Upload,
): Promise<StoredTag> {
  const { contentLength: length } = head
  const { watch } = service
  const waiting = acquireBytes(service, exchange, length)
  if (waiting !== undefined) await waiting
  try {
    const body = length === 0 ? emptyBody : await collectBody(exchange, { length, watch })
    check?.update(body)
    check?.verify()
    return await service.store.putObject({ ...head, body })
  } finally {
    releaseBytes(service, length)
  }
}

async function putStreamed(
  service: PutService,
  exchange: Exchange,
  { head, check }: Upload,
): Promise<StoredTag> {
  const { watch, pace } = service
  const held = new HeldBytes(service.budget)
  const windowBytes = Math.min(head.contentLength, streamWindowBytes)
  const stream = new BodyStream(exchange, { watch, check })
  try {
    const { signal } = exchange
    const waiting = held.growTo(windowBytes, signal)
    if (waiting !== undefined) await waiting
    const body = pacedBody(stream, { pace, held, windowBytes, signal })
    return await service.store.putObject({
      ...{ ...head, body, signal },
      verify: ({ sha256 }) => check?.verifySha256(sha256),
    })
  } finally {
    await stream.return()
    held.release()
  }
}
