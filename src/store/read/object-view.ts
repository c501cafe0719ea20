/**
 * The objects of a store that can be read in one go, as another thread of the process sees them: in the same index, above the same
 * floors, with every byte verified. What it finds is what the store would have answered in that moment.
 *
 * It finds what is at hand and nothing else: what is absent, damaged or on its way elsewhere is the store's to
 * answer. Nothing is pinned, so that what is read is read at once or not at all. It must never know HTTP, nor how it hears of floors.
 */

import { rethrowAssertion } from '../../base/assert.ts'
import type { Location, ReadRecord } from '../../volume/volume.ts'
import { encodeLabel } from '../model/mutation.ts'
import type { ObjectInfo, ObjectName } from '../model/object-store.ts'
import type { OpenObject } from '../model/open-object.ts'
import { objectSlot } from '../model/slot.ts'
import type { Version } from '../model/version.ts'
import { decodeBucketEntry } from '../tables/bucket-entry.ts'
import { blobKey, bucketKey, objectKey } from '../tables/keys.ts'
import { decodeLiveEntry, type LiveEntry } from '../tables/slot-entry.ts'
import { decodeExtents } from '../tables/small-entries.ts'

export interface ViewedObject extends Pick<OpenObject, 'info' | 'readNow'> {
  /** The whole body, in pieces that nobody else has; undefined where that does not do. */
  readPiecesNow(): readonly Buffer[] | undefined
}

export interface ObjectViewOptions {
  readonly index: { get(key: Uint8Array): Buffer | undefined }
  readonly reader: {
    /** `expect` is undefined for a chunk. */
    readRecordNow(
      location: Location,
      expect: { readonly seq: number } | undefined,
    ): ReadRecord | undefined
  }
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
    return {
      info,
      readNow: () => this.#read(info, entry),
      readPiecesNow: () => this.#readPieces(info, entry),
    }
  }

  #readPieces(info: ObjectInfo, entry: LiveEntry): readonly Buffer[] | undefined {
    if (entry.body.kind === 'inline') {
      const body = this.#read(info, entry)
      return body && [body]
    }
    const pieces: Buffer[] = []
    let bytes = 0
    try {
      for (const blob of entry.body.blobs) {
        const extents = this.#options.index.get(blobKey(blob.id))
        for (const extent of extents === undefined ? [] : decodeExtents(extents)) {
          const chunk = this.#options.reader.readRecordNow(extent, undefined)
          if (chunk === undefined) return undefined
          pieces.push(chunk.body)
          bytes += chunk.body.length
        }
      }
    } catch (thrown) {
      rethrowAssertion(thrown)
      // The store meets it as well, and says so.
      return undefined
    }
    return bytes === info.meta.size ? pieces : undefined
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
