import { describe, expect, test } from 'vitest'
import { exitCodeOf } from '../../src/cli/exit-codes.ts'
import { loadFrom, longToken, refusalOf, type TestInput } from './load-for-test.ts'

const remote = 'remote_url: https://site-b.example.com'

/** What is wrong, the configuration, and what the message must say, its place included. */
const refused: readonly (readonly [string, TestInput, string])[] = [
  [
    'one site under two names',
    {
      file: `replication:\n  remote_url: https://b.example.com\n  remotes:\n    - {name: b, url: [https://c.example.com, https://b.example.com], token: ${longToken}}\n`,
    },
    'replication.remotes[0].url is https://b.example.com, which is remote default already',
  ],
  ['a port beyond 65535', { flags: { port: '65536' } }, 'flag --port: server.port is "65536", but'],
  [
    'a port that is no number',
    { env: { COMIO_SERVER_PORT: 'http' } },
    'environment variable COMIO_SERVER_PORT: server.port is "http", but must be a port',
  ],
  [
    'a port with a fraction',
    { file: 'server:\n  port: 80.5\n' },
    'config.yaml:2: server.port is "80.5", but must be a port',
  ],
  [
    'a list for a port',
    { file: 'server:\n  port: [1]\n' },
    'config.yaml:2: server.port is a list, but must be a port',
  ],
  [
    'keys for a port',
    { file: 'server:\n  port: {a: 1}\n' },
    'config.yaml:2: server.port is a group of keys, but must be a port',
  ],
  [
    'an empty host',
    { flags: { host: '' } },
    'flag --host: server.host is "", but must be a host name',
  ],
  [
    'a host with a port',
    { flags: { host: '127.0.0.1:80' } },
    'server.host is "127.0.0.1:80", but must be a host name',
  ],
  [
    'an empty storage path',
    { flags: { storage: '' } },
    'flag --storage: server.storage_path is "", but must be a path',
  ],
  [
    'a size without a number',
    { flags: { size: 'big' } },
    'flag --size: server.storage_size is "big", but must be a size',
  ],
  [
    'a size of nothing',
    { flags: { size: '0' } },
    'flag --size: server.storage_size is "0", but must be a size',
  ],
  [
    'a site id in capitals',
    { flags: { 'site-id': 'Site_A' } },
    'flag --site-id: server.site_id is "Site_A", but must be a site id',
  ],
  ['a site id of 33', { flags: { 'site-id': 'a'.repeat(33) } }, 'but must be a site id'],
  [
    'an advertise URL without a scheme',
    { flags: { 'advertise-url': 'site-a:8080' } },
    'flag --advertise-url: server.advertise_url is "site-a:8080", but must be an address',
  ],
  [
    'a remote URL with a path',
    { file: `replication:\n  ${remote}/prefix\n` },
    'config.yaml:2: replication.remote_url is "https://site-b.example.com/prefix", but must be an address',
  ],
  [
    'a remote URL of another protocol',
    { file: 'replication:\n  remote_url: ftp://b\n' },
    'but must be an address',
  ],
  [
    'a remote URL with a query',
    { file: `replication:\n  ${remote}/?token=x\n` },
    'replication.remote_url is "https://site-b.example.com/", but',
  ],
  [
    'a switch that is neither',
    { env: { COMIO_REPLICATION_ENABLED: 'maybe' } },
    'environment variable COMIO_REPLICATION_ENABLED: replication.enabled is "maybe", but must be true or false',
  ],
  [
    'an unknown log level',
    { flags: { 'log-level': 'loud' } },
    'flag --log-level: logging.level is "loud", but must be one of debug, info, warn, error',
  ],
  [
    'an unknown log format',
    { flags: { 'log-format': 'xml' } },
    'flag --log-format: logging.format is "xml", but must be one of json, pretty',
  ],
  [
    'an unknown mode',
    { file: 'replication:\n  mode: fast\n' },
    'config.yaml:2: replication.mode is "fast", but must be one of async, sync',
  ],
  [
    'an empty batch',
    { file: 'replication:\n  batch_size: 0\n' },
    'replication.batch_size is "0", but must be a whole number from 1 to 10000',
  ],
  [
    'a batch above the queue',
    { file: 'replication:\n  batch_size: 200\n  queue_size: 100\n' },
    'config.yaml:2: replication.batch_size is above replication.queue_size',
  ],
  [
    'a duration without a unit',
    { file: 'replication:\n  batch_interval: 5\n' },
    'replication.batch_interval is "5", but must be a duration from 0ms to 1h',
  ],
  [
    'a negative duration',
    { file: 'replication:\n  retry_delay: -1s\n' },
    'replication.retry_delay is "-1s", but must be a duration',
  ],
  [
    'batches of a few bytes',
    { file: 'replication:\n  batch_bytes: 1K\n' },
    'replication.batch_bytes is "1K", but must be a size from 64KiB to 64MiB',
  ],
  [
    'batches larger than a receiver takes at a time',
    { file: 'replication:\n  batch_bytes: 65MiB\n' },
    'replication.batch_bytes is "65MiB", but must be a size from 64KiB to 64MiB',
  ],
  [
    'an inline limit above the batch',
    { file: 'replication:\n  inline_limit: 9MiB\n' },
    'config.yaml:2: replication.inline_limit is above replication.batch_bytes',
  ],
  [
    'no attempts',
    { file: 'replication:\n  retry_attempts: 0\n' },
    'replication.retry_attempts is "0", but',
  ],
  ['no workers', { file: 'replication:\n  workers: 0\n' }, 'replication.workers is "0", but'],
  [
    'a queue beyond memory',
    { file: 'replication:\n  queue_size: 100000000\n' },
    'replication.queue_size is "100000000", but',
  ],
  [
    'days of clock skew',
    { file: 'replication:\n  max_clock_skew: 2d\n' },
    'replication.max_clock_skew is "2d", but must be a duration from 1s to 1d',
  ],
  [
    'allow_plaintext that is neither',
    { file: 'replication:\n  allow_plaintext: perhaps\n' },
    'replication.allow_plaintext is "perhaps", but must be true or false',
  ],
  [
    'a token with a space',
    { flags: { 'replication-token': 'a b' } },
    'flag --replication-token: replication.remote_token is ********, but must be a token',
  ],
  [
    'accept_tokens that is no list',
    { file: `replication:\n  accept_tokens: ${longToken}\n` },
    'config.yaml:2: replication.accept_tokens is ********, but must be a list',
  ],
  [
    'an empty accept token',
    { flags: { 'replication-accept-token': [''] } },
    'flag --replication-accept-token: replication.accept_tokens[0] is ********, but must be a token',
  ],
  [
    'tokens that are no list',
    { file: 'auth:\n  tokens: all\n' },
    'config.yaml:2: auth.tokens is ********, but must be a list',
  ],
  [
    'tokens that are not JSON',
    { env: { COMIO_AUTH_TOKENS: 'ops:admin' } },
    'environment variable COMIO_AUTH_TOKENS: auth.tokens must be a JSON list',
  ],
  [
    'a token without a role',
    { file: `auth:\n  tokens:\n    - name: a\n      token: ${longToken}\n` },
    'config.yaml:3: auth.tokens[0].role is missing',
  ],
  [
    'an unknown role',
    { file: `auth:\n  tokens:\n    - name: a\n      role: root\n      token: ${longToken}\n` },
    'config.yaml:4: auth.tokens[0].role is "root", but must be one of read, write, admin, replication',
  ],
  [
    'an unknown field of a token',
    { file: `auth:\n  tokens:\n    - {name: a, role: read, token: ${longToken}, rol: x}\n` },
    'auth.tokens[0].rol is no known field; did you mean role?',
  ],
  [
    'a token entry that is text',
    { file: `auth:\n  tokens:\n    - ${longToken}\n` },
    'auth.tokens[0] is ********, but must have the fields name, role and token',
  ],
  [
    'two tokens of one name',
    {
      file: `auth:\n  tokens:\n    - {name: a, role: read, token: ${longToken}}\n    - {name: a, role: read, token: b${longToken}}\n`,
    },
    'config.yaml:4: auth.tokens[1].name is "a", which another entry has already',
  ],
  [
    'an unknown key',
    { file: 'server:\n  prot: 1\n' },
    'config.yaml:2: server.prot is no known key; did you mean server.port?',
  ],
  [
    'a key in the wrong section',
    { file: 'replication:\n  storage_path: x\n' },
    'replication.storage_path is no known key; did you mean server.storage_path?',
  ],
  [
    'an unknown section',
    { file: '\nreplicaton:\n  enabled: true\n' },
    'config.yaml:2: replicaton is no known key; did you mean replication?',
  ],
  [
    'a key in camel case',
    { file: 'server:\n  storagePath: x\n' },
    'did you mean server.storage_path?',
  ],
  [
    'a dotted key',
    { file: 'server.port: 80\n' },
    'config.yaml:1: server.port must be nested: write port below server:',
  ],
  [
    'an unknown variable',
    { env: { COMIO_SERVER_PROT: '1' } },
    'environment variable COMIO_SERVER_PROT: it belongs to no known key; did you mean COMIO_SERVER_PORT?',
  ],
  [
    'a section that is text',
    { file: 'server: yes\n' },
    'config.yaml:1: server must hold keys, such as server.host',
  ],
  ['a file that is a list', { file: '- a\n' }, 'config.yaml:1: the file must hold sections'],
  [
    'a key twice',
    { file: 'server:\n  port: 1\n  port: 2\n' },
    'config.yaml:3: this key stands here a second time',
  ],
  ['a tab', { file: 'server:\n\tport: 1\n' }, 'config.yaml:2:'],
  ['an unclosed quote', { file: 'server:\n  host: "abc\n' }, 'config.yaml:'],
  [
    'an alias',
    { file: 'server:\n  host: &h 127.0.0.1\n  site_id: *h\n' },
    'config.yaml:3: server.site_id must be written out',
  ],
  ['two documents', { file: 'server: {}\n---\nserver: {}\n' }, 'a second document begins here'],
  ['endless text', { file: '#'.repeat(1_000_001) }, 'config.yaml: the file has more than'],
  [
    'replication to nowhere',
    { flags: { 'replication-enabled': true } },
    'flag --replication-enabled: replication.enabled is true, but neither replication.remote_url nor replication.remotes is set: name the other site with --replication-remote URL; or leave it off, and run comio repl remote add NAME URL once the site is up, which does not need it',
  ],
  [
    'an address that nobody can call back',
    {
      file: `server: {host: 0.0.0.0, allow_anonymous: true}\nreplication:\n  enabled: true\n  ${remote}\n`,
    },
    'config.yaml:1: server.host is "0.0.0.0", which is no address that the remote could call back at to pull large objects: set --advertise-url URL',
  ],
  [
    'the same in IPv6',
    {
      flags: {
        host: '::',
        'allow-anonymous': true,
        'replication-enabled': true,
        'replication-remote': 'https://b',
      },
    },
    'set --advertise-url URL',
  ],
  [
    'listening to everybody without tokens',
    { flags: { host: '0.0.0.0' } },
    'flag --host: server.host is "0.0.0.0", which others can reach, but auth.tokens is empty',
  ],
  ['listening on a name without tokens', { flags: { host: 'site-a' } }, 'auth.tokens is empty'],
  [
    'listening beyond loopback with accept_tokens only',
    { flags: { host: '10.0.0.1', 'replication-accept-token': [longToken] } },
    'auth.tokens is empty',
  ],
  [
    'two sources of the remote token',
    {
      files: { '/site/t': longToken },
      file: `replication:\n  remote_token: ${longToken}\n  remote_token_file: t\n`,
    },
    'config.yaml:3: replication.remote_token_file is set, but so is replication.remote_token',
  ],
  [
    'a token file that is not there',
    { file: 'replication:\n  remote_token_file: gone\n' },
    'config.yaml:2: replication.remote_token_file is gone, but cannot be read: there is no such file',
  ],
  [
    'a token file with two lines',
    { files: { '/site/t': 'a\nb' }, file: 'replication:\n  remote_token_file: t\n' },
    'its content must be one line',
  ],
  [
    'a token over plain HTTP',
    {
      file: `replication:\n  enabled: true\n  remote_url: http://10.0.0.2:8080\n  remote_token: ${longToken}\n`,
    },
    'config.yaml:3: replication.remote_url is http://10.0.0.2:8080, which would carry the token unencrypted over the network: use https://, or accept that with replication.allow_plaintext: true',
  ],
  [
    'shipping to itself',
    { flags: { 'replication-enabled': true, 'replication-remote': 'http://127.0.0.1:8080' } },
    'which is this site itself',
  ],
  [
    'shipping to its own address',
    {
      flags: {
        'replication-enabled': true,
        'replication-remote': 'https://a',
        'advertise-url': 'https://a/',
      },
    },
    'which is this site itself',
  ],
]

describe('a configuration is refused, with key and place, for', () => {
  test.each(refused)('%s', async (_, input, said) => {
    const problems = await refusalOf(input)
    expect(problems.join('\n')).toContain(said)
    expect(problems).toHaveLength(1)
  })
})

test('a refusal means exit code 2', async () => {
  const error = await loadFrom({ flags: { port: 'x' } }).catch((thrown: unknown) => thrown)
  expect(exitCodeOf(error)).toBe(2)
})

test('all problems are told at once, in the order of the file', async () => {
  const file = 'server:\n  port: x\n  site_id: Y\nlogging:\n  level: z\nnone: 1\n'
  const problems = await refusalOf({ file, flags: { size: '?' } })
  expect(problems.map((problem) => problem.split(': ')[0])).toEqual([
    'flag --size',
    'config.yaml:2',
    'config.yaml:3',
    'config.yaml:5',
    'config.yaml:6',
  ])
})

test('a file that cannot be parsed hides no false problem behind it', async () => {
  const file = 'auth:\n  tokens: [\n'
  const problems = await refusalOf({ file, flags: { host: '0.0.0.0' } })
  expect(problems).toHaveLength(1)
  expect(problems[0]).toMatch(/^config\.yaml:\d+: /)
})

describe('accepted, although it is near to something refused', () => {
  const accepted: readonly (readonly [string, TestInput])[] = [
    ['port 0', { flags: { port: '0' } }],
    ['all of 127.0.0.0/8', { flags: { host: '127.8.9.10' } }],
    ['IPv6 loopback in brackets', { flags: { host: '[::1]' } }],
    ['localhost', { flags: { host: 'LOCALHOST' } }],
    ['everybody, on purpose', { flags: { host: '0.0.0.0', 'allow-anonymous': true } }],
    [
      'a wildcard with an address',
      {
        flags: {
          host: '0.0.0.0',
          'allow-anonymous': true,
          'replication-enabled': true,
          'replication-remote': 'https://b',
          'advertise-url': 'https://a',
        },
      },
    ],
    ['a wildcard without replication', { flags: { host: '::', 'allow-anonymous': true } }],
    [
      'plain HTTP on loopback',
      {
        flags: {
          'replication-enabled': true,
          'replication-remote': 'http://127.0.0.1:9',
          'replication-token': longToken,
        },
      },
    ],
    [
      'plain HTTP without a token',
      { flags: { 'replication-enabled': true, 'replication-remote': 'http://b' } },
    ],
    [
      'plain HTTP while replication is off',
      { flags: { 'replication-remote': 'http://b', 'replication-token': longToken } },
    ],
    [
      'plain HTTP, accepted',
      {
        env: { COMIO_REPLICATION_ALLOW_PLAINTEXT: 'true' },
        flags: {
          'replication-enabled': true,
          'replication-remote': 'http://b',
          'replication-token': longToken,
        },
      },
    ],
    [
      'accept tokens while replication is off',
      { flags: { 'replication-accept-token': [longToken] } },
    ],
  ]
  test.each(accepted)('%s', async (_, input) => {
    await expect(loadFrom(input)).resolves.toBeDefined()
  })
})

describe('a warning, and no more, for', () => {
  test('tokens shorter than 32 characters, wherever they are', async () => {
    const { warnings } = await loadFrom({
      files: { '/site/t': 'short-in-file' },
      file: `auth:\n  tokens:\n    - {name: a, role: read, token: abc}\nreplication:\n  accept_tokens: [${longToken}, def]\n  remote_token_file: t\n`,
    })
    expect(warnings).toHaveLength(3)
    expect(warnings[0]).toContain('config.yaml:3: auth.tokens[0].token has 3 characters: use 32')
    expect(warnings[1]).toContain('config.yaml:5: replication.accept_tokens[1] has 3 characters')
    expect(warnings[2]).toContain('replication.remote_token has 13 characters')
  })

  test('a remote without a token, and one that cannot call back', async () => {
    const flags = { 'replication-enabled': true, 'replication-remote': 'https://b' }
    const file = 'replication:\n  transfer: pull\n'
    const { warnings } = await loadFrom({ file, flags })
    expect(warnings.join('\n')).toContain('replication.remote_token is not set')
    expect(warnings.join('\n')).toContain('https://b cannot reach')
    const pushing = await loadFrom({ flags })
    expect(pushing.warnings.join('\n')).not.toContain('cannot reach')
  })
})
