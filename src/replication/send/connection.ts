/**
 * The connection to one remote: a gate that is open while the remote answers. When an exchange fails
 * for the remote's sake the gate closes, the remote is probed by handshakes after 100 ms, doubling up
 * to `retryDelayMs`, and what both ends know decides from where to send before the gate opens again.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import type { Backoff } from '../../base/backoff.ts'
import type { Clock } from '../../base/clock.ts'
import { delay } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import { Wakeup } from '../../base/wakeup.ts'
import type {
  ChangeFeed,
  ConfirmedPeer,
  FeedPlace,
  RemoteLedger,
} from '../../store/model/object-store.ts'
import { siteOf, timeOf } from '../../store/model/version.ts'
import type { VolumeIdentity } from '../../volume/volume.ts'
import { decodeAnswer } from '../wire/answer-codec.ts'
import { encodeBatchHeader } from '../wire/batch-codec.ts'
import { type Failure, judgeFailure } from '../wire/failure.ts'
import { helloOf } from '../wire/hello.ts'
import type { HelloAnswer } from '../wire/protocol.ts'
import type { Roles } from '../wire/standing.ts'
import type { RemoteTransport } from '../wire/transport.ts'
import type { DurableLow } from './durable-low.ts'
import type { HoldingsClaim } from './holdings-claim.ts'
import type { MetSites } from './met-sites.ts'
import { planStart, type StartPlan } from './reconcile.ts'

/** One opening of the gate. */
export interface Session {
  readonly answer: HelloAnswer
  /** Aborted when what is under way must not count any more. */
  readonly signal: AbortSignal
}

export type GateState = 'connecting' | 'open' | 'unreachable' | 'refused' | 'full'

export interface ConnectionOptions {
  readonly transport: RemoteTransport
  readonly ledger: RemoteLedger
  readonly low: DurableLow
  readonly claims: HoldingsClaim
  readonly feed: ChangeFeed
  readonly identity: VolumeIdentity
  readonly advertiseUrl: string
  /** Names the link. */
  readonly epoch: number
  readonly filterHash: string
  /** Where the remote is reached, for people. */
  readonly url: string
  readonly roles: Roles | undefined
  /** Which sites the links of this one lead to. */
  readonly met: MetSites
  readonly clock: Clock
  readonly logger: Logger
  readonly backoff: Backoff
  /** An idle remote is asked this often whether it is still there. */
  readonly heartbeatMs: number
  /** Resolves when nothing is on the wire or being settled: before the position moves. */
  readonly drained: () => Promise<void>
  readonly onChange: () => void
  readonly onError: (reason: string) => void
}

/** What the remote said is made durable at most this often. */
const saveEveryMs = 1000

/** What an answer tells of the remote itself. */
interface PeerWords {
  /** The low-water mark of this site that it has stored. */
  readonly through: number
  /** The highest seq of its own feed. */
  readonly head: number
}

export class Connection {
  readonly #options: ConnectionOptions
  readonly #stop = new AbortController()
  readonly #bell = new Wakeup()
  #state: GateState = 'connecting'
  #session: Session | undefined
  #abort = new AbortController()
  #waiting: (() => void)[] = []
  #immediate = true
  #isFull = false
  #lastExchange = 0
  #lastLogged = ''
  /** What the remote last said of itself, and what of that is on disk. */
  #peer: ConfirmedPeer | undefined
  #saved: ConfirmedPeer | undefined
  #savedAt = Number.NEGATIVE_INFINITY
  /** Something was said, or done, since the last save. */
  #hasNews = false
  #sendAllUpTo: number

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#saved = options.ledger.confirmedPeer()
    this.#peer = this.#saved
    this.#sendAllUpTo = this.#saved?.sendAllUpTo ?? 0
  }

  get state(): GateState {
    return this.#state
  }

  /** The open session, undefined while the gate is closed. */
  get session(): Session | undefined {
    return this.#session
  }

  /** It said that it has no room, and has taken no batch since. */
  get isFull(): boolean {
    return this.#isFull
  }

  /** The open session, waiting for one; undefined when closed for good. */
  async opened(): Promise<Session | undefined> {
    while (this.#session === undefined && !this.#stop.signal.aborted) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    return this.#stop.signal.aborted ? undefined : this.#session
  }

  /** Keeps the gate until closed. */
  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      if (this.#session === undefined) await this.#connect()
      else await this.#watch(this.#session)
    }
  }

  /** An exchange of `session` failed for the remote's sake. */
  trip(session: Session, failure: Failure): void {
    if (this.#session !== session) return
    this.#session = undefined
    const { backoff } = this.#options
    // A remote that merely forgot us is greeted at once, but only once without a success between.
    this.#immediate = failure.kind === 'handshake' && backoff.fresh
    if (this.#immediate) {
      backoff.next()
      this.#enter('connecting', undefined)
    } else this.#enter(gateAfter(failure), failure.reason)
    this.#bell.ring()
  }

  /** An exchange succeeded; `said` is what the answer told of the remote itself. */
  exchanged(session: Session, said?: PeerWords): void {
    if (this.#session !== session) return
    const { clock, backoff } = this.#options
    backoff.reset()
    this.#lastExchange = clock.monotonic()
    if (said === undefined) return
    this.#isFull = false
    this.#learn(said)
    this.#noteNews()
  }

  /** Changes are done, perhaps without an exchange: once all are, the remote is to know. */
  settled(): void {
    this.#noteNews()
  }

  /** This site has come to know more of what is all here. */
  heard(): void {
    if (
      this.#session !== undefined &&
      this.#options.claims.news(this.#session.answer) !== undefined
    )
      this.#noteNews()
  }

  /** The position moved back for this site's own sake: everything up to here is sent. */
  rewound(): void {
    this.#sendAllUpTo = this.#options.feed.head()
    if (this.#peer === undefined) return
    this.#peer = { ...this.#peer, sendAllUpTo: this.#sendAllUpTo }
    this.#noteNews()
  }

  /** Whether the remote made the change itself, and has it still: it need not be sent. */
  isEcho(place: FeedPlace): boolean {
    // A bucket's register holds two versions: that it took one of them from the remote does not
    // say that the remote has the other.
    if (place.slot.kind === 'bucket') return false
    if (place.seq <= this.#sendAllUpTo) return false
    const peer = this.#session?.answer
    if (peer === undefined || siteOf(place.version) !== peer.siteId) return false
    return timeOf(place.version) >= peer.incarnationSince
  }

  /** Whether the remote answers right now. */
  async probe(): Promise<boolean> {
    const session = this.#session
    if (session === undefined) return false
    return await this.#heartbeat(session)
  }

  /** Ends what waits; `run` resolves when all has ended. */
  close(): void {
    this.#stop.abort()
    this.#abort.abort()
    this.#session = undefined
    this.#bell.ring()
    this.#release()
  }

  async #connect(): Promise<void> {
    const { clock, backoff } = this.#options
    if (!this.#immediate) await delay(clock, backoff.next(), this.#stop.signal)
    this.#immediate = false
    if (this.#stop.signal.aborted) return
    try {
      const answer = await this.#greet()
      await this.#agree(answer)
      if (this.#stop.signal.aborted) return
      this.#abort = this.#abort.signal.aborted ? new AbortController() : this.#abort
      this.#session = { answer, signal: this.#abort.signal }
      this.#lastExchange = clock.monotonic()
      // What was done meanwhile is told when there is nothing else to tell.
      this.#hasNews = true
      this.#options.logger.info(
        { remoteSite: answer.siteId, remoteVolume: answer.volumeId },
        'Connected to the remote',
      )
      this.#lastLogged = ''
      this.#enter('open', undefined)
      this.#release()
    } catch (error) {
      rethrowAssertion(error)
      if (this.#stop.signal.aborted) return
      const failure = judgeFailure(error)
      const saysNo = failure.kind === 'content' && !failure.blamesRemote
      this.#enter(saysNo ? 'refused' : gateAfter(failure), failure.reason)
    }
  }

  /** Makes sure of who it is before it takes this for the link of this site. @throws RemoteTwiceError */
  async #greet(): Promise<HelloAnswer> {
    const { ledger, met } = this.#options
    const { remote } = ledger
    if (!met.isSure(remote)) {
      const { volumeId } = await this.ask(this.#stop.signal, { asksOnly: true })
      met.meet(remote, volumeId)
    }
    const answer = await this.ask(this.#stop.signal)
    // One of several addresses may have answered first, and another one now.
    met.meet(remote, answer.volumeId)
    return answer
  }

  /** Greets the remote, which changes nothing there, or only asks who answers. */
  async ask(
    signal: AbortSignal,
    { asksOnly }: { readonly asksOnly: boolean } = { asksOnly: false },
  ): Promise<HelloAnswer> {
    const { feed, transport, epoch, filterHash, roles, url } = this.#options
    const greeter = { ...this.#options, head: () => feed.head() }
    const hello = helloOf(greeter, { epoch, filterHash, ...(asksOnly ? { asksOnly } : {}) })
    const answer = await transport.handshake(hello, signal)
    const { siteId, standing } = answer
    if (standing !== undefined) roles?.heard({ siteId, url, standing })
    return answer
  }

  /** Moves the position if it must be moved, and makes sure that the remote remembers this site. */
  async #agree(answer: HelloAnswer): Promise<void> {
    const { identity, ledger, low } = this.#options
    const confirmed = this.#peer
    const own = Math.max(ledger.position().low, low.highest)
    const plan = planStart({ own: identity, low: own, answer, confirmed })
    // From the start: it may have lost, or never had, what it made itself.
    if (plan.kind === 'replay' || confirmed === undefined) await this.#sendAll()
    if (plan.kind === 'replay') await this.#replay(plan)
    const { volumeId, incarnation } = answer
    const isKnown = answer.applied?.incarnation === identity.incarnation
    const said = isKnown
      ? { through: answer.applied.through, head: answer.head }
      : await this.#sendMark(answer)
    this.#peer = { volumeId, incarnation, ...said, sendAllUpTo: this.#sendAllUpTo }
    if (!isSamePeer(this.#peer, this.#saved)) await this.#save()
  }

  async #sendAll(): Promise<void> {
    this.#sendAllUpTo = this.#options.feed.head()
    if (this.#peer === undefined) return
    this.#peer = { ...this.#peer, sendAllUpTo: this.#sendAllUpTo }
    await this.#save()
  }

  async #replay(plan: StartPlan & { readonly kind: 'replay' }): Promise<void> {
    const { ledger, logger, drained } = this.#options
    // What is still on the wire was meant for the remote as it was: it must not be settled after.
    this.#abort.abort()
    await drained()
    if (this.#stop.signal.aborted) return
    // A site that was set back knows what it had given up for the remote.
    const scope = { from: 0, keepDiscarded: plan.rolledBack }
    const replayed = await ledger.replay(scope, { dryRun: false })
    logger.warn(
      { reason: plan.reason, count: replayed.count },
      plan.rolledBack
        ? 'This site was set back to an older state: sending everything to the remote again'
        : 'Sending everything to the remote again',
    )
  }

  /** An empty batch, so that the remote stores where we stand, and forgetting it shows. */
  async #sendMark(answer: HelloAnswer): Promise<PeerWords> {
    const { identity, low, claims, transport } = this.#options
    const { volumeId, incarnation } = identity
    const { session } = answer
    const header = encodeBatchHeader({ session, volumeId, incarnation, through: low.value }, 0)
    const claim = claims.news(answer)
    const pieces = claim === undefined ? [header] : [header, claim.bytes]
    const { through, head } = decodeAnswer(await transport.sendBatch(pieces, this.#stop.signal))
    claim?.told()
    return { through, head }
  }

  /**
   * Waits for a trip; makes durable what the remote said, now and then; asks a remote that was silent
   * for long whether it is there.
   */
  async #watch(session: Session): Promise<void> {
    const { clock } = this.#options
    const heartbeatAt = this.#lastExchange + this.#options.heartbeatMs
    const saveAt = this.#hasNews ? this.#savedAt + saveEveryMs : heartbeatAt
    const pause = Math.max(0, Math.min(heartbeatAt, saveAt) - clock.monotonic())
    const timer = clock.after(pause, () => this.#bell.ring())
    await this.#bell.wait()
    timer.cancel()
    if (this.#session !== session || this.#stop.signal.aborted) return
    const now = clock.monotonic()
    if (this.#hasNews && now - this.#savedAt >= saveEveryMs) await this.#rest(session)
    if (this.#session !== session || this.#stop.signal.aborted) return
    if (now - this.#lastExchange < this.#options.heartbeatMs || !(await this.#heartbeat(session)))
      return
    // Half a minute of peace: should the remote be started again, it is greeted at once.
    if (this.#session === session) this.#options.backoff.reset()
  }

  /** Saves what the remote said; when nothing is pending, it is told so, and remembers it too. */
  async #rest(session: Session): Promise<void> {
    const { clock, ledger, low, claims, onError } = this.#options
    this.#savedAt = clock.monotonic()
    const isIdle = ledger.counters().pending === 0
    this.#hasNews = !isIdle
    try {
      if (isIdle || !isSamePeer(this.#peer, this.#saved)) await this.#save()
    } catch (error) {
      rethrowAssertion(error)
      this.#hasNews = true
      onError(`cannot record the remote's confirmation: ${messageOf(error)}`)
      return
    }
    const isTold =
      low.value <= (this.#peer?.through ?? 0) && claims.news(session.answer) === undefined
    if (!isIdle || isTold || this.#session !== session) return
    try {
      const said = await this.#sendMark(session.answer)
      if (this.#session !== session) return
      this.#lastExchange = clock.monotonic()
      this.#learn(said)
      if (!isSamePeer(this.#peer, this.#saved)) await this.#save()
    } catch (error) {
      rethrowAssertion(error)
      if (!this.#stop.signal.aborted) this.trip(session, judgeFailure(error))
    }
  }

  async #heartbeat(session: Session): Promise<boolean> {
    try {
      const answer = await this.ask(this.#stop.signal)
      if (this.#session !== session) return true
      this.#lastExchange = this.#options.clock.monotonic()
      const isSame =
        answer.session === session.answer.session && answer.volumeId === session.answer.volumeId
      if (isSame) this.#learn({ through: 0, head: answer.head })
      else this.trip(session, { kind: 'handshake', reason: 'the remote was started again' })
      return true
    } catch (error) {
      rethrowAssertion(error)
      if (!this.#stop.signal.aborted) this.trip(session, judgeFailure(error))
      return false
    }
  }

  /** Answers of several workers come in any order. */
  #learn(said: PeerWords): void {
    const peer = this.#peer
    if (peer === undefined) return
    const through = Math.max(peer.through, said.through)
    const head = Math.max(peer.head, said.head)
    if (through !== peer.through || head !== peer.head) this.#peer = { ...peer, through, head }
  }

  /** Durably records what is known of the peer; with it goes what the ledger holds. */
  async #save(): Promise<void> {
    const { ledger, low } = this.#options
    const peer = this.#peer
    if (peer === undefined) return
    await low.cover(() => ledger.confirmPeer(peer))
    this.#saved = peer
    this.#savedAt = this.#options.clock.monotonic()
  }

  #enter(state: GateState, reason: string | undefined): void {
    this.#state = state
    if (state === 'full') this.#isFull = true
    if (reason !== undefined) {
      this.#options.onError(reason)
      // Probes repeat every few seconds: the log says each reason once.
      const line = `${state}: ${reason}`
      if (line !== this.#lastLogged) {
        this.#options.logger.warn({ state, error: reason }, 'The remote does not take changes')
      }
      this.#lastLogged = line
    }
    this.#options.onChange()
  }

  #noteNews(): void {
    if (this.#hasNews) return
    this.#hasNews = true
    this.#bell.ring()
  }

  #release(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resume of waiting) resume()
  }
}

function gateAfter({ kind }: Failure): 'refused' | 'full' | 'unreachable' {
  return kind === 'refused' || kind === 'full' ? kind : 'unreachable'
}

function isSamePeer(a: ConfirmedPeer | undefined, b: ConfirmedPeer | undefined): boolean {
  return (
    a?.volumeId === b?.volumeId &&
    a?.incarnation === b?.incarnation &&
    a?.through === b?.through &&
    a?.head === b?.head &&
    a?.sendAllUpTo === b?.sendAllUpTo
  )
}
