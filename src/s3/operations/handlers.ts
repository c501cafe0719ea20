import { S3Error } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import type {
  DoneOperationName,
  NotYetOperationName,
  OperationOf,
  S3Operation,
} from '../operation.ts'
import { notYetOperationNames } from '../operation.ts'
import type { S3Service } from '../service.ts'
import {
  createBucket,
  deleteBucket,
  getBucketLocation,
  headBucket,
  listBuckets,
} from './buckets.ts'
import { deleteObject } from './delete-object.ts'
import { getObject, headObject } from './get-object.ts'
import { listObjects } from './list-objects.ts'
import { putObject } from './put-object.ts'

/** Answers one operation, at once or when the promise resolves; throws what the answer cannot be. */
type Handler<Operation> = (
  service: S3Service,
  exchange: Exchange,
  operation: Operation,
) => Promise<void> | undefined

const doneHandlers = {
  ListBuckets: listBuckets,
  CreateBucket: createBucket,
  HeadBucket: headBucket,
  DeleteBucket: deleteBucket,
  GetBucketLocation: getBucketLocation,
  ListObjects: listObjects,
  ListObjectsV2: listObjects,
  PutObject: putObject,
  GetObject: getObject,
  HeadObject: headObject,
  DeleteObject: deleteObject,
} satisfies { readonly [Name in DoneOperationName]: Handler<OperationOf<Name>> }

function refuseNotYet(_service: S3Service, exchange: Exchange, { name }: S3Operation): undefined {
  exchange.refuse(new S3Error('NotImplemented', { message: `ComIO does not do ${name} yet.` }))
}

const handlers = {
  ...(Object.fromEntries(notYetOperationNames.map((name) => [name, refuseNotYet])) as Record<
    NotYetOperationName,
    typeof refuseNotYet
  >),
  ...doneHandlers,
} satisfies Record<S3Operation['name'], unknown>

/** Runs the handler of the operation's name. */
export function runOperation(
  service: S3Service,
  exchange: Exchange,
  operation: S3Operation,
): Promise<void> | undefined {
  // The table above is checked entry by entry; what TypeScript cannot express is that the entry
  // found under an operation's name takes that operation.
  const handler = handlers[operation.name] as Handler<S3Operation>
  return handler(service, exchange, operation)
}
