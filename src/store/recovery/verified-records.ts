/**
 * Which records were found intact, and where: eight bytes each, so that a million are little. A record is
 * known by its place and a fingerprint of what it is about.
 */
import { checksum } from '../../base/checksum.ts'
import type { Location, SegmentUse } from '../../volume/volume.ts'

/** What must be true of the record at a location. */
export interface ExpectedRecord {
  readonly kind: number
  readonly seq: number
  readonly label: Uint8Array
  readonly location: Location
}

const recordsMin = 1024

/** Those of one segment, by ascending offset: they are added as they are read. */
class SegmentRecords {
  readonly generation: number
  #offsets = new Uint32Array(recordsMin)
  #fingerprints = new Uint32Array(recordsMin)
  #count = 0

  constructor(generation: number) {
    this.generation = generation
  }

  add(offset: number, fingerprint: number): void {
    if (this.#count === this.#offsets.length) {
      this.#offsets = grown(this.#offsets)
      this.#fingerprints = grown(this.#fingerprints)
    }
    this.#offsets[this.#count] = offset
    this.#fingerprints[this.#count] = fingerprint
    this.#count++
  }

  find(offset: number): number | undefined {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#offsets[middle] ?? 0) < offset) low = middle + 1
      else high = middle
    }
    return low < this.#count && this.#offsets[low] === offset ? this.#fingerprints[low] : undefined
  }
}

function grown(array: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(array.length * 2)
  larger.set(array)
  return larger
}

export class VerifiedRecords {
  readonly #segments = new Map<number, SegmentRecords>()

  /** The segment is there; what is added next is in it. */
  begin({ segment, generation }: SegmentUse): void {
    this.#segments.set(segment, new SegmentRecords(generation))
  }

  has({ segment, generation }: SegmentUse): boolean {
    return this.#segments.get(segment)?.generation === generation
  }

  add(record: ExpectedRecord): void {
    this.#segments.get(record.location.segment)?.add(record.location.offset, fingerprintOf(record))
  }

  /** What is wrong with the expectation as text; undefined when it was met. */
  mismatch(expected: ExpectedRecord): string | undefined {
    const { segment, generation, offset } = expected.location
    const records = this.#segments.get(segment)
    if (records?.generation !== generation) return 'its segment is not there'
    const found = records.find(offset)
    if (found === undefined) return 'no intact record begins there'
    return found === fingerprintOf(expected) ? undefined : 'another record lies there'
  }
}

function fingerprintOf({ kind, seq, label, location }: ExpectedRecord): number {
  const fields = Buffer.alloc(24)
  fields.writeDoubleLE(seq, 0)
  fields.writeUInt32LE(kind, 8)
  fields.writeUInt32LE(location.headLength, 12)
  fields.writeUInt32LE(location.bodyLength, 16)
  return checksum(label, checksum(fields))
}
