/**
 * Knows which write had seen which, from what sites really replaced, and not from the contexts that
 * the store keeps of it. A write that another one replaced without having seen it has lost a conflict:
 * some site must list it in the end. So has a write that was swept, unless the author of some purge
 * above it had had it.
 */
import type { IndexOperation } from '../index/ordered-index.ts'
import { isSeenBy } from '../store/conflicts/losers.ts'
import { originOf } from '../store/model/kept-copy.ts'
import { type Context, siteOf, type Version } from '../store/model/version.ts'
import { decodeBucketEntry, emptyBucket } from '../store/tables/bucket-entry.ts'
import { nameOf } from '../store/tables/keys.ts'
import { decodeLiveEntry, decodeTombstone } from '../store/tables/slot-entry.ts'
import type { Floor } from '../store/write/current-slot.ts'
import type { SiteContents, SlotName } from './site-contents.ts'
import { demand } from './violation.ts'

interface Held {
  readonly version: Version
  readonly isLive: boolean
  readonly context: Context
}

interface SlotVersion {
  readonly slot: string
  readonly version: Version
}

interface Loss {
  readonly slot: string
  readonly loser: Version
  readonly winner: Version
}

/** A purge, as the site that made it had the bucket then: by slot, the versions that it had held. */
interface Purge {
  readonly version: Version
  readonly had: ReadonlyMap<string, readonly Version[]>
}

/** What a purge says to all sites alike. */
type FloorWords = Pick<Floor, 'version' | 'context'>

export class ConflictWitness {
  /** By site and slot: what its index holds, as it was last written. */
  readonly #held = new Map<string, Held>()
  /** By site and slot: the versions that its index has held, in order. */
  readonly #known = new Map<string, Version[]>()
  /** By slot and version: what its author replaced with it, and its own write before. */
  readonly #ancestors = new Map<string, Version[]>()
  readonly #lastOwn = new Map<string, Version>()
  /** By slot and version. */
  readonly #deletes = new Set<string>()
  /** By site and slot: deletes that came when the slot was deleted already. They replace nothing. */
  readonly #heard = new Map<string, Set<Version>>()
  /**
   * By slot and version of a delete: the deletes that stand for it. Two deletes that met want the same,
   * and the store goes on with the higher one, whose context says that it knows of the other: what that
   * one loses to, is lost for both, and whoever has seen it has seen that the object was deleted.
   */
  readonly #stoodFor = new Map<string, Set<Version>>()
  /** By slot and version: what somebody replaced who had it before himself. */
  readonly #overwritten = new Set<string>()
  readonly #losses: Loss[] = []
  /** By bucket and version: all that there ever were. */
  readonly #floors = new Map<string, Map<Version, FloorWords>>()
  /** By bucket. */
  readonly #purges = new Map<string, Purge[]>()
  /** Objects that a sweep took out somewhere. */
  readonly #swept = new Map<string, SlotVersion>()

  /** A site writes this to its index: the log has it, so it stays, crash or not. */
  observe(site: string, operations: readonly IndexOperation[]): void {
    for (const operation of operations) {
      const table = String.fromCharCode(operation.key[0] ?? 0)
      if (table === 'b' && operation.type === 'put') {
        this.#raise(site, Buffer.from(operation.key), operation.value)
      }
      if (table !== 'o' && table !== 't') continue
      const slot = Buffer.from(operation.key).toString('utf8', 1).replace('\0', '/')
      const isLive = table === 'o'
      if (operation.type === 'put') {
        const decode = isLive ? decodeLiveEntry : decodeTombstone
        const { version, context } = decode(operation.value)
        this.#hold(site, slot, { version, context, isLive })
        continue
      }
      const held = this.#held.get(`${site} ${slot}`)
      if (held?.isLive !== isLive) continue
      this.#held.delete(`${site} ${slot}`)
      if (isLive) this.#swept.set(`${slot} ${held.version}`, { slot, version: held.version })
    }
  }

  /** @throws Violation unless some site lists each write that was lost */
  check(sites: readonly Pick<SiteContents, 'buckets' | 'conflicts'>[]): void {
    const listed = new Set(
      sites.flatMap(({ conflicts }) =>
        conflicts.map(
          ({ conflict: { bucket, key, loser } }) => `${bucket}/${key} ${loser.version}`,
        ),
      ),
    )
    for (const { slot, loser, winner } of this.#losses) {
      const split = slot.indexOf('/')
      const { floor } = sites[0]?.buckets.get(slot.slice(0, split)) ?? emptyBucket
      // What a purge removed is another matter.
      const isOver = floor !== undefined && loser <= floor
      const shown = originOf(slot.slice(split + 1), loser)
      const say = (): string => `${loser} in ${slot} lost to ${winner}, and nobody lists it`
      const isListed = listed.has(`${slot} ${shown}`)
      demand(isOver || isListed || this.#isAnswered(slot, loser, listed), 'conflicts', say)
    }
    for (const { slot, version } of this.#swept.values()) {
      // Of a copy the write that it keeps was listed before.
      const isCopy = originOf(slot.slice(slot.indexOf('/') + 1), version) !== version
      if (isCopy || this.#overwritten.has(`${slot} ${version}`)) continue
      const say = (): string => `${version} in ${slot} fell to a purge unseen, and nobody lists it`
      demand(this.#isPurged(slot, version) || listed.has(`${slot} ${version}`), 'purged', say)
    }
  }

  /**
   * Whether it need not be listed: of what was overwritten the next one counts, of a delete the one that
   * stands for it.
   */
  #isAnswered(slot: string, loser: Version, listed: ReadonlySet<string>): boolean {
    if (this.#overwritten.has(`${slot} ${loser}`)) return true
    const standing = [...(this.#stoodFor.get(`${slot} ${loser}`) ?? [])]
    return standing.some(
      (version) => listed.has(`${slot} ${version}`) || this.#isAnswered(slot, version, listed),
    )
  }

  /** Whether some purge removed it whose author had had it, or what had replaced it. */
  #isPurged(slot: string, version: Version): boolean {
    const purges = this.#purges.get(slot.slice(0, slot.indexOf('/'))) ?? []
    return purges.some(
      (purge) =>
        version <= purge.version &&
        (siteOf(purge.version) === siteOf(version) ||
          purge.had.get(slot)?.some((had) => this.#hadSeen(slot, had, version)) === true),
    )
  }

  /**
   * The keys under which losers must be readable: all that a site lists as kept, but for those that
   * fell to a purge whose author had seen them, or had the copies.
   *
   * @throws Violation when a put lost and is not kept
   */
  keptCopies({ conflicts }: SiteContents): SlotName[] {
    const copies: SlotName[] = []
    for (const { conflict } of conflicts) {
      const { bucket, key, keptAs, loser, id } = conflict
      if (loser.kind !== 'put') continue
      demand(keptAs !== undefined, 'keep-both', () => `${key} of conflict ${id} is not kept`)
      const floors = [...(this.#floors.get(bucket)?.values() ?? [])]
      const isPurged = floors.some(
        (floor) => loser.version <= floor.version && isSeenBy(floor, key, loser.version),
      )
      if (keptAs === undefined || isPurged) continue
      const purges = this.#purges.get(bucket) ?? []
      if (purges.some(({ had }) => had.has(`${bucket}/${keptAs}`))) continue
      copies.push({ bucket, key: keptAs })
    }
    return copies
  }

  #raise(site: string, key: Buffer, value: Uint8Array): void {
    const { floor, floorContext } = decodeBucketEntry(value)
    if (floor === undefined) return
    const bucket = nameOf(key)
    const floors = this.#floors.get(bucket) ?? new Map<Version, FloorWords>()
    this.#floors.set(bucket, floors)
    if (siteOf(floor) === site && !floors.has(floor)) this.#purge(site, bucket, floor)
    floors.set(floor, { version: floor, context: floorContext })
  }

  #purge(site: string, bucket: string, version: Version): void {
    const had = new Map<string, readonly Version[]>()
    const prefix = `${site} ${bucket}/`
    for (const [known, versions] of this.#known)
      if (known.startsWith(prefix)) had.set(known.slice(site.length + 1), [...versions])
    this.#purges.set(bucket, [...(this.#purges.get(bucket) ?? []), { version, had }])
  }

  #hold(site: string, slot: string, next: Held): void {
    const before = this.#held.get(`${site} ${slot}`)
    this.#held.set(`${site} ${slot}`, next)
    const { version } = next
    if (!next.isLive) this.#bury(site, slot, { before, next })
    const known = this.#known.get(`${site} ${slot}`) ?? []
    if (known.includes(version)) return
    this.#known.set(`${site} ${slot}`, [...known, version])
    if (siteOf(version) === site) {
      const own = this.#lastOwn.get(`${site} ${slot}`)
      const heard = this.#heard.get(`${site} ${slot}`) ?? []
      const ancestors = [own, before?.version, ...heard].filter((one) => one !== undefined)
      this.#ancestors.set(`${slot} ${version}`, ancestors)
      if (before !== undefined) this.#overwritten.add(`${slot} ${before.version}`)
      this.#lastOwn.set(`${site} ${slot}`, version)
      return
    }
    if (before === undefined || !(before.isLive || next.isLive)) return
    if (this.#hadSeen(slot, version, before.version)) return
    this.#losses.push({ slot, loser: before.version, winner: version })
  }

  /** Of deletes that met the store lists neither. Of puts the context is not believed. */
  #bury(
    site: string,
    slot: string,
    { before, next }: { readonly before: Held | undefined; readonly next: Held },
  ): void {
    this.#deletes.add(`${slot} ${next.version}`)
    const met = next.context.filter((version) => this.#deletes.has(`${slot} ${version}`))
    for (const version of met) {
      const standing = this.#stoodFor.get(`${slot} ${version}`) ?? new Set()
      this.#stoodFor.set(`${slot} ${version}`, standing.add(next.version))
    }
    if (before?.version !== next.version) return
    const heard = this.#heard.get(`${site} ${slot}`) ?? new Set<Version>()
    for (const version of met) heard.add(version)
    this.#heard.set(`${site} ${slot}`, heard)
  }

  #hadSeen(slot: string, version: Version, other: Version): boolean {
    const waiting = [version]
    const visited = new Set<Version>(waiting)
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      if (siteOf(at) === siteOf(other) && at >= other) return true
      for (const ancestor of this.#ancestors.get(`${slot} ${at}`) ?? []) {
        if (visited.has(ancestor)) continue
        visited.add(ancestor)
        waiting.push(ancestor)
      }
    }
    return false
  }
}
