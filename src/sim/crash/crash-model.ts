/**
 * What clients were told, and so what a site may show. An operation that was answered has happened. One
 * that failed or was cut off may have happened, wholly, until the next recovery decides; until then the
 * site shows what was there before.
 */
import type { PutMutation } from '../../store/model/mutation.ts'
import type { WriteRecord } from '../history.ts'
import { type SlotName, slotOf } from '../site-contents.ts'
import { demand } from '../violation.ts'

/** The put whose object is there, undefined when none is. */
export type SlotState = WriteRecord | undefined

/** What an operation does when it happens. */
export interface Intent {
  readonly slots: readonly (readonly [name: SlotName, state: SlotState])[]
  /** Makes (true) or removes (false) a bucket. */
  readonly bucket?: readonly [name: string, exists: boolean]
  /**
   * What is answered when it is so already. Nothing is written then, and nothing decided about a failed write
   * before it, which the next start may yet find.
   */
  readonly answerIfSo?: boolean
}

export interface Begun {
  answered(): void
  /** Failed or cut off: it may have happened. */
  unknown(): void
  /** It has not happened. */
  refused(): void
}

interface SlotModel {
  current: SlotState
  /** What operations of unknown outcome would have left there. */
  readonly maybe: Set<SlotState>
  /** Rises with every operation on it. */
  changes: number
}

/** An upload that was begun and neither ended nor given up for sure. */
export interface UploadModel {
  readonly name: SlotName
  readonly record: WriteRecord
  readonly mutation: PutMutation
  /** Bytes that were made durable, at least. */
  durable: number
  /** Bytes that were appended, at most. */
  appended: number
  /** Of its slot, when it began: once that has changed, the upload is overtaken. */
  readonly changes: number
  /** Whether it may be there no more. */
  isDoubtful: boolean
}

/** Several slots that change together or not at all. */
interface Undecided {
  readonly slots: readonly (readonly [slot: SlotModel, state: SlotState, changes: number])[]
  readonly what: string
}

export class CrashModel {
  readonly #slots = new Map<string, SlotModel>()
  readonly #buckets = new Map<string, Set<boolean>>()
  readonly names: readonly SlotName[]
  readonly uploads = new Set<UploadModel>()
  /** Seqs that the remote is known to have, and those that are dead letters. */
  readonly settled = new Set<number>()
  readonly buried = new Set<number>()
  /** Of the other site's feed: what this one has said that it has stored. */
  peerThrough = 0
  /** Of the last change that it made: ms. */
  otherTime = 0
  #undecided: Undecided[] = []

  constructor(names: readonly SlotName[]) {
    this.names = names
    for (const name of names) {
      this.#slots.set(slotOf(name), { current: undefined, maybe: new Set(), changes: 0 })
      this.#buckets.set(name.bucket, new Set([false]))
    }
  }

  get buckets(): readonly string[] {
    return [...this.#buckets.keys()]
  }

  current(name: SlotName): SlotState {
    return this.#slot(name).current
  }

  changes(name: SlotName): number {
    return this.#slot(name).changes
  }

  /** Something may have happened to it. */
  touched(name: SlotName): void {
    this.#slot(name).changes++
  }

  /** Live objects of a bucket. */
  liveIn(bucket: string): readonly WriteRecord[] {
    return this.names.flatMap((name) => {
      const state = name.bucket === bucket ? this.current(name) : undefined
      return state === undefined ? [] : [state]
    })
  }

  /** Undefined when nobody knows. */
  isMade(bucket: string): boolean | undefined {
    const may = this.#bucket(bucket)
    return may.size === 1 ? may.has(true) : undefined
  }

  begin(what: string, { slots, bucket }: Intent): Begun {
    const models = slots.map(([name, state]) => [this.#slot(name), state] as const)
    for (const [slot] of models) slot.changes++
    // Of a slot in doubt, nobody could tell which operation has changed it.
    const counted = models
      .filter(([slot]) => slot.maybe.size === 0)
      .map(([slot, state]) => [slot, state, slot.changes] as const)
    return {
      answered: () => {
        for (const [slot, state] of models) {
          slot.current = state
          slot.maybe.clear()
        }
        if (bucket !== undefined) this.#buckets.set(bucket[0], new Set([bucket[1]]))
      },
      unknown: () => {
        for (const [slot, state] of models) slot.maybe.add(state)
        if (bucket !== undefined) this.#bucket(bucket[0]).add(bucket[1])
        if (counted.length > 1) this.#undecided.push({ slots: counted, what })
      },
      refused: () => undefined,
    }
  }

  /**
   * A running site shows `found` of a slot on which nothing is under way. @throws Violation
   *
   * @param mayComeLate what was answered with an error may show all the same, and then stays
   */
  shows(name: SlotName, found: SlotState, mayComeLate: boolean): void {
    const slot = this.#slot(name)
    if (mayComeLate && slot.maybe.has(found)) slot.current = found
    const { current } = slot
    demand(
      found === current,
      'shows',
      () => `${slotOf(name)} is ${text(found)}, not ${text(current)}`,
    )
  }

  /** A bucket could be removed: what was in it went by deletes that came late. */
  emptied(bucket: string): void {
    for (const name of this.names) {
      if (name.bucket !== bucket) continue
      const slot = this.#slot(name)
      slot.current = undefined
      slot.maybe.clear()
    }
    this.#buckets.set(bucket, new Set([false]))
  }

  /** Whether nothing of unknown outcome is left of the slot. */
  isSure(name: SlotName): boolean {
    return this.#slot(name).maybe.size === 0
  }

  /** A recovery has decided what is there. @throws Violation */
  decide(stateOf: (name: SlotName) => SlotState): void {
    const before = new Map([...this.#slots.values()].map((slot) => [slot, slot.current]))
    for (const name of this.names) this.#decideSlot(name, stateOf(name))
    for (const { slots, what } of this.#undecided) {
      const open = slots.filter(
        ([slot, state, changes]) => slot.changes === changes && before.get(slot) !== state,
      )
      const done = open.filter(([slot, state]) => slot.current === state).length
      const say = (): string => `${what} happened to ${done} of ${open.length} objects`
      demand(done === 0 || done === open.length, 'halves', say)
    }
    this.#undecided = []
  }

  /** @throws Violation */
  decideBucket(bucket: string, exists: boolean): void {
    const may = this.#bucket(bucket)
    const isLive = this.liveIn(bucket).length > 0
    const say = (): string => `bucket ${bucket} ${exists ? 'exists' : 'does not exist'}`
    demand(may.has(exists) || (exists && isLive), 'bucket', say)
    demand(exists || !isLive, 'bucket', say)
    // That of a bucket with objects tells nothing of whether it was made.
    if (may.has(exists) && !(isLive && may.size > 1)) this.#buckets.set(bucket, new Set([exists]))
  }

  /** What lies in the index alone is gone. */
  indexLost(): void {
    this.settled.clear()
    this.buried.clear()
    this.peerThrough = 0
    for (const upload of this.uploads) {
      upload.durable = 0
      upload.appended = 0
      upload.isDoubtful = false
    }
  }

  #decideSlot(name: SlotName, found: SlotState): void {
    const slot = this.#slot(name)
    const may = [slot.current, ...slot.maybe]
    const say = (): string => `${slotOf(name)} is ${text(found)}, not ${may.map(text).join(' or ')}`
    demand(may.includes(found), 'answered', say)
    slot.current = found
    slot.maybe.clear()
  }

  #slot(name: SlotName): SlotModel {
    const slot = this.#slots.get(slotOf(name))
    demand(slot !== undefined, 'identity', () => `nobody wrote ${slotOf(name)}`)
    return slot as SlotModel
  }

  #bucket(name: string): Set<boolean> {
    const bucket = this.#buckets.get(name)
    demand(bucket !== undefined, 'identity', () => `nobody made ${name}`)
    return bucket as Set<boolean>
  }
}

function text(state: SlotState): string {
  return state === undefined ? 'absent' : state.id
}
