/**
 * Every key of the configuration, once: what kind of value it takes, its default, the flag of
 * `comio server` that sets it and a sentence for help and manual. Plain data without imports that
 * cost start-up time, because the commands build their flags from it.
 */
import { defaultReplicationOptions as replicationDefaults } from '../replication/options.ts'
import { defaultReclaimOptions as reclaimDefaults } from '../store/space/reclaim-options.ts'

export type ValueKind =
  | 'host'
  | 'port'
  | 'path'
  | 'size'
  | 'storage-type'
  | 'duration'
  | 'count'
  | 'switch'
  | 'site-id'
  | 'url'
  | 'level'
  | 'format'
  | 'mode'
  | 'client-auth'
  | 'tls-version'
  | 'transfer'
  | 'compression'
  | 'fallback'
  | 'role'
  | 'secret'
  | 'secrets'
  | 'tokens'
  | 'remotes'

export interface ConfigKeySpec {
  readonly kind: ValueKind
  /** Parsed: bytes, milliseconds. Absent when nothing holds unless it is set. */
  readonly default?: string | number | boolean | readonly []
  /** What holds when the key is not set and has no default value. */
  readonly unset?: string
  /** Lowest and highest value that is accepted, in the parsed unit. */
  readonly range?: readonly [number, number]
  /** The flag of `comio server`, without the hyphens. */
  readonly flag?: string
  readonly summary: string
}

const hour = 3_600_000
const mib = 2 ** 20
const gib = 2 ** 30

export const configKeys = {
  'server.host': {
    kind: 'host',
    default: '127.0.0.1',
    flag: 'host',
    summary:
      'Address to listen on. Beyond loopback it needs auth.tokens, or server.allow_anonymous.',
  },
  'server.port': {
    kind: 'port',
    default: 8080,
    flag: 'port',
    summary: 'Port to listen on. 0 picks a free one; the log record "listening" names it.',
  },
  'server.storage_path': {
    kind: 'path',
    default: './comio-data',
    flag: 'storage',
    summary: 'Directory, file or block device of the volume; the first two are made if absent.',
  },
  'server.storage_type': {
    kind: 'storage-type',
    default: 'directory',
    flag: 'storage-type',
    summary: 'What a storage path becomes where nothing is yet: directory or file.',
  },
  'server.storage_size': {
    kind: 'size',
    unset: 'what the disk has',
    range: [1, Number.MAX_SAFE_INTEGER],
    flag: 'size',
    summary: 'Most bytes that the volume may take, such as 1TB or 64MiB. A new file needs it.',
  },
  'server.index_path': {
    kind: 'path',
    unset: 'in the directory of the volume, or beside its file',
    summary: 'Directory of the index. A volume on a block device needs it.',
  },
  'server.site_id': {
    kind: 'site-id',
    unset: 'generated once, kept in the volume',
    flag: 'site-id',
    summary: 'Name of this site: lower-case letters, digits and inner hyphens, at most 32.',
  },
  'server.advertise_url': {
    kind: 'url',
    unset: 'from host and port',
    flag: 'advertise-url',
    summary: 'Address at which other sites reach this one; they pull large objects from it.',
  },
  'server.allow_anonymous': {
    kind: 'switch',
    default: false,
    flag: 'allow-anonymous',
    summary: 'Open the data plane to everybody, without a token. The control plane stays closed.',
  },
  'server.auto_create_buckets': {
    kind: 'switch',
    default: true,
    summary: 'The first PUT into a bucket creates it.',
  },
  'server.threads': {
    kind: 'count',
    unset: 'the cores less one, from 1 to 8',
    range: [1, 64],
    flag: 'threads',
    summary:
      'Threads that take connections. The first of them has the store; 1 is all in one thread.',
  },
  'server.tls_cert': {
    kind: 'path',
    unset: 'none',
    flag: 'tls-cert',
    summary:
      'File with the certificate, and those between it and its root, as PEM: listen for https.',
  },
  'server.tls_key': {
    kind: 'path',
    unset: 'none',
    flag: 'tls-key',
    summary: 'File with the private key of the certificate, as PEM.',
  },
  'server.tls_client_ca': {
    kind: 'path',
    unset: 'none',
    summary: 'File with the issuers whose client certificates are accepted, as PEM.',
  },
  'server.tls_client_auth': {
    kind: 'client-auth',
    default: 'none',
    summary: 'Client certificates: none, request (a shown one must be good) or require.',
  },
  'server.tls_min_version': {
    kind: 'tls-version',
    default: 'TLSv1.2',
    summary: 'Earliest version of TLS that is spoken: TLSv1.2 or TLSv1.3.',
  },
  'logging.level': {
    kind: 'level',
    default: 'info',
    flag: 'log-level',
    summary: 'Least severe record that is logged: debug, info, warn or error.',
  },
  'logging.format': {
    kind: 'format',
    unset: 'pretty on a terminal, else json',
    flag: 'log-format',
    summary: 'Form of the log records: json or pretty.',
  },
  'auth.tokens': {
    kind: 'tokens',
    default: [],
    summary:
      'Who may do what: a list of name, role (read, write, admin, replication) and token or token_file.',
  },
  'storage.scrub.interval': {
    kind: 'duration',
    default: 30 * 24 * hour,
    range: [0, 365 * 24 * hour],
    summary: 'How often everything that is stored is read and checked, unasked. 0s for never.',
  },
  'storage.scrub.rate': {
    kind: 'size',
    default: 16 * mib,
    range: [0, 100 * gib],
    summary: 'How many bytes per second a scrub reads at most. 0 for no limit.',
  },
  'storage.reclaim.enabled': {
    kind: 'switch',
    default: reclaimDefaults.enabled,
    summary:
      'Clean sparse segments ahead of need. Off: only when a write or delete has no room otherwise.',
  },
  'storage.reclaim.rate': {
    kind: 'size',
    default: reclaimDefaults.rate,
    range: [0, Number.MAX_SAFE_INTEGER],
    summary: 'Most bytes per second that are moved ahead of need; 0 for no limit.',
  },
  'storage.reclaim.begin_percent': {
    kind: 'count',
    default: reclaimDefaults.beginPercent,
    range: [0, 100],
    summary: 'Cleaning begins when less than so much of the volume is free.',
  },
  'storage.reclaim.live_percent_max': {
    kind: 'count',
    default: reclaimDefaults.livePercentMax,
    range: [1, 95],
    summary: 'Ahead of need only segments are cleaned of which at most so much is live.',
  },
  'storage.reclaim.urgent_percent': {
    kind: 'count',
    default: reclaimDefaults.urgentPercent,
    range: [0, 50],
    summary: 'When writes have less than so much of the volume left, rate does not hold any more.',
  },
  'replication.enabled': {
    kind: 'switch',
    default: false,
    flag: 'replication-enabled',
    summary: 'Ship every change of this site to the remote.',
  },
  'replication.mode': {
    kind: 'mode',
    default: 'async',
    summary:
      'async: a write is answered once it is durable here; sync: once it is at the remote, too.',
  },
  'replication.sync_timeout': {
    kind: 'duration',
    default: 10_000,
    range: [100, hour],
    summary: 'Mode sync: longest that an answer waits for the remote.',
  },
  'replication.sync_fallback': {
    kind: 'fallback',
    default: 'error',
    summary:
      'Mode sync, when the remote has not confirmed in time: error answers 503, async answers 200.',
  },
  'replication.sync_min': {
    kind: 'count',
    default: 1,
    range: [1, 64],
    summary: 'Mode sync: how many remotes must have a write before it is answered.',
  },
  'replication.role': {
    kind: 'role',
    unset: 'primary',
    summary:
      'primary takes writes, replica refuses them. Holds until comio repl promote or demote is run.',
  },
  'replication.remote_url': {
    kind: 'url',
    unset: 'none',
    flag: 'replication-remote',
    summary: 'Address of the site to ship to.',
  },
  'replication.remote_token': {
    kind: 'secret',
    unset: 'none',
    flag: 'replication-token',
    summary: 'Token that the remote accepts for replication.',
  },
  'replication.remote_token_file': {
    kind: 'path',
    unset: 'none',
    summary: 'File that holds the remote token, in place of replication.remote_token.',
  },
  'replication.remotes': {
    kind: 'remotes',
    default: [],
    summary: 'Further sites to ship to: a list of name, url, token, and what else is to differ.',
  },
  'replication.accept_tokens': {
    kind: 'secrets',
    default: [],
    flag: 'replication-accept-token',
    summary: 'Tokens with which other sites may ship to this one.',
  },
  'replication.batch_size': {
    kind: 'count',
    default: replicationDefaults.batchSize,
    range: [1, 10_000],
    summary: 'Most changes in one request. Larger ones help with many small objects.',
  },
  'replication.batch_interval': {
    kind: 'duration',
    default: replicationDefaults.batchIntervalMs,
    range: [0, hour],
    summary:
      'Longest that a change waits for company. An idle worker sends at once, so none waits longer.',
  },
  'replication.batch_bytes': {
    kind: 'size',
    default: replicationDefaults.batchBytes,
    // A receiver reads at most 96 MiB of batches at a time, framing included.
    range: [65_536, 64 * mib],
    summary: 'Most bytes in one request, and in one that this site accepts.',
  },
  'replication.retry_attempts': {
    kind: 'count',
    default: replicationDefaults.retryAttempts,
    range: [1, 1000],
    summary: 'How often a change may fail alone, while others pass, before it is a dead letter.',
  },
  'replication.retry_delay': {
    kind: 'duration',
    default: replicationDefaults.retryDelayMs,
    range: [100, hour],
    summary: 'Longest wait between two attempts to reach a remote that is away.',
  },
  'replication.stall_after': {
    kind: 'duration',
    default: replicationDefaults.stallAfterMs,
    range: [1000, 7 * 24 * hour],
    summary: 'A backlog without an acknowledgement for so long is stalled: health is degraded.',
  },
  'replication.workers': {
    kind: 'count',
    default: replicationDefaults.workers,
    range: [1, 64],
    summary: 'Requests to the remote at one time.',
  },
  'replication.queue_size': {
    kind: 'count',
    default: replicationDefaults.queueSize,
    range: [1, 1_000_000],
    summary: 'Changes in memory at one time. More than that wait in the feed; none is dropped.',
  },
  'replication.inline_limit': {
    kind: 'size',
    default: replicationDefaults.inlineLimit,
    range: [0, gib],
    summary:
      'Objects below this travel inside the batch; larger ones as replication.transfer says.',
  },
  'replication.transfer': {
    kind: 'transfer',
    default: replicationDefaults.transfer,
    summary:
      'How large objects travel: pull (the remote fetches them), push, or auto (what the remote ' +
      'cannot reach is pushed).',
  },
  'replication.compression': {
    kind: 'compression',
    default: 'auto',
    summary: 'auto: send compressed, and take so, what a sample says is worth it. off: never.',
  },
  'replication.bandwidth_limit': {
    kind: 'size',
    default: 0,
    range: [0, Number.MAX_SAFE_INTEGER],
    summary: 'Most bytes per second that are sent to the remote, at least 1KiB; 0 for no limit.',
  },
  'replication.max_delete_count': {
    kind: 'count',
    unset: 'no limit',
    range: [0, 1_000_000_000],
    summary: 'Most objects deleted in a window before further deletes are held for each remote.',
  },
  'replication.max_delete_percent': {
    kind: 'count',
    unset: 'no limit',
    range: [0, 100],
    summary: 'The same in percent of the objects that there were when the window began.',
  },
  'replication.delete_window': {
    kind: 'duration',
    default: replicationDefaults.deleteWindowMs,
    range: [1000, 30 * 24 * hour],
    summary: 'How long the window is in which deletes are counted.',
  },
  'replication.apply_delay': {
    kind: 'duration',
    default: replicationDefaults.applyDelayMs,
    range: [0, 90 * 24 * hour],
    summary: 'How old a change must be before it is sent: makes remotes delayed replicas.',
  },
  'replication.max_clock_skew': {
    kind: 'duration',
    default: replicationDefaults.maxClockSkewMs,
    range: [1000, 24 * hour],
    summary: 'How far ahead of the local clock a change may be stamped. Later ones wait.',
  },
  'replication.conflict_policy': {
    kind: 'mode',
    default: 'last-write-wins',
    summary:
      'What becomes of a write that loses a conflict: last-write-wins lists it, keep-both also keeps it.',
  },
  'replication.verify_interval': {
    kind: 'duration',
    unset: 'off',
    range: [60_000, 720 * hour],
    summary: 'How often this site compares itself with its remotes, unasked.',
  },
  'replication.proxy_reads': {
    kind: 'switch',
    default: false,
    summary: 'Answer a read of an object that has not arrived yet with that of a remote.',
  },
  'replication.proxy_timeout': {
    kind: 'duration',
    default: 2000,
    range: [100, 60_000],
    summary: 'How long such a read, or one of damaged bytes, waits for a remote to answer.',
  },
  'replication.allow_plaintext': {
    kind: 'switch',
    default: false,
    summary: 'Send the remote token over http:// beyond loopback, where others can read it.',
  },
  'replication.ca': {
    kind: 'path',
    unset: 'what the system trusts',
    summary: 'File with the issuers of the certificates of other sites, as PEM.',
  },
  'replication.client_cert': {
    kind: 'path',
    unset: 'none',
    summary: 'File with the certificate that this site shows to others, as PEM.',
  },
  'replication.client_key': {
    kind: 'path',
    unset: 'none',
    summary: 'File with the private key of that certificate, as PEM.',
  },
} as const satisfies Readonly<Record<string, ConfigKeySpec>>

export type ConfigKey = keyof typeof configKeys

/** All keys, in the order of the manual. */
export const configKeyNames = Object.keys(configKeys) as readonly ConfigKey[]

export function isConfigKey(name: string): name is ConfigKey {
  return Object.hasOwn(configKeys, name)
}

/** With the literal types widened, for code that treats all keys alike. */
export function specOf(key: ConfigKey): ConfigKeySpec {
  return configKeys[key]
}

/** `server.storage_path` is set by `COMIO_SERVER_STORAGE_PATH`. */
export function environmentNameOf(key: ConfigKey): string {
  return `COMIO_${key.replaceAll('.', '_').toUpperCase()}`
}

/** `storage.reclaim.rate` is `rate` in the section `storage.reclaim`. */
export function splitKey(key: string): readonly [section: string, leaf: string] {
  const dot = key.lastIndexOf('.')
  return dot === -1 ? [key, ''] : [key.slice(0, dot), key.slice(dot + 1)]
}
