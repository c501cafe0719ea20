/**
 * What each remote is trusted by and shown, where that differs from what holds for all of them: an
 * issuer, and a certificate with its key. Those of the configuration are files, which are looked at
 * again while the site runs; those of a remote added at run time are text that the volume keeps. It
 * promises that what cannot be used changes nothing, and is named in the log.
 */
import type { Logger } from '../../base/log.ts'
import { isPemText } from '../../config/pem-text.ts'
import type { RemoteConfig } from '../../config/remote-entry.ts'
import type { ClientTls, ClientTlsSource } from '../../replication/http/tls-connector.ts'
import { readRemoteTls, stateOfFiles } from './pem-files.ts'

type SecuredRemote = Pick<RemoteConfig, 'name' | 'tls'>

interface Own {
  readonly remote: SecuredRemote
  readonly tls: ClientTls
  /** What its files looked like when they were read last, whether they were any good or not. */
  seen: string
}

export class RemoteCertificates {
  readonly #common: ClientTlsSource
  readonly #logger: Logger
  readonly #own = new Map<string, Own>()

  /** @param common what holds for all remotes */
  constructor(common: ClientTlsSource, logger: Logger) {
    this.#common = common
    this.#logger = logger
  }

  /** Reads what is the remote's own, in place of what was. @throws TlsFilesError */
  async take(remote: SecuredRemote): Promise<void> {
    const seen = await stateOfFiles(filesOf(remote))
    const tls = await readRemoteTls(remote)
    if (Object.keys(tls).length === 0) this.#own.delete(remote.name)
    else this.#own.set(remote.name, { remote, tls, seen })
  }

  forget(name: string): void {
    this.#own.delete(name)
  }

  /** What holds for the remote now: another object only when something has changed. */
  sourceOf({ name }: Pick<RemoteConfig, 'name'>): ClientTlsSource {
    let last: { readonly common: ClientTls; readonly own: ClientTls; readonly both: ClientTls }
    return () => {
      const common = this.#common()
      const own = this.#own.get(name)?.tls
      if (own === undefined) return common
      if (last?.common !== common || last.own !== own)
        last = { common, own, both: { ...common, ...own } }
      return last.both
    }
  }

  /** Takes those whose files have changed. Never fails: what cannot be used is in the log. */
  async lookAtFiles(): Promise<void> {
    for (const own of [...this.#own.values()]) {
      const seen = await stateOfFiles(filesOf(own.remote))
      if (seen === own.seen) continue
      own.seen = seen
      await this.#retake(own.remote)
    }
  }

  /** Those of the configuration as it is now. Never fails, either. */
  async replace(remotes: readonly SecuredRemote[]): Promise<void> {
    for (const remote of remotes) await this.#retake(remote)
  }

  async #retake(remote: SecuredRemote): Promise<void> {
    try {
      await this.take(remote)
    } catch (error) {
      const words = 'The certificates of a remote cannot be taken over: what held before goes on'
      this.#logger.error({ remote: remote.name, error }, words)
    }
  }
}

function filesOf({ tls: { ca, clientCert, clientKey } }: SecuredRemote): readonly string[] {
  return [ca, clientCert, clientKey].filter(
    (place): place is string => place !== undefined && !isPemText(place),
  )
}
