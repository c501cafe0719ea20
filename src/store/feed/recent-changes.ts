/**
 * The newest places of the feed, and the bytes of what they say, as they were just written. A sender
 * that keeps up takes both from here: asking the index for the places, and then index and log for each
 * of them, costs more than all the rest of sending it. Holds what the index holds at the end of each
 * batch, so it makes no difference to anybody which of the two answers.
 */
import { assert } from '../../base/assert.ts'
import type { FeedPlace } from '../model/object-store.ts'
import type { FeedMove, WrittenChange } from '../tables/index-batch.ts'

const placesMax = 1024
/** A quarter of a second's worth of writes, at a rate that one site reaches. */
const bytesMax = 8 * 2 ** 20
/** Larger bodies are read from the log: there a read is cheap beside the bytes. */
const bodyBytesMax = 32 * 1024
/** What is part of a larger buffer, such as a batch from another site, would keep all of it. */
const bufferBytesMax = 2 ** 20

interface RecentPlace {
  readonly place: FeedPlace
  /** Undefined where nothing is kept, and once the place has gone: see `Layer` in `pending.ts`. */
  written: WrittenChange | undefined
}

export class RecentChanges {
  /** In the order of the feed. */
  readonly #places = new Map<number, RecentPlace>()
  /** Small bytes share a buffer, which lives as long as any of them: so many of them are here. */
  readonly #buffers = new Map<ArrayBufferLike, number>()
  #bytes = 0
  /** Every place of the feed above this one is here. */
  #after: number
  #last: number

  constructor(head: number) {
    this.#after = head
    this.#last = head
  }

  /** What an index batch did to the feed, once it is durable. */
  note(moves: readonly FeedMove[]): void {
    for (const move of moves) {
      if ('gone' in move) this.#remove(move.gone)
      else this.#add(move.place, move.written)
    }
    for (const seq of this.#places.keys()) {
      if (this.#places.size <= placesMax && this.#bytes <= bytesMax) return
      this.#remove(seq)
      this.#after = seq
    }
  }

  /** Nobody ships what is written, up to `head`. */
  forget(head: number): void {
    this.#places.clear()
    this.#buffers.clear()
    this.#bytes = 0
    this.#after = Math.max(this.#after, head)
    this.#last = this.#after
  }

  /** Places after `after`, ascending; undefined when some of them are not here. */
  placesAfter(after: number, limit: number): readonly FeedPlace[] | undefined {
    if (after < this.#after) return undefined
    const places: FeedPlace[] = []
    for (const [seq, { place }] of this.#places) {
      if (seq <= after) continue
      if (places.length === limit) break
      places.push(place)
    }
    return places
  }

  writtenAt(seq: number): WrittenChange | undefined {
    return this.#places.get(seq)?.written
  }

  #add(place: FeedPlace, written: WrittenChange | undefined): void {
    assert(place.seq > this.#last, 'places come into the feed in rising order')
    this.#last = place.seq
    const kept = written !== undefined && isKept(written) ? written : undefined
    this.#places.set(place.seq, { place, written: kept })
    if (kept === undefined) return
    this.#hold(kept.encoded.label.buffer, 1)
    if (kept.bytes !== undefined) this.#hold(kept.bytes.buffer, 1)
  }

  #remove(seq: number): void {
    const found = this.#places.get(seq)
    if (found === undefined) return
    this.#places.delete(seq)
    const { written } = found
    found.written = undefined
    if (written === undefined) return
    this.#hold(written.encoded.label.buffer, -1)
    if (written.bytes !== undefined) this.#hold(written.bytes.buffer, -1)
  }

  #hold(buffer: ArrayBufferLike, change: 1 | -1): void {
    const before = this.#buffers.get(buffer) ?? 0
    const now = before + change
    if (before === 0) this.#bytes += buffer.byteLength
    if (now > 0) {
      this.#buffers.set(buffer, now)
      return
    }
    this.#buffers.delete(buffer)
    this.#bytes -= buffer.byteLength
  }
}

function isKept({ bytes }: WrittenChange): boolean {
  if (bytes === undefined) return true
  return bytes.length <= bodyBytesMax && bytes.buffer.byteLength <= bufferBytesMax
}
