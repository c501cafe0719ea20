/**
 * One walk over everything that is stored: each object's bytes are read and compared with their
 * checksums, bucket by bucket in the order of the keys, then the log's other records. What is damaged
 * is handed to whoever can heal it. It reads no faster than it is told to.
 */
import { type Clock, delay } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { CorruptObjectError } from '../model/errors.ts'
import type { ObjectInfo, ObjectName, OpenObject } from '../model/object-store.ts'
import type { Survey } from '../model/survey.ts'
import type { DamagedTrace, TraceCheck } from './trace-check.ts'

/** What can be scrubbed: the store of a site. */
export interface ScrubbedStore {
  readonly survey: Pick<Survey, 'buckets' | 'list'>
  readonly traces: Pick<TraceCheck, 'run'>
  openObject(name: ObjectName): OpenObject | undefined
}

/** `gone`: something newer is current by now, with bytes of its own. */
export type HealOutcome = 'healed' | 'gone' | { readonly problem: string }

export type HealObject = (info: ObjectInfo, signal: AbortSignal) => Promise<HealOutcome>

export interface ScrubPassOptions {
  readonly store: ScrubbedStore
  readonly heal: HealObject
  /** Bytes per second; 0 for no limit. */
  readonly rate: number
  readonly clock: Clock
  readonly logger: Logger
  readonly signal: AbortSignal
}

/** Where a walk goes on: behind this object. */
export interface ScrubPlace {
  readonly bucket: string
  readonly key: string
}

export interface ScrubFinding {
  readonly what: 'object' | DamagedTrace['what']
  readonly bucket?: string | undefined
  readonly key?: string | undefined
  readonly result: 'healed' | 'gone' | 'damaged'
  /** Why it stays damaged. */
  readonly problem?: string | undefined
}

export interface ScrubCounts {
  readonly objects: number
  /** Of objects. */
  readonly bytes: number
  /** Of the log, that are no object's. */
  readonly records: number
  /** What was found damaged, and how much of it was healed, or was replaced meanwhile. */
  readonly damaged: number
  readonly healed: number
  readonly gone: number
  /** The first ones. */
  readonly listed: readonly ScrubFinding[]
}

export const noScrubCounts: ScrubCounts = {
  objects: 0,
  bytes: 0,
  records: 0,
  damaged: 0,
  healed: 0,
  gone: 0,
  listed: [],
}

const listedMax = 200
const pageEntries = 512
/** What one object costs the disk at least. */
const costMin = 4096
/** Below this a pause is not worth its timer. */
const pauseMsMin = 10

export class ScrubPass {
  readonly #options: ScrubPassOptions
  #counts: ScrubCounts
  #place: ScrubPlace | undefined
  /** By the monotonic clock: when the bytes read so far may have been read. */
  #due: number

  constructor(
    options: ScrubPassOptions,
    from: { readonly counts: ScrubCounts; readonly place?: ScrubPlace | undefined },
  ) {
    this.#options = options
    this.#counts = from.counts
    this.#place = from.place
    this.#due = options.clock.monotonic()
  }

  get counts(): ScrubCounts {
    return this.#counts
  }

  get place(): ScrubPlace | undefined {
    return this.#place
  }

  /** Whether it came to the end; false when it was stopped. */
  async run(): Promise<boolean> {
    for await (const name of this.#names()) {
      await this.#readObject(name)
      if (this.#options.signal.aborted) return false
    }
    const { store, signal } = this.#options
    for await (const { records, bytes, damaged } of store.traces.run(signal)) {
      this.#count({ records })
      if (damaged !== undefined) this.#noteTrace(damaged)
      await this.#pace(bytes)
      if (signal.aborted) return false
    }
    // Who is stopped while he empties a segment says nothing of it.
    return !signal.aborted
  }

  async *#names(): AsyncGenerator<ObjectName> {
    const { survey } = this.#options.store
    const from = this.#place
    for (let after = ''; ; ) {
      const buckets = await survey.buckets(after, pageEntries)
      for (const { bucket } of buckets) {
        if (from !== undefined && bucket < from.bucket) continue
        yield* this.#namesIn(bucket, from?.bucket === bucket ? from.key : '')
      }
      const last = buckets.at(-1)
      if (last === undefined || buckets.length < pageEntries) return
      after = last.bucket
    }
  }

  async *#namesIn(bucket: string, behind: string): AsyncGenerator<ObjectName> {
    const { survey } = this.#options.store
    const range = { table: 'objects', bucket, until: '', floor: undefined } as const
    for (let after = behind; ; ) {
      const entries = await survey.list({ ...range, after }, pageEntries)
      for (const { key } of entries) yield { bucket, key }
      const last = entries.at(-1)
      if (last === undefined || entries.length < pageEntries) return
      after = last.key
    }
  }

  async #readObject(name: ObjectName): Promise<void> {
    let object: OpenObject | undefined
    try {
      object = this.#options.store.openObject(name)
      if (object === undefined) return
      for await (const piece of object.read(undefined, { passing: true })) {
        this.#count({ bytes: piece.length })
        await this.#pace(piece.length)
        if (this.#options.signal.aborted) return
      }
      this.#passed(name)
      if (object.info.meta.size < costMin) await this.#pace(costMin - object.info.meta.size)
    } catch (error) {
      if (!(error instanceof CorruptObjectError)) throw error
      await this.#healObject(name, object?.info, error)
      this.#passed(name)
    } finally {
      object?.close()
    }
  }

  #passed(name: ObjectName): void {
    this.#count({ objects: 1 })
    this.#place = name
  }

  async #healObject(
    name: ObjectName,
    info: ObjectInfo | undefined,
    damage: CorruptObjectError,
  ): Promise<void> {
    const { heal, logger, signal } = this.#options
    logger.error({ ...damage.facts, error: damage.message }, 'Stored bytes are damaged')
    const outcome = info === undefined ? { problem: damage.message } : await heal(info, signal)
    const result = typeof outcome === 'string' ? outcome : 'damaged'
    const problem = typeof outcome === 'string' ? undefined : outcome.problem
    this.#note({ what: 'object', bucket: name.bucket, key: name.key, result, problem })
  }

  #noteTrace(damaged: DamagedTrace): void {
    const { what, bucket, key, problem } = damaged
    this.#options.logger.error({ what, bucket, key, problem }, 'A record of the log is damaged')
    const result = problem === undefined ? 'healed' : 'damaged'
    this.#note({ what, bucket, key, result, problem })
  }

  #note(finding: ScrubFinding): void {
    const counts = this.#counts
    const { result } = finding
    this.#counts = {
      ...counts,
      damaged: counts.damaged + 1,
      healed: counts.healed + (result === 'healed' ? 1 : 0),
      gone: counts.gone + (result === 'gone' ? 1 : 0),
      listed: counts.listed.length < listedMax ? [...counts.listed, finding] : counts.listed,
    }
  }

  #count(more: Partial<Record<'objects' | 'bytes' | 'records', number>>): void {
    const { objects, bytes, records } = this.#counts
    this.#counts = {
      ...this.#counts,
      objects: objects + (more.objects ?? 0),
      bytes: bytes + (more.bytes ?? 0),
      records: records + (more.records ?? 0),
    }
  }

  /** Waits until so many bytes more may have been read. */
  async #pace(bytes: number): Promise<void> {
    const { rate, clock, signal } = this.#options
    if (rate === 0) return
    const now = clock.monotonic()
    // What was not used while somebody else held the disk up is not made up for.
    this.#due = Math.max(this.#due, now - 1000) + (1000 * bytes) / rate
    if (this.#due - now >= pauseMsMin) await delay(clock, this.#due - now, signal)
  }
}
