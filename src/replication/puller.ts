/**
 * Fetches large objects from the sites that offer them, in a lane of their own: few at a time, range
 * by range, each range checked for its length and appended before the next is asked for. A pull goes
 * on where the held bytes end, after a cut as after a restart; what is fetched takes effect only when
 * the store has checked length and hash of the whole.
 */
import { assert, rethrowAssertion } from '../base/assert.ts'
import { type Clock, delay } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { DeleteMutation, Mutation, PutMutation } from '../store/mutation.ts'
import type { ApplyOutcome, ChangeSink, StagedUpload } from '../store/object-store.ts'
import { slotText } from '../store/slot.ts'
import { covers } from '../store/version.ts'
import { Backoff } from './backoff.ts'
import { RemoteProtocolError, RemoteUnreachableError, TicketGoneError } from './errors.ts'
import type { PullOutcome } from './protocol.ts'
import type { BlobTransport } from './transport.ts'

export interface PullOffer {
  /** The sender's volume. */
  readonly volumeId: string
  readonly seq: number
  readonly mutation: PutMutation
  readonly origin: string
  /** 64 hex digits. */
  readonly ticket: string
}

export interface PullerOptions {
  readonly sink: ChangeSink
  readonly transport: BlobTransport
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** What became of an offer; called once for each. */
  readonly onOutcome: (offer: PullOffer, outcome: PullOutcome) => void
}

/** Objects fetched at the same time. */
const lanes = 2
const rangeBytes = 8 * 2 ** 20
const checkpointBytes = 64 * 2 ** 20
/** A transfer that brings nothing for this long is cut and begun again. */
const progressMs = 30_000
/** Failures without a byte between them before the sender is told. */
const fruitlessMax = 5
const retryMaxMs = 5000
/** Interrupted uploads that are kept at hand to continue, or to give up when superseded. */
const interruptedMax = 256

interface Pull {
  mutation: PutMutation
  /** Who offers it: the newest offer of each site, the latest last. */
  readonly offers: Map<string, PullOffer>
  readonly abort: AbortController
  /** Set when nobody wants the bytes any more. */
  superseded: boolean
  /** The last offer was taken back, which may mean no more than that it is going to be made anew. */
  withdrawn: boolean
  /** The store failed to take bytes: what it holds is uncertain, and the handle is of no use. */
  storeFailed: boolean
}

type PullEnd =
  | { readonly kind: 'applied'; readonly outcome: PullOutcome }
  | { readonly kind: 'given-up'; readonly reason: string }

export class Puller {
  readonly #options: PullerOptions
  readonly #pulls = new Map<string, Pull>()
  readonly #waiting: Pull[] = []
  readonly #interrupted = new Map<string, { mutation: PutMutation; upload: StagedUpload }>()
  readonly #refusedOnce = new Set<string>()
  readonly #running = new Set<Promise<void>>()
  #closed = false

  constructor(options: PullerOptions) {
    this.#options = options
  }

  /** Takes an offer on; its outcome comes by `onOutcome`. */
  accept(offer: PullOffer): void {
    const key = keyOf(offer.mutation)
    const running = this.#pulls.get(key)
    if (running !== undefined) {
      const replaced = running.offers.get(offer.volumeId)
      running.offers.delete(offer.volumeId)
      running.offers.set(offer.volumeId, offer)
      // The same write with a new place in the feed: its context may be wider now.
      running.mutation = offer.mutation
      running.withdrawn = false
      if (replaced !== undefined && replaced.seq !== offer.seq) {
        this.#options.onOutcome(replaced, { result: 'again', reason: 'it was offered anew' })
      }
      return
    }
    const pull: Pull = {
      mutation: offer.mutation,
      offers: new Map([[offer.volumeId, offer]]),
      abort: new AbortController(),
      superseded: false,
      withdrawn: false,
      storeFailed: false,
    }
    this.#pulls.set(key, pull)
    this.#waiting.push(pull)
    this.#startWaiting()
  }

  /** Whether `noticed` has anything to look at. */
  get isBusy(): boolean {
    return this.#pulls.size > 0 || this.#interrupted.size > 0
  }

  /** Whether the pull of exactly this offer goes on. */
  isPulling(volumeId: string, seq: number): boolean {
    for (const pull of this.#pulls.values()) {
      if (pull.offers.get(volumeId)?.seq === seq) return true
    }
    return false
  }

  /**
   * `mutation` has arrived here: pulls of what its author had seen and replaced are pointless. As long
   * as it is not stored (`awaited` names the sender whose bytes are still to come), that is true only
   * of what the same sender offers: any other one would take the older write for delivered.
   */
  async noticed(mutation: Mutation, awaited?: string): Promise<void> {
    if (mutation.kind !== 'put' && mutation.kind !== 'delete') return
    if (this.#pulls.size === 0 && this.#interrupted.size === 0) return
    const slotKey = slotText(mutation.slot)
    for (const pull of this.#pulls.values()) {
      if (slotText(pull.mutation.slot) !== slotKey) continue
      if (!replaces(mutation, pull.mutation)) continue
      const isOfferedElsewhere = [...pull.offers.keys()].some((volumeId) => volumeId !== awaited)
      if (awaited !== undefined && isOfferedElsewhere) continue
      pull.superseded = true
      pull.abort.abort()
    }
    for (const [key, { mutation: held, upload }] of this.#interrupted) {
      if (slotText(held.slot) !== slotKey) continue
      if (!replaces(mutation, held)) continue
      this.#interrupted.delete(key)
      await this.#giveUp(upload)
    }
  }

  /** Ends all transfers; what was fetched is kept for the next start. */
  async close(): Promise<void> {
    this.#closed = true
    for (const pull of this.#pulls.values()) pull.abort.abort()
    await Promise.all(this.#running)
    const held = [...this.#interrupted.values()]
    this.#interrupted.clear()
    await Promise.all(held.map(({ upload }) => this.#end(upload)))
  }

  #startWaiting(): void {
    while (!this.#closed && this.#running.size < lanes) {
      const pull = this.#waiting.shift()
      if (pull === undefined) return
      const run = this.#run(pull).finally(() => {
        this.#running.delete(run)
        this.#startWaiting()
      })
      this.#running.add(run)
    }
  }

  async #run(pull: Pull): Promise<void> {
    const key = keyOf(pull.mutation)
    let outcome: PullOutcome
    try {
      const end = await this.#fetchAndApply(pull)
      outcome = end.kind === 'applied' ? end.outcome : { result: 'again', reason: end.reason }
    } catch (error) {
      rethrowAssertion(error)
      // The store failed, not the network: this site's trouble, which the sender waits out.
      this.#options.logger.error({ error: messageOf(error) }, 'Cannot store a pulled object')
      outcome = { result: 'later', reason: messageOf(error) }
    }
    this.#pulls.delete(key)
    if (this.#closed) return
    for (const offer of pull.offers.values()) this.#options.onOutcome(offer, outcome)
  }

  async #fetchAndApply(pull: Pull): Promise<PullEnd> {
    const key = keyOf(pull.mutation)
    if (pull.superseded) return { kind: 'applied', outcome: { result: 'superseded' } }
    const upload =
      this.#interrupted.get(key)?.upload ?? (await this.#options.sink.stageUpload(pull.mutation))
    this.#interrupted.delete(key)
    try {
      return await this.#fetchInto(pull, upload)
    } catch (error) {
      rethrowAssertion(error)
      await this.#end(upload)
      throw error
    }
  }

  /** Applied, given up or kept, the upload is no longer the caller's; it is when this throws. */
  async #fetchInto(pull: Pull, upload: StagedUpload): Promise<PullEnd> {
    const missing = await this.#fetch(pull, upload)
    if (pull.superseded) {
      await this.#giveUp(upload)
      return { kind: 'applied', outcome: { result: 'superseded' } }
    }
    if (missing !== undefined && pull.withdrawn) {
      await this.#giveUp(upload)
      return { kind: 'given-up', reason: 'the offer before was taken back' }
    }
    if (missing !== undefined) {
      await upload.checkpoint()
      await this.#keep(pull.mutation, upload)
      return { kind: 'given-up', reason: missing }
    }
    return { kind: 'applied', outcome: await this.#apply(pull.mutation, upload) }
  }

  async #apply(mutation: PutMutation, upload: StagedUpload): Promise<PullOutcome> {
    const [outcome] = await this.#options.sink.apply(
      [{ mutation, body: { kind: 'staged', upload } }],
      undefined,
    )
    assert(outcome !== undefined, 'an outcome for the change')
    const isTaken = outcome.result === 'applied' || (outcome.result === 'conflict' && outcome.won)
    // For `later` the bytes are kept: the next offer continues behind those that are durable.
    // Applying has ended the handle: what it left behind is given up through another.
    if (!isTaken && outcome.result !== 'later') {
      await this.#giveUp(await this.#options.sink.stageUpload(mutation))
    }
    if (outcome.result !== 'refused') return pullOutcomeOf(outcome)
    const key = keyOf(mutation)
    if (this.#refusedOnce.delete(key)) return outcome
    // The bytes may have been damaged on the way: they are fetched anew, once.
    this.#refusedOnce.add(key)
    for (const oldest of this.#refusedOnce) {
      if (this.#refusedOnce.size <= interruptedMax) break
      this.#refusedOnce.delete(oldest)
    }
    return { result: 'again', reason: outcome.message }
  }

  /** Fetches what is missing. Returns why it cannot, undefined once all is held. */
  async #fetch(pull: Pull, upload: StagedUpload): Promise<string | undefined> {
    const { size } = pull.mutation.meta
    const backoff = new Backoff({ random: this.#options.random, maxMs: retryMaxMs })
    let fruitless = 0
    let saved = upload.heldBytes
    let reason = 'nobody offers it'
    while (upload.heldBytes < size && !pull.abort.signal.aborted) {
      const offer = [...pull.offers.values()].at(-1)
      if (offer === undefined || fruitless >= fruitlessMax) return reason
      const before = upload.heldBytes
      try {
        await this.#fetchRange(pull, offer, upload)
      } catch (error) {
        rethrowAssertion(error)
        if (pull.storeFailed) throw error
        if (pull.abort.signal.aborted) break
        reason = messageOf(error)
        this.#dropGone(pull, offer, error)
        if (upload.heldBytes === before) fruitless++
        else backoff.reset()
        await delay(this.#options.clock, backoff.next(), pull.abort.signal)
      }
      if (upload.heldBytes > before) fruitless = 0
      if (upload.heldBytes - saved >= checkpointBytes) {
        await upload.checkpoint()
        saved = upload.heldBytes
      }
    }
    return pull.abort.signal.aborted ? 'it was stopped' : undefined
  }

  /** A ticket that opens nothing ends its offer: the sender may offer again. */
  #dropGone(pull: Pull, offer: PullOffer, error: unknown): void {
    if (!(error instanceof TicketGoneError)) return
    if (pull.offers.get(offer.volumeId) !== offer) return
    pull.offers.delete(offer.volumeId)
    if (error.end === 'superseded') {
      pull.withdrawn = pull.offers.size === 0
      this.#options.onOutcome(offer, { result: 'superseded' })
    } else {
      this.#options.onOutcome(offer, { result: 'again', reason: error.message })
    }
  }

  async #fetchRange(pull: Pull, offer: PullOffer, upload: StagedUpload): Promise<void> {
    const { transport, clock } = this.#options
    const start = upload.heldBytes
    const end = Math.min(start + rangeBytes, pull.mutation.meta.size)
    const cut = new AbortController()
    const stop = (): void => cut.abort()
    let stalled = false
    const stall = (): void => {
      stalled = true
      cut.abort()
    }
    pull.abort.signal.addEventListener('abort', stop, { once: true })
    let watchdog = clock.after(progressMs, stall)
    try {
      const { origin, ticket } = offer
      const bytes = await transport.fetchRange({ origin, ticket, start, end }, cut.signal)
      let position = start
      for await (const piece of bytes) {
        watchdog.cancel()
        position += piece.length
        if (position > end) throw new RemoteProtocolError('the range is longer than it was to be')
        await this.#append(pull, { upload, piece })
        watchdog = clock.after(progressMs, stall)
      }
      if (position < end) throw new RemoteProtocolError('the range ended early')
    } catch (cause) {
      rethrowAssertion(cause)
      if (!stalled) throw cause
      throw new RemoteUnreachableError(`nothing came for ${progressMs / 1000} s`, { cause })
    } finally {
      watchdog.cancel()
      pull.abort.signal.removeEventListener('abort', stop)
    }
  }

  async #append(
    pull: Pull,
    { upload, piece }: { readonly upload: StagedUpload; readonly piece: Uint8Array },
  ): Promise<void> {
    try {
      await upload.append(piece)
    } catch (error) {
      pull.storeFailed = true
      throw error
    }
  }

  async #keep(mutation: PutMutation, upload: StagedUpload): Promise<void> {
    this.#interrupted.set(keyOf(mutation), { mutation, upload })
    // The store still has the bytes of those let go here: an offer continues them all the same.
    for (const [oldest, held] of this.#interrupted) {
      if (this.#interrupted.size <= interruptedMax) break
      this.#interrupted.delete(oldest)
      await this.#end(held.upload)
    }
  }

  /** Lets go of a handle that nobody continues; what was made durable stays for the next one. */
  async #end(upload: StagedUpload): Promise<void> {
    try {
      await upload.close()
    } catch (error) {
      rethrowAssertion(error)
      this.#options.logger.warn({ error: messageOf(error) }, 'Cannot let go of a pulled object')
    }
  }

  async #giveUp(upload: StagedUpload): Promise<void> {
    try {
      await upload.abort()
    } catch (error) {
      rethrowAssertion(error)
      this.#options.logger.warn({ error: messageOf(error) }, 'Cannot give up a pulled object')
      await this.#end(upload)
    }
  }
}

/** Whether the author of `newer` had seen `held`, which is another write. */
function replaces(newer: PutMutation | DeleteMutation, held: PutMutation): boolean {
  return newer.version !== held.version && covers(newer, held.version)
}

function keyOf(mutation: PutMutation): string {
  return `${slotText(mutation.slot)}\n${mutation.version}`
}

function pullOutcomeOf(outcome: ApplyOutcome): PullOutcome {
  // All bytes are here: a store that still asks for them has lost them, and gets them again.
  if (outcome.result === 'need') return { result: 'again', reason: 'the bytes were lost' }
  return outcome
}
