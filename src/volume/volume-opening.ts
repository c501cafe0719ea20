/**
 * Opening a volume: initialises an empty device, or finds out what an old one holds. Whatever is
 * refused is refused before anything is changed.
 */
import type { Clock } from '../base/clock.ts'
import type { ComioError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Device } from '../device/device.ts'
import {
  CapacityTooSmallError,
  CorruptLogError,
  LostLogError,
  MissingSuperblockError,
  SiteIdMismatchError,
} from './format/errors.ts'
import { decodeGroupHeader } from './format/group-codec.ts'
import { blockBytes, defaultSegmentBytes, limitsOf } from './format/limits.ts'
import type { SegmentUse } from './format/record.ts'
import { noCensus } from './format/segment-census.ts'
import {
  decodeSuperblock,
  encodeSuperblock,
  type LogEnd,
  type Superblock,
} from './format/superblock.ts'
import type { Stream, VolumeIdentity } from './format/volume-status.ts'
import { checkCensus } from './segments/census-check.ts'
import { HandleCache } from './segments/handle-cache.ts'
import { findLostEnd } from './segments/lost-footer.ts'
import { MissingLog } from './segments/missing-log.ts'
import { buildChain, type SegmentChain } from './segments/segment-chain.ts'
import { readBlocks } from './segments/segment-read.ts'
import { type SegmentScan, scanSegments } from './segments/segment-scan.ts'
import { isSameUse, type SegmentEntry, SegmentTable } from './segments/segment-table.ts'
import { VolumeContext } from './segments/volume-context.ts'
import { type BlankSegment, capacityBytesMin, Space } from './write/space.ts'

export interface VolumeOptions {
  readonly device: Device
  readonly random: Random
  readonly clock: Clock
  readonly logger: Logger
  /** Fixed when the volume is made; a site id given later must be the same. */
  readonly format?: {
    readonly segmentBytes?: number | undefined
    readonly siteId?: string | undefined
  }
  /**
   * Opens it also where nothing but its last group says where a segment of the log ends, and where segments
   * of the log are gone.
   */
  readonly salvage?: boolean
  /** What the volume may take; without it, what the device has. */
  readonly capacityBytes?: number | undefined
  /** Told of each segment that goes: whoever has it open keeps its space. */
  readonly onFreed?: ((segment: number) => void) | undefined
  /** Locks the volume id against other processes, before the first write. Released by `close`. */
  readonly lock?: (volumeId: string) => Promise<VolumeHold>
}

export interface VolumeHold {
  release(): Promise<void>
}

export interface OpenedVolume {
  readonly context: VolumeContext
  readonly space: Space
  readonly log: SegmentChain
  readonly bulk: SegmentChain
  readonly missingLog: MissingLog
  /** Where the log ended when the volume was closed in order. */
  readonly logEnd: LogEnd | undefined
  readonly hold: VolumeHold | undefined
}

export async function openVolume(options: VolumeOptions): Promise<OpenedVolume> {
  const { device } = options
  const stored = await device.readSuperblock()
  const superblock =
    stored === undefined ? await newSuperblock(options) : decodeSuperblock(stored, device.name)
  const { identity } = superblock
  const siteId = options.format?.siteId
  if (siteId !== undefined && siteId !== identity.siteId) {
    throw new SiteIdMismatchError(identity.siteId, siteId)
  }
  const hold = await options.lock?.(identity.volumeId)
  try {
    if (stored === undefined) await device.writeSuperblock(encodeSuperblock(superblock))
    return { ...(await openSegments(options, superblock)), hold }
  } catch (error) {
    await hold?.release()
    throw error
  }
}

async function newSuperblock(options: VolumeOptions): Promise<Superblock> {
  const { device, random, clock, format } = options
  const slots = await device.list()
  if (slots.length > 0) throw new MissingSuperblockError(device.name, slots.length)
  const capacityBytes = options.capacityBytes ?? (await device.freeBytes())
  const segmentBytes = format?.segmentBytes ?? defaultSegmentBytes(capacityBytes)
  const needed = capacityBytesMin(segmentBytes)
  if (capacityBytes < needed) throw new CapacityTooSmallError(capacityBytes, needed)
  const hex = (count: number): string => Buffer.from(random.bytes(count)).toString('hex')
  const identity: VolumeIdentity = {
    volumeId: hex(16),
    incarnation: hex(8),
    incarnationSince: Math.max(0, Math.floor(clock.now())),
    siteId: format?.siteId ?? hex(8),
  }
  const census = { log: noCensus, bulk: noCensus }
  return {
    identity,
    segmentBytes,
    highestGeneration: 0,
    census,
    freed: undefined,
    logEnd: undefined,
    slotsEnd: 0,
    register: [],
  }
}

async function openSegments(
  options: VolumeOptions,
  superblock: Superblock,
): Promise<Omit<OpenedVolume, 'hold'>> {
  const { device, clock, logger } = options
  const { identity } = superblock
  const scan = await scanSegments(device, Buffer.from(identity.volumeId, 'hex'))
  const table = new SegmentTable(superblock.highestGeneration, device.slotBytes)
  const leftover = scan.entries.find((entry) => isSameUse(entry, superblock.freed))
  for (const entry of scan.entries) {
    if (entry !== leftover) table.add(entry)
  }
  const limits = limitsOf(superblock.segmentBytes)
  const handles = new HandleCache(device)
  const context = new VolumeContext({
    ...{ device, clock, logger, identity, limits, table, handles },
    onFreed: options.onFreed,
  })
  const missingLog = new MissingLog()
  const finding = { context, passing: options.salvage === true ? missingLog : undefined }
  checkCensus(table, superblock, {
    report: (stream, problem, unnamed) => {
      if (stream === 'log' && unnamed > 0 && finding.passing !== undefined) {
        finding.passing.unnamed = unnamed
      } else reporter(context, stream)(problem)
    },
    missing: (stream, use) => reportMissing(finding, stream, use),
  })
  await findLostEnds(context, { mayGuess: options.salvage === true })
  const log = await chainOf(finding, 'log', superblock)
  const bulk = await chainOf(finding, 'bulk', superblock)
  if (missingLog.isAny && log.entries.length === 0) throw new LostLogError('nothing of it is left')
  const prepared = await tidy(context, scan, { leftover, missingLog })
  const freeBytes = await device.freeBytes()
  const { capacityBytes } = options
  const space = new Space(context, { capacityBytes, freeBytes, prepared })
  return { context, space, log, bulk, missingLog, logEnd: superblock.logEnd }
}

/** Lost log refuses the volume; a lost bulk segment costs the objects in it, which say so when read. */
function reporter(context: VolumeContext, stream: Stream): (problem: ComioError) => void {
  return (problem) => {
    if (stream === 'log') throw problem
    context.logger.error({ ...problem.facts }, `bulk data is damaged: ${problem.message}`)
  }
}

interface Finding {
  readonly context: VolumeContext
  /** Where what is missing of the log is noted, if that does not refuse the volume. */
  readonly passing: MissingLog | undefined
}

/** Notes a bulk segment as missing; without a log segment nothing is opened, unless it may be passed over. */
function reportMissing({ context, passing }: Finding, stream: Stream, use: SegmentUse): void {
  const { segment, generation } = use
  if (stream === 'log') {
    if (passing !== undefined) {
      passing.add(use)
      return
    }
    const missing = `segment ${segment} of generation ${generation} is not there`
    throw new LostLogError(missing, { segment, generation })
  }
  context.table.missing.add(use)
  context.logger.error(
    { segment, generation },
    `segment ${segment} of generation ${generation} is missing: objects with bytes in it cannot be read`,
  )
}

/** For those segments of the log of which neither a footer nor a later segment says where they end. */
async function findLostEnds(
  context: VolumeContext,
  { mayGuess }: { readonly mayGuess: boolean },
): Promise<void> {
  const { table, logger } = context
  for (const entry of table.ofStream('log').slice(0, -1)) {
    if (entry.end !== undefined || table.successorOf(entry) !== undefined) continue
    const { end, isSure } = await findLostEnd(context, entry)
    if (!isSure && !mayGuess) continue
    const { segment, generation } = entry
    logger.error(
      { segment, generation, offset: end.validEnd },
      'the footer of a segment is damaged',
    )
    entry.end = end
    entry.isEndGuessed = !isSure
    table.seal(entry)
  }
}

async function chainOf(
  finding: Finding,
  stream: Stream,
  superblock: Superblock,
): Promise<SegmentChain> {
  const { context } = finding
  const report = reporter(context, stream)
  const knownThrough = superblock.highestGeneration
  const missing = (use: SegmentUse): void => reportMissing(finding, stream, use)
  const ordered = context.table.ofStream(stream)
  const chain = buildChain(ordered, { knownThrough, report, missing })
  const abandoned: SegmentEntry[] = []
  for (const entry of chain.abandoned) {
    if (await isEmpty(context, entry)) {
      abandoned.push(entry)
      continue
    }
    const { segment, generation } = entry
    const mismatch = 'it holds groups, but no later segment knows it'
    report(new CorruptLogError({ segment, generation, offset: blockBytes, mismatch }))
  }
  return { entries: chain.entries, abandoned }
}

async function isEmpty(context: VolumeContext, entry: SegmentEntry): Promise<boolean> {
  const { segment, seed } = entry
  const handle = await context.handles.acquire(segment)
  try {
    const bytes = await readBlocks(handle, blockBytes, blockBytes)
    return decodeGroupHeader(bytes, 0, { offset: blockBytes, seed }) === undefined
  } finally {
    context.handles.release(segment)
  }
}

/** Removes what a crash left behind, and keeps one segment of zeros to begin with. */
async function tidy(
  context: VolumeContext,
  scan: SegmentScan,
  found: { readonly leftover: SegmentEntry | undefined; readonly missingLog: MissingLog },
): Promise<BlankSegment | undefined> {
  const { device, limits, logger } = context
  const { leftover, missingLog } = found
  for (const slot of scan.torn) {
    logger.warn({ segment: slot }, 'a segment whose first write was cut off is removed')
  }
  // Zeros where a missing segment was are left for whoever looks into it.
  const kept = (slot: number): boolean => !context.table.missing.keeps(slot)
  const blank = scan.blank.filter(kept)
  const unwanted = [...scan.torn.filter(kept), ...blank.slice(1)]
  if (leftover !== undefined) unwanted.push(leftover.segment)
  if (missingLog.isAny) {
    // Nothing is changed before somebody has said that it is to go on so.
    missingLog.unwanted = unwanted
  } else for (const slot of unwanted) await device.remove(slot)
  const slot = blank[0]
  if (slot === undefined) return undefined
  const handle = await device.open(slot)
  if (handle.size === limits.segmentBytes) return { slot, handle }
  await handle.close()
  if (missingLog.isAny) missingLog.unwanted = [...unwanted, slot]
  else await device.remove(slot)
  return undefined
}
