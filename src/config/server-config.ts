/**
 * Configuration: what a site is told, and by whom. This layer promises that a `ServerConfig` is
 * whole and consistent, that every problem is named with its key and its place before anything
 * starts, and that no secret leaves through a message. It never opens a volume or a socket, and it
 * takes flags, environment and file contents as arguments.
 */
import type { z } from 'zod'
import type { ReclaimOptions } from '../store/space/reclaim-options.ts'
import { configKeys } from './config-keys.ts'
import { type RemoteConfig, shortFormName, toRemoteConfig } from './remote-entry.ts'
import type { serverConfigSchema } from './server-config-schema.ts'
import type { AcceptedToken, AuthToken } from './tokens.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFormat = 'json' | 'pretty'

/** Sizes in bytes, times in milliseconds, paths absolute, URLs as origins without a slash. */
export interface ServerConfig {
  readonly server: {
    readonly host: string
    /** 0: any free one. */
    readonly port: number
    readonly storagePath: string
    /** Of a path where nothing is yet. */
    readonly storageType: 'directory' | 'file'
    /** Undefined: what the disk has. */
    readonly storageSize: number | undefined
    /** Undefined: in the directory of the volume, or beside its file. */
    readonly indexPath: string | undefined
    /** Undefined: the volume's own. */
    readonly siteId: string | undefined
    /** Undefined: from host and the port that was really opened. */
    readonly advertiseUrl: string | undefined
    readonly allowAnonymous: boolean
    readonly autoCreateBuckets: boolean
    /** Undefined: as many as the machine is good for. */
    readonly threads: number | undefined
    /** Undefined: plain HTTP. */
    readonly tls: ListenerTlsConfig | undefined
  }
  readonly logging: { readonly level: LogLevel; readonly format: LogFormat }
  readonly auth: { readonly tokens: readonly AuthToken[] }
  readonly storage: {
    readonly scrub: {
      /** 0: only when asked. */
      readonly intervalMs: number
      /** Bytes per second; 0 for no limit. */
      readonly rate: number
    }
    readonly reclaim: ReclaimOptions
  }
  readonly replication: ReplicationConfig
}

export interface ListenerTlsConfig {
  readonly cert: string
  readonly key: string
  readonly clientCa: string | undefined
  readonly clientAuth: 'none' | 'request' | 'require'
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
}

export interface ReplicationConfig {
  readonly enabled: boolean
  readonly mode: 'async' | 'sync'
  readonly syncTimeoutMs: number
  readonly syncFallback: 'error' | 'async'
  readonly syncMin: number
  /** What the site is unless it was promoted or demoted since; undefined where nobody speaks of roles. */
  readonly role: 'primary' | 'replica' | undefined
  /** What remote_url and its fellows make, called `default`, and those of replication.remotes. */
  readonly remotes: readonly RemoteConfig[]
  readonly acceptTokens: readonly AcceptedToken[]
  readonly batchSize: number
  readonly batchIntervalMs: number
  readonly batchBytes: number
  readonly retryAttempts: number
  readonly retryDelayMs: number
  readonly stallAfterMs: number
  readonly workers: number
  readonly queueSize: number
  readonly inlineLimit: number
  readonly transfer: 'pull' | 'push' | 'auto'
  readonly compression: 'auto' | 'off'
  /** Bytes per second to the remote; 0 for no limit. */
  readonly bandwidthLimit: number
  /** Undefined: no limit. */
  readonly maxDeleteCount: number | undefined
  readonly maxDeletePercent: number | undefined
  readonly deleteWindowMs: number
  readonly applyDelayMs: number
  readonly maxClockSkewMs: number
  readonly conflictPolicy: 'last-write-wins' | 'keep-both'
  /** Undefined: never. */
  readonly verifyIntervalMs: number | undefined
  readonly proxyReads: boolean
  readonly proxyTimeoutMs: number
  readonly allowPlaintext: boolean
  /** Files. */
  readonly ca: string | undefined
  readonly clientCert: string | undefined
  readonly clientKey: string | undefined
}

/** Parsed values by key, as far as they are set. */
export type ConfigValues = { readonly [K in keyof ParsedValues]?: ParsedValues[K] | undefined }
type ParsedValues = z.output<typeof serverConfigSchema>

/** The value of a key that has a default. */
type Defaulted = {
  [K in keyof typeof configKeys]: (typeof configKeys)[K] extends { default: unknown } ? K : never
}[keyof typeof configKeys]

export interface Surroundings {
  /** Makes a path absolute. */
  readonly absolute: (path: string) => string
  /** Whether stdout is a terminal. */
  readonly terminal: boolean
}

/** The configuration that `values` make, the rest by default. */
export function toServerConfig(values: ConfigValues, surroundings: Surroundings): ServerConfig {
  const { absolute, terminal } = surroundings
  const indexPath = values['server.index_path']
  return {
    server: {
      host: effective(values, 'server.host'),
      port: effective(values, 'server.port'),
      storagePath: absolute(effective(values, 'server.storage_path')),
      storageType: effective(values, 'server.storage_type'),
      storageSize: values['server.storage_size'],
      indexPath: indexPath === undefined ? undefined : absolute(indexPath),
      siteId: values['server.site_id'],
      advertiseUrl: values['server.advertise_url'],
      allowAnonymous: effective(values, 'server.allow_anonymous'),
      autoCreateBuckets: effective(values, 'server.auto_create_buckets'),
      threads: values['server.threads'],
      tls: toListenerTls(values, surroundings),
    },
    logging: {
      level: effective(values, 'logging.level'),
      format: values['logging.format'] ?? (terminal ? 'pretty' : 'json'),
    },
    auth: { tokens: effective(values, 'auth.tokens') },
    storage: {
      scrub: {
        intervalMs: effective(values, 'storage.scrub.interval'),
        rate: effective(values, 'storage.scrub.rate'),
      },
      reclaim: {
        enabled: effective(values, 'storage.reclaim.enabled'),
        rate: effective(values, 'storage.reclaim.rate'),
        beginPercent: effective(values, 'storage.reclaim.begin_percent'),
        livePercentMax: effective(values, 'storage.reclaim.live_percent_max'),
        urgentPercent: effective(values, 'storage.reclaim.urgent_percent'),
      },
    },
    replication: toReplicationConfig(values, surroundings),
  }
}

function toListenerTls(
  values: ConfigValues,
  { absolute }: Surroundings,
): ListenerTlsConfig | undefined {
  const cert = values['server.tls_cert']
  const key = values['server.tls_key']
  const clientCa = values['server.tls_client_ca']
  if (cert === undefined || key === undefined) return undefined
  return {
    cert: absolute(cert),
    key: absolute(key),
    clientCa: clientCa === undefined ? undefined : absolute(clientCa),
    clientAuth: effective(values, 'server.tls_client_auth'),
    minVersion: effective(values, 'server.tls_min_version'),
  }
}

function toReplicationConfig(values: ConfigValues, surroundings: Surroundings): ReplicationConfig {
  const file = (key: 'replication.ca' | 'replication.client_cert' | 'replication.client_key') => {
    const path = values[key]
    return path === undefined ? undefined : surroundings.absolute(path)
  }
  return {
    enabled: effective(values, 'replication.enabled'),
    mode: effective(values, 'replication.mode'),
    syncTimeoutMs: effective(values, 'replication.sync_timeout'),
    syncFallback: effective(values, 'replication.sync_fallback'),
    syncMin: effective(values, 'replication.sync_min'),
    role: values['replication.role'],
    remotes: remotesOf(values, surroundings),
    acceptTokens: effective(values, 'replication.accept_tokens'),
    batchSize: effective(values, 'replication.batch_size'),
    batchIntervalMs: effective(values, 'replication.batch_interval'),
    batchBytes: effective(values, 'replication.batch_bytes'),
    retryAttempts: effective(values, 'replication.retry_attempts'),
    retryDelayMs: effective(values, 'replication.retry_delay'),
    stallAfterMs: effective(values, 'replication.stall_after'),
    workers: effective(values, 'replication.workers'),
    queueSize: effective(values, 'replication.queue_size'),
    inlineLimit: effective(values, 'replication.inline_limit'),
    transfer: effective(values, 'replication.transfer'),
    compression: effective(values, 'replication.compression'),
    bandwidthLimit: effective(values, 'replication.bandwidth_limit'),
    maxDeleteCount: values['replication.max_delete_count'],
    maxDeletePercent: values['replication.max_delete_percent'],
    deleteWindowMs: effective(values, 'replication.delete_window'),
    applyDelayMs: effective(values, 'replication.apply_delay'),
    maxClockSkewMs: effective(values, 'replication.max_clock_skew'),
    conflictPolicy: effective(values, 'replication.conflict_policy'),
    verifyIntervalMs: values['replication.verify_interval'],
    proxyReads: effective(values, 'replication.proxy_reads'),
    proxyTimeoutMs: effective(values, 'replication.proxy_timeout'),
    allowPlaintext: effective(values, 'replication.allow_plaintext'),
    ca: file('replication.ca'),
    clientCert: file('replication.client_cert'),
    clientKey: file('replication.client_key'),
  }
}

function remotesOf(values: ConfigValues, { absolute }: Surroundings): readonly RemoteConfig[] {
  const listed = effective(values, 'replication.remotes').map((entry) =>
    toRemoteConfig(entry, absolute),
  )
  const url = values['replication.remote_url']
  if (url === undefined) return listed
  const token = values['replication.remote_token']
  const tokenFile = values['replication.remote_token_file']
  const short = toRemoteConfig(
    { name: shortFormName, url: [url], token, token_file: tokenFile },
    absolute,
  )
  return [short, ...listed]
}

/** What holds for a key: its value, else its default. */
export function effective<K extends Defaulted>(values: ConfigValues, key: K): ParsedValues[K] {
  const fallback: unknown = configKeys[key].default
  // A test holds every default against the schema.
  return values[key] ?? (fallback as ParsedValues[K])
}
