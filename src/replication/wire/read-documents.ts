/**
 * What a site asks another about a single object that it lacks, or has with damaged bytes: JSON, one
 * question a request. What is held is answered with a batch, bytes as they are.
 */
import { MalformedBytesError } from '../../base/byte-reader.ts'
import type { ByteRange, ObjectInfo } from '../../store/model/object-store.ts'
import { type ObjectSlot, objectSlot } from '../../store/model/slot.ts'
import type { Version } from '../../store/model/version.ts'
import { Fields } from './protocol.ts'
import { parseSlot, versionIn } from './verify-documents.ts'

/** A body up to this size travels with the first answer. */
export const readInlineMax = 64 * 1024

/** Bounds a question. */
export const readQuestionBytesMax = 16 * 1024

/** Beside the bytes that are brought: whose they are, a {@link VersionedObject} as base64url of JSON. */
export const mendedObjectHeader = 'comio-object'

/** One version of an object, with the hash that both sites must agree on. */
export interface VersionedObject {
  readonly slot: ObjectSlot
  readonly version: Version
  /** Hex. */
  readonly sha256: string
}

export type ReadQuestion =
  /** What the slot holds, and the floor of its bucket. */
  | {
      readonly ask: 'object'
      readonly volumeId: string
      readonly slot: ObjectSlot
      readonly inlineMax: number
    }
  | ({ readonly ask: 'bytes'; readonly volumeId: string } & VersionedObject & ByteRange)

/** @throws MalformedBytesError */
export function parseReadQuestion(text: string): ReadQuestion {
  const fields = new Fields(text)
  const volumeId = fields.id('volumeId')
  const ask = fields.text('ask', 16)
  switch (ask) {
    case 'object': {
      const inlineMax = Math.min(fields.count('inlineMax'), readInlineMax)
      return { ask, volumeId, slot: slotIn(fields), inlineMax }
    }
    case 'bytes': {
      const range = { start: fields.count('start'), end: fields.count('end') }
      return { ask, volumeId, ...versionedIn(fields), ...range }
    }
    default:
      throw new MalformedBytesError(`nothing can be read that is called ${ask}`)
  }
}

/** @throws MalformedBytesError */
export function parseMendedObject(header: unknown): VersionedObject {
  const text = typeof header === 'string' ? Buffer.from(header, 'base64url').toString() : ''
  return versionedIn(new Fields(text))
}

export function formatMendedObject(object: VersionedObject): string {
  return Buffer.from(JSON.stringify(object)).toString('base64url')
}

export function versionedObject({ bucket, key, version, meta }: ObjectInfo): VersionedObject {
  const sha256 = meta.contentHash.digest.toString('hex')
  return { slot: objectSlot(bucket, key), version, sha256 }
}

/** Asks for bytes of exactly this version. */
export function bytesQuestion(volumeId: string, info: ObjectInfo, range: ByteRange): string {
  const { start, end } = range
  return JSON.stringify({ volumeId, ask: 'bytes', ...versionedObject(info), start, end })
}

function versionedIn(fields: Fields): VersionedObject {
  const version = versionIn(fields, 'version')
  if (version === undefined) throw new MalformedBytesError('a question names no version')
  return { slot: slotIn(fields), version, sha256: fields.text('sha256', 64) }
}

function slotIn(fields: Fields): ObjectSlot {
  const slot = fields.optionalObject('slot')
  const parsed = slot === null ? undefined : parseSlot(slot)
  if (parsed?.kind === 'object') return parsed
  throw new MalformedBytesError('what is read is an object')
}
