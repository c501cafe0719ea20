/**
 * A volume as it lies there. It is not opened but looked at: nothing is changed, nothing is refused, and
 * whatever contradicts itself is noted beside what can still be read. It works with a superblock that
 * is damaged or gone, with segments that have lost their header, and on a disk that fails to read.
 *
 * It must never write, nor rest on anything that only an opened volume knows.
 */
import { type ComioError, messageOf } from '../../base/errors.ts'
import type { Device } from '../../device/device.ts'
import { CorruptSuperblockError, MissingSuperblockError } from '../format/errors.ts'
import { blockBytes } from '../format/limits.ts'
import type { SegmentUse } from '../format/record.ts'
import { decodeSuperblock, type Superblock } from '../format/superblock.ts'
import { checkCensus } from '../segments/census-check.ts'
import { HandleCache } from '../segments/handle-cache.ts'
import { buildChain } from '../segments/segment-chain.ts'
import { isSameUse, type SegmentEntry, SegmentTable } from '../segments/segment-table.ts'
import { SegmentWalk } from '../segments/segment-walk.ts'
import { TolerantSegment } from '../segments/tolerant-segment.ts'
import {
  headlessSegment,
  lookAtSlots,
  type SlotLooks,
  type Testimony,
  votedVolumeId,
} from './inspected-slots.ts'
import { type SegmentStep, stepsOf } from './segment-steps.ts'

export type { GroupRecord } from '../format/group-codec.ts'
export type { Superblock } from '../format/superblock.ts'
export type { SegmentEntry } from '../segments/segment-table.ts'
export type { SegmentStep } from './segment-steps.ts'

export interface VolumeProblem extends Partial<SegmentUse> {
  readonly kind: 'superblock' | 'missing-segment' | 'segment-header' | 'segment-chain'
  readonly message: string
}

interface Findings {
  readonly superblock: Superblock | undefined
  /** From the superblock, or else from the headers of the segments. */
  readonly volumeId: string
  /** In the order in which they were opened. */
  readonly segments: readonly SegmentEntry[]
  /** Slots that hold zeros, or a first write that a crash cut off. */
  readonly unusedSlots: readonly number[]
  /** Slots of which nothing can be read. */
  readonly damagedSlots: readonly number[]
  readonly problems: readonly VolumeProblem[]
}

export class VolumeInspection implements Findings {
  readonly superblock: Superblock | undefined
  readonly volumeId: string
  readonly segments: readonly SegmentEntry[]
  readonly unusedSlots: readonly number[]
  readonly damagedSlots: readonly number[]
  readonly problems: readonly VolumeProblem[]
  readonly #handles: HandleCache

  private constructor(findings: Findings, handles: HandleCache) {
    this.superblock = findings.superblock
    this.volumeId = findings.volumeId
    this.segments = findings.segments
    this.unusedSlots = findings.unusedSlots
    this.damagedSlots = findings.damagedSlots
    this.problems = findings.problems
    this.#handles = handles
  }

  /** @throws MissingSuperblockError when no segment tells whose it is either, FormatTooNewError */
  static async open(device: Device): Promise<VolumeInspection> {
    const handles = new HandleCache(device)
    try {
      return new VolumeInspection(await lookAtVolume(device, handles), handles)
    } catch (thrown) {
      await handles.close()
      throw thrown
    }
  }

  /** The groups of a segment in order, and what stands between them. */
  async *steps(entry: SegmentEntry): AsyncGenerator<SegmentStep> {
    const handle = await this.#handles.acquire(entry.segment)
    try {
      yield* stepsOf(handle, entry, this.superblock)
    } finally {
      this.#handles.release(entry.segment)
    }
  }

  /** Where the groups of a segment end, as their headers alone tell. */
  async writtenEnd(entry: SegmentEntry): Promise<number> {
    if (entry.end !== undefined) return entry.end.validEnd
    const handle = await this.#handles.acquire(entry.segment)
    try {
      const walk = new SegmentWalk({ handle: new TolerantSegment(handle), seed: entry.seed })
      for (let step = await walk.next(true); ; step = await walk.next(true)) {
        if (step.type === 'end') break
        if (step.type === 'bad' && (await walk.skipTo(step.resumeAt)) === undefined) break
      }
      return walk.offset
    } finally {
      this.#handles.release(entry.segment)
    }
  }

  /** Bytes of a segment as they are, fewer at its end; zeros for what the disk does not read. */
  async bytesOf(entry: SegmentEntry, offset: number, length: number): Promise<Buffer> {
    const handle = await this.#handles.acquire(entry.segment)
    try {
      const bytes = Buffer.alloc(length)
      return bytes.subarray(0, await new TolerantSegment(handle).read(bytes, offset))
    } finally {
      this.#handles.release(entry.segment)
    }
  }

  async close(): Promise<void> {
    await this.#handles.close()
  }
}

async function lookAtVolume(device: Device, handles: HandleCache): Promise<Findings> {
  const problems: VolumeProblem[] = []
  const superblock = await readSuperblock(device, problems)
  const slots = await device.list()
  const volumeId = superblock?.identity.volumeId ?? (await votedVolumeId(handles, slots))
  if (volumeId === undefined) throw new MissingSuperblockError(device.name, slots.length)
  const looks = await lookAtSlots(handles, slots, volumeId)
  const headless = await headlessSegments(handles, volumeId, { superblock, looks })
  for (const { segment, mismatch } of looks.damaged) {
    const generation = headless.find((entry) => entry.segment === segment)?.generation
    const message = `the header of segment ${segment} is damaged: ${mismatch}`
    problems.push({
      kind: 'segment-header',
      segment,
      ...(generation && { generation }),
      message,
    })
  }
  const segments = await arrange(handles, { superblock, looks, headless, problems })
  const unusedSlots = looks.unused
  const damagedSlots = looks.damaged
    .map(({ segment }) => segment)
    .filter((segment) => headless.every((entry) => entry.segment !== segment))
  return { superblock, volumeId, segments, unusedSlots, damagedSlots, problems }
}

async function readSuperblock(
  device: Device,
  problems: VolumeProblem[],
): Promise<Superblock | undefined> {
  const note = (message: string): undefined => {
    problems.push({ kind: 'superblock', message })
  }
  let bytes: Uint8Array | undefined
  try {
    bytes = await device.readSuperblock()
  } catch (thrown) {
    return note(`the superblock cannot be read: ${messageOf(thrown)}`)
  }
  if (bytes === undefined) return note('there is no superblock')
  try {
    return decodeSuperblock(bytes, device.name)
  } catch (thrown) {
    if (thrown instanceof CorruptSuperblockError) return note(thrown.message)
    throw thrown
  }
}

/** Those segments with a damaged header that the superblock, or the next segment, tells of. */
async function headlessSegments(
  handles: HandleCache,
  volumeId: string,
  found: { readonly superblock: Superblock | undefined; readonly looks: SlotLooks },
): Promise<readonly SegmentEntry[]> {
  const headless: SegmentEntry[] = []
  for (const { segment } of found.looks.damaged) {
    const testimonies: Testimony[] = []
    for (const { previous: seal, stream } of found.looks.entries) {
      if (seal?.segment === segment) testimonies.push({ stream, generation: seal.generation, seal })
    }
    for (const registered of found.superblock?.register ?? []) {
      if (registered.segment === segment) testimonies.push(registered)
    }
    testimonies.sort((a, b) => b.generation - a.generation)
    const entry = await headlessSegment(handles, { segment, volumeId }, testimonies)
    if (entry !== undefined) headless.push(entry)
  }
  return headless
}

/** Puts the segments in order and finds out where each ends; notes what is missing. */
async function arrange(
  handles: HandleCache,
  found: {
    readonly superblock: Superblock | undefined
    readonly looks: SlotLooks
    readonly headless: readonly SegmentEntry[]
    readonly problems: VolumeProblem[]
  },
): Promise<readonly SegmentEntry[]> {
  const { superblock, looks, headless, problems } = found
  const report = (problem: ComioError): void => {
    problems.push({ kind: 'segment-chain', message: problem.message })
  }
  const missing = ({ segment, generation }: SegmentUse): void => {
    if (headless.some((entry) => isSameUse(entry, { segment, generation }))) return
    if (problems.some((known) => known.kind === 'missing-segment' && known.segment === segment))
      return
    const message = `segment ${segment} of generation ${generation} is missing`
    problems.push({ kind: 'missing-segment', segment, generation, message })
  }
  const entries = looks.entries.filter((entry) => !isSameUse(entry, superblock?.freed))
  const table = new SegmentTable(superblock?.highestGeneration ?? 0)
  for (const entry of [...entries, ...headless]) table.add(entry)
  if (superblock !== undefined) {
    checkCensus(table, superblock, {
      report: (_, problem) => report(problem),
      missing: (_, use) => missing(use),
    })
  }
  // Without a superblock nobody knows what was freed, and what is missing therefore.
  const knownThrough = superblock?.highestGeneration ?? Number.MAX_SAFE_INTEGER
  for (const stream of ['log', 'bulk'] as const) {
    const ordered = table.ofStream(stream).filter((entry) => !headless.includes(entry))
    const { abandoned } = buildChain(ordered, { knownThrough, report, missing })
    for (const entry of abandoned) await checkAbandoned(handles, entry, problems)
  }
  return [...table.ofStream('log'), ...table.ofStream('bulk')].sort(
    (a, b) => a.generation - b.generation,
  )
}

/** One that was given up while its header was being written must be empty. */
async function checkAbandoned(
  handles: HandleCache,
  entry: SegmentEntry,
  problems: VolumeProblem[],
): Promise<void> {
  const { segment, generation } = entry
  const handle = await handles.acquire(segment)
  try {
    const walk = new SegmentWalk({ handle: new TolerantSegment(handle), seed: entry.seed })
    if ((await walk.next(true)).type !== 'group') {
      const highestSeq = entry.previous?.highestSeq ?? 0
      entry.end ??= { validEnd: blockBytes, lastGroup: 0, highestSeq }
      return
    }
    const message = `segment ${segment} of generation ${generation} holds groups, but no later one knows it`
    problems.push({ kind: 'segment-chain', segment, generation, message })
  } finally {
    handles.release(segment)
  }
}
