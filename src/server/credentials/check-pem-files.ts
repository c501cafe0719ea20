/**
 * Whether the certificates and keys that a configuration names could be used, all of them at once and
 * before a site is started with them: read, in PEM form, valid today, and belonging together.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { messageOf, unreadableBecause } from '../../base/errors.ts'
import type { ConfigKey } from '../../config/config-keys.ts'
import { isPemText } from '../../config/pem-text.ts'
import type { ServerConfig } from '../../config/server-config.ts'

/** One thing about one file. A warning is about what works today. */
export interface PemFinding {
  readonly key: ConfigKey
  /** Begins with the key. */
  readonly sentence: string
  readonly isWarning: boolean
}

/** Certificates are a few KiB; what is larger is something else. */
const pemBytesMax = 2 ** 20
const soonMs = 7 * 86_400_000

interface NamedFile {
  readonly key: ConfigKey
  /** The key, or the field of an entry below it. */
  readonly label: string
  /** Or the text itself. */
  readonly path: string
}

interface Names {
  readonly cert: NamedFile | undefined
  readonly key: NamedFile | undefined
  readonly ca: NamedFile | undefined
}

/** @param now wall time, milliseconds */
export async function checkPemFiles(
  { server: { tls }, replication }: ServerConfig,
  now: number,
): Promise<readonly PemFinding[]> {
  const listener = {
    cert: named('server.tls_cert', tls?.cert),
    key: named('server.tls_key', tls?.key),
    ca: named('server.tls_client_ca', tls?.clientCa),
  }
  const client = {
    cert: named('replication.client_cert', replication.clientCert),
    key: named('replication.client_key', replication.clientKey),
    ca: named('replication.ca', replication.ca),
  }
  const check = new Check(now)
  await check.files(listener)
  await check.files(client)
  for (const { name, tls: own } of replication.remotes) {
    await check.files({
      cert: ownOf(name, 'client_cert', own.clientCert),
      key: ownOf(name, 'client_key', own.clientKey),
      ca: ownOf(name, 'ca', own.ca),
    })
  }
  return check.findings
}

function named(key: ConfigKey, path: string | undefined): NamedFile | undefined {
  return path === undefined ? undefined : { key, label: key, path }
}

function ownOf(remote: string, field: string, path: string | undefined): NamedFile | undefined {
  if (path === undefined) return undefined
  return { key: 'replication.remotes', label: `replication.remotes: ${field} of ${remote}`, path }
}

class Check {
  readonly findings: PemFinding[] = []
  readonly #now: number

  constructor(now: number) {
    this.#now = now
  }

  async files({ cert, key, ca }: Names): Promise<void> {
    const certificates = await this.#certificates(cert)
    const privateKey = await this.#privateKey(key)
    const issuers = await this.#certificates(ca)
    // What a site shows is the first one; those behind it lead to the issuer.
    const [shown] = certificates
    if (cert !== undefined && shown !== undefined) this.#judgeTime(cert, shown)
    if (key !== undefined && cert !== undefined && shown !== undefined && privateKey) {
      if (!shown.checkPrivateKey(privateKey)) {
        this.#add(
          key,
          `but it is not the key of the certificate in ${cert.label}, ${placeOf(cert)}`,
        )
      }
    }
    if (ca === undefined || issuers.length === 0) return
    const ended = issuers.filter((issuer) => this.#hasEnded(issuer))
    if (ended.length === 0) return
    const what = ended.length === issuers.length ? 'every' : `one (${nameOf(ended[0])})`
    const words = `but ${what} certificate in it has expired`
    this.#add(ca, words, { isWarning: ended.length < issuers.length })
  }

  async #certificates(file: NamedFile | undefined): Promise<readonly X509Certificate[]> {
    const text = await this.#read(file)
    if (file === undefined || text === undefined) return []
    const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
    if (blocks.length === 0) {
      const holdsKey = text.includes('PRIVATE KEY-----')
      this.#add(file, holdsKey ? 'but it holds a key and no certificate' : noPem('certificate'))
      return []
    }
    try {
      return blocks.map((block) => new X509Certificate(block))
    } catch (error) {
      this.#add(file, `but a certificate in it cannot be read: ${messageOf(error)}`)
      return []
    }
  }

  async #privateKey(file: NamedFile | undefined): Promise<KeyObject | undefined> {
    const text = await this.#read(file)
    if (file === undefined || text === undefined) return undefined
    if (!text.includes('PRIVATE KEY-----')) {
      const holdsCertificate = text.includes('-----BEGIN CERTIFICATE-----')
      const words = 'but it holds a certificate and no private key'
      this.#add(file, holdsCertificate ? words : noPem('private key'))
      return undefined
    }
    if (/BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED/.test(text)) {
      this.#add(file, 'but it wants a passphrase: name a key without one')
      return undefined
    }
    try {
      return createPrivateKey(text)
    } catch (error) {
      this.#add(file, `but the private key in it cannot be read: ${messageOf(error)}`)
      return undefined
    }
  }

  async #read(file: NamedFile | undefined): Promise<string | undefined> {
    if (file === undefined) return undefined
    if (isPemText(file.path)) return file.path
    try {
      const { size } = await stat(file.path)
      if (size <= pemBytesMax) return await readFile(file.path, 'utf8')
      this.#add(file, `but it has ${size} bytes, so it is no PEM file`)
    } catch (error) {
      this.#add(file, `but ${readFailure(error)}`)
    }
    return undefined
  }

  #judgeTime(file: NamedFile, certificate: X509Certificate): void {
    const { validFromDate, validToDate } = certificate
    const end = validToDate.toISOString()
    if (this.#hasEnded(certificate)) {
      this.#add(file, `but the certificate in it has expired, on ${end}`)
    } else if (validFromDate.getTime() > this.#now) {
      const begin = validFromDate.toISOString()
      this.#add(file, `but the certificate in it is not valid before ${begin}`)
    } else if (validToDate.getTime() - this.#now <= soonMs) {
      this.#add(file, `and the certificate in it expires on ${end}`, { isWarning: true })
    }
  }

  #hasEnded({ validToDate }: X509Certificate): boolean {
    return validToDate.getTime() <= this.#now
  }

  #add(file: NamedFile, words: string, { isWarning = false } = {}): void {
    const { key, label } = file
    this.findings.push({ key, sentence: `${label} is ${placeOf(file)}, ${words}`, isWarning })
  }
}

/** Never the text: it may be a key. */
function placeOf({ path }: NamedFile): string {
  return isPemText(path) ? 'given as text' : path
}

function noPem(what: string): string {
  return `but there is no ${what} in PEM form in it`
}

function nameOf(certificate: X509Certificate | undefined): string {
  return certificate?.subject.replaceAll('\n', ', ') ?? ''
}

function readFailure(error: unknown): string {
  return unreadableBecause(error) ?? `it cannot be read: ${messageOf(error)}`
}
