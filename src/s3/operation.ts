/**
 * Every operation of S3 as a closed union, those that ComIO does not do yet included: they are known
 * by name and answered with 501, so that a client learns what is missing instead of getting a wrong
 * answer to another question.
 */
import type { Query } from './query.ts'

interface InService {
  readonly query: Query
}

interface InBucket extends InService {
  readonly bucket: string
}

interface OnObject extends InBucket {
  readonly key: string
}

interface OperationShapes {
  readonly ListBuckets: InService
  readonly CreateBucket: InBucket
  readonly HeadBucket: InBucket
  readonly DeleteBucket: InBucket
  readonly GetBucketLocation: InBucket
  readonly ListObjects: InBucket
  readonly ListObjectsV2: InBucket
  readonly PutObject: OnObject
  readonly GetObject: OnObject
  readonly HeadObject: OnObject
  readonly DeleteObject: OnObject
}

export type DoneOperationName = keyof OperationShapes

/** Configuration that a bucket can have in S3, by the query parameter that names it. */
export const bucketSettings = {
  accelerate: 'BucketAccelerateConfiguration',
  acl: 'BucketAcl',
  analytics: 'BucketAnalyticsConfiguration',
  cors: 'BucketCors',
  encryption: 'BucketEncryption',
  'intelligent-tiering': 'BucketIntelligentTieringConfiguration',
  inventory: 'BucketInventoryConfiguration',
  lifecycle: 'BucketLifecycleConfiguration',
  logging: 'BucketLogging',
  metrics: 'BucketMetricsConfiguration',
  notification: 'BucketNotificationConfiguration',
  'object-lock': 'ObjectLockConfiguration',
  ownershipControls: 'BucketOwnershipControls',
  policy: 'BucketPolicy',
  policyStatus: 'BucketPolicyStatus',
  publicAccessBlock: 'PublicAccessBlock',
  replication: 'BucketReplication',
  requestPayment: 'BucketRequestPayment',
  tagging: 'BucketTagging',
  versioning: 'BucketVersioning',
  website: 'BucketWebsite',
} as const

/** The same for an object. */
export const objectSettings = {
  acl: 'ObjectAcl',
  'legal-hold': 'ObjectLegalHold',
  retention: 'ObjectRetention',
  tagging: 'ObjectTagging',
} as const

export const settingVerbs = { GET: 'Get', PUT: 'Put', DELETE: 'Delete' } as const

type Setting =
  | (typeof bucketSettings)[keyof typeof bucketSettings]
  | (typeof objectSettings)[keyof typeof objectSettings]
type SettingOperation = `${(typeof settingVerbs)[keyof typeof settingVerbs]}${Setting}`

const furtherOperations = [
  'AbortMultipartUpload',
  'CompleteMultipartUpload',
  'CopyObject',
  'CreateMultipartUpload',
  'DeleteObjects',
  'DeleteObjectVersion',
  'GetObjectAttributes',
  'GetObjectPart',
  'GetObjectTorrent',
  'GetObjectVersion',
  'ListMultipartUploads',
  'ListObjectVersions',
  'ListParts',
  'PostObject',
  'Preflight',
  'RestoreObject',
  'SelectObjectContent',
  'UploadPart',
  'UploadPartCopy',
] as const

export type NotYetOperationName = SettingOperation | (typeof furtherOperations)[number]

/** Every name that is answered with 501. */
export const notYetOperationNames: readonly NotYetOperationName[] = [
  ...furtherOperations,
  ...Object.values(settingVerbs).flatMap((verb) =>
    [...Object.values(bucketSettings), ...Object.values(objectSettings)].map(
      (setting): SettingOperation => `${verb}${setting}`,
    ),
  ),
]

interface NotYetShape {
  readonly bucket: string
  /** Undefined for operations on the bucket. */
  readonly key: string | undefined
}

type ShapeOf<Name> = Name extends DoneOperationName ? OperationShapes[Name] : NotYetShape

/** The operation of that name with its parameters. */
export type OperationOf<Name extends DoneOperationName | NotYetOperationName> = {
  readonly name: Name
} & ShapeOf<Name>

export type S3Operation =
  | { [Name in DoneOperationName]: OperationOf<Name> }[DoneOperationName]
  | ({ readonly name: NotYetOperationName } & NotYetShape)
