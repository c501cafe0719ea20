/**
 * Slots: what supersedes and is tombstoned, the unit of feed, context and ordering. An object's slot
 * names a version id from format 1 on (`null` until buckets can be versioned). A bucket's existence
 * and its purge floor are slots of their own, so that they travel like everything else.
 */

import { unreachable } from '../../base/assert.ts'
import { type ByteReader, MalformedBytesError } from '../../base/byte-reader.ts'
import type { ByteWriter } from '../../base/byte-writer.ts'

export interface ObjectSlot {
  readonly kind: 'object'
  readonly bucket: string
  readonly key: string
  readonly versionId: string
}

export type Slot =
  | ObjectSlot
  | { readonly kind: 'bucket'; readonly bucket: string }
  | { readonly kind: 'floor'; readonly bucket: string }

/** The version id of objects in buckets without versioning. */
export const nullVersionId = 'null'

const slotTags = { object: 1, bucket: 2, floor: 3 } as const

export function objectSlot(bucket: string, key: string): ObjectSlot {
  return { kind: 'object', bucket, key, versionId: nullVersionId }
}

/** Equal text for equal slots: the key of maps and of worker hashing. */
export function slotText(slot: Slot): string {
  switch (slot.kind) {
    case 'object':
      return slot.versionId === nullVersionId
        ? `o/${slot.bucket}/${slot.key}`
        : `v/${slot.bucket}/${slot.versionId}/${slot.key}`
    case 'bucket':
      return `b/${slot.bucket}`
    case 'floor':
      return `f/${slot.bucket}`
    default:
      return unreachable(slot)
  }
}

export function encodeSlot(writer: ByteWriter, slot: Slot): void {
  writer.u8(slotTags[slot.kind]).text(slot.bucket)
  if (slot.kind === 'object') writer.text(slot.key).text(slot.versionId)
}

/** @throws MalformedBytesError */
export function decodeSlot(reader: ByteReader): Slot {
  const tag = reader.u8()
  const bucket = reader.text()
  switch (tag) {
    case slotTags.object: {
      const key = reader.text()
      return { kind: 'object', bucket, key, versionId: reader.text() }
    }
    case slotTags.bucket:
      return { kind: 'bucket', bucket }
    case slotTags.floor:
      return { kind: 'floor', bucket }
    default:
      throw new MalformedBytesError(`no slot has tag ${tag}`)
  }
}
