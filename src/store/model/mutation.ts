/**
 * Mutations: what the log records, the feed carries and the wire ships. A mutation is encoded in two
 * pieces, a label (slot and version: what it is about) and a head (everything else but the bytes),
 * and both pieces are the same bytes in the log, in the index and on the wire.
 */
import { unreachable } from '../../base/assert.ts'
import { ByteReader, MalformedBytesError } from '../../base/byte-reader.ts'
import { ByteWriter } from '../../base/byte-writer.ts'
import type { ConflictPolicy, PolicyRegister } from './bucket-register.ts'
import { decodeSlot, encodeSlot, type ObjectSlot, type Slot } from './slot.ts'
import { type Context, decodeVersion, encodeVersion, type Version } from './version.ts'

/** Algorithm-tagged hash of an object's content; equality between sites rests on it. */
export interface ContentHash {
  /** `sha256`: of the whole. `sha256-parts`: of the parts' lengths and hashes, for multipart. */
  readonly algorithm: 'sha256' | 'sha256-parts'
  readonly digest: Buffer
  /** With `sha256-parts`: what the digest is made from, in order. */
  readonly parts?: readonly PartHash[]
}

export interface PartHash {
  readonly size: number
  /** SHA-256 of the part. */
  readonly digest: Buffer
}

/** What is known of an object without its bytes; the same at every site. */
export interface ObjectMeta {
  readonly size: number
  /** Without quotes: 32 hex digits, `-N` behind them for multipart. */
  readonly etag: string
  readonly contentHash: ContentHash
  /** Milliseconds since 1970; a stored time, not the version's. */
  readonly lastModified: number
  /** Content headers under their lower-case names: content-type, cache-control, ... */
  readonly headers: Readonly<Record<string, string>>
  /** `x-amz-meta-*` without the prefix, lower case. */
  readonly userMetadata: Readonly<Record<string, string>>
}

export interface PutMutation {
  readonly kind: 'put'
  readonly slot: ObjectSlot
  readonly version: Version
  readonly context: Context
  readonly meta: ObjectMeta
}

export interface DeleteMutation {
  readonly kind: 'delete'
  readonly slot: ObjectSlot
  readonly version: Version
  readonly context: Context
}

/**
 * Everything in the bucket at or below `version` is absent. The context is what the purging site had
 * seen of the bucket: a put that falls under the floor without being covered by it is a conflict.
 */
export interface PurgeMutation {
  readonly kind: 'purge'
  readonly slot: Slot & { kind: 'floor' }
  readonly version: Version
  readonly context: Context
}

/** The bucket's own register: merges by taking the later of each. `version` is the highest in it. */
export interface BucketMutation {
  readonly kind: 'bucket'
  readonly slot: Slot & { kind: 'bucket' }
  readonly version: Version
  readonly created: Version | undefined
  readonly deleted: Version | undefined
  readonly conflictPolicy?: PolicyRegister | undefined
}

export type Mutation = PutMutation | DeleteMutation | PurgeMutation | BucketMutation

export interface EncodedMutation {
  readonly kind: Mutation['kind']
  readonly label: Buffer
  readonly head: Buffer
}

/** `null`: as the site is configured. */
const policyTags = { null: 0, 'last-write-wins': 1, 'keep-both': 2 } as const
const hashTags = { sha256: 1, 'sha256-parts': 2 } as const

export function encodeLabel(slot: Slot, version: Version): Buffer {
  const writer = new ByteWriter(64)
  encodeSlot(writer, slot)
  encodeVersion(writer, version)
  return writer.finish()
}

/** @throws MalformedBytesError */
export function decodeLabel(label: Uint8Array): { readonly slot: Slot; readonly version: Version } {
  const reader = new ByteReader(label)
  const slot = decodeSlot(reader)
  const version = decodeVersion(reader)
  reader.end()
  return { slot, version }
}

export function encodeMutation(mutation: Mutation): EncodedMutation {
  return {
    kind: mutation.kind,
    label: encodeLabel(mutation.slot, mutation.version),
    head: encodeHead(mutation),
  }
}

function encodeHead(mutation: Mutation): Buffer {
  const writer = new ByteWriter(192)
  switch (mutation.kind) {
    case 'put':
      encodeContext(writer, mutation.context)
      encodeMeta(writer, mutation.meta)
      break
    case 'delete':
    case 'purge':
      encodeContext(writer, mutation.context)
      break
    case 'bucket':
      encodeOptionalVersion(writer, mutation.created)
      encodeOptionalVersion(writer, mutation.deleted)
      encodePolicy(writer, mutation.conflictPolicy)
      break
    default:
      unreachable(mutation)
  }
  return writer.finish()
}

/** @throws MalformedBytesError when the pieces do not decode or do not belong together */
export function decodeMutation({ kind, label, head }: EncodedMutation): Mutation {
  const reader = new ByteReader(head)
  const mutation = decodeHead(kind, decodeLabel(label), reader)
  reader.end()
  return mutation
}

function decodeHead(
  kind: Mutation['kind'],
  { slot, version }: { readonly slot: Slot; readonly version: Version },
  reader: ByteReader,
): Mutation {
  switch (kind) {
    case 'put':
      if (slot.kind !== 'object') break
      return { kind, slot, version, context: decodeContext(reader), meta: decodeMeta(reader) }
    case 'delete':
      if (slot.kind !== 'object') break
      return { kind, slot, version, context: decodeContext(reader) }
    case 'purge':
      if (slot.kind !== 'floor') break
      return { kind, slot, version, context: decodeContext(reader) }
    case 'bucket': {
      if (slot.kind !== 'bucket') break
      const created = decodeOptionalVersion(reader)
      const deleted = decodeOptionalVersion(reader)
      return { kind, slot, version, created, deleted, ...decodePolicy(reader) }
    }
    default:
      unreachable(kind)
  }
  throw new MalformedBytesError(`a ${kind} cannot be about a slot of kind ${slot.kind}`)
}

export function encodeContext(writer: ByteWriter, context: Context): void {
  writer.varint(context.length)
  for (const version of context) encodeVersion(writer, version)
}

export function decodeContext(reader: ByteReader): Context {
  const count = reader.varint()
  if (count > 1024) throw new MalformedBytesError('a context names more than 1024 sites')
  const context: Version[] = []
  for (let i = 0; i < count; i++) context.push(decodeVersion(reader))
  return context
}

export function encodeMeta(writer: ByteWriter, meta: ObjectMeta): void {
  writer
    .u64(meta.size)
    .text(meta.etag)
    .u8(hashTags[meta.contentHash.algorithm])
    .raw(meta.contentHash.digest)
  if (meta.contentHash.algorithm === 'sha256-parts') encodeParts(writer, meta.contentHash.parts)
  writer.u64(meta.lastModified)
  encodeTexts(writer, meta.headers)
  encodeTexts(writer, meta.userMetadata)
}

export function decodeMeta(reader: ByteReader): ObjectMeta {
  const size = reader.u64()
  const etag = reader.text()
  const contentHash = decodeContentHash(reader)
  const lastModified = reader.u64()
  const headers = decodeTexts(reader)
  return { size, etag, contentHash, lastModified, headers, userMetadata: decodeTexts(reader) }
}

/** Passes over what {@link decodeMeta} reads, for those who compare its bytes. */
export function skipMeta(reader: ByteReader): void {
  reader.skip(8)
  reader.skipBytes()
  const tag = reader.u8()
  reader.skip(32)
  if (tag === hashTags['sha256-parts']) reader.skip(reader.varint() * 40)
  reader.skip(8)
  for (let texts = 0; texts < 2; texts++) {
    for (let left = reader.varint() * 2; left > 0; left--) reader.skipBytes()
  }
}

function decodeContentHash(reader: ByteReader): ContentHash {
  const tag = reader.u8()
  const digest = reader.raw(32)
  if (tag === hashTags.sha256) return { algorithm: 'sha256', digest }
  if (tag !== hashTags['sha256-parts']) {
    throw new MalformedBytesError(`no content hash has tag ${tag}`)
  }
  const count = reader.varint()
  if (count > 10_000) throw new MalformedBytesError('an object has more than 10,000 parts')
  const parts: PartHash[] = []
  for (let i = 0; i < count; i++) parts.push({ size: reader.u64(), digest: reader.raw(32) })
  return { algorithm: 'sha256-parts', digest, parts }
}

function encodeParts(writer: ByteWriter, parts: readonly PartHash[] = []): void {
  writer.varint(parts.length)
  for (const part of parts) writer.u64(part.size).raw(part.digest)
}

function encodeTexts(writer: ByteWriter, texts: Readonly<Record<string, string>>): void {
  const names = Object.keys(texts)
  writer.varint(names.length)
  for (const name of names) writer.text(name).text(texts[name] as string)
}

/** Most objects have no metadata of their own. */
const noTexts: Readonly<Record<string, string>> = Object.freeze(Object.create(null))

function decodeTexts(reader: ByteReader): Readonly<Record<string, string>> {
  const count = reader.varint()
  if (count === 0) return noTexts
  const texts: Record<string, string> = Object.create(null)
  for (let i = 0; i < count; i++) {
    const name = reader.text()
    texts[name] = reader.text()
  }
  return texts
}

function encodeOptionalVersion(writer: ByteWriter, version: Version | undefined): void {
  writer.u8(version === undefined ? 0 : 1)
  if (version !== undefined) encodeVersion(writer, version)
}

function decodeOptionalVersion(reader: ByteReader): Version | undefined {
  return reader.u8() === 0 ? undefined : decodeVersion(reader)
}

/** Nothing at all where it was never set, as before there were settings. */
export function encodePolicy(writer: ByteWriter, register: PolicyRegister | undefined): void {
  if (register === undefined) return
  writer.u8(1)
  encodeVersion(writer, register.version)
  writer.u8(policyTags[register.policy ?? 'null'])
}

/** @throws MalformedBytesError */
export function decodePolicy(reader: ByteReader): { readonly conflictPolicy?: PolicyRegister } {
  if (reader.remaining === 0) return {}
  const setting = reader.u8()
  if (setting !== 1) throw new MalformedBytesError(`no setting of a bucket has tag ${setting}`)
  const version = decodeVersion(reader)
  return { conflictPolicy: { version, policy: policyOfTag(reader.u8()) } }
}

function policyOfTag(tag: number): ConflictPolicy | undefined {
  switch (tag) {
    case policyTags.null:
      return undefined
    case policyTags['last-write-wins']:
      return 'last-write-wins'
    case policyTags['keep-both']:
      return 'keep-both'
    default:
      throw new MalformedBytesError(`no conflict policy has tag ${tag}`)
  }
}
