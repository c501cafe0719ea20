/**
 * Tells which large objects were begun here and are wanted by nobody any more: a newer write took their
 * place at the sender, it no longer ships them here, or it is gone for good. A sender asks every few
 * seconds for all that it waits for, so one that is in touch and does not ask for an object has
 * abandoned it. One that is away may come back and go on: it is waited for much longer, unless the room
 * is needed.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import type { Clock, Timer } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { UploadName } from '../../store/model/object-store.ts'
import { keyOf } from './held-uploads.ts'

/** An object that was begun, and of which nothing moves now. */
export interface Begun {
  readonly upload: UploadName
  /** The senders that have offered it since the start of this site; after a restart there is none. */
  readonly from: ReadonlySet<string>
}

export interface AbandonmentOptions {
  /** A sender that is in touch for so long without asking for an object does not want it. */
  readonly afterMs: number
  readonly begun: () => readonly Begun[]
  /** The volumes of all that ship to this site. */
  readonly senders: () => readonly string[]
  readonly giveUp: (upload: UploadName) => Promise<void>
  /** Whether clients' writes are refused for want of room. */
  readonly isFull: () => boolean
  readonly clock: Clock
  readonly logger: Logger
}

/** A sender of which nothing was heard for so long has been away; heartbeats come more often. */
const awayMs = 5 * 60_000
/** One that is away is waited for so many times longer. */
const awayFactor = 24
const looksPerTerm = 8
/** Senders that are remembered. */
const contactsMax = 1024

interface Contact {
  /** Monotonic ms: it has not been away since. */
  readonly since: number
  readonly heardAt: number
}

export class Abandonment {
  readonly #options: AbandonmentOptions
  /** By the sender's volume, the longest silent first. */
  readonly #contacts = new Map<string, Contact>()
  /** Monotonic ms of the last sign that somebody wants it, for what had been begun at the last look. */
  #wantedAt = new Map<string, number>()
  #timer: Timer
  #looking: Promise<void> | undefined
  #closed = false

  constructor(options: AbandonmentOptions) {
    this.#options = options
    this.#timer = this.#arm()
  }

  /** The sender has said something. */
  heard(volumeId: string): void {
    const now = this.#options.clock.monotonic()
    const known = this.#contacts.get(volumeId)
    const since = known !== undefined && now - known.heardAt < awayMs ? known.since : now
    this.#contacts.delete(volumeId)
    this.#contacts.set(volumeId, { since, heardAt: now })
    for (const silent of this.#contacts.keys()) {
      if (this.#contacts.size <= contactsMax) break
      this.#contacts.delete(silent)
    }
  }

  /** A sender has offered it, asks for it or brings it. */
  wanted(upload: UploadName): void {
    const key = keyOf(upload)
    if (this.#wantedAt.has(key)) this.#wantedAt.set(key, this.#options.clock.monotonic())
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer.cancel()
    await this.#looking
  }

  #arm(): Timer {
    const { clock, afterMs, logger } = this.#options
    return clock.after(afterMs / looksPerTerm, () => {
      this.#looking = this.#look()
        .catch((error: unknown) => {
          rethrowAssertion(error)
          logger.warn({ error: messageOf(error) }, 'Cannot give up what a sender has abandoned')
        })
        .finally(() => {
          if (!this.#closed) this.#timer = this.#arm()
        })
    })
  }

  async #look(): Promise<void> {
    const { clock, begun, giveUp, logger } = this.#options
    const now = clock.monotonic()
    const wantedAt = new Map<string, number>()
    const abandoned: UploadName[] = []
    for (const one of begun()) {
      const key = keyOf(one.upload)
      const since = this.#wantedAt.get(key) ?? now
      wantedAt.set(key, since)
      if (this.#isAbandoned(one, { since, now })) abandoned.push(one.upload)
    }
    this.#wantedAt = wantedAt
    for (const upload of abandoned) {
      if (this.#closed) return
      const { bucket, key } = upload.slot
      logger.info(
        { bucket, key },
        'A large object that its sender does not bring any more is given up',
      )
      await giveUp(upload)
    }
  }

  #isAbandoned(
    { from }: Begun,
    { since, now }: { readonly since: number; readonly now: number },
  ): boolean {
    const { afterMs, isFull, senders } = this.#options
    const patienceMs = isFull() ? afterMs : afterMs * awayFactor
    if (now - since >= patienceMs) return true
    const hasLeft = (volumeId: string): boolean => {
      const contact = this.#contacts.get(volumeId)
      if (contact === undefined || now - contact.heardAt >= awayMs) return false
      return now - Math.max(since, contact.since) >= afterMs
    }
    // Who had offered it before a restart is not known, and offers it anew as soon as it is in touch.
    const owners = from.size > 0 ? [...from] : senders()
    return owners.length > 0 && owners.every(hasLeft)
  }
}
