/**
 * Those who use one life of a site: what they do runs here, is noted in the model by how it ends, and
 * never ends once the process has.
 */
import { ComioError } from '../../base/errors.ts'
import type { SortedMap } from '../../index/sorted-map.ts'
import type { Chance } from '../chance.ts'
import type { EventQueue } from '../event-queue.ts'
import type { History, WriteRecord } from '../history.ts'
import { SimSystemError } from '../sim-device.ts'
import { type SlotName, slotOf } from '../site-contents.ts'
import type { Trace } from '../trace.ts'
import { Violation } from '../violation.ts'
import type { Begun, CrashModel, Intent } from './crash-model.ts'
import type { CrashOptions } from './crash-options.ts'
import type { Life } from './crash-site.ts'

export interface ClientParts {
  readonly options: CrashOptions
  readonly queue: EventQueue
  readonly chance: Chance
  readonly trace: Trace
  readonly history: History
  readonly model: CrashModel
  /** What the index of the running process has, durably. */
  readonly indexed: () => SortedMap
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

export type Outcome<T> =
  | { readonly kind: 'answered'; readonly value: T }
  | { readonly kind: 'refused'; readonly code: string }
  | { readonly kind: 'failed'; readonly error: ComioError | SimSystemError }

export class CrashClient {
  readonly life: Life
  readonly parts: ClientParts
  /** Slots on which something is under way; and how many of each bucket. */
  readonly #busy = new Set<string>()
  readonly #busyIn = new Map<string, number>()
  readonly #closedBuckets = new Set<string>()
  /** Operations under way that would be cut off. */
  readonly #begun = new Set<Begun>()
  #isOver = false

  constructor(life: Life, parts: ClientParts) {
    this.life = life
    this.parts = parts
  }

  /**
   * What was answered with an error may show without a restart: it was logged, and the index could not be
   * written.
   */
  get mayComeLate(): boolean {
    return this.parts.options.indexFaults > 0
  }

  /** The process has ended: what was under way may have happened. */
  cutOff(): void {
    this.#isOver = true
    for (const begun of this.#begun) begun.unknown()
    this.#begun.clear()
  }

  /** Runs something, and notes what it does by how it ends. */
  async change<T>(what: string, intent: Intent, work: () => Promise<T>): Promise<Outcome<T>> {
    const begun = this.parts.model.begin(what, intent)
    this.#begun.add(begun)
    const outcome = await this.run(what, work)
    this.#begun.delete(begun)
    const { answerIfSo } = intent
    const isSo =
      answerIfSo !== undefined && outcome.kind === 'answered' && outcome.value === answerIfSo
    if (outcome.kind === 'failed') begun.unknown()
    else if (outcome.kind === 'refused' || isSo) begun.refused()
    else begun.answered()
    return outcome
  }

  async run<T>(what: string, work: () => Promise<T>): Promise<Outcome<T>> {
    const { trace } = this.parts
    trace.add('ask', what)
    const outcome = await this.#outcomeOf(work)
    if (this.#isOver) await neverEnds()
    const detail = outcome.kind === 'refused' ? outcome.code : ''
    const why = outcome.kind === 'failed' ? outcome.error.message : detail
    trace.add(outcome.kind, `${what} ${why}`)
    if (outcome.kind === 'refused') trace.count(outcome.code)
    if (outcome.kind === 'failed') trace.count(outcome.error.code)
    return outcome
  }

  /** Waits a little, as clients and networks do. */
  async pause(): Promise<void> {
    const { queue, chance, options } = this.parts
    await queue.pause(chance.around(options.thinkMs))
    if (this.#isOver) await neverEnds()
  }

  size(): number {
    const { chance, options } = this.parts
    if (chance.hits(options.largeShare)) return chance.between(4097, options.largeBytesMax)
    return chance.hits(0.8) ? chance.below(400) : chance.between(0, 4096)
  }

  /** Does `work` alone on a slot; false when something else is under way there. */
  async alone(name: SlotName, work: () => Promise<void>): Promise<boolean> {
    const slot = slotOf(name)
    const { bucket } = name
    if (this.#busy.has(slot) || this.#closedBuckets.has(bucket)) return false
    this.#busy.add(slot)
    this.#busyIn.set(bucket, (this.#busyIn.get(bucket) ?? 0) + 1)
    await work()
    this.#busy.delete(slot)
    this.#busyIn.set(bucket, (this.#busyIn.get(bucket) ?? 0) - 1)
    return true
  }

  /** Does `work` while nothing else is under way in a bucket; nothing when something is. */
  async aloneInBucket(bucket: string, work: () => Promise<void>): Promise<void> {
    if (this.#closedBuckets.has(bucket) || (this.#busyIn.get(bucket) ?? 0) > 0) return
    this.#closedBuckets.add(bucket)
    await work()
    this.#closedBuckets.delete(bucket)
  }

  /** What the history has to know of a put's end. */
  note(record: WriteRecord, { kind }: Outcome<unknown>): void {
    record.state = kind === 'failed' ? 'unknown' : kind
  }

  async #outcomeOf<T>(work: () => Promise<T>): Promise<Outcome<T>> {
    try {
      return { kind: 'answered', value: await work() }
    } catch (error) {
      if (this.#isOver) return neverEnds()
      if (error instanceof Violation) throw error
      if (error instanceof ComioError) {
        const { code } = error
        return this.#isRefusal(code) ? { kind: 'refused', code } : { kind: 'failed', error }
      }
      if (error instanceof SimSystemError) return { kind: 'failed', error }
      throw new Violation('expected-errors', String(error), error)
    }
  }

  /**
   * A group whose sync finds the disk full may be on it, and fails as one without room: the next opening
   * decides. What another site sent is answered in the same words when the index has no room, which
   * decides later.
   */
  #isRefusal(code: string): boolean {
    const { diskFaults, indexFaults } = this.parts.options
    const isSure = (diskFaults.fullShare ?? 0) === 0 && indexFaults === 0
    return refusals.has(code) && (code !== 'STORAGE_FULL' || isSure)
  }
}

/** Of a process that has ended, nobody hears any more. */
function neverEnds(): Promise<never> {
  return new Promise(() => undefined)
}
