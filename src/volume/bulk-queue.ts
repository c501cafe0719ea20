/**
 * Group commit for bulk records: whatever is appended while one group is being synced goes into the
 * next. A caller waits for its own record and so holds back its upload; the queue is as long as there
 * are callers.
 */
import type { Location, RecordInput } from './record.ts'
import { recordLength } from './record-codec.ts'
import type { SegmentWriter } from './segment-writer.ts'

interface WaitingRecord {
  readonly record: RecordInput
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

  append(record: RecordInput): Promise<Location> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record, bytes: recordLength(record), resolve, reject })
      this.#running ??= this.#run()
    })
  }

  /** Resolves when everything that was appended is durable or has failed. */
  async settle(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup()
      try {
        const locations = await this.#writer.append(group.map(({ record }) => record))
        for (const [index, location] of locations.entries()) group[index]?.resolve(location)
      } catch (error) {
        for (const { reject } of group) reject(error)
      }
    }
    this.#running = undefined
  }

  #takeGroup(): WaitingRecord[] {
    let bytes = 0
    let count = 0
    for (const waiting of this.#waiting) {
      bytes += waiting.bytes
      if (bytes > this.#groupBytesMax && count > 0) break
      count++
    }
    return this.#waiting.splice(0, count)
  }
}
