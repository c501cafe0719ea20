/**
 * One entry of `replication.remotes`, in the file as at run time: from what people write (text, and
 * lists of text) to what a link is made of. Every message completes `FIELD is VALUE, but it ...`.
 */
import { z } from 'zod'
import type { TransferMode } from '../replication/options.ts'
import { type PlaceFilter, wantsEverything } from '../store/model/place-filter.ts'
import { formatDurationValue, formatSizeValue } from './format-value.ts'
import { isPemText } from './pem-text.ts'
import {
  bandwidthLimit,
  compressionMode,
  count,
  duration,
  limit,
  oneOf,
  onOff,
  path,
  pem,
  secret,
  size,
  textAs,
  transferMode,
  url,
} from './schema-parts.ts'

/** Each an absolute path or the text itself. Undefined: as for all remotes. */
export interface RemoteTlsConfig {
  readonly ca: string | undefined
  readonly clientCert: string | undefined
  readonly clientKey: string | undefined
}

export interface RemoteConfig {
  readonly name: string
  /** Origins of the same site, tried in turn. */
  readonly urls: readonly [string, ...string[]]
  readonly token: string | undefined
  /** Absolute. */
  readonly tokenFile: string | undefined
  readonly tls: RemoteTlsConfig
  readonly filter: PlaceFilter
  /** Undefined: as for all remotes. */
  readonly workers: number | undefined
  readonly batchSize: number | undefined
  readonly batchBytes: number | undefined
  readonly transfer: TransferMode | undefined
  readonly compression: 'auto' | 'off' | undefined
  readonly bandwidthLimit: number | undefined
  /** Undefined: replication.mode. */
  readonly mode: 'async' | 'sync' | undefined
  /** Null for no limit, whatever holds for the others. */
  readonly maxDeleteCount: number | null | undefined
  readonly maxDeletePercent: number | null | undefined
  readonly deleteWindowMs: number | undefined
  readonly applyDelayMs: number | undefined
  /** Begins paused; from then on the volume remembers whether it is. */
  readonly paused: boolean
}

/** What `remote_url` and its fellows make is called so. */
export const shortFormName = 'default'

/** Names go into paths, logs and metrics. */
const remoteNamePattern = /^[a-z0-9][a-z0-9-]{0,31}$/

const listMax = 1000

/** One text, or a list of them. */
function texts<T extends z.ZodType<string, string>>(entry: T, what: string) {
  return z
    .union([entry.transform((text) => [text]), z.array(entry).max(listMax)], {
      error: `must be ${what}, or a list of such`,
    })
    .transform((found): readonly string[] => found)
}

const bucket = () =>
  textAs('a bucket name', (text) =>
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(text) ? text : undefined,
  )

const prefix = () =>
  z.string({ error: 'must be the beginning of a key' }).max(1024, 'must have at most 1024 letters')

export const remoteFieldNames = [
  'name',
  'url',
  'token',
  'token_file',
  'ca',
  'client_cert',
  'client_key',
  'buckets',
  'exclude_buckets',
  'prefixes',
  'exclude_prefixes',
  'workers',
  'batch_size',
  'batch_bytes',
  'transfer',
  'compression',
  'bandwidth_limit',
  'mode',
  'max_delete_count',
  'max_delete_percent',
  'delete_window',
  'apply_delay',
  'paused',
] as const

const form = `must have the fields name and url, and may have ${remoteFieldNames.slice(2).join(', ')}`

export const remoteEntrySchema = z.strictObject(
  {
    name: textAs('a name of 1 to 32 lower-case letters, digits and hyphens', (text) =>
      remoteNamePattern.test(text) ? text : undefined,
    ),
    url: texts(url(), 'an address such as https://site-b.example.com'),
    token: secret().optional(),
    token_file: path().optional(),
    ca: pem().optional(),
    client_cert: pem().optional(),
    client_key: pem().optional(),
    buckets: texts(bucket(), 'a bucket name').optional(),
    exclude_buckets: texts(bucket(), 'a bucket name').optional(),
    prefixes: texts(prefix(), 'the beginning of a key').optional(),
    exclude_prefixes: texts(prefix(), 'the beginning of a key').optional(),
    workers: count('replication.workers').optional(),
    batch_size: count('replication.batch_size').optional(),
    batch_bytes: size('replication.batch_bytes').optional(),
    transfer: transferMode().optional(),
    compression: compressionMode().optional(),
    bandwidth_limit: bandwidthLimit().optional(),
    mode: oneOf('async', 'sync').optional(),
    max_delete_count: limit('replication.max_delete_count').optional(),
    max_delete_percent: limit('replication.max_delete_percent').optional(),
    delete_window: duration('replication.delete_window').optional(),
    apply_delay: duration('replication.apply_delay').optional(),
    paused: onOff().optional(),
  } satisfies Record<(typeof remoteFieldNames)[number], z.ZodType>,
  { error: (issue) => (issue.code === 'invalid_type' ? form : undefined) },
)

/** What people write, as plain text and lists: what the volume keeps of a remote added at run time. */
export type RemoteDocument = Readonly<Record<string, string | readonly string[]>>

export function toRemoteConfig(
  entry: z.output<typeof remoteEntrySchema>,
  absolute: (path: string) => string,
): RemoteConfig {
  const [first, ...others] = entry.url
  const pemOf = (text: string | undefined) =>
    text === undefined || isPemText(text) ? text : absolute(text)
  return {
    name: entry.name,
    urls: [first ?? '', ...others],
    token: entry.token,
    tokenFile: entry.token_file === undefined ? undefined : absolute(entry.token_file),
    tls: {
      ca: pemOf(entry.ca),
      clientCert: pemOf(entry.client_cert),
      clientKey: pemOf(entry.client_key),
    },
    filter: {
      ...wantsEverything,
      ...(entry.buckets === undefined ? {} : { buckets: entry.buckets }),
      ...(entry.exclude_buckets === undefined ? {} : { excludeBuckets: entry.exclude_buckets }),
      ...(entry.prefixes === undefined ? {} : { prefixes: entry.prefixes }),
      ...(entry.exclude_prefixes === undefined ? {} : { excludePrefixes: entry.exclude_prefixes }),
    },
    workers: entry.workers,
    batchSize: entry.batch_size,
    batchBytes: entry.batch_bytes,
    transfer: entry.transfer,
    compression: entry.compression,
    bandwidthLimit: entry.bandwidth_limit,
    mode: entry.mode,
    maxDeleteCount: entry.max_delete_count,
    maxDeletePercent: entry.max_delete_percent,
    deleteWindowMs: entry.delete_window,
    applyDelayMs: entry.apply_delay,
    paused: entry.paused ?? false,
  }
}

/** What the remote has of its own, field by field as people write it; nothing secret. */
export function ownSettings(remote: RemoteConfig): Readonly<Record<string, string>> {
  const { tls, batchBytes, bandwidthLimit: limit, deleteWindowMs, applyDelayMs } = remote
  const lasting = (ms: number | undefined) =>
    ms === undefined ? undefined : formatDurationValue(ms)
  const fields = {
    mode: remote.mode,
    workers: remote.workers,
    batch_size: remote.batchSize,
    batch_bytes: batchBytes === undefined ? undefined : formatSizeValue(batchBytes),
    transfer: remote.transfer,
    compression: remote.compression,
    bandwidth_limit: limit === undefined ? undefined : formatSizeValue(limit),
    max_delete_count: remote.maxDeleteCount === null ? 'off' : remote.maxDeleteCount,
    max_delete_percent: remote.maxDeletePercent === null ? 'off' : remote.maxDeletePercent,
    delete_window: lasting(deleteWindowMs),
    apply_delay: lasting(applyDelayMs),
    ca: tls.ca === undefined ? undefined : 'its own',
    client_cert: tls.clientCert === undefined ? undefined : 'its own',
  }
  const set = Object.entries(fields).filter(([, value]) => value !== undefined)
  return Object.fromEntries(set.map(([field, value]) => [field, String(value)]))
}

/** @returns the remote, or what is wrong with the document, without a secret in it */
export function parseRemoteDocument(
  document: RemoteDocument,
): { readonly remote: RemoteConfig } | { readonly problem: string } {
  const parsed = remoteEntrySchema.safeParse(document)
  if (parsed.success) {
    if (parsed.data.token !== undefined && parsed.data.token_file !== undefined) {
      return { problem: 'token and token_file are both set: only one of them can hold the token' }
    }
    if ((parsed.data.client_cert === undefined) !== (parsed.data.client_key === undefined)) {
      return { problem: 'client_cert and client_key go together: to show it needs both' }
    }
    if (parsed.data.url.length === 0) return { problem: 'url names no address' }
    return { remote: toRemoteConfig(parsed.data, (text) => text) }
  }
  const [issue] = parsed.error.issues
  if (issue?.code === 'unrecognized_keys') return { problem: `${issue.keys[0]} is no known field` }
  const field = issue?.path.join('.') ?? ''
  return { problem: `${field === '' ? 'it' : field} ${issue?.message ?? 'cannot be right'}` }
}
