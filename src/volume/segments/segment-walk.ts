/**
 * Walks the groups of one segment in order, and says where and why it had to stop. It decides
 * nothing: whether a stop is the tail, a loss or damage is the recovery's to say.
 */
import { decodeFooterHeader } from '../format/footer.ts'
import {
  decodeGroupHeader,
  decodeGroupRecords,
  type GroupHeader,
  type GroupRecord,
  groupLength,
} from '../format/group-codec.ts'
import { blockBytes, groupHeaderBytes } from '../format/limits.ts'
import type { SegmentSeed } from '../format/segment-seed.ts'
import { type ReadableSegment, readBlocks } from './segment-read.ts'

const windowBytes = 2 ** 20

export interface WalkedGroup {
  readonly type: 'group'
  readonly offset: number
  /** Offset behind it. */
  readonly end: number
  readonly header: GroupHeader
  /** Empty when only headers were asked for. */
  readonly records: readonly GroupRecord[]
}

export interface WalkStop {
  /** `end`: the limit, or a footer. `bad`: what stands here is no valid group. */
  readonly type: 'end' | 'bad'
  readonly offset: number
  readonly mismatch: string
  /** Where a later group could begin. */
  readonly resumeAt: number
}

export interface WalkOptions {
  readonly handle: ReadableSegment
  readonly seed: SegmentSeed
  /**
   * Where the groups are known to end; else they end at the first bad one or the footer. Up to there
   * all were durable once: a body that does not fit was damaged since, and no group is torn.
   */
  readonly limit?: number | undefined
  /** Whoever looks for damage wants to know of that in bodies, too. */
  readonly strict?: boolean
}

export class SegmentWalk {
  readonly #handle: ReadableSegment
  readonly #seed: SegmentSeed
  readonly #limit: number
  readonly #forgivesBodies: boolean
  #window: Buffer = Buffer.alloc(0)
  #windowOffset = 0
  #offset = blockBytes
  #lastGroup = 0

  constructor(options: WalkOptions) {
    this.#handle = options.handle
    this.#seed = options.seed
    this.#limit = options.limit ?? options.handle.size
    this.#forgivesBodies = options.limit !== undefined && options.strict !== true
  }

  /** Number of the last group walked over, 0 before the first. */
  get lastGroup(): number {
    return this.#lastGroup
  }

  /** Where the next group is expected. */
  get offset(): number {
    return this.#offset
  }

  /** The next group: all of it verified, or only its header with `headersOnly`. */
  async next(headersOnly = false): Promise<WalkedGroup | WalkStop> {
    const offset = this.#offset
    if (offset >= this.#limit) return stopped('end', offset, 'the segment ends here')
    const place = { offset, seed: this.#seed }
    const first = await this.#view(offset, blockBytes)
    const header = decodeGroupHeader(first, 0, place)
    if (header === undefined) {
      const footer = decodeFooterHeader(first, 0, place)
      if (footer?.lastGroup === this.#lastGroup)
        return stopped('end', offset, 'a footer stands here')
      return stopped('bad', offset, 'no valid group header stands here')
    }
    const end = offset + groupLength(header)
    const expected = this.#lastGroup + 1
    if (header.number !== expected) {
      const mismatch = `group ${header.number} stands where ${expected} is expected`
      return { type: 'bad', offset, mismatch, resumeAt: offset }
    }
    const bad = (mismatch: string): WalkStop => ({ type: 'bad', offset, mismatch, resumeAt: end })
    if (end > this.#limit) return bad('a group reaches beyond the end')
    const records = headersOnly ? [] : await this.#records(header, end)
    if (typeof records === 'string') return bad(records)
    this.#offset = end
    this.#lastGroup = header.number
    return { type: 'group', offset, end, header, records }
  }

  /**
   * The first place at or after `from` where a later group or the footer begins: proof that what
   * stands before it had once been durable. Also continues the walk there.
   */
  async skipTo(from: number): Promise<number | undefined> {
    for (let offset = from; offset + blockBytes <= this.#limit; offset += blockBytes) {
      const bytes = await this.#view(offset, blockBytes)
      const place = { offset, seed: this.#seed }
      const group = decodeGroupHeader(bytes, 0, place)
      const found = group?.number ?? decodeFooterHeader(bytes, 0, place)?.lastGroup
      if (found === undefined || found <= this.#lastGroup) continue
      this.#offset = offset
      this.#lastGroup = group === undefined ? found : found - 1
      return offset
    }
    return undefined
  }

  async #records(header: GroupHeader, end: number): Promise<readonly GroupRecord[] | string> {
    const offset = this.#offset
    const bytes = await this.#view(
      offset,
      Math.min(end - offset, groupHeaderBytes + header.payloadBytes),
    )
    return decodeGroupRecords(bytes, header, {
      ...{ offset, seed: this.#seed },
      forgivesBodies: this.#forgivesBodies,
    })
  }

  /** The bytes from `offset`, fewer at the end of the segment. Views stay valid: windows are not reused. */
  async #view(offset: number, length: number): Promise<Buffer> {
    const at = offset - this.#windowOffset
    if (at < 0 || at + length > this.#window.length) {
      const wanted = Math.min(Math.max(length, windowBytes), this.#handle.size - offset)
      this.#window = await readBlocks(this.#handle, offset, wanted)
      this.#windowOffset = offset
    }
    const start = offset - this.#windowOffset
    return this.#window.subarray(start, start + length)
  }
}

function stopped(type: 'end' | 'bad', offset: number, mismatch: string): WalkStop {
  return { type, offset, mismatch, resumeAt: offset + blockBytes }
}
