/**
 * Counts again what the store keeps running totals of, from the entries of its index: feed places,
 * ledgers, buckets, live records of each segment. An index batch is atomic, so all of it agrees at
 * any moment, and after any crash.
 */

import type { FeedPlace } from '../store/model/object-store.ts'
import { slotText } from '../store/model/slot.ts'
import { decodeLedger, type LedgerState } from '../store/tables/ledger-state.ts'
import { decodeLocation, entryReader } from '../store/tables/slot-entry.ts'
import type { Location, SegmentInfo } from '../volume/volume.ts'
import type { SiteContents } from './site-contents.ts'
import { demand } from './violation.ts'

/** @throws Violation */
export function recount(
  site: string,
  contents: SiteContents,
  segments: readonly SegmentInfo[],
): void {
  recountPlaces(site, contents)
  recountBuckets(site, contents)
  recountLedgers(site, contents)
  const locations = locationsIn(contents, new Set(segments.map(({ generation }) => generation)))
  recountSegments(site, contents, locations)
  checkReferences(site, locations, segments)
}

/** The ledgers as they are stored. */
export function ledgersIn(contents: SiteContents): ReadonlyMap<string, LedgerState> {
  const sinceOf = (seq: number): number => contents.places.get(seq)?.since ?? 0
  return new Map(
    [...contents.ledgers].map(([remote, bytes]) => [remote, decodeLedger(bytes, sinceOf)]),
  )
}

/** Every record that something refers to must be in a segment that is there. */
function checkReferences(
  site: string,
  locations: readonly Location[],
  segments: readonly SegmentInfo[],
): void {
  const present = new Map(segments.map(({ segment, generation }) => [segment, generation]))
  for (const { segment, generation } of locations) {
    const found = present.get(segment)
    const say = (): string =>
      `${site} refers to segment ${segment} of generation ${generation}, there is ${found}`
    demand(found === generation, 'references', say)
  }
}

function recountPlaces(site: string, contents: SiteContents): void {
  const { places, state } = contents
  const expected = new Map<number, string>()
  const expect = (seq: number, slot: string): void => {
    demand(!expected.has(seq), 'places', () => `${site} has two slots at seq ${seq}`)
    expected.set(seq, slot)
  }
  for (const [slot, entry] of contents.live) {
    expect(entry.seq, `o/${slot} ${entry.version} ${entry.meta.size}`)
  }
  for (const [slot, entry] of contents.tombstones) {
    demand(!contents.live.has(slot), 'places', () => `${slot} at ${site} is live and deleted`)
    expect(entry.seq, `o/${slot} ${entry.version} 0`)
  }
  for (const [bucket, entry] of contents.buckets) {
    const { register, floorPlace, floor } = entry
    if (register !== undefined) {
      const version = places.get(register.seq)?.version ?? 'nothing'
      expect(register.seq, `b/${bucket} ${version} 0`)
    }
    if (floorPlace !== undefined) expect(floorPlace.seq, `f/${bucket} ${floor} 0`)
  }
  let bytes = 0
  for (const [seq, place] of places) {
    bytes += place.bytes
    const found = `${slotText(place.slot)} ${place.version} ${place.bytes}`
    const wanted = expected.get(seq)
    const say = (): string => `${site} has ${found} at seq ${seq}, not ${wanted ?? 'nothing'}`
    demand(found === wanted, 'places', say)
    expected.delete(seq)
  }
  demand(expected.size === 0, 'places', () => `${site} lacks ${[...expected].join(', ')}`)
  const counted = `${state?.places ?? 0} places of ${state?.placeBytes ?? 0} bytes`
  const found = `${places.size} places of ${bytes} bytes`
  demand(counted === found, 'places', () => `${site} has ${found}, counts ${counted}`)
}

function recountBuckets(site: string, contents: SiteContents): void {
  const found = new Map<string, { count: number; bytes: number }>()
  for (const [slot, entry] of contents.live) {
    const bucket = slot.slice(0, slot.indexOf('/'))
    const sum = found.get(bucket) ?? { count: 0, bytes: 0 }
    found.set(bucket, { count: sum.count + 1, bytes: sum.bytes + entry.meta.size })
  }
  for (const [bucket, { objectCount, objectBytes }] of contents.buckets) {
    const { count, bytes } = found.get(bucket) ?? { count: 0, bytes: 0 }
    const say = (): string =>
      `${bucket} at ${site} has ${count} objects of ${bytes}, counts ${objectCount} of ${objectBytes}`
    demand(objectCount === count && objectBytes === bytes, 'bucket-counts', say)
    found.delete(bucket)
  }
  demand(found.size === 0, 'bucket-counts', () => `${site} counts nothing of ${[...found.keys()]}`)
}

/** Whether a place is any of a remote's business. */
function concerns(ledger: LedgerState, place: FeedPlace, deleted: ReadonlySet<number>): boolean {
  const removes = place.slot.kind === 'floor' || deleted.has(place.seq)
  return ledger.wants({ ...place, removes })
}

function recountLedgers(site: string, contents: SiteContents): void {
  const deleted = new Set([...contents.tombstones.values()].map(({ seq }) => seq))
  for (const [remote, ledger] of ledgersIn(contents)) {
    const say = (what: string) => (): string => `the ledger of ${site} for ${remote} ${what}`
    let count = 0
    let bytes = 0
    let held = 0
    for (const place of contents.places.values()) {
      const removes = place.slot.kind === 'floor' || deleted.has(place.seq)
      const isHeld = ledger.isHeld({ ...place, removes })
      if (!(isHeld || ledger.isPending(place.seq)) || !concerns(ledger, place, deleted)) continue
      if (isHeld) held++
      count++
      bytes += place.bytes
    }
    const heldSays = `has ${held} removals held, counts ${ledger.held.count}`
    demand(held === ledger.held.count, 'ledger', say(heldSays))
    for (const seq of ledger.outstanding.keys()) {
      demand(contents.places.has(seq), 'ledger', say(`waits for seq ${seq}, which is no place`))
      demand(seq <= ledger.high, 'ledger', say(`waits for seq ${seq} above ${ledger.high}`))
    }
    for (const { after, through } of ledger.replays) {
      const isSound = after < through && through <= ledger.high
      demand(isSound, 'ledger', say(`replays ${after} to ${through} of ${ledger.high}`))
    }
    const counted = `${ledger.pending} pending of ${ledger.pendingBytes} bytes`
    const found = `${count} pending of ${bytes} bytes`
    demand(counted === found, 'ledger', say(`has ${found}, counts ${counted}`))
    const { queued, replicated, failed, superseded, pending } = ledger.counters()
    const sum = replicated + failed + superseded + pending
    demand(queued === sum, 'ledger', say(`has queued ${queued}, the sum is ${sum}`))
    recountLetters(contents, { remote, ledger, say })
  }
}

function recountLetters(
  contents: SiteContents,
  of: {
    readonly remote: string
    readonly ledger: LedgerState
    readonly say: (what: string) => () => string
  },
): void {
  const { remote, ledger, say } = of
  const letters = contents.letters.filter((stored) => stored.remote === remote)
  const { openLetters } = ledger
  demand(
    letters.length === openLetters,
    'letters',
    say(`has ${letters.length} dead letters, counts ${openLetters}`),
  )
  for (const { letter } of letters) {
    const { seq } = letter
    demand(contents.places.has(seq), 'letters', say(`keeps a letter for ${seq}, which is no place`))
    demand(!ledger.isPending(seq), 'letters', say(`keeps a letter for ${seq}, which is pending`))
  }
}

function recountSegments(
  site: string,
  contents: SiteContents,
  locations: readonly Location[],
): void {
  const found = new Map<number, { generation: number; records: number; bytes: number }>()
  for (const { segment, generation, headLength, bodyLength } of locations) {
    const sum = found.get(segment) ?? { generation, records: 0, bytes: 0 }
    const say = (): string => `${site} refers to two generations of segment ${segment}`
    demand(sum.generation === generation, 'segment-counts', say)
    sum.records++
    sum.bytes += headLength + bodyLength
    found.set(segment, sum)
  }
  const text = (
    count: { generation: number; records: number; bytes: number } | undefined,
  ): string =>
    count === undefined
      ? 'nothing'
      : `${count.records} records of ${count.bytes} in generation ${count.generation}`
  for (const segment of new Set([...found.keys(), ...contents.segments.keys()])) {
    const has = text(found.get(segment))
    const counts = text(contents.segments.get(segment))
    const say = (): string => `segment ${segment} of ${site} has ${has}, counts ${counts}`
    demand(has === counts, 'segment-counts', say)
  }
}

/**
 * Of every live record. What lies under a floor and waits for the sweep may be in segments that are
 * gone, when the index was built again from a log with holes.
 *
 * @throws Violation when a blob has not exactly one owner
 */
function locationsIn(contents: SiteContents, generations: ReadonlySet<number>): Location[] {
  const locations: Location[] = []
  const blobs = new Map(contents.blobs)
  const add = (...found: (Location | undefined)[]): void => {
    for (const location of found) if (location !== undefined) locations.push(location)
  }
  const takeBlob = (id: string): readonly Location[] => {
    const extents = blobs.get(id)
    demand(extents !== undefined, 'blobs', () => `blob ${id} is missing or has two owners`)
    blobs.delete(id)
    return extents ?? []
  }
  for (const [slot, entry] of contents.live) {
    const own = [entry.location, entry.joinLocation]
    if (entry.body.kind === 'blobs') own.push(...entry.body.blobs.flatMap(({ id }) => takeBlob(id)))
    const { floor } = contents.buckets.get(slot.slice(0, slot.indexOf('/'))) ?? {}
    const isHidden = floor !== undefined && entry.version <= floor
    add(...own.filter((at) => !isHidden || (at !== undefined && generations.has(at.generation))))
  }
  for (const entry of contents.tombstones.values()) add(entry.location)
  for (const { register, floorPlace } of contents.buckets.values()) {
    add(register?.location, floorPlace?.location)
  }
  for (const { location } of [...contents.letters, ...contents.remotes]) add(location)
  for (const { location } of contents.conflicts) add(location)
  for (const bytes of contents.uploads) {
    const upload = decodeUpload(bytes)
    add(upload.location)
    for (const part of upload.parts) add(part.location, ...takeBlob(part.id))
  }
  demand(blobs.size === 0, 'blobs', () => `blobs ${[...blobs.keys()]} have no owner`)
  return locations
}

/** As `uploads.ts` writes it: the counters are checked without the code that keeps them. */
function decodeUpload(bytes: Buffer): {
  readonly location: Location
  readonly parts: readonly { readonly id: string; readonly location: Location }[]
} {
  const reader = entryReader(bytes)
  reader.bytes()
  const location = decodeLocation(reader)
  const parts: { id: string; location: Location }[] = []
  for (let left = reader.varint(); left > 0; left--) {
    const id = reader.raw(16).toString('hex')
    reader.varint()
    parts.push({ id, location: decodeLocation(reader) })
  }
  return { location, parts }
}

/** What a place is about, for comparing sites. */
export function placeText(place: FeedPlace): string {
  return `${slotText(place.slot)} ${place.version}`
}
