/**
 * Brings in the large objects that other sites offer, in a lane of their own: few at a time, either
 * fetched, several ranges at once, or pushed by a sender that cannot be reached. A pull goes on where
 * the held bytes end, after a cut as after a restart; what came takes effect only when the store has
 * checked length and hash of the whole.
 */
import { assert, rethrowAssertion } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import { giveBackWhole } from '../../base/give-back.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import { isSeenBy } from '../../store/conflicts/losers.ts'
import type { BucketMutation, Mutation, PutMutation } from '../../store/model/mutation.ts'
import type { ApplyOutcome, ChangeSink, UploadName } from '../../store/model/object-store.ts'
import { slotText } from '../../store/model/slot.ts'
import { covers } from '../../store/model/version.ts'
import { TicketGoneError } from '../wire/errors.ts'
import type { PullOutcome } from '../wire/protocol.ts'
import type { BlobTransport, PushedRange } from '../wire/transport.ts'
import { Abandonment, type Begun } from './abandonment.ts'
import { type HeldUpload, HeldUploads, keyOf } from './held-uploads.ts'
import { ObjectFetch } from './object-fetch.ts'
import { type Intake, missingBytes, PushIntakes, untilFailure } from './push-intakes.ts'

export interface PullOffer {
  /** The sender's volume. */
  readonly volumeId: string
  readonly seq: number
  readonly mutation: PutMutation
  readonly origin: string
  /** 64 hex digits. */
  readonly ticket: string
  /** The sender brings the bytes itself. */
  readonly pushed: boolean
}

export interface PullerOptions {
  readonly sink: ChangeSink
  readonly transport: BlobTransport
  readonly rangeBytes: number
  /** A sender that is in touch for so long without asking for an object has abandoned it. */
  readonly abandonedAfterMs: number
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** What became of an offer; called once for each. */
  readonly onOutcome: (offer: PullOffer, outcome: PullOutcome) => void
}

/** Objects fetched at the same time, and ranges of each. */
const lanes = 4
const rangesMax = 4
/** Objects whose bytes did not have the hash that was announced. */
const refusedMax = 256

interface Pull {
  mutation: PutMutation
  /** Who offers it: the newest offer of each site, the latest last. */
  readonly offers: Map<string, PullOffer>
  readonly abort: AbortController
  /** Set when its bytes are not wanted any more: what those who offer it are told. */
  end: PullOutcome | undefined
  /** The last offer was taken back, which may mean no more than that it is going to be made anew. */
  withdrawn: boolean
  isFetching: boolean
  /** Brings pushed bytes now. */
  intake: Intake | undefined
}

type PullEnd =
  | { readonly kind: 'applied'; readonly outcome: PullOutcome }
  | { readonly kind: 'given-up'; readonly reason: string; readonly unreached?: boolean }

export class Puller {
  readonly #options: PullerOptions
  readonly #held: HeldUploads
  readonly #intakes = new PushIntakes()
  readonly #pulls = new Map<string, Pull>()
  readonly #waiting = new Set<Pull>()
  readonly #refusedOnce = new Set<string>()
  readonly #running = new Set<Promise<void>>()
  /** Uploads that are being given up for what has taken effect here. */
  readonly #endings = new Set<Promise<void>>()
  readonly #abandonment: Abandonment
  #closed = false

  constructor(options: PullerOptions) {
    this.#options = options
    const { sink, clock, logger, rangeBytes, abandonedAfterMs } = options
    const onOvertaken = (mutation: PutMutation): void => this.#overtaken(mutation)
    this.#held = new HeldUploads({ sink, clock, logger, rangeBytes, rangesMax, onOvertaken })
    this.#abandonment = new Abandonment({
      afterMs: abandonedAfterMs,
      begun: () => this.#begun(),
      senders: () => sink.senders(),
      giveUp: (upload) => this.#abandon(upload),
      isFull: () => sink.isFull,
      clock,
      logger,
    })
  }

  /** Takes an offer on; its outcome comes by `onOutcome`. */
  accept(offer: PullOffer): void {
    const key = keyOf(offer.mutation)
    const pull = this.#pulls.get(key) ?? this.#begin(offer.mutation)
    const replaced = pull.offers.get(offer.volumeId)
    pull.offers.delete(offer.volumeId)
    pull.offers.set(offer.volumeId, offer)
    // The same write with a new place in the feed: its context may be wider now.
    pull.mutation = offer.mutation
    pull.withdrawn = false
    if (replaced !== undefined && replaced.seq !== offer.seq) {
      this.#options.onOutcome(replaced, { result: 'again', reason: 'it was offered anew' })
    }
    if (!offer.pushed && !pull.isFetching) this.#waiting.add(pull)
    this.#startWaiting()
  }

  /** Whether `noticed` has anything to look at. */
  get isBusy(): boolean {
    return this.#pulls.size > 0 || this.#held.size > 0
  }

  /** A sender has said something; what it waits for it asks for. */
  heard(volumeId: string): void {
    this.#abandonment.heard(volumeId)
  }

  /** A sender still means to bring it, whatever it was answered. */
  wanted(upload: UploadName): void {
    this.#abandonment.wanted(upload)
  }

  /** Whether the pull of exactly this offer goes on: its sender still wants it. */
  isPulling(volumeId: string, seq: number): boolean {
    for (const pull of this.#pulls.values()) {
      if (pull.offers.get(volumeId)?.seq !== seq) continue
      this.wanted(pull.mutation)
      return true
    }
    return false
  }

  /**
   * `mutation` has arrived here: pulls of what its author had seen and replaced are pointless. As long
   * as it is not stored (`awaited` names the sender whose bytes are still to come), that is true only
   * of what the same sender offers: any other one would take the older write for delivered.
   */
  async noticed(mutation: Mutation, awaited?: string): Promise<void> {
    if (mutation.kind === 'bucket' || !this.isBusy) return
    const isReplaced = (held: PutMutation): boolean => replaces(mutation, held)
    for (const pull of [...this.#pulls.values()]) {
      if (!isReplaced(pull.mutation)) continue
      const isOfferedElsewhere = [...pull.offers.keys()].some((volumeId) => volumeId !== awaited)
      if (awaited !== undefined && isOfferedElsewhere) continue
      this.#giveUp(pull, { result: 'superseded' })
    }
    await this.#held.giveUpWhere(isReplaced)
  }

  /** The link of this sender is over: what it offers is not to be had from it any more. */
  async takeBack(volumeId: string): Promise<void> {
    for (const pull of [...this.#pulls.values()]) {
      if (!pull.offers.delete(volumeId) || pull.offers.size > 0) continue
      this.#giveUp(pull, { result: 'again', reason: 'its link has ended' })
    }
    await this.#held.leave(volumeId)
  }

  /**
   * Takes pushed bytes in, and tells how many of the object are held then; an empty range asks just
   * that. Complete, the object is applied before this resolves.
   *
   * @throws TicketGoneError, BadRangeError, PushBusyError; what `bytes` and the store fail with
   */
  async push(range: PushedRange, bytes: AsyncIterable<Uint8Array>): Promise<number> {
    const find = (): Pull => this.#pushedTo(range.ticket)
    try {
      return await this.#intakes.run(find, async (pull, signal) => {
        this.wanted(pull.mutation)
        const held = await this.#held.take(pull.mutation, pull.offers.keys())
        return await this.#takeIn(pull, held, missingBytes(held, { range, bytes, signal }))
      })
    } finally {
      this.#startWaiting()
    }
  }

  /** Ends all transfers; what was fetched is kept for the next start. */
  async close(): Promise<void> {
    this.#closed = true
    for (const pull of this.#pulls.values()) pull.abort.abort()
    await this.#abandonment.close()
    await Promise.all([...this.#running, ...this.#endings, this.#intakes.close()])
    await this.#held.close()
  }

  #begin(mutation: PutMutation): Pull {
    const pull: Pull = {
      mutation,
      offers: new Map(),
      abort: new AbortController(),
      end: undefined,
      withdrawn: false,
      isFetching: false,
      intake: undefined,
    }
    this.#pulls.set(keyOf(mutation), pull)
    return pull
  }

  #startWaiting(): void {
    for (const pull of this.#waiting) {
      if (this.#closed || this.#running.size >= lanes) return
      // What is being pushed is fetched only if that ends without the bytes.
      if (pull.intake !== undefined) continue
      this.#waiting.delete(pull)
      pull.isFetching = true
      const run = this.#run(pull).finally(() => {
        this.#running.delete(run)
        this.#startWaiting()
      })
      this.#running.add(run)
    }
  }

  async #run(pull: Pull): Promise<void> {
    let end: PullEnd
    try {
      end = await this.#fetchAndApply(pull)
    } catch (error) {
      end = { kind: 'applied', outcome: this.#storeFailure(error) }
    }
    pull.isFetching = false
    if (end.kind === 'applied') this.#conclude(pull, end.outcome)
    else this.#giveBack(pull, end)
  }

  /** Nobody could be asked for the bytes: what is to be pushed may still come. */
  #giveBack(pull: Pull, end: PullEnd & { readonly kind: 'given-up' }): void {
    const { reason, unreached = false } = end
    const outcome = { result: 'again', reason, ...(unreached ? { unreached } : {}) } as const
    for (const offer of [...pull.offers.values()]) {
      if (offer.pushed) continue
      pull.offers.delete(offer.volumeId)
      if (!this.#closed) this.#options.onOutcome(offer, outcome)
    }
    if (pull.offers.size === 0) this.#pulls.delete(keyOf(pull.mutation))
  }

  #conclude(pull: Pull, outcome: PullOutcome): void {
    this.#pulls.delete(keyOf(pull.mutation))
    this.#waiting.delete(pull)
    if (this.#closed) return
    for (const offer of pull.offers.values()) this.#options.onOutcome(offer, outcome)
  }

  /** At once where nothing moves; otherwise whoever moves its bytes sees the end and concludes. */
  #giveUp(pull: Pull, end: PullOutcome): void {
    pull.end = end
    pull.abort.abort()
    if (!isMoving(pull)) this.#conclude(pull, end)
  }

  /**
   * A write that never came by here, a client's say, was newer. It need not have seen this one: its
   * sender offers it again, and the store says whether the bytes are wanted all the same.
   */
  #overtaken(mutation: PutMutation): void {
    const key = keyOf(mutation)
    const pull = this.#pulls.get(key)
    if (pull !== undefined && pull.end === undefined) {
      this.#giveUp(pull, { result: 'again', reason: 'a newer write has come in between' })
    }
    const ending = this.#held
      .giveUpWhere((held) => keyOf(held) === key)
      .finally(() => this.#endings.delete(ending))
    this.#endings.add(ending)
  }

  /** The store failed, not the network: this site's trouble, which the sender waits out. */
  #storeFailure(error: unknown): PullOutcome {
    rethrowAssertion(error)
    this.#options.logger.error({ error: messageOf(error) }, 'Cannot store a pulled object')
    return { result: 'later', reason: messageOf(error) }
  }

  async #fetchAndApply(pull: Pull): Promise<PullEnd> {
    if (pull.end !== undefined) return { kind: 'applied', outcome: pull.end }
    const held = await this.#held.take(pull.mutation, pull.offers.keys())
    try {
      return await this.#fetchInto(pull, held)
    } catch (error) {
      rethrowAssertion(error)
      await this.#held.end(held)
      throw error
    }
  }

  /** Applied, given up or kept, the upload is no longer the caller's; it is when this throws. */
  async #fetchInto(pull: Pull, held: HeldUpload): Promise<PullEnd> {
    const missing = await this.#fetch(pull, held)
    if (pull.end !== undefined) {
      await this.#held.giveUp(held)
      return { kind: 'applied', outcome: pull.end }
    }
    if (missing !== undefined && pull.withdrawn) {
      await this.#held.giveUp(held)
      return { kind: 'given-up', reason: 'the offer before was taken back' }
    }
    if (missing !== undefined) {
      await this.#keep(pull, held)
      return pull.end === undefined ? missing : { kind: 'applied', outcome: pull.end }
    }
    return { kind: 'applied', outcome: await this.#apply(pull.mutation, held) }
  }

  /** Fetches what is missing. Returns why it cannot, undefined once all is held. */
  async #fetch(pull: Pull, held: HeldUpload): Promise<PullEnd | undefined> {
    const { transport, clock, random } = this.#options
    const fetch: ObjectFetch<PullOffer> = new ObjectFetch({
      transport,
      clock,
      random,
      window: held.window,
      rangesMax,
      source: () => [...pull.offers.values()].findLast((offer) => !offer.pushed),
      onGone: (offer, error) => this.#dropGone(pull, { offer, error, unheard: !fetch.hasReceived }),
      signal: pull.abort.signal,
    })
    try {
      for (;;) {
        const piece = await fetch.next()
        if (piece === undefined) break
        await this.#held.append(held, piece)
        giveBackWhole(piece)
      }
    } finally {
      await fetch.close()
    }
    if (held.upload.heldBytes === pull.mutation.meta.size) return undefined
    const reason = fetch.reason ?? 'it was stopped'
    return { kind: 'given-up', reason, unreached: !fetch.hasReceived }
  }

  /** A ticket that opens nothing ends its offer: the sender may offer again. */
  #dropGone(
    pull: Pull,
    gone: {
      readonly offer: PullOffer
      readonly error: TicketGoneError
      /** Nobody has given any byte: perhaps it is not even the sender that answers there. */
      readonly unheard: boolean
    },
  ): void {
    const { offer, error, unheard } = gone
    if (pull.offers.get(offer.volumeId) !== offer) return
    pull.offers.delete(offer.volumeId)
    if (error.end === 'superseded') {
      pull.withdrawn = pull.offers.size === 0
      this.#options.onOutcome(offer, { result: 'superseded' })
      return
    }
    const unreached = unheard && error.end === 'unknown' ? { unreached: true } : {}
    this.#options.onOutcome(offer, { result: 'again', reason: error.message, ...unreached })
  }

  /** @throws TicketGoneError */
  #pushedTo(ticket: string): Pull {
    for (const pull of this.#pulls.values()) {
      for (const offer of pull.offers.values()) {
        if (offer.pushed && offer.ticket === ticket && pull.end === undefined) return pull
      }
    }
    throw new TicketGoneError('unknown')
  }

  /** Afterwards the upload is no longer the caller's. */
  async #takeIn(pull: Pull, held: HeldUpload, bytes: AsyncIterable<Uint8Array>): Promise<number> {
    let broken: { readonly error: unknown } | undefined
    const note = (error: unknown): void => {
      broken = { error }
    }
    const { upload } = held
    try {
      for await (const piece of untilFailure(bytes, note)) {
        await this.#held.append(held, piece)
        giveBackWhole(piece)
      }
      if (pull.end !== undefined) await this.#held.giveUp(held)
      else if (upload.heldBytes < pull.mutation.meta.size) await this.#keep(pull, held)
      else this.#conclude(pull, await this.#apply(pull.mutation, held))
    } catch (error) {
      this.#conclude(pull, this.#storeFailure(error))
      await this.#held.end(held)
      throw error
    }
    if (pull.end !== undefined) {
      this.#conclude(pull, pull.end)
      throw new TicketGoneError('superseded')
    }
    if (broken !== undefined) throw broken.error
    return upload.heldBytes
  }

  /** What replaces it may arrive while it is made durable: then nobody continues it. */
  async #keep(pull: Pull, held: HeldUpload): Promise<void> {
    await this.#held.keep(held)
    if (pull.end === undefined) return
    await this.#held.giveUpWhere((mutation) => mutation === held.mutation)
  }

  async #apply(mutation: PutMutation, held: HeldUpload): Promise<PullOutcome> {
    const [outcome] = await this.#options.sink.apply(
      [{ mutation, body: { kind: 'staged', upload: held.upload } }],
      undefined,
    )
    assert(outcome !== undefined, 'an outcome for the change')
    held.window.drop()
    const isTaken = outcome.result === 'applied' || (outcome.result === 'conflict' && outcome.won)
    // For `later` the bytes are kept: the next offer continues behind those that are durable.
    // Applying has ended the handle: what it left behind is given up through another.
    if (!isTaken && outcome.result !== 'later') {
      await this.#held.giveUp(await this.#held.take(mutation, []))
    }
    if (outcome.result !== 'refused') return pullOutcomeOf(outcome)
    const key = keyOf(mutation)
    if (this.#refusedOnce.delete(key)) return outcome
    // The bytes may have been damaged on the way: they are fetched anew, once.
    this.#refusedOnce.add(key)
    for (const oldest of this.#refusedOnce) {
      if (this.#refusedOnce.size <= refusedMax) break
      this.#refusedOnce.delete(oldest)
    }
    return { result: 'again', reason: outcome.message }
  }

  /** What was begun and does not move now: in memory, or only in the store. */
  #begun(): readonly Begun[] {
    const begun = new Map<string, { readonly upload: UploadName; readonly from: Set<string> }>()
    for (const upload of this.#options.sink.restingUploads())
      begun.set(keyOf(upload), { upload, from: new Set() })
    for (const { mutation, from } of this.#held.kept())
      begun.set(keyOf(mutation), { upload: mutation, from: new Set(from) })
    for (const [key, pull] of this.#pulls) {
      const from = begun.get(key)?.from ?? []
      begun.set(key, { upload: pull.mutation, from: new Set([...from, ...pull.offers.keys()]) })
      if (isMoving(pull) || this.#waiting.has(pull)) begun.delete(key)
    }
    return [...begun.values()]
  }

  async #abandon(upload: UploadName): Promise<void> {
    const key = keyOf(upload)
    const pull = this.#pulls.get(key)
    // It has begun to move meanwhile.
    if (pull !== undefined && (isMoving(pull) || this.#waiting.has(pull))) return
    if (pull !== undefined) {
      this.#giveUp(pull, { result: 'again', reason: 'nobody has asked for it for long' })
    }
    await this.#held.giveUpWhere((held) => keyOf(held) === key)
    await this.#options.sink.giveUpUpload(upload)
  }
}

function isMoving(pull: Pull): boolean {
  return pull.isFetching || pull.intake !== undefined
}

/** Whether the author of `newer` had seen `held`, which is another write of the same slot or bucket. */
function replaces(newer: Exclude<Mutation, BucketMutation>, held: PutMutation): boolean {
  if (newer.kind === 'purge') {
    const { bucket, key } = held.slot
    const isUnder = newer.slot.bucket === bucket && held.version <= newer.version
    return isUnder && isSeenBy(newer, key, held.version)
  }
  if (slotText(newer.slot) !== slotText(held.slot)) return false
  return newer.version !== held.version && covers(newer, held.version)
}

function pullOutcomeOf(outcome: ApplyOutcome): PullOutcome {
  // All bytes are here: a store that still asks for them has lost them, and gets them again.
  if (outcome.result === 'need') return { result: 'again', reason: 'the bytes were lost' }
  return outcome
}
