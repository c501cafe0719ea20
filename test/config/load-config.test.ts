import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type ConfigKey,
  configKeyNames,
  environmentNameOf,
  specOf,
  splitKey,
} from '../../src/config/config-keys.ts'
import { formatValue } from '../../src/config/format-value.ts'
import { serverConfigSchema } from '../../src/config/server-config-schema.ts'
import { describeSource } from '../../src/config/value-source.ts'
import { wantsEverything } from '../../src/store/model/place-filter.ts'
import { loadFrom, longToken, refusalOf } from './load-for-test.ts'

describe('defaults', () => {
  test('an empty configuration is a whole one', async () => {
    const { config, warnings } = await loadFrom({})
    expect(warnings).toEqual([])
    expect(config).toEqual({
      server: {
        host: '127.0.0.1',
        port: 8080,
        storagePath: '/site/comio-data',
        storageType: 'directory',
        storageSize: undefined,
        indexPath: undefined,
        siteId: undefined,
        advertiseUrl: undefined,
        allowAnonymous: false,
        autoCreateBuckets: true,
      },
      logging: { level: 'info', format: 'json' },
      auth: { tokens: [] },
      storage: {
        scrub: { intervalMs: 30 * 24 * 3_600_000, rate: 16 * 2 ** 20 },
        reclaim: {
          enabled: true,
          rate: 32 * 2 ** 20,
          beginPercent: 25,
          livePercentMax: 50,
          urgentPercent: 3,
        },
      },
      replication: {
        enabled: false,
        mode: 'async',
        syncTimeoutMs: 10_000,
        syncFallback: 'error',
        syncMin: 1,
        remotes: [],
        acceptTokens: [],
        batchSize: 100,
        batchIntervalMs: 1000,
        batchBytes: 8 * 2 ** 20,
        retryAttempts: 3,
        retryDelayMs: 5000,
        stallAfterMs: 300_000,
        workers: 5,
        queueSize: 10_000,
        inlineLimit: 2 ** 20,
        transfer: 'auto',
        compression: 'auto',
        bandwidthLimit: 0,
        deleteWindowMs: 3_600_000,
        applyDelayMs: 0,
        maxClockSkewMs: 300_000,
        proxyReads: false,
        proxyTimeoutMs: 2000,
        conflictPolicy: 'last-write-wins',
        allowPlaintext: false,
      },
    })
  })

  test('every default is a value that the schema accepts', () => {
    for (const key of configKeyNames) {
      const spec = specOf(key)
      if (spec.default === undefined) continue
      const written = Array.isArray(spec.default) ? [] : formatValue(spec.kind, spec.default)
      expect(serverConfigSchema.shape[key].parse(written), key).toEqual(spec.default)
    }
  })

  test('the log is pretty on a terminal only', async () => {
    expect((await loadFrom({ terminal: true })).config.logging.format).toBe('pretty')
    const named = await loadFrom({ terminal: true, flags: { 'log-format': 'json' } })
    expect(named.config.logging.format).toBe('json')
  })
})

describe('the file', () => {
  test('sets every key, and the parsed values are numbers of bytes and milliseconds', async () => {
    const { config } = await loadFrom({
      file: `
server:
  host: 10.0.0.1
  port: 9000
  storage_path: /srv/comio
  storage_type: file
  storage_size: 1TB
  index_path: index
  site_id: site-a
  advertise_url: https://site-a.example.com/
  allow_anonymous: yes
  auto_create_buckets: false
logging: {level: debug, format: pretty}
auth:
  tokens:
    - {name: ops, role: admin, token: ${longToken}}
storage:
  reclaim: {enabled: no, rate: 5MiB, begin_percent: 40, live_percent_max: 60, urgent_percent: 4}
  scrub: {interval: 7d, rate: 1MiB}
replication:
  enabled: true
  mode: async
  sync_timeout: 2s
  sync_fallback: async
  sync_min: 1
  role: replica
  remote_url: http://10.0.0.2:8080
  remote_token: ${longToken}
  accept_tokens: ['${'b'.repeat(40)}']
  batch_size: 50
  batch_interval: 500ms
  batch_bytes: 4MiB
  retry_attempts: 2
  retry_delay: 1m30s
  workers: 2
  queue_size: 500
  stall_after: 10m
  inline_limit: 64K
  transfer: push
  compression: off
  bandwidth_limit: 10MiB
  max_delete_count: 1000
  max_delete_percent: 20
  delete_window: 2h
  apply_delay: 30m
  max_clock_skew: 1m
  proxy_reads: true
  proxy_timeout: 500ms
  allow_plaintext: true
`,
    })
    expect(config).toEqual({
      server: {
        host: '10.0.0.1',
        port: 9000,
        storagePath: '/srv/comio',
        storageType: 'file',
        storageSize: 1e12,
        indexPath: '/site/index',
        siteId: 'site-a',
        advertiseUrl: 'https://site-a.example.com',
        allowAnonymous: true,
        autoCreateBuckets: false,
      },
      logging: { level: 'debug', format: 'pretty' },
      auth: { tokens: [{ name: 'ops', role: 'admin', token: longToken }] },
      storage: {
        scrub: { intervalMs: 7 * 24 * 3_600_000, rate: 2 ** 20 },
        reclaim: {
          enabled: false,
          rate: 5 * 2 ** 20,
          beginPercent: 40,
          livePercentMax: 60,
          urgentPercent: 4,
        },
      },
      replication: {
        enabled: true,
        mode: 'async',
        syncTimeoutMs: 2000,
        syncFallback: 'async',
        syncMin: 1,
        role: 'replica',
        remotes: [
          {
            name: 'default',
            urls: ['http://10.0.0.2:8080'],
            token: longToken,
            tokenFile: undefined,
            tls: { ca: undefined, clientCert: undefined, clientKey: undefined },
            filter: wantsEverything,
            workers: undefined,
            batchSize: undefined,
            batchBytes: undefined,
            transfer: undefined,
            compression: undefined,
            bandwidthLimit: undefined,
            mode: undefined,
            maxDeleteCount: undefined,
            maxDeletePercent: undefined,
            deleteWindowMs: undefined,
            applyDelayMs: undefined,
            paused: false,
          },
        ],
        acceptTokens: ['b'.repeat(40)],
        batchSize: 50,
        batchIntervalMs: 500,
        batchBytes: 4 * 2 ** 20,
        retryAttempts: 2,
        retryDelayMs: 90_000,
        stallAfterMs: 600_000,
        workers: 2,
        queueSize: 500,
        inlineLimit: 65_536,
        transfer: 'push',
        compression: 'off',
        bandwidthLimit: 10 * 2 ** 20,
        maxDeleteCount: 1000,
        maxDeletePercent: 20,
        deleteWindowMs: 7_200_000,
        applyDelayMs: 1_800_000,
        maxClockSkewMs: 60_000,
        proxyReads: true,
        proxyTimeoutMs: 500,
        conflictPolicy: 'last-write-wins',
        allowPlaintext: true,
      },
    })
  })

  test('is optional at its usual place, and required where a flag names it', async () => {
    await expect(loadFrom({})).resolves.toBeDefined()
    expect(await refusalOf({ flags: { config: 'other.yaml' } })).toEqual([
      'flag --config: cannot read other.yaml: there is no such file',
    ])
  })

  test('may be empty, may hold comments only and may leave sections empty', async () => {
    for (const file of ['', '# nothing\n', 'server:\nreplication: {}\n', 'server:\n  port:\n']) {
      expect((await loadFrom({ file })).config.server.port).toBe(8080)
    }
  })

  test('keeps a token of digits as it was written', async () => {
    const token = `0${'1234567890'.repeat(4)}`
    const file = `replication:\n  remote_url: http://127.0.0.1:1\n  remote_token: ${token}\n`
    const { config } = await loadFrom({ file })
    expect(config.replication.remotes[0]?.token).toBe(token)
  })

  test('names the token file, whose content becomes the token', async () => {
    const { config } = await loadFrom({
      file: 'replication:\n  remote_url: http://127.0.0.1:1\n  remote_token_file: secret/token\n',
      files: { '/site/secret/token': `${longToken}\n` },
    })
    expect(config.replication.remotes).toMatchObject([
      { name: 'default', token: longToken, tokenFile: '/site/secret/token' },
    ])
  })
})

describe('the environment', () => {
  test('gives lists as JSON or with commas', async () => {
    const tokens = ['c'.repeat(40), 'd'.repeat(40)]
    for (const text of [tokens.join(', '), JSON.stringify(tokens)]) {
      const { config } = await loadFrom({ env: { COMIO_REPLICATION_ACCEPT_TOKENS: text } })
      expect(config.replication.acceptTokens).toEqual(tokens)
    }
    const entry = { name: 'ops', role: 'read', token: longToken }
    const env = { COMIO_AUTH_TOKENS: JSON.stringify([entry]) }
    expect((await loadFrom({ env })).config.auth.tokens).toEqual([entry])
  })

  test('counts an empty variable as not set', async () => {
    expect((await loadFrom({ env: { COMIO_SERVER_PORT: '' } })).config.server.port).toBe(8080)
  })

  test('leaves the variables of the client and of others alone', async () => {
    const env = { COMIO_URL: 'http://x', COMIO_TOKEN: 'y', SERVER_PORT: 'z', COMIO_DEBUG: '1' }
    await expect(loadFrom({ env })).resolves.toBeDefined()
  })
})

/** For each key two different valid values, as text; flags that are switches are booleans. */
const examples: Partial<Record<ConfigKey, readonly [string, string, string]>> = {
  'server.port': ['1', '2', '3'],
  'server.host': ['127.0.0.1', 'localhost', '::1'],
  'server.storage_path': ['/a', '/b', '/c'],
  'server.storage_size': ['1G', '2GiB', '3GB'],
  'server.site_id': ['a', 'b', 'c'],
  'server.auto_create_buckets': ['true', 'false', 'true'],
  'storage.reclaim.rate': ['1M', '2M', '3M'],
  'logging.level': ['debug', 'warn', 'error'],
  'replication.batch_size': ['1', '2', '3'],
  'replication.batch_interval': ['1s', '2s', '3ms'],
  'replication.batch_bytes': ['2M', '3M', '4M'],
}

test('a flag wins over the environment, that over the file, that over the default', async () => {
  const chosen = fc.record({
    key: fc.constantFrom(...(Object.keys(examples) as ConfigKey[])),
    flag: fc.boolean(),
    environment: fc.boolean(),
    file: fc.boolean(),
  })
  const property = fc.asyncProperty(chosen, async ({ key, ...given }) => {
    const [forFlag, forEnvironment, forFile] = examples[key] ?? ['', '', '']
    const flagName = specOf(key).flag
    const byFlag = given.flag && flagName !== undefined
    const [section, leaf] = splitKey(key)
    const opened = section.split('.').join(': {')
    const closed = '}'.repeat(section.split('.').length)
    const { settings } = await loadFrom({
      flags: byFlag ? { [flagName]: forFlag } : {},
      env: given.environment ? { [environmentNameOf(key)]: forEnvironment } : {},
      ...(given.file
        ? { file: `# first line\n\n${opened}: {${leaf}: '${forFile}'}${closed.slice(1)}\n` }
        : {}),
    })
    const setting = settings.find((each) => each.key === key)
    const expected = byFlag
      ? { text: forFlag, source: `flag --${flagName}` }
      : given.environment
        ? { text: forEnvironment, source: `environment variable ${environmentNameOf(key)}` }
        : given.file
          ? { text: forFile, source: 'config.yaml:3' }
          : { text: undefined, source: 'default' }
    const value =
      expected.text === undefined
        ? specOf(key).default
        : serverConfigSchema.shape[key].parse(expected.text)
    expect(setting?.value).toEqual(value)
    expect(setting && describeSource(setting.source)).toBe(expected.source)
    // The three values of a key differ, so that a wrong winner shows.
  })
  await fc.assert(property, { numRuns: 300 })
})

test('a switch can be turned off by its flag', async () => {
  const file = 'server:\n  allow_anonymous: true\n'
  const { config, settings } = await loadFrom({ file, flags: { 'allow-anonymous': false } })
  expect(config.server.allowAnonymous).toBe(false)
  const setting = settings.find(({ key }) => key === 'server.allow_anonymous')
  expect(setting && describeSource(setting.source)).toBe('flag --no-allow-anonymous')
})
