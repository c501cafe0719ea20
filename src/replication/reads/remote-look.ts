/**
 * Asks the remotes what they hold of one object, all at once, and decides what of it may be shown
 * here: the newest put that is not known to be deleted, be it here or at any site that answered.
 */
import { createHash } from 'node:crypto'
import { rethrowAssertion } from '../../base/assert.ts'
import { MalformedBytesError } from '../../base/byte-reader.ts'
import type { Clock } from '../../base/clock.ts'
import { ComioError, messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Mutation, PutMutation } from '../../store/model/mutation.ts'
import { checkMutation } from '../../store/model/names.ts'
import type { ByteRange, ObjectInfo } from '../../store/model/object-store.ts'
import { type ObjectSlot, type Slot, slotText } from '../../store/model/slot.ts'
import type { Survey } from '../../store/model/survey.ts'
import { covers, type Version } from '../../store/model/version.ts'
import { isShipped } from '../verify/judge.ts'
import { decodeBatch } from '../wire/batch-codec.ts'
import { RemoteProtocolError, RemoteRefusedError } from '../wire/errors.ts'
import { incomingOf } from '../wire/incoming.ts'
import { startingWith } from '../wire/link-traffic.ts'
import { bytesQuestion } from '../wire/read-documents.ts'
import type { ReadableRemote } from '../wire/site-reader.ts'

export interface RemoteLookOptions {
  readonly remotes: () => readonly ReadableRemote[]
  readonly survey: Survey
  /** Of this site. */
  readonly volumeId: string
  readonly timeoutMs: number
  readonly clock: Clock
  readonly logger: Logger
}

export interface FoundPut {
  readonly remote: ReadableRemote
  /** The id of the site that has it. */
  readonly site: string
  readonly mutation: PutMutation
  /** Undefined when it was not sent along. */
  readonly bytes: Buffer | undefined
}

export type Sighting =
  | { readonly kind: 'found'; readonly put: FoundPut }
  | { readonly kind: 'absent' | 'deleted' | 'unreachable' }

/** Of one slot: the object, or what is known of its deletion. */
export interface Held {
  readonly put: PutMutation | undefined
  readonly deleted: Version | undefined
  /** What is no newer fell to a purge of the bucket. */
  readonly floor: Version | undefined
}

interface Said {
  readonly put: FoundPut | undefined
  readonly deleted: Version | undefined
  readonly floor: Version | undefined
}

/** A remote that did not answer is not waited for again before this has passed. */
const awayMs = 2000
/** And is complained of no more often than this. */
const complainMs = 60_000

export class RemoteLook {
  readonly #options: RemoteLookOptions
  readonly #awayUntil = new Map<string, number>()
  readonly #complainedAt = new Map<string, number>()

  constructor(options: RemoteLookOptions) {
    this.#options = options
  }

  /** Those that share the slot with this site. */
  sharing(slot: Slot): readonly ReadableRemote[] {
    return this.#options.remotes().filter(({ ledger }) => isShipped(ledger, slot))
  }

  isAway({ name }: ReadableRemote): boolean {
    return this.#options.clock.monotonic() < (this.#awayUntil.get(name) ?? 0)
  }

  /** @throws when `signal` aborts */
  async look(
    slot: ObjectSlot,
    { inlineMax, signal }: { readonly inlineMax: number; readonly signal: AbortSignal },
  ): Promise<Sighting> {
    const { volumeId, survey } = this.#options
    const question = JSON.stringify({ volumeId, ask: 'object', slot, inlineMax })
    const remotes = this.sharing(slot)
    const answers = await Promise.all(
      remotes.map((remote) =>
        this.isAway(remote) ? undefined : this.#ask(remote, { slot, question, signal }),
      ),
    )
    signal.throwIfAborted()
    const said = answers.filter((answer) => answer !== undefined)
    // Looked at now, and not before: what was deleted while the remotes answered is deleted.
    const ours = survey.stateOf(slot)
    const floor = survey.stateOf({ kind: 'floor', bucket: slot.bucket }).version
    const deleted = ours.kind === 'deleted' ? ours.version : undefined
    const known: readonly Said[] = [...said, { put: undefined, deleted, floor }]
    const puts = said.flatMap(({ put }) => put ?? [])
    const shown = puts.filter(({ mutation }) => known.every((one) => isAbove(mutation, one)))
    const [first, ...others] = shown
    if (first !== undefined) return { kind: 'found', put: others.reduce(newer, first) }
    if (puts.length > 0) return { kind: 'deleted' }
    return { kind: said.length < remotes.length ? 'unreachable' : 'absent' }
  }

  /**
   * What the remote of this name holds of the slot, in its own words: for people who look into one object.
   *
   * @returns why that is not known, when it is not
   */
  async at(name: string, slot: ObjectSlot): Promise<Held | { readonly unknown: string }> {
    const remote = this.#options.remotes().find((one) => one.name === name)
    if (remote === undefined) return { unknown: 'nothing is sent to it now, so it is not asked' }
    const { volumeId, timeoutMs, clock } = this.#options
    const question = JSON.stringify({ volumeId, ask: 'object', slot, inlineMax: 0 })
    const late = new AbortController()
    const timer = clock.after(timeoutMs, () => late.abort())
    try {
      const answer = await remote.reader.look(question, late.signal)
      const { put, deleted, floor } = saidBy(remote, slot, answer)
      return { put: put?.mutation, deleted, floor }
    } catch (error) {
      rethrowAssertion(error)
      const isLate = late.signal.aborted
      return { unknown: isLate ? `no answer within ${timeoutMs / 1000} s` : messageOf(error) }
    } finally {
      timer.cancel()
    }
  }

  /** Bytes of exactly this version; resolves when they begin to arrive, within the time-out. */
  bytes(
    { reader }: ReadableRemote,
    wanted: { readonly info: ObjectInfo; readonly range: ByteRange },
    signal: AbortSignal,
  ): Promise<AsyncIterable<Buffer>> {
    const { volumeId } = this.#options
    const { info, range } = wanted
    const question = bytesQuestion(volumeId, info, range)
    const length = range.end - range.start
    return this.#within(signal, async (bounded) => {
      const pieces = await reader.readBytes(question, { length, signal: bounded })
      const iterator = pieces[Symbol.asyncIterator]()
      return startingWith(await iterator.next(), iterator)
    })
  }

  /** Within the time-out. Undefined when there is no answer, which is noted. */
  async #ask(
    remote: ReadableRemote,
    {
      slot,
      question,
      signal,
    }: { readonly slot: ObjectSlot; readonly question: string; readonly signal: AbortSignal },
  ): Promise<Said | undefined> {
    try {
      const answer = await this.#within(signal, (bounded) => remote.reader.look(question, bounded))
      return saidBy(remote, slot, answer)
    } catch (error) {
      rethrowAssertion(error)
      if (!signal.aborted) this.noteFailure(remote, error)
      return undefined
    }
  }

  /** Ends `call` when the remote has not answered in time, and when the reader has left. */
  async #within<T>(signal: AbortSignal, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { clock, timeoutMs } = this.#options
    const late = new AbortController()
    const timer = clock.after(timeoutMs, () => late.abort())
    try {
      return await call(AbortSignal.any([signal, late.signal]))
    } finally {
      timer.cancel()
    }
  }

  /** One that is busy, or does not have what was asked for, is there all the same. */
  noteFailure({ name }: ReadableRemote, error: unknown): void {
    if (error instanceof RemoteRefusedError && (error.status === 410 || error.status === 503))
      return
    const { clock, logger } = this.#options
    const now = clock.monotonic()
    this.#awayUntil.set(name, now + awayMs)
    if (now - (this.#complainedAt.get(name) ?? Number.NEGATIVE_INFINITY) < complainMs) return
    this.#complainedAt.set(name, now)
    logger.warn({ remote: name, error: messageOf(error) }, 'A remote cannot be read from')
  }
}

/**
 * A put that was made by somebody who had seen the deletion is another object; one that was not, is the
 * deleted one. A purge is told by versions, as everywhere: what is newer stays.
 */
function isAbove(put: PutMutation, { deleted, floor }: Said): boolean {
  if (floor !== undefined && put.version <= floor) return false
  return deleted === undefined || covers(put, deleted)
}

function newer(one: FoundPut, other: FoundPut): FoundPut {
  return other.mutation.version > one.mutation.version ? other : one
}

/** @throws RemoteProtocolError */
function saidBy(remote: ReadableRemote, slot: ObjectSlot, answer: Buffer): Said {
  let said: Said = { put: undefined, deleted: undefined, floor: undefined }
  const { header, frames } = understood(() => decodeBatch(answer))
  for (const frame of frames) {
    const { mutation, body } = understood(() => incomingOf(frame))
    understood(() => checkMutation(mutation))
    if (mutation.kind === 'purge' && mutation.slot.bucket === slot.bucket) {
      said = { ...said, floor: mutation.version }
    } else if (isOf(slot, mutation) && mutation.kind === 'delete') {
      said = { ...said, deleted: mutation.version }
    } else if (isOf(slot, mutation) && mutation.kind === 'put') {
      const bytes = body.kind === 'inline' ? Buffer.from(body.bytes) : undefined
      if (bytes !== undefined) checkContent(mutation, bytes)
      said = { ...said, put: { remote, site: header.session, mutation, bytes } }
    } else throw new RemoteProtocolError('the remote answers with what was not asked for')
  }
  return said
}

function isOf(slot: Slot, mutation: Mutation): boolean {
  return slotText(mutation.slot) === slotText(slot)
}

function checkContent({ meta }: PutMutation, bytes: Buffer): void {
  const { algorithm, digest } = meta.contentHash
  if (algorithm !== 'sha256' || createHash('sha256').update(bytes).digest().equals(digest)) return
  throw new RemoteProtocolError('the remote answers with bytes that do not have their own hash')
}

function understood<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof MalformedBytesError || cause instanceof ComioError)) throw cause
    throw new RemoteProtocolError(`the remote answers a read otherwise: ${cause.message}`, {
      cause,
      hint: 'Run the same version of ComIO at both sites.',
    })
  }
}
