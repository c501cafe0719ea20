/**
 * The schema of the configuration: from what people write (text, and lists of text) to parsed
 * values, key by key. Every message completes the sentence `KEY is VALUE, but ...`.
 */
import { z } from 'zod'
import { parseByteSize } from '../base/byte-size.ts'
import { parseDuration } from '../base/duration.ts'
import { siteIdPattern } from '../store/version.ts'
import { type ConfigKey, specOf } from './config-keys.ts'
import { formatDurationValue, formatSizeValue } from './format-value.ts'

/** Text that `parse` understands; undefined from it means "not `expected`". */
function textAs<T>(expected: string, parse: (text: string) => T | undefined) {
  return z.string({ error: `must be ${expected}` }).transform((text, context) => {
    const value = parse(text.trim())
    if (value !== undefined) return value
    context.addIssue({ code: 'custom', message: `must be ${expected}` })
    return z.NEVER
  })
}

function oneOf<const T extends string>(...words: readonly [T, ...T[]]) {
  return textAs(`one of ${words.join(', ')}`, (text) => words.find((word) => word === text))
}

function rangeOf(key: ConfigKey): readonly [number, number] {
  return specOf(key).range ?? [0, Number.MAX_SAFE_INTEGER]
}

function within(value: number | undefined, [low, high]: readonly [number, number]) {
  return value !== undefined && value >= low && value <= high ? value : undefined
}

function wholeNumber(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function count(key: ConfigKey) {
  const range = rangeOf(key)
  return textAs(`a whole number from ${range[0]} to ${range[1]}`, (text) =>
    within(wholeNumber(text), range),
  )
}

function size(key: ConfigKey) {
  const range = rangeOf(key)
  const limits =
    range[1] === Number.MAX_SAFE_INTEGER
      ? ''
      : ` from ${formatSizeValue(range[0])} to ${formatSizeValue(range[1])}`
  return textAs(`a size${limits}, such as 64MiB or 1TB`, (text) =>
    within(parseByteSize(text), range),
  )
}

function duration(key: ConfigKey) {
  const range = rangeOf(key)
  const limits = `from ${formatDurationValue(range[0])} to ${formatDurationValue(range[1])}`
  return textAs(`a duration ${limits}, such as 500ms, 1s or 5m`, (text) =>
    within(parseDuration(text), range),
  )
}

const switchWords: ReadonlyMap<string, boolean> = new Map([
  ...['true', 'yes', 'on', '1'].map((word) => [word, true] as const),
  ...['false', 'no', 'off', '0'].map((word) => [word, false] as const),
])

const onOff = () => textAs('true or false', (text) => switchWords.get(text.toLowerCase()))

const path = () =>
  textAs('a path', (text) => (text === '' || text.includes('\0') ? undefined : text))

const host = () =>
  textAs('a host name or an IP address, without a port and without http://', (text) => {
    const bare = /^\[.*\]$/.test(text) ? text.slice(1, -1) : text
    return /^[a-z0-9._:%-]{1,255}$/i.test(bare) && !/^[^:]*:\d+$/.test(bare) ? bare : undefined
  })

/** An origin: what follows host and port would have no meaning here. */
const url = () =>
  textAs('an address such as https://site-b.example.com or http://10.0.0.2:8080', (text) => {
    const parsed = URL.parse(text)
    if (parsed === null || !['http:', 'https:'].includes(parsed.protocol)) return undefined
    const bare = parsed.username === '' && parsed.password === '' && !/[?#]/.test(text)
    return bare && parsed.pathname === '/' ? parsed.origin : undefined
  })

/** What fits into an Authorization header as it is. */
const secret = () =>
  textAs('a token of 1 to 512 visible ASCII characters, such as comio token gen prints', (text) =>
    /^[\x21-\x7e]{1,512}$/.test(text) ? text : undefined,
  )

const mode = () =>
  z.string({ error: 'must be async' }).transform((text, context) => {
    if (text === 'async') return 'async' as const
    const message =
      text === 'sync'
        ? 'sync mode is not there yet: this version replicates in mode async only'
        : 'must be async'
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  })

const authToken = () =>
  z.strictObject(
    {
      name: textAs('a name of 1 to 64 letters, digits, dots, hyphens and underscores', (text) =>
        /^[\w.-]{1,64}$/.test(text) ? text : undefined,
      ),
      role: oneOf('read', 'write', 'admin', 'replication'),
      token: secret(),
    },
    { error: (issue) => (issue.code === 'invalid_type' ? entryForm : undefined) },
  )

const entryForm = 'must have the fields name, role and token'
const listForm = `must be a list whose entries have the fields name, role and token`

export const serverConfigSchema = z.object({
  'server.host': host(),
  'server.port': textAs('a port number from 0 to 65535, where 0 picks a free one', (text) =>
    within(wholeNumber(text), [0, 65_535]),
  ),
  'server.storage_path': path(),
  'server.storage_size': size('server.storage_size'),
  'server.index_path': path(),
  'server.site_id': textAs(
    'a site id: 1 to 32 lower-case letters, digits and inner hyphens',
    (text) => (siteIdPattern.test(text) ? text : undefined),
  ),
  'server.advertise_url': url(),
  'server.allow_anonymous': onOff(),
  'server.auto_create_buckets': onOff(),
  'logging.level': oneOf('debug', 'info', 'warn', 'error'),
  'logging.format': oneOf('json', 'pretty'),
  'auth.tokens': z.array(authToken(), { error: listForm }).max(1000, 'must have at most 1000'),
  'replication.enabled': onOff(),
  'replication.mode': mode(),
  'replication.remote_url': url(),
  'replication.remote_token': secret(),
  'replication.remote_token_file': path(),
  'replication.accept_tokens': z
    .array(secret(), { error: 'must be a list of tokens' })
    .max(1000, 'must have at most 1000'),
  'replication.batch_size': count('replication.batch_size'),
  'replication.batch_interval': duration('replication.batch_interval'),
  'replication.batch_bytes': size('replication.batch_bytes'),
  'replication.retry_attempts': count('replication.retry_attempts'),
  'replication.retry_delay': duration('replication.retry_delay'),
  'replication.workers': count('replication.workers'),
  'replication.queue_size': count('replication.queue_size'),
  'replication.inline_limit': size('replication.inline_limit'),
  'replication.max_clock_skew': duration('replication.max_clock_skew'),
  'replication.allow_plaintext': onOff(),
} satisfies Record<ConfigKey, z.ZodType>)
