/**
 * The sites that this one ships to: those of the configuration, and those that were added while it
 * ran, which the volume remembers. Whether a remote is paused or was removed is the volume's to know
 * for both. It promises that what is answered is durable, and that removing works while the remote is
 * away.
 */
import { NoSuchRemoteError, RemoteConflictError, RemoteSettingsError } from '../admin/errors.ts'
import type { RemotesControl } from '../admin/ports.ts'
import type { RemoteChangeDocument, RemoteDocument, RemovedDocument } from '../admin/protocol.ts'
import { systemClock } from '../base/clock.ts'
import { ComioError, messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import {
  ownSettings,
  parseRemoteDocument,
  type RemoteConfig,
  type RemoteDocument as SettingsDocument,
} from '../config/remote-entry.ts'
import { isPemText } from '../config/schema-parts.ts'
import type { ServerConfig } from '../config/server-config.ts'
import { FailoverTransport } from '../replication/failover-transport.ts'
import { createHttpTransport } from '../replication/http-transport.ts'
import { LinkTraffic } from '../replication/link-traffic.ts'
import type { ReplicationOptions } from '../replication/options.ts'
import type { RemoteDefinition, Replicator } from '../replication/replicator.ts'
import type { RemoteTransport } from '../replication/transport.ts'
import type { LinkedRemote, RemoteRegistry } from '../store/object-store.ts'
import { isSameFilter } from '../store/place-filter.ts'
import type { VolumeIdentity } from '../volume/volume.ts'
import type { RemoteCertificates } from './remote-certificates.ts'
import type { RemoteTokens } from './remote-token.ts'

export interface RemotesOptions {
  readonly config: ServerConfig
  readonly registry: RemoteRegistry
  readonly identity: VolumeIdentity
  readonly remoteTokens: RemoteTokens
  readonly certificates: RemoteCertificates
  readonly logger: Logger
}

/** How long a remote that is being removed is given to hear of it. */
const farewellMs = 5000

export class Remotes implements RemotesControl {
  readonly #options: RemotesOptions
  /** What is known of each, by name: of the configuration, or added. */
  readonly #known = new Map<string, { readonly remote: RemoteConfig; readonly isAdded: boolean }>()
  readonly #pausedSince = new Map<string, number>()
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

  /** Those that are to be shipped to from the beginning. */
  definitions(): readonly RemoteDefinition[] {
    return this.#options.registry
      .list()
      .filter(({ isPaused, name }) => !isPaused && this.#known.has(name))
      .map((linked) => this.#definitionOf(linked))
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
      await this.#assertUsable(remote)
      const linked = await this.#options.registry.link(remote.name, {
        filter: remote.filter,
        settings: JSON.stringify(settings),
        state: remote.paused ? 'paused' : 'linked',
      })
      this.#known.set(remote.name, { remote, isAdded: true })
      if (!linked.isPaused) this.#replicator?.add(this.#definitionOf(linked))
      return this.#documentOf(linked)
    })
  }

  set(name: string, change: RemoteChangeDocument): Promise<RemoteDocument> {
    return this.#inTurn(async () => {
      const before = this.#requireAdded(name)
      const merged = mergeSettings(JSON.parse(before.settings) as SettingsDocument, change)
      const { remote, settings } = settingsOf({ ...merged, name })
      await this.#assertUsable(remote)
      await this.#replicator?.remove(name)
      const linked = await this.#options.registry.change(name, {
        filter: remote.filter,
        settings: JSON.stringify(settings),
      })
      this.#known.set(name, { remote, isAdded: true })
      if (!linked.isPaused) this.#replicator?.add(this.#definitionOf(linked))
      return this.#documentOf(linked)
    })
  }

  remove(name: string): Promise<RemovedDocument> {
    return this.#inTurn(async () => {
      const { epoch } = this.#require(name)
      const known = this.#known.get(name)
      await this.#replicator?.remove(name)
      await this.#options.registry.unlink(name)
      this.#known.delete(name)
      this.#pausedSince.delete(name)
      const why =
        known === undefined ? 'its address is not known' : await this.#tell(known.remote, epoch)
      this.#options.certificates.forget(name)
      this.#options.logger.warn({ remote: name, told: why ?? true }, 'A remote was removed')
      return { name, told: why === undefined, reason: why ?? null }
    })
  }

  pause(name: string): Promise<RemoteDocument> {
    return this.#inTurn(async () => {
      this.#require(name)
      await this.#replicator?.remove(name)
      if (!this.isPaused(name)) this.#pausedSince.set(name, systemClock.now())
      return this.#documentOf(await this.#options.registry.change(name, { state: 'paused' }))
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
    const traffic = this.#trafficOf(remote)
    return {
      ...{ name, ledger, epoch, filter, traffic },
      url: remote.urls.join(', '),
      transport: this.#transportOf(remote, traffic),
      options: overridesOf(remote),
      isSync: (remote.mode ?? this.#options.config.replication.mode) === 'sync',
    }
  }

  /** Takes over its certificates, too. @throws RemoteSettingsError */
  async #assertUsable(remote: RemoteConfig): Promise<void> {
    try {
      await this.#options.certificates.take(remote)
      await this.#transportOf(remote).close()
    } catch (error) {
      const hint = error instanceof ComioError ? error.hint : undefined
      throw new RemoteSettingsError(messageOf(error), hint === undefined ? {} : { hint })
    }
  }

  #trafficOf(remote: RemoteConfig): LinkTraffic {
    const { compression, bandwidthLimit } = this.#options.config.replication
    return new LinkTraffic({
      clock: systemClock,
      compression: remote.compression ?? compression,
      bandwidthLimit: remote.bandwidthLimit ?? bandwidthLimit,
    })
  }

  /** @throws PlaintextRefusedError, BadRemoteUrlError */
  #transportOf(remote: RemoteConfig, traffic = this.#trafficOf(remote)): RemoteTransport {
    const { config, remoteTokens, certificates } = this.#options
    const { workers, allowPlaintext } = config.replication
    const { token, urls } = remote
    const transports = urls.map((url) =>
      createHttpTransport({
        url,
        token: remoteTokens.sourceOf(remote),
        tls: certificates.sourceOf(remote),
        workers: remote.workers ?? workers,
        // Without a token there is nothing that could be read on the way.
        allowPlaintext: allowPlaintext || token === undefined,
        traffic,
        clock: systemClock,
      }),
    )
    return new FailoverTransport(transports)
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

function overridesOf({
  workers,
  batchSize,
  batchBytes,
  transfer,
}: RemoteConfig): Partial<ReplicationOptions> {
  return {
    ...(workers === undefined ? {} : { workers }),
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(batchBytes === undefined ? {} : { batchBytes }),
    ...(transfer === undefined ? {} : { transfer }),
  }
}

/** What was not said stays, what is null goes. */
function mergeSettings(before: SettingsDocument, change: RemoteChangeDocument): SettingsDocument {
  const merged: Record<string, string | readonly string[]> = { ...before }
  for (const [field, value] of Object.entries(change)) {
    if (value === null) delete merged[field]
    else if (value !== undefined) merged[field] = value
  }
  return merged
}

/** @throws RemoteSettingsError */
function settingsOf(document: RemoteChangeDocument): {
  readonly remote: RemoteConfig
  readonly settings: SettingsDocument
} {
  const settings = mergeSettings({}, document)
  const parsed = parseRemoteDocument(settings)
  if ('remote' in parsed && parsed.remote.tokenFile !== undefined) {
    throw new RemoteSettingsError('a remote that is added at run time has no token_file', {
      hint: 'Send the token itself: the volume keeps it.',
    })
  }
  if ('remote' in parsed) {
    assertTexts(parsed.remote)
    return { remote: parsed.remote, settings }
  }
  throw new RemoteSettingsError(`the remote cannot be set up: ${parsed.problem}`)
}

/** Whoever may add a remote may not have this site read any file of its machine. */
function assertTexts({ tls }: RemoteConfig): void {
  const found = Object.values(tls).some((place) => place !== undefined && !isPemText(place))
  if (!found) return
  throw new RemoteSettingsError('the certificates of a remote added at run time are no paths', {
    hint: 'Send the text of the PEM files: the volume keeps it.',
  })
}
