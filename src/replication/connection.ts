/**
 * The connection to one remote: a gate that is open while the remote answers. When an exchange fails
 * for the remote's sake the gate closes, the remote is probed by handshakes after 100 ms, doubling up
 * to `retryDelayMs`, and what both ends know decides from where to send before the gate opens again.
 */
import { rethrowAssertion } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import { delay } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { ChangeFeed, RemoteLedger } from '../store/object-store.ts'
import type { VolumeIdentity } from '../volume/volume.ts'
import { decodeAnswer } from './answer-codec.ts'
import type { Backoff } from './backoff.ts'
import { encodeBatchHeader } from './batch-codec.ts'
import { judgeFailure } from './failure.ts'
import { type Hello, type HelloAnswer, noFilterHash, protocolVersion } from './protocol.ts'
import { planStart, type StartPlan } from './reconcile.ts'
import type { RemoteTransport } from './transport.ts'
import { Wakeup } from './wakeup.ts'

/** One opening of the gate. */
export interface Session {
  readonly answer: HelloAnswer
  /** Aborted when what is under way must not count any more. */
  readonly signal: AbortSignal
}

export type GateState = 'connecting' | 'open' | 'unreachable' | 'refused'

export interface ConnectionOptions {
  readonly transport: RemoteTransport
  readonly ledger: RemoteLedger
  readonly feed: ChangeFeed
  readonly identity: VolumeIdentity
  readonly advertiseUrl: string
  readonly clock: Clock
  readonly logger: Logger
  readonly backoff: Backoff
  /** Resolves when nothing is on the wire or being settled: before the position moves. */
  readonly drained: () => Promise<void>
  readonly onChange: () => void
  readonly onError: (reason: string) => void
}

/** An idle remote is asked this often whether it is still there. */
const heartbeatMs = 30_000
/** The remote's confirmation is made durable at most this often. */
const confirmEveryMs = 1000

export class Connection {
  readonly #options: ConnectionOptions
  readonly #stop = new AbortController()
  readonly #bell = new Wakeup()
  #state: GateState = 'connecting'
  #session: Session | undefined
  #abort = new AbortController()
  #waiting: (() => void)[] = []
  #immediate = true
  #lastExchange = 0
  #lastLogged = ''
  #confirmed: { through: number; savedAt: number; saving: Promise<void> | undefined }

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#confirmed = { through: 0, savedAt: 0, saving: undefined }
  }

  get state(): GateState {
    return this.#state
  }

  /** The open session, undefined while the gate is closed. */
  get session(): Session | undefined {
    return this.#session
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
  trip(session: Session, failure: { readonly kind: string; readonly reason: string }): void {
    if (this.#session !== session) return
    this.#session = undefined
    // A remote that merely forgot us is greeted at once, but only once without a success between.
    this.#immediate = failure.kind === 'handshake' && this.#options.backoff.fresh
    this.#enter(failure.kind === 'refused' ? 'refused' : 'unreachable', failure.reason)
    this.#bell.ring()
  }

  /** An exchange succeeded; `through` is what the remote has stored of our low-water mark. */
  exchanged(session: Session, through?: number): void {
    if (this.#session !== session) return
    const { clock, backoff } = this.#options
    backoff.reset()
    this.#lastExchange = clock.monotonic()
    if (through === undefined || through <= this.#confirmed.through) return
    this.#confirmed.through = through
    if (this.#lastExchange - this.#confirmed.savedAt >= confirmEveryMs) this.#confirm(session)
  }

  /** Whether the remote answers right now. */
  async probe(): Promise<boolean> {
    const session = this.#session
    if (session === undefined) return false
    return await this.#heartbeat(session)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.#abort.abort()
    this.#session = undefined
    this.#bell.ring()
    this.#release()
    await this.#confirmed.saving
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
      const saysNo =
        failure.kind === 'refused' || (failure.kind === 'content' && !failure.blamesRemote)
      this.#enter(saysNo ? 'refused' : 'unreachable', failure.reason)
    }
  }

  #greet(): Promise<HelloAnswer> {
    const { identity, feed, clock, advertiseUrl, transport } = this.#options
    const hello: Hello = {
      protocol: protocolVersion,
      volumeId: identity.volumeId,
      incarnation: identity.incarnation,
      incarnationSince: identity.incarnationSince,
      siteId: identity.siteId,
      advertiseUrl,
      wallTime: Math.max(0, Math.floor(clock.now())),
      filterHash: noFilterHash,
      head: feed.head(),
    }
    return transport.handshake(hello, this.#stop.signal)
  }

  /** Moves the position if it must be moved, and makes sure that the remote remembers this site. */
  async #agree(answer: HelloAnswer): Promise<void> {
    const { identity, feed, ledger } = this.#options
    const saved = ledger.confirmedPeer()
    const confirmed =
      saved?.volumeId === answer.volumeId && saved.incarnation === answer.incarnation
        ? { ...saved, through: Math.max(saved.through, this.#confirmed.through) }
        : saved
    const plan = planStart({ own: identity, head: feed.head(), answer, confirmed })
    if (plan.kind === 'replay') await this.#replay(plan)
    const known = answer.applied?.incarnation === identity.incarnation ? answer.applied : undefined
    const isKnown = known !== undefined && !(plan.kind === 'replay' && plan.rolledBack)
    const through = isKnown ? known.through : await this.#introduce(answer)
    this.#confirmed.through = through
    if (
      saved === undefined ||
      saved.volumeId !== answer.volumeId ||
      saved.incarnation !== answer.incarnation ||
      saved.through !== through
    ) {
      const { volumeId, incarnation } = answer
      await ledger.confirmPeer({ volumeId, incarnation, through })
    }
    this.#confirmed.savedAt = this.#options.clock.monotonic()
  }

  async #replay(plan: StartPlan & { readonly kind: 'replay' }): Promise<void> {
    const { ledger, logger, drained } = this.#options
    // What is still on the wire was meant for the remote as it was: it must not be settled after.
    this.#abort.abort()
    await drained()
    if (this.#stop.signal.aborted) return
    const replayed = await ledger.replay({ from: plan.from }, { dryRun: false })
    const fields = { reason: plan.reason, from: plan.from, count: replayed.count }
    if (plan.rolledBack) {
      logger.error(fields, 'This site was rolled back: sending everything to the remote again')
    } else {
      logger.warn(fields, 'Sending changes to the remote again')
    }
  }

  /** An empty batch, so that the remote stores where we stand, and forgetting it shows. */
  async #introduce(answer: HelloAnswer): Promise<number> {
    const { identity, ledger, transport } = this.#options
    const header = encodeBatchHeader(
      {
        session: answer.session,
        volumeId: identity.volumeId,
        incarnation: identity.incarnation,
        through: ledger.position().low,
      },
      0,
    )
    return decodeAnswer(await transport.sendBatch([header], this.#stop.signal)).through
  }

  /** Waits for a trip, and asks a remote that was silent for long whether it is there. */
  async #watch(session: Session): Promise<void> {
    const { clock } = this.#options
    const timer = clock.after(heartbeatMs, () => this.#bell.ring())
    await this.#bell.wait()
    timer.cancel()
    if (this.#session !== session || this.#stop.signal.aborted) return
    if (this.#confirmed.savedAt < this.#lastExchange) this.#confirm(session)
    if (clock.monotonic() - this.#lastExchange >= heartbeatMs) await this.#heartbeat(session)
  }

  async #heartbeat(session: Session): Promise<boolean> {
    try {
      const answer = await this.#greet()
      if (this.#session !== session) return true
      this.#lastExchange = this.#options.clock.monotonic()
      const isSame =
        answer.session === session.answer.session && answer.volumeId === session.answer.volumeId
      if (!isSame) {
        this.trip(session, { kind: 'handshake', reason: 'the remote was started again' })
      }
      return true
    } catch (error) {
      rethrowAssertion(error)
      if (!this.#stop.signal.aborted) this.trip(session, judgeFailure(error))
      return false
    }
  }

  #confirm(session: Session): void {
    const { ledger, clock, onError } = this.#options
    if (this.#confirmed.saving !== undefined) return
    this.#confirmed.savedAt = clock.monotonic()
    const { volumeId, incarnation } = session.answer
    this.#confirmed.saving = ledger
      .confirmPeer({ volumeId, incarnation, through: this.#confirmed.through })
      .catch((error: unknown) => {
        rethrowAssertion(error)
        onError(`cannot record the remote's confirmation: ${messageOf(error)}`)
      })
      .finally(() => {
        this.#confirmed.saving = undefined
      })
  }

  #enter(state: GateState, reason: string | undefined): void {
    this.#state = state
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

  #release(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resume of waiting) resume()
  }
}
