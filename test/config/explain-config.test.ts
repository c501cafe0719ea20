import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { configDocument, explainConfig } from '../../src/config/explain-config.ts'
import { loadFrom, refusalOf } from './load-for-test.ts'

test('what is shown names every value with its source, and loads again as it is', async () => {
  const file = `server: {port: 9000, storage_size: 1TB, host: '::1'}\nlogging: {level: warn}\n`
  const env = { COMIO_REPLICATION_RETRY_DELAY: '90s', COMIO_SERVER_SITE_ID: '1' }
  const loaded = await loadFrom({ file, env, flags: { storage: '/a b: c' }, terminal: false })
  const shown = explainConfig(loaded)
  expect(shown).toMatch(/^ {2}port: 9000 +# config\.yaml:1$/m)
  expect(shown).toMatch(/^ {2}storage_path: .* # flag --storage$/m)
  expect(shown).toMatch(
    /^ {2}retry_delay: 90s +# environment variable COMIO_REPLICATION_RETRY_DELAY$/m,
  )
  expect(shown).toMatch(/^ {2}batch_size: 100 +# default$/m)
  expect(shown).toMatch(
    /^ {2}# index_path: +# in the directory of the volume, or beside its file \(default\)$/m,
  )
  const again = await loadFrom({ file: shown })
  expect(again.config).toEqual(loaded.config)
})

test('the document nests as the file does, with sources by key', async () => {
  const document = configDocument(await loadFrom({ flags: { port: '0' } }))
  expect(document.config.server?.port).toBe(0)
  expect(document.config.server?.index_path).toBeNull()
  expect(document.sources['server.port']).toBe('flag --port')
  expect(document.sources['server.host']).toBe('default')
})

const secret = 'PLANTED-5ecret'

test('no secret shows, however the configuration is shown', async () => {
  const loaded = await loadFrom({
    files: { '/site/t': `${secret}-file` },
    file: `auth:\n  tokens:\n    - {name: ops, role: admin, token: ${secret}-auth}\nreplication:\n  remote_token_file: t\n`,
    env: { COMIO_REPLICATION_ACCEPT_TOKENS: `${secret}-1,${secret}-2` },
  })
  const shown = [
    explainConfig(loaded),
    JSON.stringify(configDocument(loaded)),
    loaded.warnings.join('\n'),
  ].join('\n')
  expect(shown).not.toContain(secret)
  expect(parse(explainConfig(loaded))).toMatchObject({
    auth: { tokens: [{ name: 'ops', role: 'admin', token: '********' }] },
    replication: { accept_tokens: ['********', '********'] },
  })
  const direct = await loadFrom({ flags: { 'replication-token': secret } })
  expect(explainConfig(direct)).toMatch(/remote_token: "?\*{8}"? +# flag --replication-token/)
})

/** Broken configurations with the secret where secrets stand, or where somebody might put one. */
const mistakes: readonly ((planted: string) => Parameters<typeof refusalOf>[0])[] = [
  (planted) => ({ file: `replication:\n  remote_token: "${planted} with space"\n` }),
  (planted) => ({ file: `replication:\n  remote_token: "${planted}\n  mode: async\n` }),
  (planted) => ({ file: `replication:\n  remote_token: *${planted}\n` }),
  (planted) => ({ file: `replication:\n  remote_token: !${planted} x y\n` }),
  (planted) => ({ file: `replication:\n  remote_token: [${planted}]\n` }),
  (planted) => ({ file: `replication:\n  remote_token: |${planted}\n` }),
  (planted) => ({ file: `replication:\n  remote_token: "\\q${planted}"\n` }),
  (planted) => ({ file: `replication:\n  remote_token: {${planted}: 1}\n` }),
  (planted) => ({ file: `replication:\n  accept_tokens: ${planted}\n` }),
  (planted) => ({ file: `replication:\n  accept_tokens: [[${planted}]]\n` }),
  (planted) => ({ file: `replication:\n  remote_tokn: ${planted}\n` }),
  (planted) => ({ file: `replication:\n  remote_url: http://u:${planted}@b\n` }),
  (planted) => ({ file: `replication:\n  remote_url: u:${planted}@b\n` }),
  (planted) => ({ file: `replication:\n  remote_url: https://b/?token=${planted}\n` }),
  (planted) => ({ file: `replication:\n  remote_url: https://b/#${planted}\n` }),
  (planted) => ({ file: `auth:\n  tokens: ${planted}\n` }),
  (planted) => ({ file: `auth:\n  tokens: [${planted}]\n` }),
  (planted) => ({ file: `auth:\n  tokens: [{name: a, role: read, token: "${planted} x"}]\n` }),
  (planted) => ({ file: `auth:\n  tokens: [{name: a, role: ${planted}, token: t}]\n` }),
  (planted) => ({ file: `auth:\n  tokens: [{name: "${planted} x", role: read, token: t}]\n` }),
  (planted) => ({ file: `auth:\n  tokens: [{name: a, role: read, token: [${planted}]}]\n` }),
  (planted) => ({ env: { COMIO_AUTH_TOKENS: `[{"token":"${planted}"` } }),
  (planted) => ({ env: { COMIO_AUTH_TOKENS: planted } }),
  (planted) => ({ env: { COMIO_REPLICATION_ACCEPT_TOKENS: `["${planted}"` } }),
  (planted) => ({ env: { COMIO_REPLICATION_REMOTE_TOKEN: `${planted} x` } }),
  (planted) => ({ env: { COMIO_REPLICATION_REMOTE_TOKN: planted } }),
  (planted) => ({ flags: { 'replication-token': `${planted} x` } }),
  (planted) => ({ flags: { 'replication-accept-token': [`${planted} x`] } }),
]

test.each(mistakes.map((mistake, position) => [position, mistake] as const))(
  'no secret shows in a refusal (%i)',
  async (_, mistake) => {
    const characters = fc.string({
      unit: fc.constantFrom(...'abcdefXYZ0123456789-_'),
      minLength: 16,
    })
    await fc.assert(
      fc.asyncProperty(characters, async (text) => {
        const planted = `P1${text}`
        expect((await refusalOf(mistake(planted))).join('\n')).not.toContain(planted)
      }),
      { numRuns: 20 },
    )
  },
)
