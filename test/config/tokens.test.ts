import { hash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { explainConfig } from '../../src/config/explain-config.ts'
import { loadFrom, longToken, refusalOf } from './load-for-test.ts'

const digest = `sha256:${hash('sha256', longToken, 'hex')}`

describe('a token in the configuration', () => {
  test('may be itself, its hash or in a file, and may have an end', async () => {
    const file = [
      'auth:',
      '  tokens:',
      `    - {name: a, role: read, token: ${longToken}}`,
      `    - {name: b, role: admin, token: "${digest}", expires: 2027-01-31T00:00:00Z}`,
      '    - {name: c, role: write, token_file: c.token}',
    ].join('\n')
    const { config } = await loadFrom({ file, files: { '/site/c.token': `${digest}\n` } })
    expect(config.auth.tokens).toEqual([
      { name: 'a', role: 'read', token: longToken },
      { name: 'b', role: 'admin', token: digest, expires: Date.UTC(2027, 0, 31) },
      { name: 'c', role: 'write', token: digest, tokenFile: '/site/c.token' },
    ])
  })

  test('with which others may ship may be all of that, with a name or without', async () => {
    const entry = `{name: old, token: "${digest}", expires: 2027-01-31T00:00:00Z}`
    const file = `replication:\n  accept_tokens: [${longToken}, ${entry}, {token_file: t}]\n`
    const { config } = await loadFrom({ file, files: { '/site/t': longToken } })
    expect(config.replication.acceptTokens).toEqual([
      longToken,
      { name: 'old', token: digest, expires: Date.UTC(2027, 0, 31) },
      { token: longToken, tokenFile: '/site/t' },
    ])
  })

  test('is shown by its place and its end, and never itself', async () => {
    const entry = `{name: a, role: read, token_file: a, expires: 2027-01-31T00:00:00Z}`
    const file = `auth:\n  tokens: [${entry}, {name: b, role: read, token: "${digest}"}]\n`
    const shown = explainConfig(await loadFrom({ file, files: { '/site/a': longToken } }))
    expect(shown).toContain('token_file: a')
    expect(shown).toContain('expires: 2027-01-31T00:00:00.000Z')
    expect(shown).not.toContain(longToken)
    expect(shown).not.toContain(digest)
  })

  const entryOf = (fields: string) => `auth:\n  tokens:\n    - {name: a, role: read, ${fields}}\n`
  const refused: readonly (readonly [string, string, string])[] = [
    ['no source', entryOf('expires: 2027-01-31T00:00:00Z'), 'token is missing: it must be there'],
    ['two sources', entryOf(`token: ${longToken}, token_file: t`), 'and not both'],
    ['half a hash', entryOf('token: "sha256:abcd"'), 'must have 64 lower-case hex digits'],
    ['an end that is no time', entryOf(`token: ${longToken}, expires: soon`), 'must be a time'],
    [
      'an end that is no date',
      entryOf(`token: ${longToken}, expires: 2027-02-31T00:00:00`),
      'must be a time',
    ],
    [
      'a file that is not there',
      entryOf('token_file: nowhere'),
      'token_file is nowhere, but cannot be read: there is no such file',
    ],
    ['a file that holds no token', entryOf('token_file: t'), 'its content must be one line'],
    [
      'a field misspelt',
      `replication:\n  accept_tokens:\n    - {token: ${longToken}, expire: x}\n`,
      'expire is no known field; did you mean expires?',
    ],
    [
      'a name that is taken across both lists',
      `${entryOf(`token: ${longToken}`)}replication:\n  accept_tokens: [{name: a, token: ${longToken}}]\n`,
      'replication.accept_tokens[0].name is "a", which another entry has already',
    ],
    [
      'a hash to show to the remote',
      `replication:\n  remote_token: "${digest}"\n`,
      'its hash opens nothing',
    ],
  ]

  test.each(refused)(
    'with %s is refused in words, without the token',
    async (_what, file, words) => {
      const problems = await refusalOf({ file, files: { '/site/t': 'two words' } })
      expect(problems.join('\n')).toContain(words)
      expect(problems.join('\n')).toContain('config.yaml:')
      expect(problems.join('\n')).not.toContain(longToken)
    },
  )
})

describe('TLS in the configuration', () => {
  test('is files and what is asked of clients', async () => {
    const tls = 'tls_cert: c.pem\n  tls_key: /etc/k.pem\n  tls_client_ca: ca.pem\n'
    const more = '  tls_client_auth: require\n  tls_min_version: TLSv1.3\n'
    const { config } = await loadFrom({ file: `server:\n  ${tls}${more}` })
    expect(config.server.tls).toEqual({
      cert: '/site/c.pem',
      key: '/etc/k.pem',
      clientCa: '/site/ca.pem',
      clientAuth: 'require',
      minVersion: 'TLSv1.3',
    })
    expect((await loadFrom({})).config.server.tls).toBeUndefined()
  })

  test.each([
    ['server:\n  tls_cert: c\n', 'server.tls_cert is set, but server.tls_key is not'],
    [
      'replication:\n  client_key: k\n',
      'replication.client_key is set, but replication.client_cert is not',
    ],
    ['server: {tls_cert: c, tls_key: k, tls_client_ca: a}\n', 'nobody is asked for a certificate'],
    ['server: {tls_cert: c, tls_key: k, tls_client_auth: require}\n', 'does not say whose'],
    ['server: {tls_client_auth: require, tls_client_ca: a}\n', 'without TLS nobody shows one'],
    ['server: {tls_min_version: TLSv1.0}\n', 'must be one of TLSv1.2, TLSv1.3'],
  ])('refuses %j', async (file, words) => {
    expect((await refusalOf({ file })).join('\n')).toContain(words)
  })
})
