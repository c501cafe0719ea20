/**
 * Checks those records of the log that no read ever meets, and on which an index that is built anew
 * rests: deletions, joins, buckets, purges and remotes.
 */
import { rethrowAssertion } from '../base/assert.ts'
import { messageOf } from '../base/errors.ts'
import { CorruptLogError, CorruptRecordError, StaleLocationError } from '../volume/errors.ts'
import type { ListedRecord, SegmentInfo, SegmentUse } from '../volume/volume.ts'
import type { LiveRecords } from './live-records.ts'
import { recordKinds } from './records.ts'
import type { UnplacedOwner } from './unplaced-records.ts'

export interface TraceCheckOptions {
  readonly volume: {
    segments(): readonly SegmentInfo[]
    recordsOf(use: SegmentUse): Promise<readonly ListedRecord[]>
    readRecord(
      location: ListedRecord['location'],
      expect: { readonly seq: number },
    ): Promise<unknown>
  }
  readonly records: LiveRecords
}

/** A damaged record, or the damaged list of a segment's records. */
export interface DamagedTrace {
  readonly what: 'deletion' | 'bucket' | 'purge' | 'remote' | 'segment'
  readonly bucket: string | undefined
  readonly key: string | undefined
  /** Undefined when the record was written anew from what the index holds. */
  readonly problem: string | undefined
}

export interface CheckedTrace {
  readonly bytes: number
  readonly damaged: DamagedTrace | undefined
}

export class TraceCheck {
  readonly #options: TraceCheckOptions

  constructor(options: TraceCheckOptions) {
    this.#options = options
  }

  /** Every live one of the segments that are sealed and indexed, one after the other. */
  async *run(): AsyncGenerator<CheckedTrace> {
    for (const segment of this.#options.volume.segments()) {
      if (segment.stream !== 'log' || segment.state !== 'sealed' || !segment.hasFooter) continue
      yield* this.#checkSegment(segment)
    }
  }

  async *#checkSegment(segment: SegmentInfo): AsyncGenerator<CheckedTrace> {
    const { volume, records } = this.#options
    let listed: readonly ListedRecord[]
    try {
      listed = await volume.recordsOf(segment)
    } catch (error) {
      if (!(error instanceof CorruptLogError)) throw error
      const problem = messageOf(error)
      const damaged = { what: 'segment', bucket: undefined, key: undefined, problem } as const
      yield { bytes: 0, damaged }
      return
    }
    for (const record of listed) {
      // Those of objects are read as the objects they are.
      if (record.kind === recordKinds.put) continue
      const owner = records.ownerOf(record)
      if (owner === undefined || owner.kind === 'put' || isUnplaced(owner)) continue
      const { headLength, bodyLength } = record.location
      yield { bytes: headLength + bodyLength, damaged: await this.#check(record, owner) }
    }
  }

  /** What became of it, if it is damaged. */
  async #check(record: ListedRecord, owner: TraceOwner): Promise<DamagedTrace | undefined> {
    try {
      await this.#options.volume.readRecord(record.location, { seq: record.seq })
      return undefined
    } catch (error) {
      // It was moved, or died, since it was listed.
      if (error instanceof StaleLocationError) return undefined
      if (!(error instanceof CorruptRecordError)) throw error
      return { ...nameOf(owner), problem: await this.#rewrite(record, owner, error) }
    }
  }

  /** What the index holds whole is written once more at the log's end. */
  async #rewrite(
    record: ListedRecord,
    { kind }: TraceOwner,
    damage: CorruptRecordError,
  ): Promise<string | undefined> {
    if (kind === 'register' || kind === 'floorPlace') return damage.message
    try {
      await this.#options.records.move(record, undefined)
      return undefined
    } catch (error) {
      rethrowAssertion(error)
      return `${damage.message}; writing it anew failed: ${messageOf(error)}`
    }
  }
}

type TraceOwner = Exclude<
  NonNullable<ReturnType<LiveRecords['ownerOf']>>,
  UnplacedOwner | { readonly kind: 'put' }
>

/** Not read here: no object, and no deletion, rests on them. */
function isUnplaced(owner: TraceOwner | UnplacedOwner): owner is UnplacedOwner {
  return ['upload', 'part', 'letter', 'conflict'].includes(owner.kind)
}

function nameOf(owner: TraceOwner): Pick<DamagedTrace, 'what' | 'bucket' | 'key'> {
  switch (owner.kind) {
    case 'delete':
    case 'join':
      return { what: 'deletion', ...owner.name }
    case 'register':
      return { what: 'bucket', bucket: owner.bucket, key: undefined }
    case 'floorPlace':
      return { what: 'purge', bucket: owner.bucket, key: undefined }
    case 'remote':
      return { what: 'remote', bucket: undefined, key: owner.remote }
  }
}
