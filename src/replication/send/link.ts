/** One remote: connection, window, workers, pulls and figures put together. */
import { rethrowAssertion } from '../../base/assert.ts'
import { Backoff } from '../../base/backoff.ts'
import { type Clock, delay } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type {
  ChangeFeed,
  LedgerCounters,
  RemoteLedger,
  StoreHoldings,
} from '../../store/model/object-store.ts'
import type { PlaceFilter } from '../../store/model/place-filter.ts'
import type { VolumeIdentity } from '../../volume/volume.ts'
import { pushLanes, type ReplicationOptions } from '../options.ts'
import { LinkTally } from '../tally.ts'
import { filterHashOf } from '../wire/filter-hash.ts'
import type { LinkTraffic } from '../wire/link-traffic.ts'
import type { RemoteReport, Roles } from '../wire/standing.ts'
import type { TicketBook } from '../wire/tickets.ts'
import type { Traffic } from '../wire/traffic.ts'
import type { RemoteTransport } from '../wire/transport.ts'
import { Connection } from './connection.ts'
import { DurableLow } from './durable-low.ts'
import { HoldingsClaim } from './holdings-claim.ts'
import { LinkMeter } from './link-meter.ts'
import type { MetSites } from './met-sites.ts'
import { PullTracker } from './pull-tracker.ts'
import { Pusher } from './pusher.ts'
import { SendGuard } from './send-guard.ts'
import { SendWindow } from './send-window.ts'
import { Sender } from './sender.ts'
import { type Settled, Settler } from './settler.ts'
import type { Shipment } from './shipment.ts'
import { StallWatch } from './stall-watch.ts'
import type { LinkWatcher } from './sync-gate.ts'
import { TransferChoice } from './transfer-choice.ts'

/** What a link is doing: the names of the control plane's documents. */
export type LinkState =
  /** First handshake not yet made, or greeted again after it was restarted. */
  | 'connecting'
  | 'catching-up'
  /** Nothing pending. */
  | 'idle'
  | 'streaming'
  /** Not reachable, or it answers with errors of its own: probed until it answers. */
  | 'unreachable'
  /** It says no: wrong token, clock skew, protocol. `lastError` has the reason. */
  | 'refused'
  /** It has no room: what takes some waits, and is tried now and then. */
  | 'full'
  /** This end of it fails: a part stopped for a reason of its own, and is started again. */
  | 'failing'

export interface LinkStatus {
  readonly name: string
  readonly url: string
  readonly state: LinkState
  /** Wall ms. */
  readonly stateSince: number
  /** Every change up to this seq is done. */
  readonly cursor: number
  readonly head: number
  readonly counters: LedgerCounters
  /** Wall ms of the oldest pending change; undefined when none is pending. */
  readonly oldestPending: number | undefined
  /** Changes that wait until they are old enough, and wall ms when the oldest of them goes. */
  readonly delayed: { readonly count: number; readonly until: number } | undefined
  /** Changes on the wire now, those being pulled included. */
  readonly inFlight: number
  readonly pulling: number
  /** Acknowledged changes per second over the last ten seconds. */
  readonly rate: number
  /** Bytes of changes and large objects sent since this process began, and how many compression saved. */
  readonly wireBytes: number
  readonly savedBytes: number
  readonly lagP50Ms: number | null
  readonly lagP99Ms: number | null
  readonly lastError: string | undefined
  readonly lastErrorAt: number | undefined
  /** Wall ms since when a backlog goes without an acknowledgement for too long. */
  readonly stalledSince: number | undefined
  /** How often a part of this link has failed and was started again. */
  readonly restarts: number
}

export interface LinkOptions {
  readonly name: string
  /** For people: what the remote is shown as. */
  readonly url: string
  readonly transport: RemoteTransport
  readonly traffic: LinkTraffic
  readonly ledger: RemoteLedger
  readonly feed: ChangeFeed
  readonly holdings: StoreHoldings
  readonly tickets: TicketBook
  readonly identity: VolumeIdentity
  readonly advertiseUrl: string
  /** Names the link: both ends know it, and what comes under an old one is refused. */
  readonly epoch: number
  readonly filter: PlaceFilter
  readonly roles: Roles | undefined
  readonly met: MetSites
  readonly options: ReplicationOptions
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Who waits for this remote's acknowledgements, in sync mode. */
  readonly watcher: LinkWatcher | undefined
}

export class Link {
  readonly #options: LinkOptions
  readonly #meter: LinkMeter
  readonly #low: DurableLow
  readonly #claims: HoldingsClaim
  readonly #guard: SendGuard
  readonly #connection: Connection
  readonly #window: SendWindow
  readonly #settler: Settler
  readonly #sender: Sender
  readonly #pulls: PullTracker
  readonly #pusher: Pusher
  readonly #choice: TransferChoice
  readonly #stalls: StallWatch
  /** For the metrics. */
  readonly tally = new LinkTally()
  readonly #unsubscribe: readonly (() => void)[]
  readonly #stop = new AbortController()
  #loops: readonly Promise<void>[] = []
  #restarts = 0
  /** Monotonic ms until which a failure of this end counts as going on. */
  #failingUntil = Number.NEGATIVE_INFINITY
  #state: LinkState = 'connecting'
  #stateSince: number
  /** While the position is below this, the link is catching up. */
  #catchUpTo = 0
  #lastError: { readonly reason: string; readonly at: number } | undefined

  constructor(options: LinkOptions) {
    this.#options = options
    this.#stateSince = options.clock.now()
    this.#meter = new LinkMeter(options.clock)
    this.#low = new DurableLow(options.ledger)
    this.#claims = new HoldingsClaim({ ...options, low: this.#low, scope: options.filter })
    this.#choice = new TransferChoice(options.options.transfer, options.clock)
    this.#connection = this.#makeConnection()
    this.#guard = this.#makeGuard()
    this.#window = this.#makeWindow()
    this.#settler = this.#makeSettler()
    this.#stalls = this.#makeStallWatch()
    this.#sender = this.#makeSender()
    this.#pusher = this.#makePusher()
    this.#pulls = new PullTracker({
      transport: options.transport,
      connection: this.#connection,
      window: this.#window,
      sender: this.#sender,
      identity: options.identity,
      clock: options.clock,
    })
    this.#unsubscribe = [
      options.feed.onAdvance(() => {
        this.#window.ring()
        this.#stalls.look()
      }),
      options.ledger.onRewind(() => {
        this.#low.rewound()
        this.#claims.rewound()
        this.#connection.rewound()
        this.#window.rewind()
        this.#stalls.look()
      }),
      options.tickets.onFree(() => this.#window.feed(1)),
      options.holdings.onChange(() => this.#connection.heard()),
    ]
  }

  start(): void {
    const { workers } = this.#options.options
    const loops = [
      () => this.#connection.run(),
      () => this.#pulls.run(),
      () => this.#window.run(async () => (await this.#connection.opened()) !== undefined),
      ...Array.from({ length: workers }, (_, worker) => () => this.#sender.work(worker)),
      ...Array.from({ length: pushLanes }, () => () => this.#pusher.run()),
    ]
    this.#loops = loops.map((loop) => this.#keepRunning(loop))
    this.#stalls.look()
  }

  get name(): string {
    return this.#options.name
  }

  traffic(): Traffic | undefined {
    return this.#options.transport.traffic?.()
  }

  async status(): Promise<LinkStatus> {
    const { name, url, feed, ledger } = this.#options
    const oldestPending = await ledger.oldestPending()
    this.#refreshState()
    const [p50 = null, p99 = null] = this.#meter.lagPercentiles([0.5, 0.99])
    return {
      name,
      url,
      state: this.#state,
      stateSince: this.#stateSince,
      cursor: ledger.position().low,
      head: feed.head(),
      counters: ledger.counters(),
      oldestPending,
      delayed: this.#delayed(),
      inFlight: this.#window.count('sending') + this.#window.count('pulling'),
      pulling: this.#window.count('pulling'),
      rate: this.#meter.ratePerSecond(),
      wireBytes: this.#options.traffic.wireBytes,
      savedBytes: this.#options.traffic.savedBytes,
      lagP50Ms: p50,
      lagP99Ms: p99,
      lastError: this.#lastError?.reason,
      lastErrorAt: this.#lastError?.at,
      stalledSince: this.#stalls.stalledSince,
      restarts: this.#restarts,
    }
  }

  /** What the remote says of itself now, whatever state the link is in. */
  async ask(waitMs: number): Promise<RemoteReport> {
    const { name: remote, url, clock } = this.#options
    const stop = new AbortController()
    const timer = clock.after(waitMs, () => stop.abort())
    try {
      const signal = AbortSignal.any([stop.signal, this.#stop.signal])
      const { siteId, standing, owes } = await this.#connection.ask(signal, {
        asksOnly: true,
      })
      return { remote, url, answers: true, siteId, standing, owes }
    } catch (error) {
      rethrowAssertion(error)
      const reason = stop.signal.aborted ? 'no answer in time' : messageOf(error)
      return { remote, url, answers: false, reason }
    } finally {
      timer.cancel()
    }
  }

  /** Ends promptly: what is on the wire is aborted, and stays pending in the ledger. */
  async close(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    this.#stop.abort()
    this.#stalls.close()
    this.#guard.close()
    const pulls = this.#window.pulls()
    this.#window.close()
    this.#pulls.close()
    this.#pusher.close()
    this.#connection.close()
    await Promise.all(this.#loops)
    await this.#settler.close()
    this.#window.land(pulls)
    await this.#options.transport.close()
  }

  /** A part that ends by a failure is started again after a pause: a link never dies in silence. */
  async #keepRunning(loop: () => Promise<void>): Promise<void> {
    const { clock, logger, options } = this.#options
    while (!this.#stop.signal.aborted) {
      try {
        await loop()
        return
      } catch (error) {
        rethrowAssertion(error)
        const reason = messageOf(error)
        this.#restarts++
        // Long enough that a part which fails again right after its pause shows one lasting failure.
        this.#failingUntil = clock.monotonic() + 2 * options.retryDelayMs
        this.#noteError(`replication failed here: ${reason}`)
        this.#refreshState()
        logger.error({ error: reason, restarts: this.#restarts }, 'A part of replication failed')
        await delay(clock, options.retryDelayMs, this.#stop.signal)
      }
    }
  }

  #makeConnection(): Connection {
    const { transport, ledger, feed, identity, advertiseUrl, url, roles } = this.#options
    const { epoch, filter, met, clock, logger } = this.#options
    return new Connection({
      ...{ transport, ledger, feed, identity, advertiseUrl },
      low: this.#low,
      claims: this.#claims,
      filterHash: filterHashOf(filter),
      ...{ epoch, url, roles, met, clock, logger },
      backoff: this.#makeBackoff(),
      heartbeatMs: this.#options.options.heartbeatMs,
      drained: () => this.#drain(),
      onChange: () => this.#onGateChange(),
      onError: (reason) => this.#noteError(reason),
    })
  }

  #makeGuard(): SendGuard {
    const { clock, feed, options, watcher } = this.#options
    return new SendGuard({
      limits: options,
      clock,
      head: () => feed.head(),
      isEcho: (place) => this.#connection.isEcho(place),
      onDue: () => this.#window.ring(),
      onHeld: (place) => watcher?.unable(place, 'held'),
    })
  }

  #makeWindow(): SendWindow {
    const { ledger, clock, options } = this.#options
    return new SendWindow({
      ledger,
      guard: this.#guard,
      clock,
      laterBackoff: this.#makeBackoff(),
      queueSize: options.queueSize,
      workers: options.workers,
      batchSize: options.batchSize,
      batchBytes: options.batchBytes,
      inlineLimit: options.inlineLimit,
      isEcho: (place) => this.#connection.isEcho(place),
      onEcho: (shipment) => {
        this.#window.enter([shipment], 'settling')
        this.#settler.add([{ shipment, result: 'skipped' }])
      },
    })
  }

  #makeSettler(): Settler {
    const { ledger, clock, logger, options } = this.#options
    return new Settler({
      ledger,
      low: this.#low,
      clock,
      logger,
      retryDelayMs: options.retryDelayMs,
      onAnswered: (settled) => this.#options.watcher?.answered(settled),
      onSettled: (settled) => this.#onSettled(settled),
      onError: (reason) => this.#noteError(reason),
    })
  }

  #makeSender(): Sender {
    const { transport, ledger, feed, tickets, identity, clock, logger } = this.#options
    const { inlineLimit, retryAttempts, retryDelayMs } = this.#options.options
    const { traffic } = this.#options
    const pushes = (): boolean => this.#choice.pushes(this.#connection.session?.answer)
    return new Sender({
      transport,
      connection: this.#connection,
      window: this.#window,
      settler: this.#settler,
      ledger,
      low: this.#low,
      claims: this.#claims,
      assembly: {
        feed,
        tickets,
        siteId: identity.siteId,
        inlineLimit,
        traffic,
        pushes,
        onFetched: () => this.#stalls.alive(),
      },
      tally: this.tally,
      sender: identity,
      retryAttempts,
      retryDelayMs,
      clock,
      logger,
      onOffered: (shipment) => this.#onOffered(shipment),
      onUnreached: () => this.#choice.unreached(),
      onUnable: ({ place }, reason) => this.#options.watcher?.unable(place, reason),
      onError: (reason) => this.#noteError(reason),
    })
  }

  #makePusher(): Pusher {
    const { transport, tickets, clock, random, options } = this.#options
    return new Pusher({
      transport,
      connection: this.#connection,
      tickets,
      rangeBytes: options.rangeBytes,
      retryDelayMs: options.retryDelayMs,
      clock,
      random,
      onLapsed: (shipment) =>
        this.#sender.finish(shipment, { result: 'again', reason: 'its lease ended meanwhile' }),
      onError: (reason) => this.#noteError(reason),
    })
  }

  #makeStallWatch(): StallWatch {
    const { ledger, clock, logger, options } = this.#options
    return new StallWatch({
      clock,
      stallAfterMs: options.stallAfterMs,
      hasBacklog: () => this.#isBehind(ledger.counters()),
      onStall: (since) =>
        logger.warn(
          { since: new Date(since).toISOString(), pending: ledger.counters().pending },
          'Nothing was acknowledged for too long: replication to this remote is stalled',
        ),
      onEnd: () => logger.info({}, 'Replication to this remote moves again'),
    })
  }

  #makeBackoff(): Backoff {
    const { random, options } = this.#options
    return new Backoff({ random, maxMs: options.retryDelayMs })
  }

  #onOffered(shipment: Shipment): void {
    this.#pulls.ring()
    if (shipment.pushTicket !== undefined) this.#pusher.add(shipment)
  }

  /** Nothing of the old position may be settled after it has moved: pulls are given up too. */
  async #drain(): Promise<void> {
    await this.#window.drained()
    for (const shipment of this.#window.pulls()) this.#window.drop(shipment)
  }

  #onSettled(settled: readonly Settled[]): void {
    const now = this.#options.clock.now()
    let isAcknowledged = false
    for (const { shipment, result } of settled) {
      if (result === 'replicated') {
        this.#meter.record(now - shipment.place.since)
        isAcknowledged = true
      }
      this.#window.drop(shipment)
    }
    if (isAcknowledged) this.#stalls.alive()
    else this.#stalls.look()
    this.#options.watcher?.settled(settled)
    this.#connection.settled()
    this.#refreshState()
  }

  #onGateChange(): void {
    if (this.#connection.state === 'open') {
      const { feed, ledger, options } = this.#options
      const behind = ledger.counters().pending > options.batchSize
      this.#catchUpTo = behind ? feed.head() : 0
      this.#window.ring()
    }
    this.#options.watcher?.presence(this.#connection.state === 'open')
    this.#refreshState()
  }

  #noteError(reason: string): void {
    this.#lastError = { reason, at: this.#options.clock.now() }
  }

  #refreshState(): void {
    const state = this.#presentState()
    if (state === this.#state) return
    this.#state = state
    this.#stateSince = this.#options.clock.now()
  }

  #presentState(): LinkState {
    if (this.#options.clock.monotonic() < this.#failingUntil) return 'failing'
    const gate = this.#connection.state
    if (gate !== 'open') return gate
    if (this.#connection.isFull || this.#window.isFull) return 'full'
    if (this.#window.laterReason !== undefined) return 'refused'
    const { ledger, options } = this.#options
    const counters = ledger.counters()
    const { pending } = counters
    if (!this.#isBehind(counters)) return 'idle'
    if (pending <= options.batchSize) this.#catchUpTo = 0
    // Finding the position costs a walk over the outstanding set: only while it matters.
    if (this.#catchUpTo > 0 && ledger.position().low >= this.#catchUpTo) this.#catchUpTo = 0
    return this.#catchUpTo > 0 ? 'catching-up' : 'streaming'
  }

  #delayed(): LinkStatus['delayed'] {
    const until = this.#guard.waitsUntil
    const count = this.#options.ledger.counters().ahead
    return until === undefined || count === 0 ? undefined : { count, until }
  }

  /** Whether there is something to be sent now: not what is held, nor what is not old enough. */
  #isBehind({ pending, replaying, held, ahead }: LedgerCounters): boolean {
    return pending + replaying - held - (this.#guard.waitsUntil === undefined ? 0 : ahead) > 0
  }
}
