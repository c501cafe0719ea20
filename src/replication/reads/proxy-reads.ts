/**
 * Reads of what this site does not have yet, answered with what a remote has. Promises: what is known
 * to be deleted is never shown, nothing is stored, no more are under way than the bound says, and a
 * remote that does not answer is waited for once, within the time-out. It must never know HTTP.
 */
import { createHash } from 'node:crypto'
import { rethrowAssertion } from '../../base/assert.ts'
import { ByteBudget } from '../../base/byte-budget.ts'
import type { Clock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { ObjectElsewhere, ObjectsElsewhere } from '../../store/model/elsewhere.ts'
import type { ByteRange, ObjectInfo, ObjectName } from '../../store/model/object-store.ts'
import { objectSlot } from '../../store/model/slot.ts'
import { ProxiedReadError, RemoteProtocolError } from '../wire/errors.ts'
import { readInlineMax } from '../wire/read-documents.ts'
import type { ReadsTally } from './reads-tally.ts'
import type { FoundPut, RemoteLook } from './remote-look.ts'

export interface ProxyReadsOptions {
  readonly look: RemoteLook
  readonly tally: ReadsTally
  readonly clock: Clock
  readonly timeoutMs: number
}

/** Under way at one time, from the question to the last byte; further ones wait for the time-out. */
const readsMax = 32
const waitersMax = 256

export class ProxyReads implements ObjectsElsewhere {
  readonly #options: ProxyReadsOptions
  /** Counted in reads, where a budget is one of bytes elsewhere. */
  readonly #places: ByteBudget

  constructor(options: ProxyReadsOptions) {
    const { clock, timeoutMs } = options
    this.#options = options
    this.#places = new ByteBudget({
      clock,
      capacityBytes: readsMax,
      waitersMax,
      waitMsMax: timeoutMs,
    })
  }

  async open(
    name: ObjectName,
    { bytes, signal }: { readonly bytes: boolean; readonly signal: AbortSignal },
  ): Promise<ObjectElsewhere | undefined> {
    const { look, tally } = this.#options
    const slot = objectSlot(name.bucket, name.key)
    if (look.sharing(slot).length === 0) return undefined
    await this.#takePlace(signal)
    let isOpen = false
    try {
      const seen = await look.look(slot, { inlineMax: bytes ? readInlineMax : 0, signal })
      tally.proxy(seen.kind === 'found' ? 'served' : seen.kind)
      if (seen.kind !== 'found') return undefined
      isOpen = true
      return this.#objectOf(name, seen.put, signal)
    } finally {
      if (!isOpen) this.#places.release(1)
    }
  }

  async #takePlace(signal: AbortSignal): Promise<void> {
    try {
      await this.#places.acquire(1, { signal })
    } catch (error) {
      if (!signal.aborted) this.#options.tally.proxy('refused')
      throw error
    }
  }

  #objectOf({ bucket, key }: ObjectName, put: FoundPut, signal: AbortSignal): ObjectElsewhere {
    const { version, meta } = put.mutation
    const { look, tally } = this.#options
    const info = { bucket, key, seq: 0, version, meta }
    return new ProxiedObject({
      ...{ info, put, look, tally, signal },
      onClose: () => this.#places.release(1),
    })
  }
}

interface ProxiedObjectOptions {
  readonly info: ObjectInfo
  readonly put: FoundPut
  readonly look: RemoteLook
  readonly tally: ReadsTally
  /** Aborts when nobody reads any more. */
  readonly signal: AbortSignal
  readonly onClose: () => void
}

class ProxiedObject implements ObjectElsewhere {
  readonly info: ObjectInfo
  readonly #options: ProxiedObjectOptions
  #isClosed = false

  constructor(options: ProxiedObjectOptions) {
    this.info = options.info
    this.#options = options
  }

  get site(): string {
    return this.#options.put.site
  }

  readNow(): undefined {
    return undefined
  }

  async readWhole(): Promise<Buffer> {
    const pieces: Buffer[] = []
    for await (const piece of this.read()) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  async *read(range: ByteRange = { start: 0, end: this.info.meta.size }): AsyncGenerator<Buffer> {
    const { put, tally, look, signal } = this.#options
    if (range.end <= range.start) return
    try {
      const pieces = put.bytes === undefined ? this.#fetched(range) : sliced(put.bytes, range)
      for await (const piece of pieces) {
        tally.proxiedBytes += piece.length
        yield piece
      }
    } catch (error) {
      rethrowAssertion(error)
      if (signal.aborted) throw error
      tally.proxy('cut')
      look.noteFailure(put.remote, error)
      throw new ProxiedReadError(
        `site ${this.site} has the object, but stopped: ${messageOf(error)}`,
        {
          cause: error,
          hint: 'Read it again, or wait until it has arrived here.',
        },
      )
    }
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#options.onClose()
  }

  /** Of the whole, the last piece is kept back until all have the hash that they must have. */
  async *#fetched(range: ByteRange): AsyncGenerator<Buffer> {
    const { look, put, signal } = this.#options
    const { info } = this
    const { size, contentHash } = info.meta
    const pieces = await look.bytes(put.remote, { info, range }, signal)
    const isWhole = range.end - range.start === size
    const isChecked = isWhole && contentHash.algorithm === 'sha256'
    const hash = createHash('sha256')
    let last: Buffer | undefined
    for await (const piece of pieces) {
      if (last !== undefined) yield last
      if (isChecked) hash.update(piece)
      last = piece
    }
    if (isChecked && !hash.digest().equals(contentHash.digest)) {
      throw new RemoteProtocolError('its bytes do not have the hash of the object')
    }
    if (last !== undefined) yield last
  }
}

async function* sliced(bytes: Buffer, { start, end }: ByteRange): AsyncGenerator<Buffer> {
  yield bytes.subarray(start, end)
}
