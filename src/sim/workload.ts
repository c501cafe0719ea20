/**
 * Clients: each does one thing after another at one of the sites that may be written to, to few
 * objects, so that they get in each other's way. What they are answered is checked at once.
 */
import { assert } from '../base/assert.ts'
import { ComioError } from '../base/errors.ts'
import type { ObjectInfo, OpenObject, WriteConditions } from '../store/model/object-store.ts'
import type { Version } from '../store/model/version.ts'
import type { Chance } from './chance.ts'
import type { Confirmed } from './confirmed.ts'
import type { EventQueue } from './event-queue.ts'
import { type History, inputOf, type WriteRecord } from './history.ts'
import type { Observer, SlotView } from './observer.ts'
import { SimSystemError } from './sim-device.ts'
import type { SimProcess, SimSite } from './sim-site.ts'
import { type SlotName, slotOf } from './site-contents.ts'
import type { Trace } from './trace.ts'
import { demand, Violation } from './violation.ts'

export interface WorkloadOptions {
  readonly queue: EventQueue
  readonly chance: Chance
  readonly trace: Trace
  readonly history: History
  readonly observer: Observer
  readonly confirmed: Confirmed
  /** Where clients write. */
  readonly sites: readonly SimSite[]
  readonly slots: readonly SlotName[]
  readonly operations: number
  readonly clients: number
  /** Mean pause of a client between two operations, ms. */
  readonly thinkMs: number
  /** Share of puts that are larger than what a record holds. */
  readonly largeShare: number
  readonly largeBytesMax: number
  readonly smallBytesMax: number
  /** Whether the disks may have damaged what was stored. */
  readonly rotEveryMs: number
  /** Whether what a site lacks is read from its remotes. */
  readonly proxyReads: boolean
  /** Whether purges and deletions of buckets happen. */
  readonly purges: boolean
  /** Called with whatever a client's operation fails with that is none of the store's errors. */
  readonly onViolation: (violation: unknown) => void
}

/** Errors after which nothing may have changed. */
const refusals = new Set([
  'PRECONDITION_FAILED',
  'NO_SUCH_BUCKET',
  'BUCKET_NOT_EMPTY',
  'BAD_DIGEST',
  'INCOMPLETE_BODY',
  'STORAGE_FULL',
])

/** How long a client waits that finds a site down. */
const retryMs = 100

interface Turn {
  readonly site: SimSite
  readonly name: SlotName
}

type Action = (turn: Turn) => Promise<void>

interface Activity {
  readonly running: number
  readonly begun: number
}

export class Workload {
  readonly #options: WorkloadOptions
  readonly #actions: readonly (readonly [weight: number, action: Action])[]
  /** Operations that may change a slot, by slot; those on a whole bucket have the empty key. */
  readonly #writers = new Map<string, Activity>()
  #left: number
  #clients: number

  constructor(options: WorkloadOptions) {
    this.#options = options
    this.#left = options.operations
    this.#clients = options.clients
    const rarely = options.purges ? 1 : 0
    this.#actions = [
      [40, (turn) => this.#put(turn)],
      [6, (turn) => this.#putWithCondition(turn)],
      [3, (turn) => this.#putBroken(turn)],
      [14, (turn) => this.#delete(turn)],
      [16, (turn) => this.#get(turn)],
      [8, (turn) => this.#list(turn)],
      [3 * rarely, (turn) => this.#purge(turn)],
      [2, (turn) => this.#createBucket(turn)],
      [2 * rarely, (turn) => this.#deleteBucket(turn)],
    ]
  }

  get isDone(): boolean {
    return this.#clients === 0
  }

  start(): void {
    for (let client = 0; client < this.#options.clients; client++) {
      this.#live().catch(this.#options.onViolation)
    }
  }

  async #live(): Promise<void> {
    const { queue, chance, thinkMs, slots, sites } = this.#options
    const total = this.#actions.reduce((sum, [weight]) => sum + weight, 0)
    while (this.#left > 0) {
      await queue.pause(chance.around(thinkMs))
      const site = chance.pick(sites)
      if (site.process === undefined) {
        await queue.pause(chance.around(retryMs))
        continue
      }
      this.#left--
      let at = chance.below(total)
      const chosen = this.#actions.find(([weight]) => {
        at -= weight
        return at < 0
      })
      assert(chosen !== undefined, 'weights add up')
      await chosen[1]({ site, name: chance.pick(slots) })
    }
    this.#clients--
  }

  // --- writes

  async #put(turn: Turn): Promise<void> {
    await this.#putAs(turn, {})
  }

  /** The condition is about what the client sees, which others may have changed by then. */
  async #putWithCondition(turn: Turn): Promise<void> {
    const { live } = this.#view(turn.site, turn.name)
    const etag = live?.meta.etag
    const conditions: WriteConditions =
      etag === undefined || this.#options.chance.hits(0.2)
        ? { ifNoneMatch: ['*'] }
        : { ifMatch: [etag] }
    await this.#putAs(turn, { conditions })
  }

  /** A body that ends early, or is not what its digest says. */
  async #putBroken(turn: Turn): Promise<void> {
    const isShort = this.#options.chance.hits(0.5)
    await this.#putAs(turn, { isShort, expectedMd5: isShort ? undefined : Buffer.alloc(16) })
  }

  async #putAs(
    turn: Turn,
    how: {
      readonly conditions?: WriteConditions
      readonly isShort?: boolean
      readonly expectedMd5?: Buffer | undefined
    },
  ): Promise<void> {
    const { site, name } = turn
    const { chance, history, observer, confirmed } = this.#options
    const record = history.beginPut(site.name, name, this.#size())
    const { conditions, expectedMd5, isShort = false } = how
    const before = this.#view(site, name)
    const isAlone = this.#beginAlone([name])
    const outcome = await this.#write(turn, `put ${record.id}`, async (process) => {
      const info = await process.clients.putObject({
        ...name,
        ...inputOf(record),
        body: this.#bodyOf(record, isShort),
        createBucket: chance.hits(0.8),
        ...(conditions === undefined ? {} : { conditions }),
        ...(expectedMd5 === undefined ? {} : { expectedMd5 }),
      })
      record.version = info.version
      observer.putAnswered(site, process, info)
      confirmed.put(site, name, info.version)
      return info
    })
    record.state = stateOf(outcome)
    if (outcome.kind === 'answered') {
      const isWrong = expectedMd5 !== undefined || (isShort && record.content.length > 0)
      demand(!isWrong, 'broken-put', () => `${record.id} was broken and is answered`)
      history.identify(outcome.value)
    }
    if (isAlone()) this.#checkCondition(turn, { before, outcome, conditions })
  }

  /** Nobody else wrote the slot meanwhile: then the condition was decided by what was there. */
  #checkCondition(
    { site, name }: Turn,
    put: {
      readonly before: SlotView
      readonly outcome: Outcome<ObjectInfo>
      readonly conditions: WriteConditions | undefined
    },
  ): void {
    const { before, outcome, conditions } = put
    if (conditions === undefined) return
    const say = (): string =>
      `${slotOf(name)} at ${site.name}: ${outcome.kind} on ${before.live?.meta.etag ?? 'nothing'}`
    const holds =
      conditions.ifNoneMatch === undefined
        ? before.live !== undefined && conditions.ifMatch?.includes(before.live.meta.etag) === true
        : before.live === undefined
    if (outcome.kind === 'answered') demand(holds, 'condition', say)
    if (outcome.kind === 'refused' && outcome.code === 'PRECONDITION_FAILED') {
      demand(!holds, 'condition', say)
    }
  }

  async #delete(turn: Turn): Promise<void> {
    const { site, name } = turn
    const { history, observer, confirmed, chance } = this.#options
    const { live } = this.#view(site, name)
    history.beginDelete(site.name, name)
    const conditions =
      live !== undefined && chance.hits(0.2) ? { ifMatch: [live.meta.etag] } : undefined
    await this.#write(turn, 'delete', async ({ clients }) => {
      const found = await clients.deleteObject({ ...name, ...(conditions && { conditions }) })
      observer.removed(site, name, live?.version)
      confirmed.removed(site, name, live?.version)
      return found
    })
  }

  async #purge(turn: Turn): Promise<void> {
    const { site } = turn
    const { bucket } = turn.name
    const { history, observer, confirmed } = this.#options
    const names = this.#options.slots.filter((name) => name.bucket === bucket)
    const before = names.map((name) => [name, this.#view(site, name).live] as const)
    const shown = before.filter(([, live]) => live !== undefined)
    const isAlone = this.#beginAlone(names)
    history.beginPurge(site.name, bucket)
    const outcome = await this.#write(
      { site, name: { bucket, key: '' } },
      'purge',
      async (process) => {
        const purged = await process.clients.purgeBucket(bucket)
        for (const [name, live] of before) {
          observer.removed(site, name, live?.version)
          confirmed.removed(site, name, live?.version)
        }
        return purged
      },
    )
    if (outcome.kind !== 'answered' || !isAlone()) return
    const bytes = shown.reduce((sum, [, live]) => sum + (live?.meta.size ?? 0), 0)
    const { value } = outcome
    const say = (): string =>
      `${bucket}: ${value.count} of ${shown.length}, ${value.bytes} of ${bytes}`
    demand(value.count === shown.length && value.bytes === bytes, 'purge-count', say)
  }

  async #createBucket(turn: Turn): Promise<void> {
    const { bucket } = turn.name
    await this.#write(
      { ...turn, name: { bucket, key: '' } },
      'create-bucket',
      async ({ clients }) => {
        await clients.createBucket(bucket)
      },
    )
  }

  async #deleteBucket(turn: Turn): Promise<void> {
    const { bucket } = turn.name
    await this.#write(
      { ...turn, name: { bucket, key: '' } },
      'delete-bucket',
      async ({ clients }) => {
        await clients.deleteBucket(bucket)
      },
    )
  }

  // --- reads

  async #get(turn: Turn): Promise<void> {
    const { site, name } = turn
    const { trace } = this.#options
    const outcome = await this.#serve(site, async (process) => {
      const own = process.engine.openObject(name)
      if (own !== undefined) return await this.#readAll(process.reads.healing.over(own))
      return await this.#getElsewhere(process, turn)
    })
    const what = outcome.kind === 'answered' ? (outcome.value ?? 'absent') : outcome.kind
    trace.add('get', `${site.name} ${slotOf(name)} ${what}`)
    if (outcome.kind === 'failed') {
      if (isDamage(outcome.error)) trace.count('damaged')
      const { read } = site.disk.faults
      const say = (): string => `${slotOf(name)} at ${site.name}: ${outcome.error.message}`
      const mayBe = read > 0 || this.#options.rotEveryMs > 0
      demand(mayBe || !isDamage(outcome.error), 'readable', say)
    }
  }

  /** What a remote has of it, unless it has arrived meanwhile: not what was removed here. */
  async #getElsewhere(process: SimProcess, { site, name }: Turn): Promise<Version | undefined> {
    const { proxyReads, observer, trace } = this.#options
    if (!proxyReads) return undefined
    const { signal } = new AbortController()
    const found = await process.reads.elsewhere.open(name, { bytes: true, signal })
    const arrived = process.engine.openObject(name)
    if (arrived !== undefined) {
      found?.close()
      return await this.#readAll(process.reads.healing.over(arrived))
    }
    if (found === undefined) return undefined
    trace.count('get-elsewhere')
    observer.shownFromElsewhere(site, process, found.info)
    return await this.#readAll(found)
  }

  /** Read as slowly as clients do, compared with what was written, and closed. */
  async #readAll(object: OpenObject): Promise<Version> {
    const { history, queue, chance } = this.#options
    try {
      const pieces: Buffer[] = []
      for await (const piece of object.read()) {
        pieces.push(piece)
        if (chance.hits(0.3)) await queue.pause(chance.around(50))
      }
      history.compare(object.info, Buffer.concat(pieces))
      return object.info.version
    } finally {
      object.close()
    }
  }

  /** What did not change while a list was made must be in it exactly as it was. */
  async #list(turn: Turn): Promise<void> {
    const { site } = turn
    const { bucket } = turn.name
    const { slots, chance, trace } = this.#options
    const names = slots.filter((name) => name.bucket === bucket)
    const viewAll = (): readonly SlotView[] => names.map((name) => this.#view(site, name))
    const before = viewAll()
    const outcome = await this.#serve(site, async ({ engine }) => {
      const listed = new Map<string, Version>()
      let after: string | undefined = ''
      while (after !== undefined) {
        const limit = chance.between(1, 5)
        const page = await engine.listObjects({ bucket, prefix: '', delimiter: '', after, limit })
        for (const { key, version } of page.objects) listed.set(key, version)
        after = page.next
      }
      // A site that is being stopped finishes the list, and shows nothing to compare it with.
      if (site.process === undefined) return listed.size
      const now = viewAll()
      for (const [at, name] of names.entries()) {
        const live = before[at]?.live?.version
        const isStill = before[at]?.reached === now[at]?.reached && live === now[at]?.live?.version
        const say = (): string =>
          `${slotOf(name)} at ${site.name}: ${listed.get(name.key)}, not ${live}`
        demand(!isStill || listed.get(name.key) === live, 'list', say)
      }
      return listed.size
    })
    trace.add('list', `${site.name} ${bucket} ${outcome.kind}`)
  }

  // --- inner parts

  #view(site: SimSite, name: SlotName): SlotView {
    const { process } = site
    if (process === undefined) return { live: undefined, reached: '', isCovered: false }
    return this.#options.observer.view(site, process, name)
  }

  #size(): number {
    const { chance, largeShare, largeBytesMax, smallBytesMax } = this.#options
    if (chance.hits(largeShare)) return chance.between(smallBytesMax + 1, largeBytesMax)
    return chance.hits(0.7) ? chance.below(300) : chance.between(0, smallBytesMax)
  }

  #bodyOf(record: WriteRecord, isShort: boolean): Uint8Array | AsyncIterable<Uint8Array> {
    const { chance, smallBytesMax } = this.#options
    const { content } = record
    if (!isShort && (content.length <= smallBytesMax || chance.hits(0.5))) return content
    return this.#stream(isShort ? content.subarray(0, chance.below(content.length)) : content)
  }

  async *#stream(content: Buffer): AsyncGenerator<Uint8Array> {
    const { chance, queue } = this.#options
    for (let at = 0; at < content.length; ) {
      const end = Math.min(content.length, at + chance.between(1, 12_000))
      yield content.subarray(at, end)
      at = end
      if (chance.hits(0.3)) await queue.pause(chance.around(20))
    }
  }

  /**
   * Called before a write: what is returned tells, after it, whether nobody else wrote these slots
   * meanwhile. Where other sites write too, nobody knows.
   */
  #beginAlone(names: readonly SlotName[]): () => boolean {
    const before = this.#activityOn(names)
    return () =>
      this.#options.sites.length === 1 &&
      before.running === 0 &&
      this.#activityOn(names).begun === before.begun + 1
  }

  #activityOn(names: readonly SlotName[]): Activity {
    const slots = new Set(names.flatMap(({ bucket, key }) => [`${bucket}/${key}`, `${bucket}/`]))
    let running = 0
    let begun = 0
    for (const slot of slots) {
      running += this.#writers.get(slot)?.running ?? 0
      begun += this.#writers.get(slot)?.begun ?? 0
    }
    return { running, begun }
  }

  #count(slot: string, { running, begun }: Activity): void {
    const before = this.#writers.get(slot) ?? { running: 0, begun: 0 }
    this.#writers.set(slot, { running: before.running + running, begun: before.begun + begun })
  }

  async #write<T>(
    { site, name }: Turn,
    what: string,
    work: (process: SimProcess) => Promise<T>,
  ): Promise<Outcome<T>> {
    const { trace } = this.#options
    const slot = slotOf(name)
    trace.add('ask', `${site.name} ${what} ${slot}`)
    this.#count(slot, { running: 1, begun: 1 })
    const outcome = await this.#serve(site, work)
    this.#count(slot, { running: -1, begun: 0 })
    const detail = outcome.kind === 'refused' ? outcome.code : ''
    trace.add(outcome.kind, `${site.name} ${what} ${slot} ${detail}`)
    if (outcome.kind === 'refused') trace.count(outcome.code)
    return outcome
  }

  async #serve<T>(site: SimSite, work: (process: SimProcess) => Promise<T>): Promise<Outcome<T>> {
    try {
      const value = await site.serve(work)
      return value === 'lost' ? { kind: 'lost' } : { kind: 'answered', value }
    } catch (error) {
      if (error instanceof Violation) throw error
      if (error instanceof ComioError) {
        const { code } = error
        return refusals.has(code) ? { kind: 'refused', code } : { kind: 'failed', error }
      }
      if (error instanceof SimSystemError) return { kind: 'failed', error }
      throw new Violation('expected-errors', `${site.name}: ${String(error)}`, error)
    }
  }
}

type Outcome<T> =
  | { readonly kind: 'answered'; readonly value: T }
  /** Nothing has changed. */
  | { readonly kind: 'refused'; readonly code: string }
  /** It may have happened, or may yet. */
  | { readonly kind: 'failed'; readonly error: Error }
  | { readonly kind: 'lost' }

function stateOf(outcome: Outcome<unknown>): WriteRecord['state'] {
  if (outcome.kind === 'answered' || outcome.kind === 'refused') return outcome.kind
  return 'unknown'
}

function isDamage(error: Error): boolean {
  return error instanceof ComioError && error.code.startsWith('CORRUPT')
}
