/**
 * Ships changes to one remote: workers that each keep one batch on the wire, and what they do with
 * the answers. Failures that are the remote's close its gate and lose nothing. A batch that fails for
 * its content is halved until the culprit is alone, and only a culprit that goes on failing while
 * others pass, or a change that the remote refuses for its own sake, becomes a dead letter.
 *
 * It must never know HTTP, segments or index keys: it sees a ledger and a transport.
 */
import { assert, rethrowAssertion, unreachable } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import { giveBack } from '../../base/give-back.ts'
import type { Logger } from '../../base/log.ts'
import type { RemoteLedger } from '../../store/model/object-store.ts'
import type { Slot } from '../../store/model/slot.ts'
import { timeOf, type Version } from '../../store/model/version.ts'
import type { LinkTally } from '../tally.ts'
import { type BatchAnswer, decodeAnswer } from '../wire/answer-codec.ts'
import { encodeBatchHeader } from '../wire/batch-codec.ts'
import { RemoteProtocolError } from '../wire/errors.ts'
import { judgeFailure } from '../wire/failure.ts'
import type { ChangeOutcome, PullOutcome } from '../wire/protocol.ts'
import type { RemoteTransport } from '../wire/transport.ts'
import { type AssemblyOptions, type Loaded, loadShipment } from './batch-assembly.ts'
import type { Connection, Session } from './connection.ts'
import type { DurableLow } from './durable-low.ts'
import type { HoldingsClaim } from './holdings-claim.ts'
import type { SendWindow } from './send-window.ts'
import type { Settled, Settler } from './settler.ts'
import type { Shipment } from './shipment.ts'

export interface SenderOptions {
  readonly transport: RemoteTransport
  readonly connection: Connection
  readonly window: SendWindow
  readonly settler: Settler
  readonly ledger: RemoteLedger
  readonly low: DurableLow
  readonly claims: HoldingsClaim
  readonly assembly: AssemblyOptions
  readonly tally: LinkTally
  readonly sender: { readonly volumeId: string; readonly incarnation: string }
  readonly retryAttempts: number
  readonly retryDelayMs: number
  readonly clock: Clock
  readonly logger: Logger
  /** The remote has taken an offer. */
  readonly onOffered: (shipment: Shipment) => void
  /** The remote cannot fetch from here. */
  readonly onUnreached: () => void
  /** The remote does not take this change: not now, or never. */
  readonly onUnable: (shipment: Shipment, reason: 'later' | 'refused') => void
  readonly onError: (reason: string) => void
}

type Framed = Loaded & { readonly kind: 'frame' }

export class Sender {
  readonly #options: SenderOptions
  /** Changes that the remote has taken: the others that pass while one fails. */
  #passed = 0

  constructor(options: SenderOptions) {
    this.#options = options
  }

  /** One worker's life. */
  async work(worker: number): Promise<void> {
    const { connection, window } = this.#options
    for (;;) {
      if ((await connection.opened()) === undefined) return
      const batch = await window.nextBatch(worker)
      const session = await connection.opened()
      if (session === undefined || batch.length === 0) return
      try {
        await this.#ship(session, batch)
      } catch (error) {
        this.#strand(batch)
        throw error
      }
    }
  }

  /** Handles what the remote says about one change, in a batch's answer or once its pull has ended. */
  async finish(shipment: Shipment, outcome: ChangeOutcome | PullOutcome): Promise<void> {
    const { window } = this.#options
    this.#count(shipment, outcome)
    switch (outcome.result) {
      case 'applied':
      case 'duplicate':
      case 'superseded':
      case 'conflict':
        this.#settle([{ shipment, result: 'replicated', remote: outcome.result }])
        return
      case 'pulling':
        window.enter([shipment], 'pulling')
        this.#options.onOffered(shipment)
        return
      case 'need':
        window.land([shipment])
        this.#offerAgain(shipment, 'the remote asks for bytes that it was sent')
        return
      case 'later':
        window.land([shipment])
        this.#options.onError(outcome.reason)
        window.defer(shipment, outcome.reason)
        this.#options.onUnable(shipment, 'later')
        return
      case 'again':
        if (outcome.unreached) this.#options.onUnreached()
        window.land([shipment])
        this.#offerAgain(shipment, outcome.reason)
        return
      case 'refused':
        window.land([shipment])
        await this.#bury(shipment, `remote returned 400: ${outcome.message} (${outcome.code})`)
        return
      default:
        unreachable(outcome)
    }
  }

  #count({ kind, place }: Shipment, { result }: ChangeOutcome | PullOutcome): void {
    if (kind !== undefined) this.#options.tally.results.add(kind, result, place.bytes)
  }

  async #ship(session: Session, batch: readonly Shipment[]): Promise<void> {
    const { window } = this.#options
    const live = batch.filter((shipment) => shipment.state === 'queued')
    window.enter(live, 'sending')
    const loading = live.map((shipment) => loadShipment(this.#options.assembly, shipment))
    const mustRead = loading.some((one) => one instanceof Promise)
    const loaded = mustRead ? await Promise.all(loading) : (loading as Loaded[])
    const framed: Framed[] = []
    for (const one of loaded) {
      if (one.kind === 'frame') framed.push(one)
      else await this.#setAside(one)
    }
    if (framed.length > 0) await this.#exchange(session, framed)
  }

  /** Whatever broke the worker off: what it still held goes back, for the worker's next life. */
  #strand(batch: readonly Shipment[]): void {
    const { window } = this.#options
    const held = batch.filter(({ state }) => state === 'queued' || state === 'sending')
    window.land(held)
    window.requeue(held)
  }

  async #setAside(loaded: Exclude<Loaded, Framed>): Promise<void> {
    const { window, ledger, onError } = this.#options
    const { shipment } = loaded
    switch (loaded.kind) {
      case 'outdated':
        // Under a purge a place may stay pending although there is nothing to send any more.
        if (ledger.isPending(shipment.place)) this.#settle([{ shipment, result: 'skipped' }])
        else window.drop(shipment)
        return
      case 'no-ticket':
        window.starve(shipment)
        // A ticket may have come back while this batch was being loaded.
        if (this.#options.assembly.tickets.hasRoom) window.feed(1)
        return
      case 'unreadable':
        onError(`cannot read change ${shipment.place.seq}: ${loaded.reason}`)
        this.#retryAlone(shipment, { reason: loaded.reason, provenByProbe: false })
        return
      default:
        unreachable(loaded)
    }
  }

  async #exchange(session: Session, framed: readonly Framed[]): Promise<void> {
    const { low, claims, connection, transport, sender, window } = this.#options
    const shipments = framed.map((one) => one.shipment)
    const header = encodeBatchHeader(
      {
        session: session.answer.session,
        volumeId: sender.volumeId,
        incarnation: sender.incarnation,
        through: low.value,
      },
      framed.length,
    )
    const claim = claims.news(session.answer)
    window.launch(shipments)
    const sentAt = this.#noteSending(shipments)
    let answer: BatchAnswer
    try {
      const pieces = [header, ...framed.flatMap((one) => one.pieces)]
      if (claim !== undefined) pieces.push(claim.bytes)
      const bytes = await transport.sendBatch(pieces, session.signal)
      for (const { own } of framed) for (const piece of own) giveBack(piece)
      answer = decodeAnswer(bytes)
      if (answer.outcomes.length !== shipments.length) {
        throw new RemoteProtocolError('the remote answered for another number of changes')
      }
    } catch (error) {
      rethrowAssertion(error)
      window.land(shipments)
      this.#failed(session, shipments, error)
      return
    }
    this.#options.tally.batchSeconds.add((this.#options.clock.monotonic() - sentAt) / 1000)
    claim?.told()
    connection.exchanged(session, answer)
    await this.#digest(shipments, answer.outcomes)
  }

  /** Counts a batch, and what is in it not for the first time; the time, monotonic ms. */
  #noteSending(shipments: readonly Shipment[]): number {
    const { tally, clock } = this.#options
    tally.batchEvents.add(shipments.length)
    for (const shipment of shipments) {
      if (shipment.sent) tally.retries++
      shipment.sent = true
    }
    return clock.monotonic()
  }

  /** The common case, everything applied, costs one settlement and no promise for each change. */
  async #digest(shipments: readonly Shipment[], outcomes: readonly ChangeOutcome[]): Promise<void> {
    const settled: Settled[] = []
    const wanted: Shipment[] = []
    for (const [position, shipment] of shipments.entries()) {
      const outcome = outcomes[position]
      assert(outcome !== undefined, 'an outcome for each change')
      if (
        outcome.result === 'applied' ||
        outcome.result === 'duplicate' ||
        outcome.result === 'superseded' ||
        outcome.result === 'conflict'
      ) {
        this.#count(shipment, outcome)
        settled.push({ shipment, result: 'replicated', remote: outcome.result })
      } else if (outcome.result === 'need' && !shipment.bytesWanted) {
        shipment.bytesWanted = true
        // The bytes of what was announced: not another attempt.
        shipment.sent = false
        wanted.push(shipment)
      } else {
        await this.finish(shipment, outcome)
      }
    }
    this.#settle(settled)
    this.#options.window.land(wanted)
    this.#options.window.requeue(wanted)
  }

  #settle(settled: readonly Settled[]): void {
    const { window, settler } = this.#options
    const live = settled.filter((one) => one.shipment.state !== 'gone')
    if (live.length === 0) return
    for (const { shipment, result } of live) {
      if (result === 'replicated') this.#passed++
      if (shipment.probe) window.endDeferral()
    }
    window.enter(
      live.map((one) => one.shipment),
      'settling',
    )
    settler.add(live)
  }

  #failed(session: Session, shipments: readonly Shipment[], error: unknown): void {
    const { window, connection } = this.#options
    const failure = judgeFailure(error)
    if (session.signal.aborted || failure.kind !== 'content') {
      window.requeue(shipments)
      if (!session.signal.aborted) connection.trip(session, failure)
      return
    }
    this.#options.onError(failure.reason)
    if (failure.blamesRemote) connection.trip(session, failure)
    const [first] = shipments
    if (shipments.length === 1 && first !== undefined) {
      const { reason, blamesRemote } = failure
      this.#retryAlone(first, { reason, provenByProbe: !blamesRemote })
      return
    }
    const half = Math.ceil(shipments.length / 2)
    window.requeue(shipments.slice(0, half))
    window.requeue(shipments.slice(half))
  }

  /**
   * Sets a change aside that failed alone. The failure counts as an attempt if another change has
   * passed by the time of the next one, or, for a failure that cannot be the remote's state, if the
   * remote answers a handshake then.
   */
  #retryAlone(
    shipment: Shipment,
    failure: { readonly reason: string; readonly provenByProbe: boolean },
  ): void {
    const { window, retryDelayMs } = this.#options
    const passedBefore = this.#passed
    window.park(shipment, retryDelayMs, () => {
      this.#resume(shipment, { ...failure, passedBefore }).catch((error: unknown) => {
        rethrowAssertion(error)
        this.#options.onError(messageOf(error))
        window.requeue([shipment])
      })
    })
  }

  async #resume(
    shipment: Shipment,
    failure: {
      readonly reason: string
      readonly provenByProbe: boolean
      readonly passedBefore: number
    },
  ): Promise<void> {
    const { window, connection, retryAttempts } = this.#options
    const counts =
      this.#passed > failure.passedBefore || (failure.provenByProbe && (await connection.probe()))
    if (counts) shipment.attempts++
    if (shipment.attempts >= retryAttempts) await this.#bury(shipment, failure.reason)
    else window.requeue([shipment])
  }

  #offerAgain(shipment: Shipment, reason: string): void {
    const { window, retryDelayMs } = this.#options
    this.#options.onError(reason)
    shipment.lease?.end('expired')
    shipment.lease = undefined
    const pause = Math.min(retryDelayMs, 100 * 2 ** shipment.offersFailed)
    shipment.offersFailed = Math.min(16, shipment.offersFailed + 1)
    window.park(shipment, pause, () => window.requeue([shipment]))
  }

  async #bury(shipment: Shipment, error: string): Promise<void> {
    const { ledger, logger, window, retryDelayMs } = this.#options
    if (shipment.state === 'gone') return
    const { place } = shipment
    window.enter([shipment], 'settling')
    try {
      const attempts = Math.max(1, shipment.attempts)
      await ledger.bury(place, { reason: error, attempts })
    } catch (failure) {
      rethrowAssertion(failure)
      this.#options.onError(`cannot record a dead letter: ${messageOf(failure)}`)
      window.park(shipment, retryDelayMs, () => window.requeue([shipment]))
      return
    }
    logger.error(
      { event_id: eventIdOf(place.slot, place.version), error },
      'Failed to replicate event',
    )
    this.#options.onError(error)
    this.#options.onUnable(shipment, 'refused')
    window.drop(shipment)
  }
}

/** Milliseconds of the version, bucket, and key if it is about one. */
function eventIdOf(slot: Slot, version: Version): string {
  const key = slot.kind === 'object' ? `-${slot.key}` : ''
  return `${timeOf(version)}-${slot.bucket}${key}`
}
