import { describe, expect, test } from 'vitest'
import { configKeyNames } from '../../src/config/config-keys.ts'
import { restartKeys, valuesOf } from '../../src/config/restart-keys.ts'
import { toServerConfig } from '../../src/config/server-config.ts'

const made = (values: Parameters<typeof toServerConfig>[0]) =>
  toServerConfig(values, { absolute: (path) => path, terminal: false })
const tls = { 'server.tls_cert': 'a.pem', 'server.tls_key': 'a.key' }
const remotes = (token: string, workers = 5) => ({
  'replication.remote_url': 'http://b:1',
  'replication.remote_token': token,
  'replication.remotes': [{ name: 'c', url: ['http://c:1'], token, workers }],
})

describe('what needs a restart', () => {
  test('is every key but those of tokens and of the files of certificates', () => {
    const reloaded = [
      'server.tls_key',
      'server.tls_client_ca',
      'auth.tokens',
      'replication.remote_token',
      'replication.remote_token_file',
      'replication.accept_tokens',
      'replication.ca',
      'replication.client_cert',
      'replication.client_key',
    ]
    const expected = configKeyNames.filter((key) => !reloaded.includes(key))
    expect([...valuesOf(made({})).keys()].toSorted()).toEqual(expected.toSorted())
  })

  test('is named by key, in the order of the manual, and what is the same is not', () => {
    const next = { 'replication.retry_delay': 9000, 'server.port': 1, 'server.host': '127.0.0.1' }
    expect(restartKeys(made({}), made(next))).toEqual(['server.port', 'replication.retry_delay'])
    expect(restartKeys(made({}), made(tls))).toContain('server.tls_cert')
  })

  test('is no other certificate, and no other token of a remote', () => {
    const other = { 'server.tls_cert': 'b.pem', 'server.tls_key': 'b.key' }
    expect(restartKeys(made(tls), made(other))).toEqual([])
    expect(restartKeys(made(remotes('old')), made(remotes('new')))).toEqual([])
    const changed = made({ ...remotes('old', 6), 'replication.remote_url': 'http://b:2' })
    expect(restartKeys(made(remotes('old')), changed)).toEqual([
      'replication.remote_url',
      'replication.remotes',
    ])
  })
})
