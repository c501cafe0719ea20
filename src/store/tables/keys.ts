/**
 * The index's keys: one-byte prefixes, one table each. Within a table keys sort as the table is
 * walked: objects by bucket and the key's UTF-8 bytes, changes by seq.
 */
import { assert } from '../../base/assert.ts'
import type { IndexRange } from '../../index/ordered-index.ts'

const prefix = {
  buckets: 0x62, // b
  changes: 0x63, // c
  deadLetters: 0x64, // d
  blobs: 0x6c, // l
  meta: 0x6d, // m
  remotes: 0x6e, // n
  objects: 0x6f, // o
  peers: 0x70, // p
  ledgers: 0x72, // r
  segments: 0x73, // s
  tombstones: 0x74, // t
  uploads: 0x75, // u
  conflicts: 0x78, // x
} as const

export const stateKey = textKey(prefix.meta, 'state')
export const identityKey = textKey(prefix.meta, 'identity')
export const conflictTotalsKey = textKey(prefix.meta, 'conflicts')
/** There while chunks may lie elsewhere than the log says: the index was built anew. */
export const chunksUnplacedKey = textKey(prefix.meta, 'chunks-unplaced')

export const bucketKey = (bucket: string): Buffer => textKey(prefix.buckets, bucket)
export const ledgerKey = (remote: string): Buffer => textKey(prefix.ledgers, remote)
export const remoteKey = (name: string): Buffer => textKey(prefix.remotes, name)
export const peerKey = (volumeId: string): Buffer => textKey(prefix.peers, volumeId)
export const objectKey = (bucket: string, key: string): Buffer =>
  slotKey(prefix.objects, bucket, key)
export const tombstoneKey = (bucket: string, key: string): Buffer =>
  slotKey(prefix.tombstones, bucket, key)

export function changeKey(seq: number): Buffer {
  return seqKey(Buffer.allocUnsafe(9), prefix.changes, seq)
}

export function conflictKey(id: number): Buffer {
  return seqKey(Buffer.allocUnsafe(9), prefix.conflicts, id)
}

export function deadLetterKey(remote: string, seq: number): Buffer {
  const name = Buffer.from(remote)
  const key = Buffer.allocUnsafe(name.length + 10)
  key[0] = prefix.deadLetters
  name.copy(key, 1)
  key[name.length + 1] = 0
  return writeSeq(key, name.length + 2, seq)
}

export function blobKey(blobId: string): Buffer {
  const key = Buffer.allocUnsafe(17)
  key[0] = prefix.blobs
  key.write(blobId, 1, 16, 'hex')
  return key
}

export function segmentKey(segment: number): Buffer {
  const key = Buffer.allocUnsafe(5)
  key[0] = prefix.segments
  key.writeUInt32BE(segment, 1)
  return key
}

/** An upload is found by what it will become: the label of its put. */
export function uploadKey(label: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(prefix.uploads), label])
}

export const bucketsRange = tableRange(prefix.buckets)
export const ledgersRange = tableRange(prefix.ledgers)
export const segmentsRange = tableRange(prefix.segments)
export const uploadsRange = tableRange(prefix.uploads)
export const remotesRange = tableRange(prefix.remotes)
export const peersRange = tableRange(prefix.peers)
export const conflictsRange = tableRange(prefix.conflicts)

/** Places after `seq`. */
export function changesAfter(seq: number): IndexRange {
  return { gte: changeKey(seq + 1), lt: Buffer.of(prefix.changes + 1) }
}

/** The dead letters of a remote at places after `after`. */
export function deadLettersAfter(remote: string, after: number): IndexRange {
  return { ...deadLettersRange(remote), gte: deadLetterKey(remote, after + 1) }
}

export function deadLettersRange(remote: string): IndexRange {
  const start = Buffer.concat([Buffer.of(prefix.deadLetters), Buffer.from(remote), Buffer.of(0)])
  const end = Buffer.from(start)
  end[end.length - 1] = 1
  return { gte: start, lt: end }
}

/** All objects of a bucket whose key begins with `keyPrefix`. */
export function objectsRange(bucket: string, keyPrefix: Buffer): IndexRange {
  const start = Buffer.concat([objectKey(bucket, ''), keyPrefix])
  const end = successorOf(start)
  assert(end !== undefined, 'a table prefix always has a successor')
  return { gte: start, lt: end }
}

/** The slots of a bucket behind the key `after`, up to `until`; either may be empty for all. */
export function slotsBetween(
  table: 'objects' | 'tombstones',
  keys: { readonly bucket: string; readonly after: string; readonly until: string },
): IndexRange {
  const { bucket, after, until } = keys
  const beyond = (key: string): Buffer =>
    Buffer.concat([slotKey(prefix[table], bucket, key), Buffer.of(0)])
  const end = slotKey(prefix[table], bucket, '')
  end[end.length - 1] = 1
  return {
    gte: after === '' ? slotKey(prefix[table], bucket, '') : beyond(after),
    lt: until === '' ? end : beyond(until),
  }
}

/** The first key that does not begin with `bytes`; undefined when there is none. */
export function successorOf(bytes: Uint8Array): Buffer | undefined {
  let length = bytes.length
  while (length > 0 && bytes[length - 1] === 0xff) length--
  if (length === 0) return undefined
  const next = Buffer.from(bytes.subarray(0, length))
  next[length - 1] = (next[length - 1] as number) + 1
  return next
}

/** The object key inside an index key of the objects table. */
export function keyBytesOf(indexKey: Buffer, bucketLength: number): Buffer {
  return indexKey.subarray(bucketLength + 2)
}

/** Where the object key begins in the index keys of a bucket's slots. */
export function keyStart(bucket: string): number {
  return Buffer.byteLength(bucket) + 2
}

export function seqOf(indexKey: Buffer): number {
  return (
    indexKey.readUInt32BE(indexKey.length - 8) * 2 ** 32 +
    indexKey.readUInt32BE(indexKey.length - 4)
  )
}

/** What follows the one-byte prefix, as text. */
export function nameOf(indexKey: Buffer): string {
  return indexKey.toString('utf8', 1)
}

function textKey(table: number, name: string): Buffer {
  const key = Buffer.allocUnsafe(1 + Buffer.byteLength(name))
  key[0] = table
  key.write(name, 1)
  return key
}

/** Bucket names hold no NUL, so the first one ends the bucket. */
function slotKey(table: number, bucket: string, key: string): Buffer {
  const bucketLength = Buffer.byteLength(bucket)
  const bytes = Buffer.allocUnsafe(2 + bucketLength + Buffer.byteLength(key))
  bytes[0] = table
  bytes.write(bucket, 1)
  bytes[bucketLength + 1] = 0
  bytes.write(key, bucketLength + 2)
  return bytes
}

function seqKey(key: Buffer, table: number, seq: number): Buffer {
  key[0] = table
  return writeSeq(key, 1, seq)
}

function writeSeq(key: Buffer, at: number, seq: number): Buffer {
  key.writeUInt32BE(Math.floor(seq / 2 ** 32), at)
  key.writeUInt32BE(seq % 2 ** 32, at + 4)
  return key
}

function tableRange(table: number): IndexRange {
  return { gte: Buffer.of(table), lt: Buffer.of(table + 1) }
}
