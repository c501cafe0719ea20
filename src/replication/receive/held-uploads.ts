/**
 * What has been fetched of large objects that are not complete: at hand to be continued, or given up
 * when nobody wants them any more. Here is also the one budget for bytes that came before their turn.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import { ByteBudget } from '../../base/byte-budget.ts'
import type { Clock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { PutMutation } from '../../store/model/mutation.ts'
import type { ChangeSink, StagedUpload, UploadName } from '../../store/model/object-store.ts'
import { slotText } from '../../store/model/slot.ts'
import { RangeWindow } from './range-window.ts'

export interface HeldUpload {
  readonly mutation: PutMutation
  readonly upload: StagedUpload
  /** The volumes that have offered it. */
  readonly from: Set<string>
  /** What is fetched beyond the bytes that the upload holds. */
  readonly window: RangeWindow
  /** Bytes that were durable at the last look. */
  savedBytes: number
}

export interface HeldUploadsOptions {
  readonly sink: ChangeSink
  readonly clock: Clock
  readonly logger: Logger
  readonly rangeBytes: number
  readonly rangesMax: number
  /** A newer write has taken effect where this one was to go. */
  readonly onOvertaken: (mutation: PutMutation) => void
}

/** Interrupted uploads that are kept at hand to continue, or to give up when superseded. */
const keptMax = 256
/** Bytes of all objects together that may wait in memory for their turn, but at least one range. */
const roomBytes = 32 * 2 ** 20
const checkpointBytes = 64 * 2 ** 20

export class HeldUploads {
  readonly #options: HeldUploadsOptions
  readonly #kept = new Map<string, HeldUpload>()
  readonly #room: ByteBudget

  constructor(options: HeldUploadsOptions) {
    this.#options = options
    const capacityBytes = Math.max(roomBytes, options.rangeBytes)
    this.#room = new ByteBudget({ clock: options.clock, capacityBytes })
  }

  /** How many are kept. */
  get size(): number {
    return this.#kept.size
  }

  /** Those kept, and who has offered them. */
  kept(): Iterable<Pick<HeldUpload, 'mutation' | 'from'>> {
    return this.#kept.values()
  }

  /** The upload of exactly this version, continued or begun: the caller's until it is handed back. */
  async take(mutation: PutMutation, from: Iterable<string>): Promise<HeldUpload> {
    const key = keyOf(mutation)
    const kept = this.#kept.get(key)
    this.#kept.delete(key)
    if (kept !== undefined) return { ...kept, mutation, from: new Set([...kept.from, ...from]) }
    const upload = await this.#options.sink.stageUpload(mutation)
    const onOvertaken = (): void => this.#options.onOvertaken(mutation)
    upload.overtaken.addEventListener('abort', onOvertaken, { once: true })
    const { rangeBytes, rangesMax } = this.#options
    const window = new RangeWindow({
      start: upload.heldBytes,
      size: mutation.meta.size,
      rangeBytes,
      rangesMax,
      takeRoom: (bytes) => this.#takeRoom(bytes),
      giveRoom: (bytes) => this.#room.release(bytes),
    })
    return { mutation, upload, from: new Set(from), window, savedBytes: upload.heldBytes }
  }

  /** Appends the next bytes; makes what is held durable now and then. */
  async append(held: HeldUpload, piece: Uint8Array): Promise<void> {
    const { upload } = held
    await upload.append(piece)
    if (upload.heldBytes - held.savedBytes < checkpointBytes) return
    await upload.checkpoint()
    held.savedBytes = upload.heldBytes
  }

  /** Makes it durable and keeps it for whoever continues. */
  async keep(held: HeldUpload): Promise<void> {
    await held.upload.checkpoint()
    held.savedBytes = held.upload.heldBytes
    this.#kept.set(keyOf(held.mutation), held)
    // The store still has the bytes of those let go here: an offer continues them all the same.
    for (const [oldest, other] of this.#kept) {
      if (this.#kept.size <= keptMax) break
      this.#kept.delete(oldest)
      await this.end(other)
    }
  }

  /** Lets go of a handle that nobody continues; what was made durable stays for the next one. */
  async end({ upload, window }: HeldUpload): Promise<void> {
    window.drop()
    try {
      await upload.close()
    } catch (error) {
      rethrowAssertion(error)
      this.#options.logger.warn({ error: messageOf(error) }, 'Cannot let go of a pulled object')
    }
  }

  async giveUp(held: HeldUpload): Promise<void> {
    try {
      await held.upload.abort()
      held.window.drop()
    } catch (error) {
      rethrowAssertion(error)
      this.#options.logger.warn({ error: messageOf(error) }, 'Cannot give up a pulled object')
      await this.end(held)
    }
  }

  /** Gives up those kept that are pointless now. */
  async giveUpWhere(isPointless: (mutation: PutMutation) => boolean): Promise<void> {
    for (const [key, held] of this.#kept) {
      if (!isPointless(held.mutation)) continue
      this.#kept.delete(key)
      await this.giveUp(held)
    }
  }

  /** The link of this volume is over: what nobody else has offered is given up. */
  async leave(volumeId: string): Promise<void> {
    const lonely = new Set<PutMutation>()
    for (const { from, mutation } of this.#kept.values()) {
      if (from.delete(volumeId) && from.size === 0) lonely.add(mutation)
    }
    await this.giveUpWhere((mutation) => lonely.has(mutation))
  }

  async close(): Promise<void> {
    const kept = [...this.#kept.values()]
    this.#kept.clear()
    await Promise.all(kept.map((held) => this.end(held)))
  }

  /** What is fetched now goes before what may be fetched again. */
  #takeRoom(bytes: number): boolean {
    for (const { window } of this.#kept.values()) {
      if (this.#room.tryAcquire(bytes)) return true
      window.drop()
    }
    return this.#room.tryAcquire(bytes)
  }
}

/** Tells one write of a slot from all others. */
export function keyOf({ slot, version }: UploadName): string {
  return `${slotText(slot)}\n${version}`
}
