/**
 * What a site that compares asks another, and what that answers: JSON, one question a request.
 * Every list is bounded, and so is the work that one question can cause.
 */
import { MalformedBytesError } from '../../base/byte-reader.ts'
import type { Slot } from '../../store/model/slot.ts'
import { objectSlot } from '../../store/model/slot.ts'
import type {
  BucketState,
  RangeDigest,
  SlotState,
  SurveyEntry,
  SurveyRange,
} from '../../store/model/survey.ts'
import { parseVersion, type Version } from '../../store/model/version.ts'
import { Fields } from './protocol.ts'

/** Of ranges, buckets, entries and slots in one question or answer. */
export const verifyLimits = {
  ranges: 32,
  buckets: 1000,
  entries: 512,
  slots: 512,
  /** Entries that are walked for one range; a fuller one is answered without a digest. */
  rangeEntries: 65_536,
  /** Objects that are fetched, or whose bytes are read, for one question. */
  objects: 32,
} as const

/** Inline bodies of one answer to a fetch, all together; the first one goes whatever it has. */
export const fetchBytesMax = 8 * 2 ** 20

export type DigestQuery = { readonly volumeId: string } & (
  | { readonly ask: 'buckets'; readonly after: string }
  | { readonly ask: 'digests'; readonly ranges: readonly SurveyRange[] }
  | { readonly ask: 'list'; readonly range: SurveyRange; readonly limit: number }
  | { readonly ask: 'look'; readonly slots: readonly Slot[] }
  | { readonly ask: 'bytes'; readonly slots: readonly Slot[] }
)

export interface BucketsAnswer {
  readonly volumeId: string
  readonly buckets: readonly BucketState[]
}

/** With the floor that counted at the site that answers. */
export type AnsweredDigest = RangeDigest & { readonly floor: Version | undefined }

export interface LookedSlot extends SlotState {
  /** It is on its way from that site to the one that asks. */
  readonly pending: boolean
  /** The floor of its bucket at that site. */
  readonly floor: Version | undefined
}

/** What reading an object's bytes gave: their SHA-256 as hex, or that there are none to be had. */
export interface ReadBytes {
  readonly result: 'read' | 'gone' | 'unreadable'
  readonly version: Version | undefined
  readonly sha256: string
  /** What it is to be by that site's index; empty when the index has another kind of hash, or none. */
  readonly expected: string
}

const nameMax = 1024
const textMax = 256

/** @throws MalformedBytesError */
export function parseDigestQuery(text: string): DigestQuery {
  const fields = new Fields(text)
  const volumeId = fields.id('volumeId')
  const ask = fields.text('ask', 16)
  switch (ask) {
    case 'buckets':
      return { volumeId, ask, after: fields.text('after', nameMax) }
    case 'digests':
      return { volumeId, ask, ranges: bounded(fields.objects('ranges'), 'ranges').map(parseRange) }
    case 'list': {
      const range = fields.optionalObject('range')
      if (range === null) throw new MalformedBytesError('a listing names no range')
      const limit = Math.max(1, Math.min(fields.count('limit'), verifyLimits.entries))
      return { volumeId, ask, range: parseRange(range), limit }
    }
    case 'look':
      return { volumeId, ask, slots: bounded(fields.objects('slots'), 'slots').map(parseSlot) }
    case 'bytes':
      return { volumeId, ask, slots: bounded(fields.objects('slots'), 'objects').map(parseSlot) }
    default:
      throw new MalformedBytesError(`nothing is known that is called ${ask}`)
  }
}

/** @throws MalformedBytesError */
export function parseFetchQuery(text: string): readonly Slot[] {
  return bounded(new Fields(text).objects('slots'), 'objects').map(parseSlot)
}

function bounded(list: readonly Fields[], kind: 'ranges' | 'slots' | 'objects'): readonly Fields[] {
  const most = verifyLimits[kind]
  if (list.length <= most) return list
  throw new MalformedBytesError(`${list.length} were asked for at once, at most ${most} may be`)
}

function parseRange(fields: Fields): SurveyRange {
  const table = fields.text('table', 16)
  if (table !== 'objects' && table !== 'tombstones') {
    throw new MalformedBytesError(`no table is called ${table}`)
  }
  return {
    table,
    bucket: fields.text('bucket', textMax),
    after: fields.text('after', nameMax),
    until: fields.text('until', nameMax),
    floor: versionIn(fields, 'floor'),
  }
}

export function parseSlot(fields: Fields): Slot {
  const kind = fields.text('kind', 16)
  const bucket = fields.text('bucket', textMax)
  switch (kind) {
    case 'object':
      return objectSlot(bucket, fields.text('key', nameMax))
    case 'bucket':
    case 'floor':
      return { kind, bucket }
    default:
      throw new MalformedBytesError(`no slot has the kind ${kind}`)
  }
}

/** @throws MalformedBytesError */
export function parseBucketsAnswer(text: string): BucketsAnswer {
  const fields = new Fields(text)
  const buckets = fields.objects('buckets').map((bucket) => ({
    bucket: bucket.text('bucket', textMax),
    created: versionIn(bucket, 'created'),
    deleted: versionIn(bucket, 'deleted'),
    floor: versionIn(bucket, 'floor'),
  }))
  return { volumeId: fields.id('volumeId'), buckets }
}

/** @throws MalformedBytesError */
export function parseDigestsAnswer(text: string): readonly AnsweredDigest[] {
  return new Fields(text).objects('ranges').map((range) => {
    const digest = range.text('digest', 64)
    return {
      count: range.count('count'),
      digest: digest === '' ? undefined : Buffer.from(digest, 'base64'),
      floor: versionIn(range, 'floor'),
    }
  })
}

/** @throws MalformedBytesError */
export function parseListAnswer(text: string): readonly SurveyEntry[] {
  return new Fields(text).objects('entries').map((entry) => ({
    key: entry.text('key', nameMax),
    version: knownVersion(versionIn(entry, 'version')),
    digest: Buffer.from(entry.text('digest', 64), 'base64'),
  }))
}

/** @throws MalformedBytesError */
export function parseLookAnswer(text: string): readonly LookedSlot[] {
  return new Fields(text).objects('slots').map((slot) => {
    const kind = slot.text('kind', 16)
    if (kind !== 'live' && kind !== 'deleted' && kind !== 'absent') {
      throw new MalformedBytesError(`a slot cannot be ${kind}`)
    }
    return {
      kind,
      seq: slot.count('seq'),
      version: versionIn(slot, 'version'),
      digest: slot.text('digest', textMax),
      bytes: slot.count('bytes'),
      pending: slot.flag('pending'),
      floor: versionIn(slot, 'floor'),
    }
  })
}

/** @throws MalformedBytesError */
export function parseBytesAnswer(text: string): readonly ReadBytes[] {
  return new Fields(text).objects('objects').map((object) => {
    const result = object.text('result', 16)
    if (result !== 'read' && result !== 'gone' && result !== 'unreadable') {
      throw new MalformedBytesError(`bytes cannot be ${result}`)
    }
    const sha256 = object.text('sha256', 64)
    const expected = object.has('expected') ? object.text('expected', 64) : ''
    return { result, version: versionIn(object, 'version'), sha256, expected }
  })
}

/** Absent and empty are the same: there is none. */
export function versionIn(fields: Fields, name: string): Version | undefined {
  if (!fields.has(name)) return undefined
  return knownVersion(parseVersion(fields.text(name, 64)))
}

function knownVersion(version: Version | undefined): Version {
  if (version === undefined) throw new MalformedBytesError('a version does not parse')
  return version
}
