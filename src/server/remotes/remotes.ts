/**
 * The sites that this one ships to: those of the configuration, and those that were added while it
 * ran, which the volume remembers. Whether a remote is paused or was removed is the volume's to know
 * for both. It promises that what is answered is durable, and that removing works while the remote is
 * away.
 */
import { NoSuchRemoteError, RemoteConflictError, RemoteSettingsError } from '../../admin/errors.ts'
import type { RemotesControl } from '../../admin/ports.ts'
import type { RemoteChangeDocument, RemoteDocument, RemovedDocument } from '../../admin/protocol.ts'
import { systemClock } from '../../base/clock.ts'
import { ComioError, messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import {
  ownSettings,
  parseRemoteDocument,
  type RemoteConfig,
  type RemoteDocument as SettingsDocument,
} from '../../config/remote-entry.ts'
import type { ServerConfig } from '../../config/server-config.ts'
import { FailoverTransport } from '../../replication/http/failover-transport.ts'
import { createHttpSiteReader } from '../../replication/http/http-site-reader.ts'
import {
  createHttpTransport,
  type HttpTransportOptions,
} from '../../replication/http/http-transport.ts'
import type { RemoteDefinition, Replicator } from '../../replication/replicator.ts'
import { LinkTraffic, type SentBytes } from '../../replication/wire/link-traffic.ts'
import type { SiteReader } from '../../replication/wire/site-reader.ts'
import type { RemoteTransport } from '../../replication/wire/transport.ts'
import type { LinkedRemote, RemoteLedger, RemoteRegistry } from '../../store/model/object-store.ts'
import { isSameFilter } from '../../store/model/place-filter.ts'
import type { VolumeIdentity } from '../../volume/volume.ts'
import type { RemoteCertificates } from '../credentials/remote-certificates.ts'
import type { RemoteTokens } from '../credentials/remote-token.ts'
import {
  mergeSettings,
  overridesOf,
  settingsOf,
  tlsSettingsOf,
  tokenFields,
} from './remote-settings.ts'

export interface RemotesOptions {
  readonly config: ServerConfig
  readonly registry: RemoteRegistry
  readonly identity: VolumeIdentity
  readonly remoteTokens: RemoteTokens
  readonly certificates: RemoteCertificates
  readonly logger: Logger
}

/** What a transport has that is not the remote's usual. */
interface TransportParts {
  readonly traffic?: LinkTraffic
  readonly token?: string
}

/** How long a remote that is being removed is given to hear of it. */
const farewellMs = 5000
/** How long one that is being added is given to say who it is. */
const recogniseMs = 5000

export class Remotes implements RemotesControl {
  readonly #options: RemotesOptions
  /** What is known of each, by name: of the configuration, or added. */
  readonly #known = new Map<string, { readonly remote: RemoteConfig; readonly isAdded: boolean }>()
  readonly #pausedSince = new Map<string, number>()
  readonly #sent = new Map<string, SentBytes>()
  #replicator: Replicator | undefined
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(options: RemotesOptions) {
    this.#options = options
  }

  /** Links what the configuration names and the volume does not know yet. */
  static async open(options: RemotesOptions): Promise<Remotes> {
    const remotes = new Remotes(options)
    const { enabled, remotes: configured } = options.config.replication
    if (enabled) for (const remote of configured) await remotes.#declare(remote)
    for (const linked of options.registry.list()) await remotes.#recall(linked)
    return remotes
  }

  /** Of those that are shipped to, and those that are paused. */
  ledgers(): readonly RemoteLedger[] {
    const linked = this.#options.registry.list().filter(({ name }) => this.#known.has(name))
    return linked.map(({ ledger }) => ledger)
  }

  /** Those that are to be shipped to from the beginning. */
  definitions(): readonly RemoteDefinition[] {
    return this.#options.registry
      .list()
      .filter(({ isPaused, name }) => !isPaused && this.#known.has(name))
      .map((linked) => this.#definitionOf(linked))
  }

  /** How those of them are shown that have answered before. */
  metUrls(): readonly string[] {
    return this.#options.registry
      .list()
      .filter(({ isPaused, ledger }) => !isPaused && ledger.confirmedPeer() !== undefined)
      .map(({ name }) => this.urlOf(name))
  }

  /** What a paused remote, or one that nothing is sent to, is shown as. */
  urlOf(name: string): string {
    return this.#known.get(name)?.remote.urls.join(', ') ?? ''
  }

  isPaused(name: string): boolean {
    return this.#options.registry.list().some((one) => one.name === name && one.isPaused)
  }

  /** When it was paused, as far as this process knows; wall time in milliseconds. */
  pausedSince(name: string): number | undefined {
    return this.#pausedSince.get(name)
  }

  /** What was sent to it since this process began, whether or not it is paused now. */
  sentTo(name: string): Readonly<SentBytes> {
    return this.#sent.get(name) ?? { wireBytes: 0, savedBytes: 0 }
  }

  /** How old a change must be before this remote gets it, ms. */
  applyDelayOf(name: string): number {
    return (
      this.#known.get(name)?.remote.applyDelayMs ?? this.#options.config.replication.applyDelayMs
    )
  }

  /** From now on changes take effect at once. */
  attach(replicator: Replicator): void {
    this.#replicator = replicator
  }

  list(): readonly RemoteDocument[] {
    return this.#options.registry.list().map((linked) => this.#documentOf(linked))
  }

  add(document: RemoteChangeDocument): Promise<RemoteDocument> {
    return this.#inTurn(async () => {
      const { remote, settings } = settingsOf(document)
      if (this.#isLinked(remote.name)) {
        throw new RemoteConflictError(`there is a remote called ${remote.name} already`, {
          hint: `Change it with comio repl remote set ${remote.name}, or choose another name.`,
        })
      }
      this.#assertOneNameEach(remote)
      const token = await this.#assertUsable(remote)
      await this.#assertOtherSite(remote, token)
      const linked = await this.#options.registry.link(remote.name, {
        filter: remote.filter,
        settings: JSON.stringify(settings),
        state: remote.paused ? 'paused' : 'linked',
      })
      this.#know(remote, token)
      if (!linked.isPaused) this.#replicator?.add(this.#definitionOf(linked))
      return this.#documentOf(linked)
    })
  }

  set(name: string, change: RemoteChangeDocument): Promise<RemoteDocument> {
    return this.#inTurn(async () => {
      const before = this.#requireAdded(name)
      const merged = mergeSettings(JSON.parse(before.settings) as SettingsDocument, change)
      const { remote, settings } = settingsOf({ ...merged, name })
      this.#assertOneNameEach(remote)
      const token = await this.#assertUsable(remote)
      if (change.url !== undefined) await this.#assertOtherSite(remote, token)
      const exchange = async (): Promise<LinkedRemote> => {
        const linked = await this.#options.registry.change(name, {
          filter: remote.filter,
          settings: JSON.stringify(settings),
        })
        this.#know(remote, token)
        return linked
      }
      // The link asks for the token with each request: for a token alone it need not be cut.
      const isTokenAlone = Object.keys(change).every((field) => tokenFields.includes(field))
      return this.#documentOf(await (isTokenAlone ? exchange() : this.#unlinked(name, exchange)))
    })
  }

  remove(name: string): Promise<RemovedDocument> {
    return this.#inTurn(async () => {
      const { epoch } = this.#require(name)
      const known = this.#known.get(name)
      await this.#unlinked(name, () => this.#options.registry.unlink(name))
      this.#known.delete(name)
      this.#pausedSince.delete(name)
      this.#sent.delete(name)
      const why =
        known === undefined ? 'its address is not known' : await this.#tell(known.remote, epoch)
      this.#options.certificates.forget(name)
      this.#options.remoteTokens.forget(name)
      this.#options.logger.warn({ remote: name, told: why ?? true }, 'A remote was removed')
      return { name, told: why === undefined, reason: why ?? null }
    })
  }

  pause(name: string): Promise<RemoteDocument> {
    return this.#inTurn(async () => {
      this.#require(name)
      const pause = () => this.#options.registry.change(name, { state: 'paused' })
      const wasPaused = this.isPaused(name)
      const linked = await this.#unlinked(name, pause)
      if (!wasPaused) this.#pausedSince.set(name, systemClock.now())
      return this.#documentOf(linked)
    })
  }

  resume(name: string): Promise<RemoteDocument> {
    return this.#inTurn(async () => {
      const wasPaused = this.#require(name).isPaused
      const linked = await this.#options.registry.change(name, { state: 'linked' })
      this.#pausedSince.delete(name)
      if (wasPaused && this.#known.has(name)) this.#replicator?.add(this.#definitionOf(linked))
      return this.#documentOf(linked)
    })
  }

  /**
   * Ships nothing to the remote while `work` changes it, and afterwards as the volume has it then, also
   * when `work` failed. In sync mode writes go on waiting for it meanwhile.
   */
  async #unlinked<T>(name: string, work: () => Promise<T>): Promise<T> {
    const replicator = this.#replicator
    await replicator?.suspend(name)
    try {
      return await work()
    } finally {
      const linked = this.#options.registry.list().find((one) => one.name === name)
      const isShipped = linked !== undefined && !linked.isPaused && this.#known.has(name)
      if (isShipped) replicator?.add(this.#definitionOf(linked))
      else await replicator?.remove(name)
    }
  }

  #know(remote: RemoteConfig, token: string): void {
    this.#options.remoteTokens.put(remote, token)
    this.#known.set(remote.name, { remote, isAdded: true })
  }

  /** A remote of the configuration. One that was removed stays so: its deletions must not travel. */
  async #declare(remote: RemoteConfig): Promise<void> {
    const { registry, logger } = this.#options
    const { name, filter, paused } = remote
    if (registry.wasRemoved(name)) {
      const hint = 'Take it out of the configuration, or link it anew: comio repl remote add'
      logger.warn(
        { remote: name, hint },
        'A remote of the configuration was removed: not shipped to',
      )
      return
    }
    await this.#options.certificates.take(remote)
    this.#known.set(name, { remote, isAdded: false })
    const linked = registry.list().find((one) => one.name === name)
    if (linked === undefined) {
      await registry.link(name, { filter, settings: '', state: paused ? 'paused' : 'linked' })
    } else if (!isSameFilter(linked.filter, filter) || linked.settings !== '') {
      await registry.change(name, { filter, settings: '' })
    }
  }

  /** A remote that was added while the site ran. */
  async #recall({ name, settings }: LinkedRemote): Promise<void> {
    if (settings === '' || this.#known.has(name)) return
    const parsed = parseRemoteDocument(JSON.parse(settings) as SettingsDocument)
    if ('remote' in parsed) {
      await this.#options.certificates.take(parsed.remote)
      await this.#options.remoteTokens.recall(parsed.remote)
      this.#known.set(name, { remote: parsed.remote, isAdded: true })
    } else {
      const { problem } = parsed
      this.#options.logger.error(
        { remote: name, problem },
        'A remote cannot be used: not shipped to',
      )
    }
  }

  #definitionOf(linked: LinkedRemote): RemoteDefinition {
    const { name, ledger, epoch, filter } = linked
    const remote = this.#known.get(name)?.remote
    if (remote === undefined) throw this.#noSuchRemote(name)
    const sent = this.#sent.get(name) ?? { wireBytes: 0, savedBytes: 0 }
    this.#sent.set(name, sent)
    const traffic = this.#trafficOf(remote, sent)
    return {
      ...{ name, ledger, epoch, filter, traffic },
      url: remote.urls.join(', '),
      transport: this.#transportOf(remote, { traffic }),
      reader: this.#readerOf(remote),
      options: overridesOf(remote),
      isSync: (remote.mode ?? this.#options.config.replication.mode) === 'sync',
    }
  }

  /** Takes over its certificates, too. @returns the token. @throws RemoteSettingsError */
  async #assertUsable(remote: RemoteConfig): Promise<string> {
    const { mode, applyDelayMs } = this.#options.config.replication
    if ((remote.mode ?? mode) === 'sync' && (remote.applyDelayMs ?? applyDelayMs) > 0) {
      throw new RemoteSettingsError('a remote with an apply_delay cannot be in mode sync', {
        hint: 'Every write would wait for the delay. Set mode to async, or apply_delay to 0s.',
      })
    }
    try {
      await this.#options.certificates.take(remote)
      await this.#transportOf(remote).close()
    } catch (error) {
      const hint = error instanceof ComioError ? error.hint : undefined
      throw new RemoteSettingsError(messageOf(error), hint === undefined ? {} : { hint })
    }
    try {
      return await this.#options.remoteTokens.find(remote)
    } catch (error) {
      const words = `token_file is ${remote.tokenFile}, but cannot be used: ${messageOf(error)}`
      throw new RemoteSettingsError(words, {
        hint: 'Name a file at the site that holds the token and nothing else.',
      })
    }
  }

  #trafficOf(remote: RemoteConfig, sent?: SentBytes): LinkTraffic {
    const { compression, bandwidthLimit } = this.#options.config.replication
    return new LinkTraffic({
      clock: systemClock,
      compression: remote.compression ?? compression,
      bandwidthLimit: remote.bandwidthLimit ?? bandwidthLimit,
      ...(sent === undefined ? {} : { sent }),
    })
  }

  /** @throws PlaintextRefusedError, BadRemoteUrlError */
  #transportOf(remote: RemoteConfig, other: TransportParts = {}): RemoteTransport {
    const { config, remoteTokens } = this.#options
    const { traffic = this.#trafficOf(remote), token = remoteTokens.sourceOf(remote) } = other
    const { workers, allowPlaintext } = config.replication
    const transports = remote.urls.map((url) =>
      createHttpTransport({
        url,
        token,
        ...this.#tlsOf(remote),
        workers: remote.workers ?? workers,
        allowPlaintext: allowPlaintext || !showsToken(remote),
        traffic,
        clock: systemClock,
      }),
    )
    return new FailoverTransport(transports)
  }

  #tlsOf(remote: RemoteConfig): Pick<HttpTransportOptions, 'tls' | 'tlsSettings'> {
    const isAdded = this.#known.get(remote.name)?.isAdded ?? true
    return {
      tls: this.#options.certificates.sourceOf(remote),
      tlsSettings: tlsSettingsOf(remote, isAdded),
    }
  }

  #readerOf(remote: RemoteConfig): SiteReader {
    const { config, remoteTokens } = this.#options
    return createHttpSiteReader({
      urls: remote.urls,
      token: remoteTokens.sourceOf(remote),
      ...this.#tlsOf(remote),
      allowPlaintext: config.replication.allowPlaintext || !showsToken(remote),
    })
  }

  /** @returns why the remote could not be told, undefined when it was */
  async #tell(remote: RemoteConfig, epoch: number): Promise<string | undefined> {
    const { volumeId, incarnation } = this.#options.identity
    const stop = new AbortController()
    const timer = systemClock.after(farewellMs, () => stop.abort())
    try {
      const transport = this.#transportOf(remote)
      try {
        await transport.sayFarewell({ volumeId, incarnation, epoch }, stop.signal)
        return undefined
      } finally {
        await transport.close()
      }
    } catch (error) {
      return stop.signal.aborted ? `no answer within ${farewellMs / 1000} s` : messageOf(error)
    } finally {
      timer.cancel()
    }
  }

  #documentOf(linked: LinkedRemote): RemoteDocument {
    const { name, epoch, filter, isPaused } = linked
    const known = this.#known.get(name)
    return {
      name,
      urls: known?.remote.urls ?? [],
      source: known === undefined ? 'unused' : known.isAdded ? 'added' : 'configuration',
      paused: isPaused,
      epoch,
      buckets: filter.buckets,
      exclude_buckets: filter.excludeBuckets,
      prefixes: filter.prefixes,
      exclude_prefixes: filter.excludePrefixes,
      settings: known === undefined ? {} : ownSettings(known.remote),
    }
  }

  /** A site takes the latest link of this volume for the only one: a second would end the first. */
  #assertOneNameEach({ name, urls }: RemoteConfig): void {
    for (const { remote } of this.#known.values()) {
      const shared =
        remote.name === name ? undefined : urls.find((url) => remote.urls.includes(url))
      if (shared === undefined) continue
      throw new RemoteConflictError(`remote ${remote.name} is at ${shared} already`, {
        hint: `One site has one name: change it with comio repl remote set ${remote.name}.`,
      })
    }
  }

  /** If it answers: one that is away is added all the same. The token of an old address is not for the new one. */
  async #assertOtherSite(remote: RemoteConfig, token: string): Promise<void> {
    const transport = this.#transportOf(remote, { token })
    try {
      const asked = { transport, waitMs: recogniseMs }
      const objection = await this.#replicator?.objectionTo(remote.name, asked)
      if (objection === undefined) return
      throw new RemoteConflictError(`${remote.urls.join(', ')}: ${objection.message}`, {
        hint: objection.hint ?? 'Name the address of another site.',
      })
    } finally {
      await transport.close()
    }
  }

  #isLinked(name: string): boolean {
    return this.#options.registry.list().some((one) => one.name === name)
  }

  #require(name: string): LinkedRemote {
    const linked = this.#options.registry.list().find((one) => one.name === name)
    if (linked === undefined) throw this.#noSuchRemote(name)
    return linked
  }

  #requireAdded(name: string): LinkedRemote {
    const linked = this.#require(name)
    if (this.#known.get(name)?.isAdded === true) return linked
    throw new RemoteConflictError(`remote ${name} is set by the configuration`, {
      hint: 'Change it there and start the site again; it can be paused, resumed and removed here.',
    })
  }

  #noSuchRemote(name: string): NoSuchRemoteError {
    const names = this.#options.registry.list().map((one) => one.name)
    const hint = names.length === 0 ? 'It has none.' : `It has ${names.join(', ')}.`
    return new NoSuchRemoteError(`this site has no remote called ${name}`, { hint })
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => undefined) // the caller has it; the next in line goes on
    return turn
  }
}

/** Without a token there is nothing that could be read on the way. */
function showsToken({ token = '', tokenFile }: RemoteConfig): boolean {
  return token !== '' || tokenFile !== undefined
}
