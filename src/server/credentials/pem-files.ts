/** Certificates and keys, read from the files that the configuration names, and watched there. */
import { X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { messageOf } from '../../base/errors.ts'
import { isPemText } from '../../config/pem-text.ts'
import type { RemoteConfig } from '../../config/remote-entry.ts'
import type { ListenerTlsConfig, ReplicationConfig } from '../../config/server-config.ts'
import type { ClientTls } from '../../replication/http/tls-connector.ts'
import { TlsFilesError } from '../errors.ts'
import { checkMaterial, type TlsMaterial } from '../listener/tls-listener.ts'

/** Certificates are a few KiB; what is larger is something else. */
const pemBytesMax = 2 ** 20

type RemoteSecrets = Pick<RemoteConfig, 'name' | 'tls'>

/** @throws TlsFilesError */
export async function readListenerTls(tls: ListenerTlsConfig): Promise<TlsMaterial> {
  const [cert, key, ca] = await Promise.all([
    readPem('server.tls_cert', tls.cert),
    readPem('server.tls_key', tls.key),
    tls.clientCa === undefined ? undefined : readPem('server.tls_client_ca', tls.clientCa),
  ])
  const material = { cert, key, ca }
  checkTogether(material, 'server.tls_cert and server.tls_key')
  return material
}

/** @throws TlsFilesError */
export async function readClientTls(files: ReplicationConfig): Promise<ClientTls> {
  const [ca, cert, key] = await Promise.all([
    files.ca === undefined ? undefined : readPem('replication.ca', files.ca),
    files.clientCert === undefined
      ? undefined
      : readPem('replication.client_cert', files.clientCert),
    files.clientKey === undefined ? undefined : readPem('replication.client_key', files.clientKey),
  ])
  if (cert !== undefined && key !== undefined) {
    checkTogether({ cert, key, ca }, 'replication.client_cert and replication.client_key')
  }
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}

/** What is the remote's own. Each is a file or the text of one. @throws TlsFilesError */
export async function readRemoteTls({ name, tls }: RemoteSecrets): Promise<ClientTls> {
  const read = (field: string, place: string | undefined) =>
    place === undefined ? undefined : readPem(`${field} of remote ${name}`, place)
  const [ca, cert, key] = await Promise.all([
    read('ca', tls.ca),
    read('client_cert', tls.clientCert),
    read('client_key', tls.clientKey),
  ])
  if (cert !== undefined && key !== undefined) {
    checkTogether({ cert, key, ca }, `client_cert and client_key of remote ${name}`)
  }
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}

/** The files of both, for whoever wants to know when they change. */
export function pemFilesOf(
  tls: ListenerTlsConfig | undefined,
  replication: ReplicationConfig,
): readonly string[] {
  const { ca, clientCert, clientKey } = replication
  const all = [tls?.cert, tls?.key, tls?.clientCa, ca, clientCert, clientKey]
  return all.filter((path) => path !== undefined)
}

/** Equal as long as nobody has touched the files. One that is not there counts as touched once. */
export async function stateOfFiles(paths: readonly string[]): Promise<string> {
  const states = paths.map(async (path) => {
    try {
      const { ino, size, mtimeMs, ctimeMs } = await stat(path)
      return [ino, size, mtimeMs, ctimeMs].join(' ')
    } catch {
      // Whoever reads it next says what is wrong with it.
      return 'unreadable'
    }
  })
  return (await Promise.all(states)).join('\n')
}

/** When the certificate ends, wall time in milliseconds. */
export function certificateEnd(cert: string): number {
  return new X509Certificate(cert).validToDate.getTime()
}

/** @param place where the file is, or its text, which is named in no error */
async function readPem(key: string, place: string): Promise<string> {
  const isText = isPemText(place)
  const path = isText ? 'given as text' : place
  try {
    if (isText) return checkPem(place)
    const { size } = await stat(path)
    if (size > pemBytesMax) throw new Error(`it has ${size} bytes, so it is no PEM file`)
    return checkPem(await readFile(path, 'utf8'))
  } catch (cause) {
    throw new TlsFilesError(`${key} is ${path}, but cannot be used: ${messageOf(cause)}`, {
      hint: 'Name a file in PEM form that this user may read.',
      facts: { key, path },
      cause,
    })
  }
}

/** @returns it as it is @throws when no certificate and no key can be read from it */
function checkPem(text: string): string {
  if (!isPemText(text)) throw new Error('it is no PEM file')
  if (!text.includes(' PRIVATE KEY-----')) new X509Certificate(text)
  return text
}

function checkTogether(material: TlsMaterial, keys: string): void {
  try {
    checkMaterial(material)
  } catch (cause) {
    throw new TlsFilesError(`${keys} do not fit together: ${messageOf(cause)}`, {
      hint: 'Name the private key that belongs to the certificate, without a passphrase.',
      cause,
    })
  }
}
