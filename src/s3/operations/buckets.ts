import { S3Error } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import type { OperationOf } from '../operation.ts'
import type { S3Service } from '../service.ts'
import { element, s3Namespace } from '../xml.ts'

/** S3 names an owner of everything; here it is always the site. */
const owner = `<Owner>${element('ID', 'comio')}${element('DisplayName', 'comio')}</Owner>`

/** The region whose name S3 leaves out, for reasons of age. */
const unnamedRegion = 'us-east-1'

export async function listBuckets({ store }: S3Service, exchange: Exchange): Promise<void> {
  const buckets = (await store.listBuckets()).map(
    ({ name, createdAt }) =>
      '<Bucket>' +
      element('Name', name) +
      element('CreationDate', new Date(createdAt).toISOString()) +
      '</Bucket>',
  )
  exchange.respondXml(
    200,
    `<ListAllMyBucketsResult xmlns="${s3Namespace}">${owner}` +
      `<Buckets>${buckets.join('')}</Buckets></ListAllMyBucketsResult>`,
  )
}

/** Idempotent, as in us-east-1. A location constraint in the body is read over: a site has one region. */
export async function createBucket(
  { store }: S3Service,
  exchange: Exchange,
  { bucket }: OperationOf<'CreateBucket'>,
): Promise<void> {
  const { headers } = exchange.request
  if (headers['x-amz-bucket-object-lock-enabled']?.toString().toLowerCase() === 'true') {
    throw new S3Error('NotImplemented', { message: 'ComIO does not lock objects yet.' })
  }
  await store.createBucket(bucket)
  exchange.respond(200, ['Location', `/${bucket}`])
}

export async function headBucket(
  { store, region }: S3Service,
  exchange: Exchange,
  { bucket }: OperationOf<'HeadBucket'>,
): Promise<void> {
  if (!(await store.bucketExists(bucket))) return exchange.refuse(new S3Error('NoSuchBucket'))
  exchange.respond(200, ['x-amz-bucket-region', region])
}

export async function deleteBucket(
  { store }: S3Service,
  exchange: Exchange,
  { bucket }: OperationOf<'DeleteBucket'>,
): Promise<void> {
  await store.deleteBucket(bucket)
  exchange.respond(204, [])
}

export async function getBucketLocation(
  { store, region }: S3Service,
  exchange: Exchange,
  { bucket }: OperationOf<'GetBucketLocation'>,
): Promise<void> {
  if (!(await store.bucketExists(bucket))) throw new S3Error('NoSuchBucket')
  const name = region === unnamedRegion ? '' : region
  exchange.respondXml(
    200,
    element('LocationConstraint', name).replace('>', ` xmlns="${s3Namespace}">`),
  )
}
