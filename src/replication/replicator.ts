/**
 * Replication: ships this site's change feed to other sites, and applies theirs here. It promises
 * that every change of the feed reaches every remote in its newest state, whatever crashes, hangs or
 * is cut off, and that a change leaves `pending` only after the remote's durable acknowledgement, as
 * a dead letter with its reason, or superseded.
 *
 *     ledger.take -> window -> worker queues -> batch -> remote -> outcomes -> ledger.settle
 *                      ^  by slot, ordered        |                   |
 *                      '--- failed, later --------'     offers: pulled or pushed, later
 *
 * It must never know segments or index keys (it sees the store's interfaces), configuration, or
 * HTTP servers (`http-receiver.ts` has handlers), nor time and network but through Clock and
 * transport.
 */
import { assert, rethrowAssertion } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import type { ComioError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type {
  ChangeFeed,
  ChangeSink,
  RemoteLedger,
  StoreHoldings,
} from '../store/model/object-store.ts'
import type { PlaceFilter } from '../store/model/place-filter.ts'
import type { VolumeIdentity } from '../volume/volume.ts'
import type { ReplicationOptions } from './options.ts'
import { Receiver } from './receive/receiver.ts'
import { Link, type LinkStatus } from './send/link.ts'
import { MetSites } from './send/met-sites.ts'
import {
  defaultSyncOptions,
  type LinkWatcher,
  SyncGate,
  type SyncOptions,
} from './send/sync-gate.ts'
import type { LinkTally, ResultTally } from './tally.ts'
import { type ComparedSite, Responder } from './verify/responder.ts'
import { type VerifiedRemote, Verifier } from './verify/verifier.ts'
import { RemoteRefusedError, RemoteTwiceError } from './wire/errors.ts'
import { helloOf } from './wire/hello.ts'
import { LinkTraffic } from './wire/link-traffic.ts'
import { noFilterHash } from './wire/protocol.ts'
import type { ReadableRemote, SiteReader } from './wire/site-reader.ts'
import type { RemoteReport, Roles } from './wire/standing.ts'
import { TicketBook } from './wire/tickets.ts'
import type { Traffic } from './wire/traffic.ts'
import type { BlobTransport, RemoteTransport } from './wire/transport.ts'

export interface RemoteDefinition {
  /** The ledger's name; a single remote is called `default`. */
  readonly name: string
  /** For people: what the remote is shown as. Carries no credentials. */
  readonly url: string
  readonly transport: RemoteTransport
  /** Reads single objects there; closed with the link. */
  readonly reader?: SiteReader
  /** How much goes to it and how fast; the transport counts there. */
  readonly traffic: LinkTraffic
  readonly ledger: RemoteLedger
  /** Names the link. */
  readonly epoch: number
  readonly filter: PlaceFilter
  /** What is other for this remote than for all. */
  readonly options?: Partial<ReplicationOptions>
  /** Its acknowledgements count for those who wait in sync mode. */
  readonly isSync?: boolean
}

export interface ReplicatorOptions {
  readonly feed: ChangeFeed
  readonly holdings: StoreHoldings
  readonly sink: ChangeSink
  /** What is compared with the remotes. */
  readonly site: ComparedSite
  readonly identity: VolumeIdentity
  /** None at a site that only receives. */
  readonly remotes: readonly RemoteDefinition[]
  /** Of all remotes, those that are paused included; of those that are shipped to unless told. */
  readonly linked?: () => readonly RemoteLedger[]
  /** Where remotes fetch large objects from. */
  readonly advertiseUrl: string
  readonly blobTransport: BlobTransport
  readonly options: ReplicationOptions
  /** Others may send compressed. */
  readonly takesCompressed: boolean
  /** How often all remotes are compared unasked, ms; 0 for never. */
  readonly verifyIntervalMs?: number
  /** For the remotes that are sync. */
  readonly sync?: SyncOptions
  readonly roles?: Roles
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface ReplicationFigures {
  readonly links: readonly {
    readonly name: string
    readonly tally: LinkTally
    readonly traffic: Traffic | undefined
  }[]
  readonly received: ResultTally
}

export interface Replicator {
  /** For `createHttpReceiver`, or a simulated network. */
  readonly receiver: Receiver
  readonly tickets: TicketBook
  readonly verifier: Verifier
  /** What {@link Verifier.begin} can be told to compare with. */
  verifiedRemotes(): readonly VerifiedRemote[]
  /** Those that single objects can be read from. */
  readableRemotes(): readonly ReadableRemote[]
  /** Where writes wait for the remotes that are sync. */
  readonly gate: SyncGate
  /** Begins to ship. A remote that is away delays nothing. */
  start(): void
  /** Begins to ship to a further remote, at once if this one has been started. */
  add(remote: RemoteDefinition): void
  /** Ends shipping to a remote, promptly; what was not acknowledged stays pending in its ledger. */
  remove(name: string): Promise<void>
  /** The same for a remote that is to be added anew: those who wait for it go on waiting. */
  suspend(name: string): Promise<void>
  /** One for each remote, in the order given. */
  status(): Promise<readonly LinkStatus[]>
  /** What was counted since the start. */
  figures(): ReplicationFigures
  /** Of the remotes that are shipped to. */
  ledgers(): readonly RemoteLedger[]
  /**
   * Why the site that answers there cannot be the remote of this name: it is this one, or another
   * remote's. Undefined when it can be, and when nobody answers in time.
   */
  objectionTo(
    name: string,
    asked: { readonly transport: RemoteTransport; readonly waitMs: number },
  ): Promise<ComioError | undefined>
  /** What each remote says of itself now, bounded by `waitMs`; they hear what this site is. */
  ask(waitMs: number): Promise<readonly RemoteReport[]>
  /** Ends promptly. What was not acknowledged stays pending, what was fetched is kept. */
  close(): Promise<void>
}

export function createReplicator(options: ReplicatorOptions): Replicator {
  return new RunningReplicator(options)
}

class RunningReplicator implements Replicator {
  readonly receiver: Receiver
  readonly tickets: TicketBook
  readonly verifier: Verifier
  readonly gate: SyncGate
  readonly #options: ReplicatorOptions
  readonly #logger: Logger
  readonly #links = new Map<string, Link>()
  readonly #definitions = new Map<string, RemoteDefinition>()
  readonly #met: MetSites
  #started = false

  constructor(options: ReplicatorOptions) {
    const { feed, sink, identity, blobTransport, clock, random } = options
    this.#options = options
    this.#logger = options.logger.child({ component: 'replication' })
    this.#met = new MetSites(options.linked ?? (() => this.ledgers()))
    this.tickets = new TicketBook({ clock, random })
    const { site, verifyIntervalMs = 0 } = options
    const compression = options.takesCompressed ? 'auto' : 'off'
    const traffic = new LinkTraffic({ clock, compression, bandwidthLimit: 0 })
    this.gate = new SyncGate({ ...(options.sync ?? defaultSyncOptions), feed, clock })
    this.receiver = new Receiver({
      responder: new Responder({ site, identity, tickets: this.tickets, traffic }),
      sink,
      identity,
      head: () => feed.head(),
      roles: options.roles,
      owedTo: (volumeId) => this.#owedTo(volumeId),
      blobTransport,
      rangeBytes: options.options.rangeBytes,
      abandonedAfterMs: options.options.abandonedAfterMs,
      takesCompressed: options.takesCompressed,
      clock,
      random,
      logger: this.#logger,
    })
    this.verifier = new Verifier({
      remotes: () => this.verifiedRemotes(),
      clock,
      logger: this.#logger,
      intervalMs: verifyIntervalMs,
    })
    for (const remote of options.remotes) this.add(remote)
  }

  start(): void {
    this.#started = true
    this.verifier.start()
    for (const link of this.#links.values()) link.start()
  }

  add(remote: RemoteDefinition): void {
    const { name, url, transport, traffic, ledger, epoch, filter } = remote
    assert(!this.#links.has(name), 'a remote has one link')
    const { feed, holdings, identity, advertiseUrl, roles, options, clock, random } = this.#options
    // What was handed out to an earlier link of this remote and is not done goes out again.
    ledger.handOutAgain()
    const link = new Link({
      ...{
        name,
        url,
        transport,
        traffic,
        ledger,
        epoch,
        feed,
        holdings,
        identity,
        advertiseUrl,
        clock,
        random,
      },
      roles,
      met: this.#met,
      watcher: this.#watcherOf(remote),
      tickets: this.tickets,
      filter,
      options: { ...options, ...remote.options },
      logger: this.#logger.child({ remote: name }),
    })
    this.#links.set(name, link)
    this.#definitions.set(name, remote)
    if (this.#started) link.start()
  }

  async remove(name: string): Promise<void> {
    this.gate.remove(name)
    await this.#end(name)
  }

  async suspend(name: string): Promise<void> {
    this.gate.suspend(name)
    await this.#end(name)
  }

  verifiedRemotes(): readonly VerifiedRemote[] {
    const { site, sink, identity, clock, blobTransport: blobs } = this.#options
    return [...this.#definitions.values()].map(({ name, url, transport, ledger, reader }) => ({
      name,
      options: { site, sink, identity, transport, blobs, ledger, reader, url, clock },
    }))
  }

  readableRemotes(): readonly ReadableRemote[] {
    return [...this.#definitions.values()].flatMap(({ name, reader, ledger }) =>
      reader === undefined ? [] : { name, reader, ledger },
    )
  }

  status(): Promise<readonly LinkStatus[]> {
    return Promise.all([...this.#links.values()].map((link) => link.status()))
  }

  figures(): ReplicationFigures {
    const links = [...this.#links.values()].map((link) => ({
      name: link.name,
      tally: link.tally,
      traffic: link.traffic(),
    }))
    return { links, received: this.receiver.tally }
  }

  ask(waitMs: number): Promise<readonly RemoteReport[]> {
    return Promise.all([...this.#links.values()].map((link) => link.ask(waitMs)))
  }

  ledgers(): readonly RemoteLedger[] {
    return [...this.#definitions.values()].map(({ ledger }) => ledger)
  }

  async objectionTo(
    name: string,
    { transport, waitMs }: { readonly transport: RemoteTransport; readonly waitMs: number },
  ): Promise<ComioError | undefined> {
    const { feed, clock } = this.#options
    const stop = new AbortController()
    const timer = clock.after(waitMs, () => stop.abort())
    const epoch = Math.max(0, Math.floor(clock.now()))
    const greeter = { ...this.#options, head: () => feed.head(), roles: this.#options.roles }
    const hello = helloOf(greeter, { epoch, filterHash: noFilterHash, asksOnly: true })
    try {
      const { volumeId } = await transport.handshake(hello, stop.signal)
      this.#met.refuseTwice(name, volumeId)
      return undefined
    } catch (error) {
      rethrowAssertion(error)
      return isObjection(error) ? error : undefined
    } finally {
      timer.cancel()
    }
  }

  async close(): Promise<void> {
    this.gate.close()
    const links = [...this.#links.values()]
    const readers = this.readableRemotes().map(({ reader }) => reader.close())
    const ends = [...links.map((link) => link.close()), ...readers, this.receiver.close()]
    await Promise.all([...ends, this.verifier.close()])
    this.tickets.close()
  }

  #watcherOf({ name, isSync, ledger }: RemoteDefinition): LinkWatcher | undefined {
    if (isSync === true) return this.gate.add(ledger)
    this.gate.remove(name)
    return undefined
  }

  async #end(name: string): Promise<void> {
    const link = this.#links.get(name)
    const reader = this.#definitions.get(name)?.reader
    this.#links.delete(name)
    this.#definitions.delete(name)
    this.#met.forget(name)
    await Promise.all([link?.close(), reader?.close()])
  }

  #owedTo(volumeId: string): number | undefined {
    const owed = this.ledgers().filter((one) => one.confirmedPeer()?.volumeId === volumeId)
    if (owed.length === 0) return undefined
    return owed.reduce((sum, ledger) => sum + ledger.counters().pending, 0)
  }
}

/** Everything else may pass, and shows in the state of the link. */
function isObjection(error: unknown): error is ComioError {
  const codes = ['SELF_REPLICATION', 'SITE_ID_TAKEN']
  if (error instanceof RemoteRefusedError) return codes.includes(error.remoteCode)
  return error instanceof RemoteTwiceError
}
