/**
 * Frees segments that are sparse: what is still live in one is copied forward, to the end of its
 * stream, and the segment goes. It is ahead of need, slowly, while there is room; at full speed when
 * there is hardly any; and whoever has none at all waits for it.
 *
 * One segment at a time, in bounded steps between which others write. What it copies may use the
 * reserve, because it gives back more than it takes.
 *
 * It must never know what a record means, nor lose one that something refers to: the movers know both.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import type { Clock, Timer } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import { blockBytes } from '../../volume/format/limits.ts'
import type { SegmentInfo, SegmentUse, VolumeUsage } from '../../volume/volume.ts'
import type { OpenWriters } from '../bodies/blob-writer.ts'
import type { Accounts } from '../tables/accounts.ts'
import { type Admission, purgeBytes, type RoomMaker } from '../write/admission.ts'
import { Pace } from './pace.ts'
import type { ReclaimOptions } from './reclaim-options.ts'
import type { MovedStep, Mover } from './record-mover.ts'
import { bestOf, type Candidate, gainOf } from './victims.ts'

/** What cleaning has done since the store was opened. */
export interface ReclaimFigures {
  readonly movedRecords: number
  readonly movedBytes: number
  readonly cleanedSegments: number
}

type Stream = SegmentInfo['stream']

/** What the cleaner needs of the volume. */
export interface CleanableVolume {
  readonly limits: { readonly segmentBytes: number }
  readonly openRoom: Readonly<Record<Stream, number>>
  ordinaryRoom(stream: Stream): number
  isRoomBeyond(bytes: number): boolean
  segments(): readonly SegmentInfo[]
  usage(): VolumeUsage
  isPinned(use: SegmentUse): boolean
  isRoomFor(
    bytes: number,
    options: { readonly essential: boolean; readonly leave?: number; readonly stream?: Stream },
  ): boolean
}

export interface CleanerOptions {
  readonly volume: CleanableVolume
  readonly accounts: Accounts
  readonly movers: Readonly<Record<Stream, Mover>>
  readonly writers: OpenWriters
  readonly admission: Admission
  /** Resolves when segments without a live record are gone. */
  readonly freed: () => Promise<void>
  readonly clock: Clock
  readonly logger: Logger
  readonly reclaim: ReclaimOptions
}

/** `waited`: somebody has no room. `short`: writes are about to have none. `early`: it would do good. */
type Urgency = 'waited' | 'short' | 'early' | 'none'

/** What the log says of a segment that is gone, for those who count. */
export const segmentCleaned = 'A segment was cleaned'

/** Looks to let pass after one that found nothing. */
const restLooks = 32
/** How long a segment that could not be freed is left alone. */
const heldMs = 10_000
/** In small segments an eighth is not more than a group or two of the log. */
const longBytes = 32 * 1024
/** Between two looks whether there is something to do ahead of need. */
const earlyLookMs = 250

export class Cleaner implements RoomMaker {
  readonly #options: CleanerOptions
  readonly #pace: Pace
  #running: Promise<boolean> | undefined
  /** A look that finds nothing is over at once: two who waited for each other's would do so for good. */
  #isMoving = false
  #rest = 0
  #earlyAt = 0
  #earlyLook: Timer | undefined
  /** Writes that wait for room. */
  #waiting = 0
  /** Room for a write that was refused. */
  #wanted = 0
  /** Segments that could not be freed: left alone until something in them dies, or for a while. */
  readonly #held = new Map<number, { readonly live: number; readonly until: number }>()
  /** Segments that this run has no room for, now that their cost is known. */
  readonly #tooDear = new Set<number>()
  readonly #stop = new AbortController()
  #figures: ReclaimFigures = { movedRecords: 0, movedBytes: 0, cleanedSegments: 0 }

  constructor(options: CleanerOptions) {
    this.#options = options
    const { clock, reclaim } = options
    this.#pace = new Pace({ clock, rate: reclaim.rate, signal: this.#stop.signal })
  }

  get figures(): ReclaimFigures {
    return this.#figures
  }

  /** Called after each index batch. */
  look(): void {
    const urgency = this.#urgency()
    if (urgency === 'early') this.#lookEarly()
    else if (urgency !== 'none' && this.#rest-- <= 0) void this.#start()
  }

  lookFor(bytes: number): void {
    if (!this.canReclaim(bytes)) return
    this.#wanted = Math.max(this.#wanted, bytes)
    if (this.#urgency() !== 'none') void this.#start()
  }

  async makeRoom(): Promise<boolean> {
    this.#waiting++
    this.#pace.hurry()
    try {
      if (await this.#isGoing()) return true
      // The one under way may have been begun for less.
      return (await this.#start()) || (await this.#start())
    } finally {
      this.#waiting--
    }
  }

  get underWay(): Promise<unknown> | undefined {
    return this.#isMoving ? this.#running : undefined
  }

  get room(): number {
    const { volume } = this.#options
    return Math.min(volume.ordinaryRoom('log'), volume.ordinaryRoom('bulk'))
  }

  /** Also what lies between live records, what readers keep, and where too little is dead to be moved. */
  get roomAtMost(): number {
    const { volume } = this.#options
    let bytes = this.room
    if (this.#stop.signal.aborted) return bytes
    for (const segment of volume.segments()) {
      const free = segment.state === 'open' ? volume.openRoom[segment.stream] : 0
      bytes += segment.bytes - free - this.#liveIn(segment).bytes
    }
    return bytes
  }

  /** Together with the room there is. Readers may still keep some of it. */
  canReclaim(bytes: number): boolean {
    let missing = bytes - this.room
    for (const segment of this.#going()) missing -= segment.bytes
    if (missing <= 0) return true
    if (this.#stop.signal.aborted) return false
    // The one under way may use what the next one needs, and gives it back.
    let canBegin = this.#running !== undefined
    for (const candidate of this.#worthWhile('waited')) {
      missing -= gainOf(candidate)
      canBegin ||= this.#isPossible(candidate) || this.#isPossibleBeyond(candidate)
      if (missing <= 0 && canBegin) return true
    }
    return false
  }

  /** Segments that are being freed as it is. */
  #going(): readonly SegmentInfo[] {
    const { volume } = this.#options
    return volume.segments().filter((segment) => {
      const isDead = this.#canBeFreed(segment) && this.#liveIn(segment).records === 0
      return isDead && !volume.isPinned(segment)
    })
  }

  /** Waits for one of them to go. */
  async #isGoing(): Promise<boolean> {
    const going = this.#going()
    if (going.length === 0) return false
    await this.#options.freed()
    return going.some((segment) => !this.#isThere(segment))
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    this.#earlyLook?.cancel()
    await this.#running
  }

  #start(): Promise<boolean> {
    if (this.#stop.signal.aborted) return Promise.resolve(false)
    this.#running ??= this.#run().then((hasFreed) => {
      this.#running = undefined
      this.#tooDear.clear()
      if (hasFreed && this.#urgency() !== 'none') void this.#start()
      return hasFreed
    })
    return this.#running
  }

  #urgency(): Urgency {
    const { volume, reclaim } = this.#options
    if (this.#waiting > 0) return 'waited'
    const { capacityBytes, usedBytes } = volume.usage()
    const urgentBytes = (capacityBytes * reclaim.urgentPercent) / 100
    const ahead = Math.max(volume.limits.segmentBytes, urgentBytes, this.#wanted)
    if (!this.#isRoomAhead(ahead)) return reclaim.enabled || this.#wanted > 0 ? 'short' : 'none'
    this.#wanted = 0
    const free = capacityBytes - usedBytes
    return reclaim.enabled && free * 100 < capacityBytes * reclaim.beginPercent ? 'early' : 'none'
  }

  /** Not after each batch: what was found not to be worth while is so for a while. */
  #lookEarly(): void {
    const { clock } = this.#options
    if (this.#stop.signal.aborted) return
    const waitMs = this.#earlyAt - clock.monotonic()
    if (waitMs <= 0) {
      void this.#start()
      return
    }
    this.#earlyLook ??= clock.after(waitMs, () => {
      this.#earlyLook = undefined
      void this.#start()
    })
  }

  #isRoomAhead(bytes: number): boolean {
    const { volume } = this.#options
    return (['log', 'bulk'] as const).every((stream) =>
      volume.isRoomFor(bytes, { essential: false, stream }),
    )
  }

  /** One after the other until one is gone: what a reader keeps, or something else in it, stays. */
  async #run(): Promise<boolean> {
    while (!this.#stop.signal.aborted) {
      const urgency = this.#urgency()
      const victim = this.#choose(urgency)
      if (victim === undefined) break
      this.#isMoving = true
      try {
        const isMoved = await this.#clean(victim, urgency)
        if (await this.#isFreed(victim.segment)) return true
        if (!isMoved) break
      } finally {
        this.#isMoving = false
      }
    }
    this.#rest = restLooks
    this.#earlyAt = this.#options.clock.monotonic() + earlyLookMs
    this.#wanted = 0
    return false
  }

  /** @returns false when it failed, as the next one would */
  async #clean({ segment, cost }: Candidate, urgency: Urgency): Promise<boolean> {
    const promise = this.#options.admission.promiseMove(cost)
    try {
      await this.#move(segment, urgency, (bytes) => promise.spend(bytes))
      return true
    } catch (thrown) {
      rethrowAssertion(thrown)
      const facts = { segment: segment.segment, error: messageOf(thrown) }
      this.#options.logger.warn(facts, 'The live records of a segment could not be moved')
      return false
    } finally {
      promise.release()
    }
  }

  async #isFreed(segment: SegmentInfo): Promise<boolean> {
    await this.#options.freed()
    if (this.#tooDear.has(segment.generation)) return false
    if (this.#isThere(segment)) {
      const until = this.#options.clock.monotonic() + heldMs
      this.#held.set(segment.generation, { live: this.#liveIn(segment).records, until })
      return false
    }
    const { logger } = this.#options
    logger.debug({ segment: segment.segment, stream: segment.stream }, segmentCleaned)
    const { cleanedSegments } = this.#figures
    this.#figures = { ...this.#figures, cleanedSegments: cleanedSegments + 1 }
    return true
  }

  async #move(
    segment: SegmentInfo,
    urgency: Urgency,
    onMoved: (bytes: number) => void,
  ): Promise<void> {
    this.#pace.begin()
    await this.#options.movers[segment.stream].move(segment, {
      signal: this.#stop.signal,
      accepts: (cost) => {
        const candidate = this.#candidate(segment, cost)
        if (!this.#isWorth(candidate, urgency)) return false
        const hasRoom = this.#hasRoom(candidate) || this.#isPossibleBeyond(candidate)
        if (!hasRoom) this.#tooDear.add(segment.generation)
        return hasRoom
      },
      moved: async (step) => {
        this.#count(step)
        onMoved(step.bytes)
        await this.#pace.step(step.bytes, { isUrgent: this.#isUrgent() })
      },
    })
  }

  #count({ records, bytes }: MovedStep): void {
    const { movedRecords, movedBytes } = this.#figures
    const moved = { movedRecords: movedRecords + records, movedBytes: movedBytes + bytes }
    this.#figures = { ...this.#figures, ...moved }
  }

  #isUrgent(): boolean {
    const urgency = this.#urgency()
    return urgency === 'waited' || urgency === 'short'
  }

  /** Nothing when no segment is worth it or there is no room for what it has. */
  #choose(urgency: Urgency): Candidate | undefined {
    const segments = this.#options.volume.segments()
    const there = new Set(segments.map(({ generation }) => generation))
    for (const generation of this.#held.keys()) {
      if (!there.has(generation)) this.#held.delete(generation)
    }
    const worth = [...this.#worthWhile(urgency)]
    const newest = segments.at(-1)?.generation ?? 0
    const possible = worth.filter((candidate) => this.#isPossible(candidate))
    if (possible.length > 0) return bestOf(possible, newest)
    return bestOf(
      worth.filter((candidate) => this.#isPossibleBeyond(candidate)),
      newest,
    )
  }

  *#worthWhile(urgency: Urgency): Generator<Candidate> {
    const { volume, movers } = this.#options
    if (urgency === 'none') return
    for (const segment of volume.segments()) {
      if (!this.#canBeFreed(segment)) continue
      const live = this.#liveIn(segment)
      if (live.records === 0 || this.#isHeld(segment, live.records)) continue
      const candidate = this.#candidate(segment, movers[segment.stream].costOf(live))
      if (this.#isWorth(candidate, urgency)) yield candidate
    }
  }

  /** Of what is written, header and footer of a segment take their share: else nothing would be gained. */
  #candidate(segment: SegmentInfo, bytes: number): Candidate {
    const { segmentBytes } = this.#options.volume.limits
    const cost = Math.ceil((bytes * segmentBytes) / (segmentBytes - 2 * blockBytes))
    return { segment, cost }
  }

  #isHeld({ generation }: SegmentUse, live: number): boolean {
    if (this.#tooDear.has(generation)) return true
    const held = this.#held.get(generation)
    return held?.live === live && this.#options.clock.monotonic() < held.until
  }

  #canBeFreed({ generation, stream, state, hasFooter }: SegmentInfo): boolean {
    const { accounts, writers } = this.#options
    if (state !== 'sealed' || !hasFooter) return false
    if (stream === 'bulk') return !writers.mayUse(generation)
    const { checkpoint } = accounts.state
    return checkpoint !== undefined && generation < checkpoint.generation
  }

  /** The more urgent it is, the less a segment has to give. */
  #isWorth(candidate: Candidate, urgency: Urgency): boolean {
    const { volume, reclaim } = this.#options
    const { segmentBytes } = volume.limits
    const gain = gainOf(candidate)
    if (urgency === 'waited') return gain >= segmentBytes / 32
    if (urgency === 'short') return gain >= segmentBytes / 8
    const { segment, cost } = candidate
    return gain >= segmentBytes / 8 && cost * 100 <= segment.bytes * reclaim.livePercentMax
  }

  /** What a reader keeps gives nothing back yet: then the reserve is not touched. */
  #isPossible(candidate: Candidate): boolean {
    const { volume } = this.#options
    const { segment, cost } = candidate
    const { stream } = segment
    if (volume.isPinned(segment)) return volume.isRoomFor(cost, { essential: false, stream })
    return this.#hasRoom(candidate)
  }

  /**
   * The last way out of a volume that is full of segments which were trimmed, and of which much is dead: the
   * log's last segment while it has a few groups left, or one beyond the capacity.
   */
  #isPossibleBeyond({ segment, cost }: Candidate): boolean {
    const { volume } = this.#options
    if (segment.stream === 'log' || volume.isPinned(segment)) return false
    const isLogOpen = volume.openRoom.log >= longBytes
    if (isLogOpen && volume.isRoomFor(cost, { essential: true, stream: 'bulk' })) return true
    return volume.isRoomBeyond(cost)
  }

  /**
   * Of the reserve, the last segment is left to the log, unless what is open of it lasts for a while:
   * copies of chunks take a whole segment and give a trimmed one back, so the log may get no next one.
   */
  #hasRoom({ segment, cost }: Candidate): boolean {
    const { volume } = this.#options
    const { stream } = segment
    if (stream === 'log') return volume.isRoomFor(cost + purgeBytes, { essential: true, stream })
    const isLogLong = volume.openRoom.log >= Math.max(volume.limits.segmentBytes / 8, longBytes)
    // What fits into the open segment takes nothing from the log.
    const isOpen = cost + 2 * blockBytes <= volume.openRoom.bulk
    return volume.isRoomFor(cost, { essential: true, leave: isLogLong || isOpen ? 0 : 1, stream })
  }

  #liveIn({ segment, generation }: SegmentUse): ReturnType<Accounts['liveIn']> {
    return this.#options.accounts.liveIn(segment, generation)
  }

  #isThere({ generation }: SegmentUse): boolean {
    return this.#options.volume.segments().some((info) => info.generation === generation)
  }
}
