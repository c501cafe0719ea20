/**
 * Checks those records of the log that no read ever meets, and on which an index that is built anew
 * rests: all that are not of objects. What the index holds whole is written once more from it; and since
 * a rebuild would stop at the damaged copy although it is dead, its segment is emptied, so that it goes.
 */
import { messageOf } from '../../base/errors.ts'
import {
  CorruptLogError,
  CorruptRecordError,
  StaleLocationError,
} from '../../volume/format/errors.ts'
import type { ListedRecord, SegmentInfo } from '../../volume/volume.ts'
import { decodeLabel } from '../model/mutation.ts'
import type { LiveRecords } from '../space/live-records.ts'
import { SegmentEmptier, type SegmentEmptierOptions } from '../space/segment-emptier.ts'
import { recordKinds } from '../tables/records.ts'

export interface TraceCheckOptions extends SegmentEmptierOptions {
  readonly volume: SegmentEmptierOptions['volume'] & {
    segments(): readonly SegmentInfo[]
    readRecord(
      location: ListedRecord['location'],
      expect: { readonly seq: number },
    ): Promise<unknown>
  }
}

/** A damaged record, or the damaged list of a segment's records. */
export interface DamagedTrace {
  readonly what:
    | 'deletion'
    | 'bucket'
    | 'purge'
    | 'remote'
    | 'upload'
    | 'letter'
    | 'conflict'
    | 'segment'
  readonly bucket: string | undefined
  readonly key: string | undefined
  /** Undefined when the record was written anew from what the index holds, and the damaged one went. */
  readonly problem: string | undefined
}

export interface CheckedTrace {
  /** How many were read. */
  readonly records: number
  readonly bytes: number
  readonly damaged: DamagedTrace | undefined
}

interface DamagedRecord {
  readonly record: ListedRecord
  readonly owner: TraceOwner
  readonly damage: CorruptRecordError
}

type TraceOwner = Exclude<NonNullable<ReturnType<LiveRecords['ownerOf']>>, { readonly kind: 'put' }>

export class TraceCheck {
  readonly #options: TraceCheckOptions
  readonly #emptier: SegmentEmptier

  constructor(options: TraceCheckOptions) {
    this.#options = options
    this.#emptier = new SegmentEmptier(options)
  }

  /** Every live one of the segments that are sealed and indexed, one after the other. */
  async *run(signal: AbortSignal): AsyncGenerator<CheckedTrace> {
    for (const segment of this.#options.volume.segments()) {
      if (segment.stream !== 'log' || segment.state !== 'sealed' || !segment.hasFooter) continue
      yield* this.#checkSegment(segment, signal)
      if (signal.aborted) return
    }
  }

  async *#checkSegment(segment: SegmentInfo, signal: AbortSignal): AsyncGenerator<CheckedTrace> {
    const { volume, records } = this.#options
    let listed: readonly ListedRecord[]
    try {
      listed = await volume.recordsOf(segment)
    } catch (error) {
      if (!(error instanceof CorruptLogError)) throw error
      const problem = messageOf(error)
      const damaged = { what: 'segment', bucket: undefined, key: undefined, problem } as const
      yield { records: 0, bytes: 0, damaged }
      return
    }
    const found: DamagedRecord[] = []
    for (const record of listed) {
      // Those of objects are read as the objects they are.
      if (record.kind === recordKinds.put) continue
      const owner = records.ownerOf(record)
      if (owner === undefined || owner.kind === 'put') continue
      const damage = await this.#damageOf(record)
      if (damage !== undefined) found.push({ record, owner, damage })
      const { headLength, bodyLength } = record.location
      yield { records: 1, bytes: headLength + bodyLength, damaged: undefined }
    }
    if (found.length === 0) return
    const damaged = new Set(found.map(({ record }) => record.location.offset))
    const problem = await this.#emptier.empty(segment, damaged, signal)
    // The next pass finds them once more.
    if (signal.aborted) return
    for (const one of found) yield { records: 0, bytes: 0, damaged: reportOf(one, problem) }
  }

  async #damageOf({ location, seq }: ListedRecord): Promise<CorruptRecordError | undefined> {
    try {
      await this.#options.volume.readRecord(location, { seq })
      return undefined
    } catch (error) {
      // It was moved, or died, since it was listed.
      if (error instanceof StaleLocationError) return undefined
      if (!(error instanceof CorruptRecordError)) throw error
      return error
    }
  }
}

/** @param problem why its segment cannot be emptied */
function reportOf(
  { record, owner, damage: { message } }: DamagedRecord,
  problem: string | undefined,
): DamagedTrace {
  const name = nameOf(owner, record)
  if (problem === undefined) return { ...name, problem }
  return { ...name, problem: `${message}; writing it anew failed: ${problem}` }
}

function nameOf(
  owner: TraceOwner,
  { label }: ListedRecord,
): Pick<DamagedTrace, 'what' | 'bucket' | 'key'> {
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
    case 'upload':
    case 'part':
      return { what: 'upload', ...slotNameOf(label) }
    case 'letter':
    case 'conflict':
      return { what: owner.kind, ...slotNameOf(label) }
  }
}

function slotNameOf(label: Uint8Array): Pick<DamagedTrace, 'bucket' | 'key'> {
  const { slot } = decodeLabel(label)
  return { bucket: slot.bucket, key: slot.kind === 'object' ? slot.key : undefined }
}
