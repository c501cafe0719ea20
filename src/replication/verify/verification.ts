/**
 * Compares this site with one remote, while both are being written: registers and floors of the
 * buckets, digests of ranges of their slots, and what seems to differ slot by slot. The statement
 * that comes of it has a place and a time: equal up to a seq of this site's feed, checked then.
 *
 * It promises that "equal" is never said of what was not compared: when the remote cannot be asked, or
 * what is on its way does not arrive, the verdict is "unknown".
 */
import { rethrowAssertion } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { ChangeSink, RemoteLedger } from '../../store/model/object-store.ts'
import { objectSlot, type Slot } from '../../store/model/slot.ts'
import type { BucketState } from '../../store/model/survey.ts'
import { higher, type Version } from '../../store/model/version.ts'
import type { VolumeIdentity } from '../../volume/volume.ts'
import { NothingToCompareError } from '../wire/errors.ts'
import type { SiteReader } from '../wire/site-reader.ts'
import type { BlobTransport, RemoteTransport } from '../wire/transport.ts'
import { verifyLimits } from '../wire/verify-documents.ts'
import { ByteCheck } from './byte-check.ts'
import {
  type Difference,
  type DifferenceKind,
  isShipped,
  Judge,
  shippedFloor,
  uniqueSlots,
} from './judge.ts'
import { RangeWalk } from './range-walk.ts'
import { RemoteSurvey } from './remote-survey.ts'
import { Repair } from './repair.ts'
import type { ComparedSite } from './responder.ts'

export interface VerifyOrder {
  /** Only this bucket; undefined for all. */
  readonly bucket: string | undefined
  /** Read the bytes too. */
  readonly deep: boolean
  readonly repair: boolean
}

export interface VerifyProgress {
  phase: 'comparing' | 'settling' | 'reading' | 'repairing'
  /** Objects compared. */
  compared: number
  objectsRead: number
  bytesRead: number
  bytesExchanged: number
  differences: number
}

export interface VerifyReport extends Readonly<Omit<VerifyProgress, 'phase'>> {
  readonly verdict: 'equal' | 'different' | 'unknown'
  /** Why nothing better can be said; undefined with `equal` and `different`. */
  readonly reason: string | undefined
  /** What the site had up to this seq when it began is in the statement. */
  readonly upTo: number
  /** Wall ms. */
  readonly startedAt: number
  readonly finishedAt: number
  readonly kinds: Readonly<Partial<Record<DifferenceKind, number>>>
  /** The first of them. */
  readonly listed: readonly Difference[]
  /** On their way all the time. */
  readonly waiting: number
  readonly repaired: number
  readonly repairProblem: string | undefined
}

export interface VerificationOptions {
  readonly site: ComparedSite
  readonly sink: ChangeSink
  readonly identity: VolumeIdentity
  readonly transport: RemoteTransport
  readonly blobs: BlobTransport
  readonly ledger: RemoteLedger
  /** For replacing damaged bytes; undefined where single objects cannot be read from the remote. */
  readonly reader?: SiteReader | undefined
  /** Where the remote is reached. */
  readonly url: string
  readonly clock: Clock
  readonly patienceMs?: number
}

/** Slots that are judged together: what is held of those that seem to differ. */
const judgedAtOnce = 4096
const listedMax = 1000
const patienceMs = 30_000

export class Verification {
  readonly progress: VerifyProgress = {
    phase: 'comparing',
    compared: 0,
    objectsRead: 0,
    bytesRead: 0,
    bytesExchanged: 0,
    differences: 0,
  }
  readonly #options: VerificationOptions
  readonly #order: VerifyOrder
  readonly #signal: AbortSignal
  readonly #there: RemoteSurvey
  readonly #judge: Judge
  readonly #repair: Repair
  readonly #kinds = new Map<DifferenceKind, number>()
  readonly #listed: Difference[] = []
  #suspects: Slot[] = []
  #waiting = 0
  #repaired = 0

  constructor(options: VerificationOptions, order: VerifyOrder, signal: AbortSignal) {
    const { site, sink, identity, transport, blobs, ledger, url, clock } = options
    this.#options = options
    this.#order = order
    this.#signal = signal
    const there = new RemoteSurvey({ transport, volumeId: identity.volumeId, signal })
    this.#there = there
    this.#judge = new Judge({
      here: site.survey,
      there,
      ledger,
      clock,
      signal,
      patienceMs: options.patienceMs ?? patienceMs,
    })
    const { volumeId } = identity
    const { reader } = options
    this.#repair = new Repair({ there, ledger, sink, blobs, site, volumeId, reader, url, signal })
  }

  /** Never rejects for the remote's sake, nor when it is stopped: then the verdict is `unknown`. */
  async run(): Promise<VerifyReport> {
    const { site, clock } = this.#options
    const startedAt = clock.now()
    const upTo = site.feed.head()
    let failure: string | undefined
    try {
      await this.#compare()
    } catch (error) {
      rethrowAssertion(error)
      // Whatever a request that was broken off says of itself: the remote is not to blame.
      failure = messageOf(this.#signal.aborted ? this.#signal.reason : error)
    }
    this.#count()
    const { phase: _, ...figures } = this.progress
    const reason = failure ?? this.#reasonToWait()
    return {
      ...figures,
      // One difference is enough to know; that there is none, only the end can tell.
      verdict: figures.differences > 0 ? 'different' : reason === undefined ? 'equal' : 'unknown',
      reason,
      upTo,
      startedAt,
      finishedAt: clock.now(),
      kinds: Object.fromEntries(this.#kinds),
      listed: this.#listed,
      waiting: this.#waiting,
      repaired: this.#repaired,
      repairProblem: this.#repair.problem,
    }
  }

  async #compare(): Promise<void> {
    const buckets = await this.#buckets()
    const { bucket: only } = this.#order
    if (only !== undefined && buckets.length === 0) throw nothingOf(only)
    for (const { bucket, floor } of buckets) {
      await this.#walk({ table: 'objects', bucket, after: '', until: '', floor })
    }
    await this.#settle()
    if (!this.#order.deep) return
    for (const { bucket } of buckets) await this.#readBytes(bucket)
  }

  /** The buckets of both sites; those whose registers or floors differ are suspects themselves. */
  async #buckets(): Promise<
    readonly { readonly bucket: string; readonly floor: Version | undefined }[]
  > {
    const { bucket: only } = this.#order
    const { site, ledger } = this.#options
    const isWanted = ({ bucket }: BucketState): boolean =>
      (only === undefined || bucket === only) && isShipped(ledger, { kind: 'bucket', bucket })
    const ours = (await this.#ourBuckets()).filter(isWanted)
    const theirs = new Map(
      (await this.#there.buckets()).filter(isWanted).map((state) => [state.bucket, state]),
    )
    const all = new Map<string, Version | undefined>()
    for (const state of ours) {
      const other = theirs.get(state.bucket)
      theirs.delete(state.bucket)
      const floor = shippedFloor(site.survey, ledger, state.bucket)
      all.set(state.bucket, higher(floor, other?.floor))
      this.#compareRegisters(state, other)
    }
    for (const state of theirs.values()) {
      all.set(state.bucket, state.floor)
      this.#compareRegisters(state, undefined)
    }
    return [...all].map(([bucket, floor]) => ({ bucket, floor }))
  }

  async #ourBuckets(): Promise<readonly BucketState[]> {
    const all: BucketState[] = []
    for (;;) {
      const after = all.at(-1)?.bucket ?? ''
      const page = await this.#options.site.survey.buckets(after, verifyLimits.buckets)
      all.push(...page)
      if (page.length < verifyLimits.buckets) return all
    }
  }

  #compareRegisters(one: BucketState, other: BucketState | undefined): void {
    const { bucket } = one
    if (one.created !== other?.created || one.deleted !== other?.deleted) {
      this.#suspects.push({ kind: 'bucket', bucket })
    }
    if (one.floor !== other?.floor) this.#suspects.push({ kind: 'floor', bucket })
  }

  async #walk(range: Parameters<RangeWalk['candidates']>[0]): Promise<void> {
    const walk = new RangeWalk({
      here: this.#options.site.survey,
      there: this.#there,
      onCompared: (entries) => {
        this.progress.compared += entries
        this.#count()
      },
    })
    for await (const keys of walk.candidates(range)) {
      this.#suspects.push(...keys.map((key) => objectSlot(range.bucket, key)))
      if (this.#suspects.length >= judgedAtOnce) await this.#settle()
    }
  }

  /** Judges what seemed to differ, and repairs what does if that was asked for. */
  async #settle(): Promise<void> {
    const suspects = uniqueSlots(this.#suspects)
    this.#suspects = []
    if (suspects.length === 0) return
    const { phase } = this.progress
    this.progress.phase = 'settling'
    let { differences, waiting } = await this.#judge.judge(suspects)
    if (this.#order.repair && differences.length > 0) {
      this.progress.phase = 'repairing'
      const begun = await this.#repair.repair(differences)
      const isBegun = new Set(begun)
      const after = await this.#judge.judge(begun)
      this.#repair.noteLeft(after.differences)
      const lasting = differences.filter(({ slot }) => !isBegun.has(slot))
      const left = [...lasting, ...after.differences]
      this.#repaired += differences.length - left.length - after.waiting
      waiting += after.waiting
      differences = left
    }
    this.#waiting += waiting
    this.#add(differences)
    this.progress.phase = phase
  }

  async #readBytes(bucket: string): Promise<void> {
    this.progress.phase = 'reading'
    const check = new ByteCheck({
      site: this.#options.site,
      there: this.#there,
      onRead: (objects, bytes) => {
        this.progress.objectsRead += objects
        this.progress.bytesRead += bytes
        this.#count()
      },
    })
    for await (const differences of check.differences(bucket)) {
      this.#add(this.#order.repair ? await this.#mend(check, differences) : differences)
    }
  }

  /** Resolves to what is left of them. */
  async #mend(
    check: ByteCheck,
    differences: readonly Difference[],
  ): Promise<readonly Difference[]> {
    if (differences.length === 0) return differences
    this.progress.phase = 'repairing'
    const mended = await this.#repair.mend(differences)
    const isMended = new Set(mended)
    const lasting = differences.filter(({ slot }) => !isMended.has(slot))
    const left = mended.length === 0 ? lasting : [...lasting, ...(await check.again(mended))]
    this.#repaired += differences.length - left.length
    this.progress.phase = 'reading'
    return left
  }

  #add(differences: readonly Difference[]): void {
    for (const difference of differences) {
      this.#kinds.set(difference.kind, (this.#kinds.get(difference.kind) ?? 0) + 1)
      if (this.#listed.length < listedMax) this.#listed.push(difference)
    }
    this.progress.differences += differences.length
  }

  #count(): void {
    this.progress.bytesExchanged = this.#there.bytesExchanged
  }

  #reasonToWait(): string | undefined {
    if (this.#waiting === 0) return undefined
    const seconds = (this.#options.patienceMs ?? patienceMs) / 1000
    const what = this.#waiting === 1 ? '1 change was' : `${this.#waiting} changes were`
    return `${what} still on the way after ${seconds} s`
  }
}

/** A name that was mistyped must not pass for equal. */
function nothingOf(bucket: string): NothingToCompareError {
  return new NothingToCompareError(
    `neither site knows of a bucket ${bucket} that is shipped to this remote, so nothing was compared`,
  )
}
