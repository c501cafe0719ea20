import { rethrowAssertion } from '../../base/assert.ts'
import { messageOf } from '../../base/errors.ts'
import type { Version } from '../../store/model/version.ts'
import { parseWriteConditions } from '../conditions.ts'
import { S3Error } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import type { OperationOf } from '../operation.ts'
import type { S3Service } from '../service.ts'

/** 204 whether or not there was something to delete; only a missing bucket is an error. */
export async function deleteObject(
  service: S3Service,
  exchange: Exchange,
  operation: OperationOf<'DeleteObject'>,
): Promise<void> {
  const { store } = service
  const { bucket, key } = operation
  const conditions = parseWriteConditions(exchange.request.headers)
  // A condition is about what is here.
  const deleted =
    conditions === undefined
      ? await store.deleteObject({
          ...{ bucket, key },
          seen: await versionElsewhere(service, exchange, operation),
        })
      : await store.deleteObject({ bucket, key, conditions })
  if (!deleted && !(await store.bucketExists(bucket))) throw new S3Error('NoSuchBucket')
  exchange.respond(204, [])
}

/**
 * What a read of the object would be answered with, when that is not here: who reads it can delete it.
 * Where nobody can be asked the delete goes by what is here, as without other sites.
 */
async function versionElsewhere(
  { store, elsewhere, logger }: S3Service,
  { signal }: Exchange,
  { bucket, key }: OperationOf<'DeleteObject'>,
): Promise<Version | undefined> {
  if (elsewhere === undefined || store.headObject({ bucket, key }) !== undefined) return undefined
  try {
    const found = await elsewhere.open({ bucket, key }, { bytes: false, signal })
    found?.close()
    return found?.info.version
  } catch (error) {
    rethrowAssertion(error)
    if (signal.aborted) throw error
    logger.warn(
      { bucket, key, error: messageOf(error) },
      'A delete could not look at other sites and goes by what is here',
    )
    return undefined
  }
}
