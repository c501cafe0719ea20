/**
 * Reads records in a thread that has nothing of the volume: it is told where a segment lies, opens it
 * beside the volume, and believes what the checksums prove. Their seed has volume, segment and generation in
 * it, and each record its seq: bytes that somebody else has written there since, or is writing just then,
 * are never taken for the record. So nothing is pinned, and whoever reads here can hold nothing up.
 *
 * It promises that nothing is returned that was not verified. It gives up rather than wait, or say what is
 * wrong: the volume itself has the word then.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import type { SegmentPlace } from '../../device/device.ts'
import { SegmentView } from '../../device/segment-view.ts'
import type { Location, ReadRecord, SegmentUse } from '../format/record.ts'
import { SegmentSeed } from '../format/segment-seed.ts'
import { QuickReads } from './quick-reads.ts'
import { verifiedRecord } from './record-reader.ts'

/** Files kept open: 32 GiB of segments as they are by default. What is read beyond costs more than without a view. */
const segmentsMax = 512

/** A chunk, and what stands before it. */
const readBytesMax = 2 ** 20 + 2 ** 17

interface OpenSegment {
  readonly generation: number
  readonly seed: SegmentSeed
  /** Undefined until somebody has said where it lies. */
  view: SegmentView | undefined
}

export interface RecordViewOptions {
  /** 32 hex digits. */
  readonly volumeId: string
  readonly clock: Clock
  readonly diskReads: () => number
  /** Asks where a segment lies; the answer is for {@link RecordView.opened}. */
  readonly ask: (use: SegmentUse) => void
}

export class RecordView {
  readonly #options: RecordViewOptions
  readonly #volumeId: Buffer
  readonly #quick: QuickReads
  /** Once there are as many as may be, in the order in which they were last read. */
  readonly #segments = new Map<number, OpenSegment>()

  constructor(options: RecordViewOptions) {
    this.#options = options
    this.#volumeId = Buffer.from(options.volumeId, 'hex')
    this.#quick = new QuickReads({ diskReads: options.diskReads }, options.clock, readBytesMax)
  }

  /** How many segments are open. */
  get open(): number {
    return [...this.#segments.values()].filter(({ view }) => view !== undefined).length
  }

  /**
   * Undefined when it is not at hand, or anything else than expected is.
   * @param expect undefined for a chunk
   */
  readRecordNow(location: Location, expect?: { readonly seq: number }): ReadRecord | undefined {
    const { segment, offset, headLength, bodyLength } = location
    const found = this.#segments.get(segment) ?? this.#want(location)
    if (found.generation !== location.generation) {
      // What the index names is newer than what is open, unless it was looked up long ago.
      if (found.generation < location.generation) this.freed(segment)
      return undefined
    }
    if (found.view === undefined) return undefined
    if (this.#segments.size >= segmentsMax) this.#touch(segment, found)
    try {
      const bytes = this.#quick.tryRead(found.view, offset, headLength + bodyLength)
      return bytes && verifiedRecord(bytes, { location, expect, seed: found.seed })
    } catch (thrown) {
      rethrowAssertion(thrown)
      // Freed, damaged, or the disk failed: the volume meets it as well, and can tell.
      return undefined
    }
  }

  /** The answer to what was asked; undefined when the segment is gone. */
  opened({ segment, generation }: SegmentUse, place: SegmentPlace | undefined): void {
    const found = this.#segments.get(segment)
    if (found?.generation !== generation || found.view !== undefined) return
    if (place === undefined) {
      this.#segments.delete(segment)
      return
    }
    try {
      found.view = new SegmentView(place)
    } catch (thrown) {
      rethrowAssertion(thrown)
      // As with a read that fails.
      this.#segments.delete(segment)
    }
  }

  /** Nothing is read in it any more: a file that is open keeps its space. */
  freed(segment: number): void {
    this.#segments.get(segment)?.view?.close()
    this.#segments.delete(segment)
  }

  close(): void {
    for (const segment of [...this.#segments.keys()]) this.freed(segment)
  }

  #touch(segment: number, found: OpenSegment): void {
    this.#segments.delete(segment)
    this.#segments.set(segment, found)
  }

  #want({ segment, generation }: Location): OpenSegment {
    const [oldest] = this.#segments.keys()
    if (oldest !== undefined && this.#segments.size >= segmentsMax) this.freed(oldest)
    const seed = new SegmentSeed(this.#volumeId, { segment, generation })
    const wanted: OpenSegment = { generation, seed, view: undefined }
    this.#segments.set(segment, wanted)
    this.#options.ask({ segment, generation })
    return wanted
  }
}
