import { parseWriteConditions } from '../conditions.ts'
import { S3Error } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import type { OperationOf } from '../operation.ts'
import type { S3Service } from '../service.ts'

/** 204 whether or not there was something to delete; only a missing bucket is an error. */
export async function deleteObject(
  { store }: S3Service,
  exchange: Exchange,
  { bucket, key }: OperationOf<'DeleteObject'>,
): Promise<void> {
  const conditions = parseWriteConditions(exchange.request.headers)
  const deleted = await store.deleteObject(
    conditions === undefined ? { bucket, key } : { bucket, key, conditions },
  )
  if (!deleted && !(await store.bucketExists(bucket))) throw new S3Error('NoSuchBucket')
  exchange.respond(204, [])
}
