/** What is left of a group that does not check out: the records that do, and which do not. */
import { type GroupHeader, type GroupRecord, groupRecordAt } from './group-codec.ts'
import { groupHeaderBytes } from './limits.ts'
import type { SegmentSeed } from './segment-seed.ts'

export interface LostRecord {
  readonly offset: number
  readonly mismatch: string
  /** Its header, where that is whole: then only the body is damaged. */
  readonly record?: GroupRecord
}

export interface Salvage {
  readonly records: readonly GroupRecord[]
  /** Behind a damaged header nothing of the group is found any more: its length is unknown. */
  readonly lost: readonly LostRecord[]
}

/** @param bytes from the group's header on, perhaps fewer than it has */
export function salvageRecords(
  bytes: Buffer,
  header: GroupHeader,
  place: { readonly offset: number; readonly seed: SegmentSeed },
): Salvage {
  const payload = bytes.subarray(0, groupHeaderBytes + header.payloadBytes)
  const records: GroupRecord[] = []
  const lost: LostRecord[] = []
  let at = groupHeaderBytes
  for (let i = 0; i < header.recordCount; i++) {
    const found = groupRecordAt(payload, at, place)
    if (typeof found === 'string') {
      lost.push({ offset: place.offset + at, mismatch: found })
      break
    }
    const { record, mismatch } = found
    if (mismatch === undefined) records.push(record)
    else lost.push({ offset: record.offset, mismatch, record })
    at += record.headLength + record.bodyLength
  }
  return { records, lost }
}
