/**
 * Says of slots that seemed to differ whether they do. What is on its way, by this site's ledger or by
 * the remote's, and what changes while it is looked at, is no difference yet: it is looked at again
 * until it has arrived or the patience is over.
 */
import { type Clock, delay } from '../../base/clock.ts'
import type { RemoteLedger } from '../../store/model/object-store.ts'
import { type Slot, slotText } from '../../store/model/slot.ts'
import type { SlotState, Survey } from '../../store/model/survey.ts'
import { higher, type Version } from '../../store/model/version.ts'
import { type LookedSlot, verifyLimits } from '../wire/verify-documents.ts'
import type { RemoteSurvey } from './remote-survey.ts'

export type DifferenceKind =
  | 'missing-here'
  | 'missing-there'
  | 'newer-here'
  | 'newer-there'
  /** The same version, with another content. */
  | 'differs'
  /** Its bytes do not have the hash that both sites agree on. */
  | 'corrupt-here'
  | 'corrupt-there'

export interface Difference {
  readonly kind: DifferenceKind
  readonly what: 'object' | 'deletion' | 'bucket' | 'purge'
  readonly slot: Slot
  readonly here: Version | undefined
  readonly there: Version | undefined
  /** Its place in this site's feed, 0 when it is absent here. */
  readonly seq: number
}

export interface Verdict {
  readonly differences: readonly Difference[]
  /** Still on their way when the patience was over. */
  readonly waiting: number
}

export interface JudgeOptions {
  readonly here: Survey
  readonly there: RemoteSurvey
  readonly ledger: RemoteLedger
  readonly clock: Clock
  readonly signal: AbortSignal
  /** How long what is on its way may take to arrive. */
  readonly patienceMs: number
}

/** What is neither equal nor on its way is a difference when it is found so this often. */
const looksAlike = 3
const pauseMsMin = 100
const pauseMsMax = 1000

interface Suspect {
  readonly slot: Slot
  /** What was found at the last look, to see whether it is still so. */
  found: string
  times: number
}

export class Judge {
  readonly #options: JudgeOptions

  constructor(options: JudgeOptions) {
    this.#options = options
  }

  async judge(slots: readonly Slot[]): Promise<Verdict> {
    const { ledger, clock, signal, patienceMs } = this.#options
    const differences: Difference[] = []
    let suspects: Suspect[] = slots
      .filter((slot) => isShipped(ledger, slot))
      .map((slot) => ({ slot, found: '', times: 0 }))
    const deadline = clock.monotonic() + patienceMs
    for (let pauseMs = 0; suspects.length > 0; pauseMs = longer(pauseMs)) {
      if (pauseMs > 0) await delay(clock, pauseMs, signal)
      signal.throwIfAborted()
      const left: Suspect[] = []
      for (let at = 0; at < suspects.length; at += verifyLimits.slots) {
        const some = suspects.slice(at, at + verifyLimits.slots)
        left.push(...(await this.#look(some, differences)))
      }
      suspects = left
      if (clock.monotonic() >= deadline) break
    }
    return { differences, waiting: suspects.length }
  }

  /** Adds what certainly differs to `differences`; resolves to what is to be looked at again. */
  async #look(suspects: readonly Suspect[], differences: Difference[]): Promise<Suspect[]> {
    const { here, there, ledger } = this.#options
    const stateOf = ({ slot }: Suspect): SlotState => here.stateOf(slot)
    const before = suspects.map(stateOf)
    // Before, since what is settled meanwhile may have been there already or not.
    const isPending = before.map(({ seq }) => seq > 0 && ledger.isPending({ seq }))
    const answers = await there.look(suspects.map(({ slot }) => slot))
    const left: Suspect[] = []
    for (const [at, suspect] of suspects.entries()) {
      const answer = answers[at] as LookedSlot
      const ours = stateOf(suspect)
      const difference = differenceOf(suspect.slot, {
        ours,
        answer,
        floor: shippedFloor(here, ledger, suspect.slot.bucket),
      })
      if (difference === undefined) continue
      const isMoving = ours.digest !== before[at]?.digest || isPending[at] || answer.pending
      const found = isMoving ? '' : `${difference.kind} ${ours.digest} ${answer.digest}`
      suspect.times = found !== '' && found === suspect.found ? suspect.times + 1 : 1
      suspect.found = found
      if (found !== '' && suspect.times >= looksAlike) differences.push(difference)
      else left.push(suspect)
    }
    return left
  }
}

function longer(pauseMs: number): number {
  return Math.min(pauseMsMax, Math.max(pauseMsMin, pauseMs * 2))
}

function differenceOf(
  slot: Slot,
  found: {
    readonly ours: SlotState
    readonly answer: LookedSlot
    readonly floor: Version | undefined
  },
): Difference | undefined {
  const floor = higher(found.floor, found.answer.floor)
  const ours = slot.kind === 'object' ? above(floor, found.ours) : found.ours
  const theirs = slot.kind === 'object' ? above(floor, found.answer) : found.answer
  if (ours.kind === theirs.kind && ours.digest === theirs.digest) return undefined
  // A deletion of what the other never had, or no longer knows of: neither holds anything.
  if (ours.kind !== 'live' && theirs.kind !== 'live') return undefined
  if (slot.kind === 'floor' && ours.version !== found.floor && theirs.kind === 'absent')
    return undefined
  return {
    kind: kindOf(ours.version, theirs.version),
    what: whatOf(slot, ours, theirs),
    slot,
    here: ours.version,
    there: theirs.version,
    seq: ours.seq,
  }
}

/** Whether the remote is to have what is written in this slot: what it holds beyond that is its own. */
export function isShipped(ledger: RemoteLedger, slot: Slot): boolean {
  return ledger.wants({ seq: Number.MAX_SAFE_INTEGER, slot })
}

/** The floor of the bucket here, unless the remote is not to hear of it. */
export function shippedFloor(
  here: Survey,
  ledger: RemoteLedger,
  bucket: string,
): Version | undefined {
  const slot: Slot = { kind: 'floor', bucket }
  const { seq, version } = here.stateOf(slot)
  if (version === undefined || !ledger.wants({ seq, slot })) return undefined
  return version
}

const nothing: SlotState = { kind: 'absent', seq: 0, version: undefined, digest: '', bytes: 0 }

/** What lies under a floor of either site is absent, and what absence there is needs no trace. */
function above(floor: Version | undefined, state: SlotState): SlotState {
  const isUnder = floor !== undefined && state.version !== undefined && state.version <= floor
  return isUnder ? nothing : state
}

function kindOf(here: Version | undefined, there: Version | undefined): DifferenceKind {
  if (here === undefined) return 'missing-here'
  if (there === undefined) return 'missing-there'
  if (here === there) return 'differs'
  return here > there ? 'newer-here' : 'newer-there'
}

function whatOf(slot: Slot, ours: SlotState, theirs: SlotState): Difference['what'] {
  if (slot.kind === 'bucket') return 'bucket'
  if (slot.kind === 'floor') return 'purge'
  const newer = (ours.version ?? '') > (theirs.version ?? '') ? ours : theirs
  return newer.kind === 'deleted' ? 'deletion' : 'object'
}

/** For maps: one entry a slot, however often it was named. */
export function uniqueSlots(slots: readonly Slot[]): readonly Slot[] {
  return [...new Map(slots.map((slot) => [slotText(slot), slot])).values()]
}
