import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkPemFiles } from '../../src/server/credentials/check-pem-files.ts'
import { Certificates, hasOpenssl } from './certificates.ts'
import { remoteAt, testConfig } from './test-site.ts'

describe.skipIf(!hasOpenssl)('the files that a configuration names', () => {
  let files: Certificates
  beforeAll(async () => {
    files = await Certificates.make()
    files.issue('ca')
    files.issue('young-ca', { days: 365 })
    files.issue('site', { issuer: 'ca' })
    files.issue('other', { issuer: 'ca' })
    await writeFile(files.path('words'), 'no certificate')
    const both = [await files.text('ca.pem'), await files.text('young-ca.pem')]
    await writeFile(files.path('both.pem'), both.join(''))
  })
  afterAll(() => files.remove())

  async function check(
    names: readonly [cert: string, key: string, ca: string],
    options: { readonly inDays?: number; readonly asClient?: boolean } = {},
  ): Promise<readonly string[]> {
    const [cert, key, ca] = names.map((name) => files.path(name))
    const tls = { cert: cert ?? '', key: key ?? '', clientCa: ca }
    const config = testConfig('/nowhere', {
      ...(options.asClient
        ? { replication: { clientCert: tls.cert, clientKey: tls.key, ca } }
        : { server: { tls: { ...tls, clientAuth: 'require', minVersion: 'TLSv1.2' } } }),
    })
    const now = Date.now() + (options.inDays ?? 0) * 86_400_000
    const found = await checkPemFiles(config, now)
    const text = (sentence: string) => sentence.replaceAll(`${files.folder}/`, '')
    return found.map(
      ({ isWarning, sentence }) => `${isWarning ? 'warning: ' : ''}${text(sentence)}`,
    )
  }

  test('pass when they fit together', async () => {
    expect(await check(['site.pem', 'site.key', 'both.pem'])).toEqual([])
    expect(await check(['site.pem', 'site.key', 'both.pem'], { asClient: true })).toEqual([])
  })

  test('are looked at for a single remote, too, as files and as text', async () => {
    const own = (name: string, ca: string) => ({
      ...remoteAt('https://b.example.com'),
      name,
      tls: { ca, clientCert: files.path('site.pem'), clientKey: files.path('other.key') },
    })
    const remotes = [own('b', files.path('words')), own('c', await files.text('site.key'))]
    const found = await checkPemFiles(
      testConfig('/nowhere', { replication: { remotes } }),
      Date.now(),
    )
    const sentences = found.map(({ sentence }) => sentence.replaceAll(`${files.folder}/`, ''))
    const at = 'replication.remotes'
    expect(sentences).toEqual([
      `${at}: ca of b is words, but there is no certificate in PEM form in it`,
      `${at}: client_key of b is other.key, but it is not the key of the certificate in ${at}: client_cert of b, site.pem`,
      `${at}: ca of c is given as text, but it holds a key and no certificate`,
      `${at}: client_key of c is other.key, but it is not the key of the certificate in ${at}: client_cert of c, site.pem`,
    ])
  })

  test('are named when they are missing, no PEM, swapped or of another pair', async () => {
    expect(await check(['missing', 'other.key', 'words'])).toEqual([
      'server.tls_cert is missing, but there is no such file',
      'server.tls_client_ca is words, but there is no certificate in PEM form in it',
    ])
    expect(await check(['site.pem', 'other.key', 'ca.pem'])).toEqual([
      'server.tls_key is other.key, but it is not the key of the certificate in server.tls_cert, site.pem',
    ])
    expect(await check(['site.key', 'site.pem', '.'], { asClient: true })).toEqual([
      'replication.client_cert is site.key, but it holds a key and no certificate',
      'replication.client_key is site.pem, but it holds a certificate and no private key',
      expect.stringMatching(/^replication\.ca is .*, but it is a directory$/),
    ])
  })

  test('are named when they have expired or are not valid yet; those that soon end are a warning', async () => {
    expect(await check(['site.pem', 'site.key', 'ca.pem'], { inDays: 31 })).toEqual([
      expect.stringMatching(
        /^server.tls_cert is site.pem, but the certificate in it has expired, on /,
      ),
      'server.tls_client_ca is ca.pem, but every certificate in it has expired',
    ])
    expect(await check(['site.pem', 'site.key', 'both.pem'], { inDays: 31 })).toContain(
      'warning: server.tls_client_ca is both.pem, but one (CN=ca) certificate in it has expired',
    )
    expect(await check(['site.pem', 'site.key', 'ca.pem'], { inDays: 25 })).toEqual([
      expect.stringMatching(/^warning: server.tls_cert is site.pem, and .* expires on /),
    ])
    expect(await check(['site.pem', 'site.key', 'ca.pem'], { inDays: -3 })).toEqual([
      expect.stringMatching(/^server.tls_cert is site.pem, but .* is not valid before /),
    ])
  })
})
