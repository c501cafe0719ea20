/**
 * Watches what sites show. What a site has once shown may only move forward, crash or not: a slot's
 * version, what is dead in it, a bucket's registers and floor, the head of the feed.
 */
import type { SortedMap } from '../index/sorted-map.ts'
import type { ObjectInfo } from '../store/model/object-store.ts'
import { siteOf, type Version } from '../store/model/version.ts'
import { type BucketEntry, decodeBucketEntry, emptyBucket } from '../store/tables/bucket-entry.ts'
import { bucketKey, objectKey, tombstoneKey } from '../store/tables/keys.ts'
import { decodeLiveEntry, decodeTombstone } from '../store/tables/slot-entry.ts'
import type { History } from './history.ts'
import type { SimProcess, SimSite } from './sim-site.ts'
import { type SlotName, slotOf } from './site-contents.ts'
import { demand } from './violation.ts'

/** A slot as a site shows it now. */
export interface SlotView {
  readonly live: ObjectInfo | undefined
  /** The site has made up its mind about everything at or below; empty when there was nothing yet. */
  readonly reached: string
  /** A live entry that a floor covers which is on its way into the index. */
  readonly isCovered: boolean
}

export interface ObserverOptions {
  readonly history: History
  readonly slots: readonly SlotName[]
}

interface SlotMemory {
  reached: string
  /** Nothing at or below may be shown again. */
  dead: string
  /** The newest that was looked at closely. */
  seen: string
}

interface BucketMemory {
  created: string
  deleted: string
  floor: string
}

interface Memory {
  readonly slots: Map<string, SlotMemory>
  readonly buckets: Map<string, BucketMemory>
  head: number
  map: SortedMap | undefined
}

export class Observer {
  readonly #history: History
  readonly #slots: readonly SlotName[]
  readonly #buckets: readonly string[]
  readonly #memories = new Map<string, Memory>()

  constructor(options: ObserverOptions) {
    this.#history = options.history
    this.#slots = options.slots
    this.#buckets = [...new Set(options.slots.map(({ bucket }) => bucket))]
  }

  /** Looks at everything that the site shows, if anything has changed. @throws Violation */
  observe(site: SimSite): void {
    const { process } = site
    const map = site.indexDisk.durable
    if (process === undefined) return
    const memory = this.#memoryOf(site.name)
    if (memory.map === map) return
    memory.map = map
    for (const bucket of this.#buckets) this.#observeBucket(site, memory, bucket)
    for (const name of this.#slots) this.#observeSlot(site, memory, name)
    const head = process.engine.feed.head()
    demand(head >= memory.head, 'feed', () => `the head of ${site.name} went back to ${head}`)
    memory.head = head
  }

  /** A slot as the site shows it at this moment. */
  view(site: SimSite, process: SimProcess, name: SlotName): SlotView {
    const map = site.indexDisk.durable
    const stored = map.get(objectKey(name.bucket, name.key))
    const tombstone = map.get(tombstoneKey(name.bucket, name.key))
    const { floor } = bucketIn(map, name.bucket)
    const versions = [
      floor,
      stored && decodeLiveEntry(stored).version,
      tombstone && decodeTombstone(tombstone).version,
    ]
    const live = process.engine.headObject(name)
    const reached = highestOf(versions)
    const isCovered = live === undefined && stored !== undefined && reached === versions[1]
    return { live, reached, isCovered }
  }

  /** A put was answered with this version. @throws Violation unless it shows, or something newer */
  putAnswered(
    site: SimSite,
    process: SimProcess,
    info: Pick<ObjectInfo, 'bucket' | 'key' | 'version'>,
  ): void {
    const { reached } = this.view(site, process, info)
    const say = (): string =>
      `${slotOf(info)} at ${site.name} shows ${reached}, ${info.version} was answered`
    demand(reached >= info.version, 'read-after-write', say)
    this.#slotMemory(site.name, slotOf(info)).reached = reached
  }

  /** A delete or purge was answered that was begun when `version` was there. */
  removed(site: SimSite, name: SlotName, version: Version | undefined): void {
    if (version === undefined) return
    const memory = this.#slotMemory(site.name, slotOf(name))
    if (version > memory.dead) memory.dead = version
    // Looked at again with the next change, and now.
    const live = site.process?.engine.headObject(name)
    const say = (): string => `${slotOf(name)} at ${site.name} shows ${live?.version}`
    demand(live === undefined || live.version > memory.dead, 'delete-shows', say)
  }

  /** An object that this site lacks was shown here as another one has it. @throws Violation if it is known here to be removed */
  shownFromElsewhere(site: SimSite, process: SimProcess, info: ObjectInfo): void {
    const { reached } = this.view(site, process, info)
    const { dead } = this.#slotMemory(site.name, slotOf(info))
    const say = (): string =>
      `${slotOf(info)} at ${site.name} is shown from elsewhere as ${info.version}, which was removed`
    demand(info.version > dead && info.version > reached, 'resurrection', say)
    this.#history.identify(info)
  }

  #observeSlot(site: SimSite, memory: Memory, name: SlotName): void {
    const { process } = site
    if (process === undefined) return
    const slot = slotOf(name)
    const known = this.#slotMemory(site.name, slot)
    const { live, reached, isCovered } = this.view(site, process, name)
    const say = (what: string) => (): string => `${slot} at ${site.name} ${what}`
    demand(
      reached >= known.reached,
      'order',
      say(`went back from ${known.reached} to ${reached || 'nothing'}`),
    )
    known.reached = reached
    if (live === undefined) {
      if (!isCovered) this.#checkRemoval(memory, name, known)
      return
    }
    demand(
      live.version > known.dead,
      'resurrection',
      say(`shows ${live.version}, which was removed`),
    )
    if (live.version === known.seen) return
    known.seen = live.version
    this.#history.identify(live)
  }

  /** What is gone was removed by somebody. */
  #checkRemoval(memory: Memory, { bucket, key }: SlotName, known: SlotMemory): void {
    if (known.reached === '' || known.reached === known.seen) return
    known.seen = known.reached
    const by = siteOf(known.reached as Version)
    const floor = memory.buckets.get(bucket)?.floor ?? ''
    const isExplained =
      known.reached === floor
        ? this.#history.hasPurge(by, bucket)
        : this.#history.hasDelete(by, slotOf({ bucket, key }))
    demand(isExplained, 'removal', () => `nobody removed ${bucket}/${key} as ${known.reached}`)
  }

  #observeBucket(site: SimSite, memory: Memory, bucket: string): void {
    const entry = bucketIn(site.indexDisk.durable, bucket)
    const known = memory.buckets.get(bucket) ?? { created: '', deleted: '', floor: '' }
    for (const register of ['created', 'deleted', 'floor'] as const) {
      const now = entry[register] ?? ''
      const say = (): string => `${register} of ${bucket} at ${site.name} went back to ${now}`
      demand(now >= known[register], 'order', say)
      known[register] = now
    }
    memory.buckets.set(bucket, known)
  }

  #slotMemory(site: string, slot: string): SlotMemory {
    const { slots } = this.#memoryOf(site)
    const memory = slots.get(slot) ?? { reached: '', dead: '', seen: '' }
    slots.set(slot, memory)
    return memory
  }

  #memoryOf(site: string): Memory {
    const memory = this.#memories.get(site) ?? {
      slots: new Map(),
      buckets: new Map(),
      head: 0,
      map: undefined,
    }
    this.#memories.set(site, memory)
    return memory
  }
}

function bucketIn(map: SortedMap, bucket: string): BucketEntry {
  const stored = map.get(bucketKey(bucket))
  return stored === undefined ? emptyBucket : decodeBucketEntry(stored)
}

function highestOf(versions: readonly (Version | undefined)[]): string {
  let highest = ''
  for (const version of versions) if (version !== undefined && version > highest) highest = version
  return highest
}
