/**
 * Group commit for bulk records: whatever is appended while one group is being synced goes into the
 * next. A caller waits for its own record and so holds back its upload; the queue is as long as there
 * are callers. What is moved has groups of its own, since it may open a segment where others may not.
 */
import { blockBytes } from '../format/limits.ts'
import type { Location, RecordInput } from '../format/record.ts'
import { recordLength } from '../format/record-codec.ts'
import type { SegmentWriter } from './segment-writer.ts'

type BulkPurpose = 'write' | 'move'

interface WaitingRecord {
  readonly record: RecordInput
  readonly purpose: BulkPurpose
  readonly bytes: number
  readonly resolve: (location: Location) => void
  readonly reject: (error: unknown) => void
}

export class BulkQueue {
  readonly #writer: SegmentWriter
  readonly #groupBytesMax: number
  readonly #waiting: WaitingRecord[] = []
  #running: Promise<void> | undefined

  constructor(writer: SegmentWriter, groupBytesMax: number) {
    this.#writer = writer
    this.#groupBytesMax = groupBytesMax
  }

  append(record: RecordInput, purpose: BulkPurpose): Promise<Location> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record, purpose, bytes: recordLength(record), resolve, reject })
      this.#running ??= this.#run()
    })
  }

  /** Resolves when everything that was appended is durable or has failed. */
  async settle(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    // What is appended in the same turn of the event loop joins the first group.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup()
      try {
        const records = group.map(({ record }) => record)
        const locations = await this.#writer.append(records, group[0]?.purpose)
        for (const [index, location] of locations.entries()) group[index]?.resolve(location)
      } catch (error) {
        for (const { reject } of group) reject(error)
      }
    }
    this.#running = undefined
  }

  /** As much as still fits into the open segment, so that little of it stays empty. */
  #takeGroup(): WaitingRecord[] {
    const room = this.#writer.room - 2 * blockBytes
    const first = this.#waiting[0]
    const limit =
      first !== undefined && first.bytes <= room
        ? Math.min(room, this.#groupBytesMax)
        : this.#groupBytesMax
    let bytes = 0
    let count = 0
    for (const waiting of this.#waiting) {
      bytes += waiting.bytes
      if (count > 0 && (bytes > limit || waiting.purpose !== first?.purpose)) break
      count++
    }
    return this.#waiting.splice(0, count)
  }
}
