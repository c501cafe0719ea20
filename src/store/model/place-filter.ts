/** What of the feed a remote wants: which buckets, and which keys in them. Plain data, pure functions. */
import type { ByteReader } from '../../base/byte-reader.ts'
import { ByteWriter } from '../../base/byte-writer.ts'
import type { Slot } from './slot.ts'

export interface PlaceFilter {
  /** Names of the buckets that are wanted; none means all. */
  readonly buckets: readonly string[]
  readonly excludeBuckets: readonly string[]
  /** Beginnings of the keys that are wanted; none means all. */
  readonly prefixes: readonly string[]
  readonly excludePrefixes: readonly string[]
}

export const wantsEverything: PlaceFilter = {
  buckets: [],
  excludeBuckets: [],
  prefixes: [],
  excludePrefixes: [],
}

/** A bucket's register and its purges go by the bucket alone. */
export function isWanted(filter: PlaceFilter, slot: Slot): boolean {
  const { buckets, excludeBuckets, prefixes, excludePrefixes } = filter
  if (buckets.length > 0 && !buckets.includes(slot.bucket)) return false
  if (excludeBuckets.includes(slot.bucket)) return false
  if (slot.kind !== 'object') return true
  const begins = (prefix: string): boolean => slot.key.startsWith(prefix)
  return (prefixes.length === 0 || prefixes.some(begins)) && !excludePrefixes.some(begins)
}

export function isEverything(filter: PlaceFilter): boolean {
  return fields.every((field) => filter[field].length === 0)
}

export function isSameFilter(a: PlaceFilter, b: PlaceFilter): boolean {
  return encodeFilter(a).equals(encodeFilter(b))
}

const fields = ['buckets', 'excludeBuckets', 'prefixes', 'excludePrefixes'] as const

/** Equal filters have equal bytes, whatever the order in which they were written down. */
export function encodeFilter(filter: PlaceFilter): Buffer {
  const writer = new ByteWriter(64)
  for (const field of fields) {
    const texts = [...new Set(filter[field])].sort()
    writer.varint(texts.length)
    for (const text of texts) writer.text(text)
  }
  return writer.finish()
}

/** @throws MalformedBytesError */
export function decodeFilter(reader: ByteReader): PlaceFilter {
  return {
    buckets: readTexts(reader),
    excludeBuckets: readTexts(reader),
    prefixes: readTexts(reader),
    excludePrefixes: readTexts(reader),
  }
}

function readTexts(reader: ByteReader): readonly string[] {
  const texts: string[] = []
  for (let left = reader.varint(); left > 0; left--) texts.push(reader.text())
  return texts
}
