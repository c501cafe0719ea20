/**
 * The schema of the configuration: from what people write (text, and lists of text) to parsed
 * values, key by key. Every message completes the sentence `KEY is VALUE, but ...`.
 */
import { z } from 'zod'
import { keptSite, siteIdPattern } from '../store/model/version.ts'
import type { ConfigKey } from './config-keys.ts'
import { remoteEntrySchema } from './remote-entry.ts'
import {
  bandwidthLimit,
  compressionMode,
  count,
  duration,
  host,
  oneOf,
  onOff,
  path,
  secret,
  size,
  textAs,
  transferMode,
  url,
  wholeNumber,
  within,
} from './schema-parts.ts'
import { acceptToken, authToken } from './token-schema.ts'

const role = () => oneOf('read', 'write', 'admin', 'replication')

const listForm = 'must be a list whose entries have the fields name, role and token'

export const serverConfigSchema = z.object({
  'server.host': host(),
  'server.port': textAs('a port number from 0 to 65535, where 0 picks a free one', (text) =>
    within(wholeNumber(text), [0, 65_535]),
  ),
  'server.storage_path': path(),
  'server.storage_type': oneOf('directory', 'file'),
  'server.storage_size': size('server.storage_size'),
  'server.index_path': path(),
  'server.site_id': textAs(
    'a site id: 1 to 32 lower-case letters, digits and inner hyphens',
    (text) => (siteIdPattern.test(text) && text !== keptSite ? text : undefined),
  ),
  'server.advertise_url': url(),
  'server.allow_anonymous': onOff(),
  'server.auto_create_buckets': onOff(),
  'server.threads': count('server.threads'),
  'server.tls_cert': path(),
  'server.tls_key': path(),
  'server.tls_client_ca': path(),
  'server.tls_client_auth': oneOf('none', 'request', 'require'),
  'server.tls_min_version': oneOf('TLSv1.2', 'TLSv1.3'),
  'storage.reclaim.enabled': onOff(),
  'storage.reclaim.rate': size('storage.reclaim.rate'),
  'storage.reclaim.begin_percent': count('storage.reclaim.begin_percent'),
  'storage.reclaim.live_percent_max': count('storage.reclaim.live_percent_max'),
  'storage.reclaim.urgent_percent': count('storage.reclaim.urgent_percent'),
  'logging.level': oneOf('debug', 'info', 'warn', 'error'),
  'logging.format': oneOf('json', 'pretty'),
  'auth.tokens': z
    .array(authToken(role()), { error: listForm })
    .max(1000, 'must have at most 1000'),
  'storage.scrub.interval': duration('storage.scrub.interval'),
  'storage.scrub.rate': size('storage.scrub.rate'),
  'replication.enabled': onOff(),
  'replication.mode': oneOf('async', 'sync'),
  'replication.sync_timeout': duration('replication.sync_timeout'),
  'replication.sync_fallback': oneOf('error', 'async'),
  'replication.sync_min': count('replication.sync_min'),
  'replication.role': oneOf('primary', 'replica'),
  'replication.remote_url': url(),
  'replication.remote_token': secret(),
  'replication.remote_token_file': path(),
  'replication.remotes': z
    .array(remoteEntrySchema, { error: 'must be a list of remotes' })
    .max(100, 'must have at most 100'),
  'replication.accept_tokens': z
    .array(acceptToken(), { error: 'must be a list of tokens' })
    .max(1000, 'must have at most 1000'),
  'replication.batch_size': count('replication.batch_size'),
  'replication.batch_interval': duration('replication.batch_interval'),
  'replication.batch_bytes': size('replication.batch_bytes'),
  'replication.retry_attempts': count('replication.retry_attempts'),
  'replication.retry_delay': duration('replication.retry_delay'),
  'replication.stall_after': duration('replication.stall_after'),
  'replication.workers': count('replication.workers'),
  'replication.queue_size': count('replication.queue_size'),
  'replication.inline_limit': size('replication.inline_limit'),
  'replication.transfer': transferMode(),
  'replication.compression': compressionMode(),
  'replication.bandwidth_limit': bandwidthLimit(),
  'replication.max_delete_count': count('replication.max_delete_count'),
  'replication.max_delete_percent': count('replication.max_delete_percent'),
  'replication.delete_window': duration('replication.delete_window'),
  'replication.apply_delay': duration('replication.apply_delay'),
  'replication.max_clock_skew': duration('replication.max_clock_skew'),
  'replication.conflict_policy': oneOf('last-write-wins', 'keep-both'),
  'replication.verify_interval': duration('replication.verify_interval'),
  'replication.proxy_reads': onOff(),
  'replication.proxy_timeout': duration('replication.proxy_timeout'),
  'replication.allow_plaintext': onOff(),
  'replication.ca': path(),
  'replication.client_cert': path(),
  'replication.client_key': path(),
} satisfies Record<ConfigKey, z.ZodType>)
