/**
 * What can be exchanged while a site runs: its tokens, the token for the remote, and certificates. A
 * signal brings all of them, a changed file the certificates alone. It promises that a configuration
 * or a file that is wrong changes nothing, and is named in the log.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import type { Clock, Timer } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { SerialQueue } from '../../base/serial-queue.ts'
import { restartKeys } from '../../config/restart-keys.ts'
import type { ServerConfig } from '../../config/server-config.ts'
import { acceptEntryOf } from '../../config/tokens.ts'
import type { ClientTls } from '../../replication/http/tls-connector.ts'
import type { Listener } from '../listener/listener.ts'
import type { TlsMaterial } from '../listener/tls-listener.ts'
import type { AccessControl } from './access.ts'
import {
  certificateEnd,
  pemFilesOf,
  readClientTls,
  readListenerTls,
  stateOfFiles,
} from './pem-files.ts'
import type { RemoteCertificates } from './remote-certificates.ts'
import type { RemoteTokens } from './remote-token.ts'
import type { SiteTokens } from './token-control.ts'

/** Files are looked at this often: certificates are renewed days before they end. */
const lookMs = 10_000
const soonMs = 7 * 86_400_000

export interface ReloadingOptions {
  /** As the site was started with it. */
  readonly config: ServerConfig
  /** Reads the configuration again; undefined where nobody can. */
  readonly load: (() => Promise<ServerConfig>) | undefined
  /** Whether a site that runs like this one may have such tokens. @throws otherwise */
  readonly check: (next: ServerConfig) => void
  readonly access: AccessControl
  readonly tokens: SiteTokens
  readonly listener: Pick<Listener, 'renewTls'>
  readonly remoteTokens: RemoteTokens
  /** What single remotes have of their own. */
  readonly remoteCertificates: Pick<RemoteCertificates, 'lookAtFiles' | 'replace'>
  readonly hide: (secrets: readonly string[]) => void
  readonly clock: Clock
  readonly logger: Logger
}

export interface Certificates {
  /** What the files looked like just before they were read. */
  readonly files: string
  readonly listener: TlsMaterial | undefined
  readonly client: ClientTls
}

/** @throws TlsFilesError */
export async function readCertificates({
  server,
  replication,
}: ServerConfig): Promise<Certificates> {
  const { tls } = server
  const files = await stateOfFiles(pemFilesOf(tls, replication))
  const [listener, client] = await Promise.all([
    tls === undefined ? undefined : readListenerTls(tls),
    readClientTls(replication),
  ])
  return { files, listener, client }
}

export class Reloading {
  readonly #options: ReloadingOptions
  readonly #queue = new SerialQueue()
  #config: ServerConfig
  #certificates: Certificates
  /** What the files looked like at the last look, whether they were any good or not. */
  #filesSeen: string
  #timer: Timer | undefined
  #closed = false

  constructor(options: ReloadingOptions, certificates: Certificates) {
    this.#options = options
    this.#config = options.config
    this.#certificates = certificates
    this.#filesSeen = certificates.files
  }

  /** What new connections are shown; undefined without TLS. */
  get listenerTls(): TlsMaterial | undefined {
    return this.#certificates.listener
  }

  /** What this site shows to others, and trusts of them. */
  get clientTls(): ClientTls {
    return this.#certificates.client
  }

  /** Reads the configuration, and the files it names, again. Never fails: the log has the reason. */
  reload(): Promise<void> {
    return this.#queue.run(() => this.#attempt('configuration', () => this.#reloadAll()))
  }

  /** Looks at the certificates' files from now on, and takes what has changed. */
  watch(): void {
    this.#timer = this.#options.clock.after(lookMs, () => {
      void this.lookAtFiles().then(() => {
        if (!this.#closed) this.watch()
      })
    })
  }

  /** One look; the watch's business. */
  lookAtFiles(): Promise<void> {
    return this.#queue.run(async () => {
      await this.#options.remoteCertificates.lookAtFiles()
      const { server, replication } = this.#config
      const seen = await stateOfFiles(pemFilesOf(server.tls, replication))
      if (seen === this.#filesSeen) return
      this.#filesSeen = seen
      await this.#attempt('certificates', async () => {
        this.#takeCertificates(await readCertificates(this.#config))
      })
    })
  }

  /** For the health of the site. */
  reasons(): readonly string[] {
    const { cert } = this.#certificates.listener ?? {}
    const own = cert === undefined ? [] : this.#reasonsOf(cert, "this site's certificate")
    const shown = this.#certificates.client.cert
    if (shown === undefined) return own
    return [...own, ...this.#reasonsOf(shown, 'the certificate that this site shows to remotes')]
  }

  /** Resolves when nothing is being read any more. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#queue.run(async () => undefined)
  }

  async #reloadAll(): Promise<void> {
    const { load, check, access, tokens, hide, logger } = this.#options
    const { remoteTokens, remoteCertificates } = this.#options
    if (load === undefined) return
    const next = await load()
    const running = this.#config.server
    check(next)
    // Whether there is TLS at all is for the next start; which certificates is for now.
    const tls = running.tls === undefined ? undefined : (next.server.tls ?? running.tls)
    const config = { ...this.#config, auth: next.auth, server: { ...running, tls } }
    const replication = { ...this.#config.replication, ...credentialsOf(next) }
    const certificates = await readCertificates({ ...config, replication })
    hide(secretsOf(next))
    const { acceptTokens } = next.replication
    access.replaceTokens({ tokens: next.auth.tokens, acceptTokens })
    await remoteTokens.replace(next.replication.remotes)
    await remoteCertificates.replace(next.replication.remotes)
    this.#config = { ...config, replication }
    this.#takeCertificates(certificates)
    tokens.watch()
    const counts = { tokens: next.auth.tokens.length, accepted: acceptTokens.length }
    const done = 'Tokens and certificates were reloaded'
    const waiting = restartKeys(this.#options.config, next)
    if (waiting.length === 0) logger.info(counts, done)
    else logger.warn(counts, `${done}; what else changed needs a restart: ${waiting.join(', ')}`)
  }

  #takeCertificates(certificates: Certificates): void {
    const { files, listener, client } = certificates
    this.#filesSeen = files
    if (listener !== undefined) this.#options.listener.renewTls(listener)
    const unchanged = JSON.stringify(client) === JSON.stringify(this.#certificates.client)
    this.#certificates = { files, listener, client: unchanged ? this.#certificates.client : client }
    this.#options.logger.info({}, 'New connections use the certificates as they are now')
  }

  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      rethrowAssertion(error)
      const words = `The ${what} cannot be taken over: what held before goes on`
      this.#options.logger.error({ error }, words)
    }
  }

  #reasonsOf(cert: string, what: string): readonly string[] {
    const left = certificateEnd(cert) - this.#options.clock.now()
    if (left <= 0) return [`${what} has expired`]
    return left <= soonMs ? [`${what} expires within a week`] : []
  }
}

function credentialsOf({ replication }: ServerConfig) {
  const { acceptTokens, ca, clientCert, clientKey } = replication
  return { acceptTokens, ca, clientCert, clientKey }
}

/** What must not show in the log. */
export function secretsOf({ auth, replication }: ServerConfig): readonly string[] {
  return [
    ...auth.tokens.map(({ token }) => token),
    ...replication.acceptTokens.map((accepted) => acceptEntryOf(accepted).token),
    ...replication.remotes.flatMap(({ token }) => token ?? []),
  ]
}
