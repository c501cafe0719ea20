/**
 * The small objects of a store as another thread of the process sees them: in the same index, above the same
 * floors, with every byte verified. What it finds is what the store would have answered in that moment.
 *
 * It finds what is at hand and nothing else: what is absent, large, damaged or on its way elsewhere is the
 * store's to answer. It must never know HTTP, nor how it hears of floors.
 */

import type { RecordReader } from '../bodies/stored-object.ts'
import { encodeLabel } from '../model/mutation.ts'
import type { ObjectInfo, ObjectName } from '../model/object-store.ts'
import type { OpenObject } from '../model/open-object.ts'
import { objectSlot } from '../model/slot.ts'
import type { Version } from '../model/version.ts'
import { decodeBucketEntry } from '../tables/bucket-entry.ts'
import { bucketKey, objectKey } from '../tables/keys.ts'
import { decodeLiveEntry, type LiveEntry } from '../tables/slot-entry.ts'

export type ViewedObject = Pick<OpenObject, 'info' | 'readNow'>

export interface ObjectViewOptions {
  readonly index: { get(key: Uint8Array): Buffer | undefined }
  readonly reader: Pick<RecordReader, 'readRecordNow'>
  /** Another number whenever a purge has raised a floor, before it is answered. */
  readonly floorsEpoch: () => number
}

/** Buckets whose floors are remembered: all are forgotten when there are more. */
const bucketsMax = 4096

export class ObjectView {
  readonly #options: ObjectViewOptions
  readonly #floors = new Map<string, Version | undefined>()
  #epoch: number | undefined

  constructor(options: ObjectViewOptions) {
    this.#options = options
  }

  /** Undefined when the store has to be asked. @throws IndexReadError */
  find(name: ObjectName): ViewedObject | undefined {
    // Before the entry is looked up: what is read behind it is at least as new.
    const epoch = this.#options.floorsEpoch()
    const value = this.#options.index.get(objectKey(name.bucket, name.key))
    if (value === undefined) return undefined
    const entry = decodeLiveEntry(value)
    const floor = this.#floorOf(name.bucket, epoch)
    if (floor !== undefined && entry.version <= floor) return undefined
    const { seq, version, meta } = entry
    const info = { bucket: name.bucket, key: name.key, seq, version, meta }
    return { info, readNow: () => this.#read(info, entry) }
  }

  #read(info: ObjectInfo, { location, recordSeq, body }: LiveEntry): Buffer | undefined {
    if (body.kind !== 'inline' || location === undefined) return undefined
    const record = this.#options.reader.readRecordNow(location, { seq: recordSeq })
    if (record === undefined || record.body.length !== info.meta.size) return undefined
    const label = encodeLabel(objectSlot(info.bucket, info.key), info.version)
    return record.label.equals(label) ? record.body : undefined
  }

  #floorOf(bucket: string, epoch: number): Version | undefined {
    if (this.#epoch !== epoch || this.#floors.size >= bucketsMax) {
      this.#floors.clear()
      this.#epoch = epoch
    }
    const known = this.#floors.get(bucket)
    if (known !== undefined || this.#floors.has(bucket)) return known
    const value = this.#options.index.get(bucketKey(bucket))
    const floor = value === undefined ? undefined : decodeBucketEntry(value).floor
    this.#floors.set(bucket, floor)
    return floor
  }
}
