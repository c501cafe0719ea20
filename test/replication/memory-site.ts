/**
 * A feed and ledger in memory, small enough to be obviously right: what the sender's edge conditions
 * are tried against. The real ones are used in two-engines.test.ts.
 */
import { createHash } from 'node:crypto'
import type { Clock } from '../../src/base/clock.ts'
import { encodedChange } from '../../src/store/feed/change-feed.ts'
import type { Mutation, PutMutation } from '../../src/store/model/mutation.ts'
import type {
  ChangeFeed,
  ConfirmedPeer,
  DeadLetter,
  EncodedChange,
  FeedPlace,
  HeldTotal,
  LedgerCounters,
  OpenObject,
  OutgoingChange,
  PurgePreview,
  RemoteLedger,
  ReplayScope,
  Settlement,
} from '../../src/store/model/object-store.ts'
import { objectSlot, slotText } from '../../src/store/model/slot.ts'
import { makeVersion, type Version } from '../../src/store/model/version.ts'
import type { VolumeIdentity } from '../../src/volume/volume.ts'

export function identityOf(siteId: string, changes: Partial<VolumeIdentity> = {}): VolumeIdentity {
  return {
    volumeId: createHash('md5').update(siteId).digest('hex'),
    incarnation: 'aaaaaaaaaaaaaaaa',
    incarnationSince: 0,
    siteId,
    ...changes,
  }
}

export function putOf(key: string, body: Uint8Array, version: Version): PutMutation {
  return {
    kind: 'put',
    slot: objectSlot('box', key) as PutMutation['slot'],
    version,
    context: [],
    meta: {
      size: body.length,
      etag: createHash('md5').update(body).digest('hex'),
      contentHash: { algorithm: 'sha256', digest: createHash('sha256').update(body).digest() },
      lastModified: 1,
      headers: { 'content-type': 'text/plain' },
      userMetadata: { of: key },
    },
  }
}

interface Entry {
  readonly place: FeedPlace
  readonly mutation: Mutation
  readonly body: Buffer | undefined
}

export class MemoryFeed implements ChangeFeed {
  readonly siteId: string
  readonly #clock: Clock
  readonly #bySlot = new Map<string, Entry>()
  readonly #listeners = new Set<() => void>()
  readonly removed = new Set<(place: FeedPlace) => void>()
  readonly added = new Set<(place: FeedPlace) => void>()
  openObjects = 0
  #seq = 0
  #counter = 0

  constructor(options: { readonly clock: Clock; readonly siteId: string }) {
    this.#clock = options.clock
    this.siteId = options.siteId
  }

  write(key: string, body: Uint8Array, site = this.siteId): FeedPlace {
    const version = makeVersion(this.#clock.now(), ++this.#counter % 65_536, site)
    return this.append(putOf(key, body, version), Buffer.from(body))
  }

  remove(key: string): FeedPlace {
    const version = makeVersion(this.#clock.now(), ++this.#counter % 65_536, this.siteId)
    const slot = objectSlot('box', key) as PutMutation['slot']
    return this.append({ kind: 'delete', slot, version, context: [] }, undefined)
  }

  append(mutation: Mutation, body: Buffer | undefined): FeedPlace {
    const text = slotText(mutation.slot)
    const previous = this.#bySlot.get(text)
    const place: FeedPlace = {
      seq: ++this.#seq,
      slot: mutation.slot,
      version: mutation.version,
      bytes: body?.length ?? 0,
      since: this.#clock.now(),
    }
    this.#bySlot.set(text, { place, mutation, body })
    if (previous !== undefined) for (const listener of this.removed) listener(previous.place)
    for (const listener of this.added) listener(place)
    for (const listener of this.#listeners) listener()
    return place
  }

  entries(): readonly Entry[] {
    return [...this.#bySlot.values()].sort((a, b) => a.place.seq - b.place.seq)
  }

  head(): number {
    return this.#seq
  }

  placeCount(): number {
    return this.#bySlot.size
  }

  async readPlaces(after: number, limit: number): Promise<readonly FeedPlace[]> {
    const places = this.entries().map((entry) => entry.place)
    return places.filter((place) => place.seq > after).slice(0, limit)
  }

  loadChange(place: FeedPlace): OutgoingChange | undefined {
    const entry = this.#bySlot.get(slotText(place.slot))
    if (entry?.place.seq !== place.seq) return undefined
    const { mutation, body } = entry
    if (mutation.kind !== 'put' || body === undefined) {
      return { seq: place.seq, mutation, object: undefined }
    }
    return { seq: place.seq, mutation, object: this.#open(place.seq, mutation, body) }
  }

  loadEncoded(place: FeedPlace): EncodedChange | undefined {
    return encodedChange(this.loadChange(place))
  }

  placeOf(slot: FeedPlace['slot']): FeedPlace | undefined {
    return this.#bySlot.get(slotText(slot))?.place
  }

  onAdvance(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #open(seq: number, mutation: PutMutation, body: Buffer): OpenObject {
    this.openObjects++
    let closed = false
    const { slot, version, meta } = mutation
    return {
      info: { bucket: slot.bucket, key: slot.key, seq, version, meta },
      async *read(range = { start: 0, end: body.length }) {
        for (let at = range.start; at < range.end; at += 65_536) {
          // The reader's own: it may give the memory back.
          yield Buffer.from(body.subarray(at, Math.min(range.end, at + 65_536)))
        }
      },
      readWhole: async () => body,
      readNow: () => body,
      close: () => {
        if (!closed) this.openObjects--
        closed = true
      },
    }
  }
}

export class MemoryLedger implements RemoteLedger {
  readonly remote: string
  readonly onWire = new Map<number, number>()
  readonly letters = new Map<number, DeadLetter>()
  readonly done: Settlement[] = []
  /** Replaced, while the feed shows them still; a test says which. */
  readonly leaving = new Set<number>()
  wants: (place: Pick<FeedPlace, 'seq' | 'slot'>) => boolean = () => true
  confirmed: ConfirmedPeer | undefined
  readonly #feed: MemoryFeed
  readonly #clock: Clock
  readonly #outstanding = new Set<number>()
  readonly #rewinds = new Set<() => void>()
  #again: number[] = []
  #high = 0
  #queued = 0
  #replicated = 0
  #failed = 0
  #superseded = 0

  constructor(feed: MemoryFeed, clock: Clock, remote = 'default') {
    this.remote = remote
    this.#feed = feed
    this.#clock = clock
    this.#queued = feed.placeCount()
    feed.added.add(() => {
      this.#queued++
    })
    feed.removed.add((place) => {
      if (!this.isPending(place)) return
      this.#outstanding.delete(place.seq)
      this.#superseded++
    })
  }

  handOutAgain(): void {
    this.#again = [...this.#outstanding].sort((a, b) => a - b)
  }

  counters(): LedgerCounters {
    const pending = this.#queued - this.#replicated - this.#failed - this.#superseded
    return {
      queued: this.#queued,
      replicated: this.#replicated,
      failed: this.#failed,
      superseded: this.#superseded,
      pending,
      pendingBytes: 0,
      lastReplication: null,
      remoteSuperseded: 0,
      remoteConflicts: 0,
      openLetters: this.letters.size,
      replaying: 0,
      held: 0,
      heldObjects: 0,
      ahead: pending - this.#outstanding.size,
    }
  }

  position(): { readonly low: number; readonly high: number } {
    return {
      low: Math.min(this.#high, ...[...this.#outstanding].map((seq) => seq - 1)),
      high: this.#high,
    }
  }

  async oldestPending(): Promise<number | undefined> {
    const pending = this.#feed.entries().find((entry) => this.isPending(entry.place))
    return pending?.place.since
  }

  async take(limit: number): Promise<readonly FeedPlace[]> {
    const live = this.#feed.entries().map((entry) => entry.place)
    const again = this.#again.splice(0, limit).filter((seq) => this.#outstanding.has(seq))
    const places = live.filter((place) => again.includes(place.seq))
    const fresh = live.filter((place) => place.seq > this.#high).slice(0, limit - places.length)
    for (const place of fresh) {
      this.#high = place.seq
      this.#outstanding.add(place.seq)
    }
    return [...places, ...fresh]
  }

  isPending(place: Pick<FeedPlace, 'seq'>): boolean {
    return place.seq > this.#high || this.#outstanding.has(place.seq)
  }

  isHeld(): boolean {
    return false
  }

  async release(): Promise<HeldTotal> {
    return { count: 0, objects: 0 }
  }

  async discardHeld(): Promise<HeldTotal> {
    return { count: 0, objects: 0 }
  }

  isLeaving(place: Pick<FeedPlace, 'seq'>): boolean {
    return this.leaving.has(place.seq)
  }

  isBuried(place: Pick<FeedPlace, 'seq'>): boolean {
    return this.letters.has(place.seq)
  }

  /** The process was started again: what was outstanding is handed out anew. */
  reopen(): void {
    this.handOutAgain()
    this.onWire.clear()
  }

  launched(places: readonly FeedPlace[]): void {
    for (const { seq } of places) this.onWire.set(seq, (this.onWire.get(seq) ?? 0) + 1)
  }

  landed(places: readonly FeedPlace[]): void {
    for (const { seq } of places) {
      const count = (this.onWire.get(seq) ?? 0) - 1
      if (count < 0) throw new Error(`place ${seq} landed without having been launched`)
      if (count === 0) this.onWire.delete(seq)
      else this.onWire.set(seq, count)
    }
  }

  async settle(settlements: readonly Settlement[]): Promise<void> {
    await undefined
    for (const settlement of settlements) {
      if (!this.#outstanding.delete(settlement.place.seq)) continue
      this.done.push(settlement)
      if (settlement.result === 'replicated') this.#replicated++
      else this.#superseded++
    }
  }

  async bury(
    place: FeedPlace,
    letter: { readonly reason: string; readonly attempts: number },
  ): Promise<void> {
    await undefined
    if (!this.#outstanding.delete(place.seq)) return
    this.#failed++
    const { seq, slot, version, bytes } = place
    this.letters.set(seq, { seq, slot, version, bytes, ...letter, time: this.#clock.now() })
  }

  async deadLetters(limit: number): Promise<readonly DeadLetter[]> {
    return [...this.letters.values()].slice(0, limit)
  }

  deadLetter(seq: number): DeadLetter | undefined {
    return this.letters.get(seq)
  }

  async discard(): Promise<PurgePreview> {
    throw new Error('no sender discards')
  }

  async replay(
    scope: ReplayScope,
    { dryRun }: { readonly dryRun: boolean },
  ): Promise<PurgePreview> {
    if (!('from' in scope)) throw new Error('no sender selects')
    const from = scope.from === 'failed' ? this.#high : scope.from
    const regained = this.#feed
      .entries()
      .filter(({ place }) => place.seq > from && !this.isPending(place))
    if (dryRun) return { count: regained.length, bytes: 0 }
    this.#queued += regained.length
    for (const seq of [...this.#outstanding]) if (seq > from) this.#outstanding.delete(seq)
    this.#high = Math.min(this.#high, from)
    // What is outstanding below is handed out again too.
    this.#again = [...this.#outstanding].sort((a, b) => a - b)
    for (const listener of this.#rewinds) listener()
    return { count: regained.length, bytes: 0 }
  }

  async requeue(seqs: readonly number[]): Promise<number> {
    const live = new Set(this.#feed.entries().map(({ place }) => place.seq))
    const regained = seqs.filter((seq) => live.has(seq) && !this.isPending({ seq }))
    for (const seq of regained) this.#outstanding.add(seq)
    this.#queued += regained.length
    this.#again = [...this.#outstanding].sort((a, b) => a - b)
    for (const listener of this.#rewinds) listener()
    return regained.length
  }

  confirmedPeer(): ConfirmedPeer | undefined {
    return this.confirmed
  }

  async confirmPeer(peer: ConfirmedPeer): Promise<void> {
    this.confirmed = peer
  }

  onRewind(listener: () => void): () => void {
    this.#rewinds.add(listener)
    return () => this.#rewinds.delete(listener)
  }
}
