/**
 * `comio volume rebuild`: a new index from the log. It is built beside the old one, and takes its place
 * only when it is complete; whatever ends the program before, the old one is still there, or none is,
 * and then the next start of the site builds one.
 */
import { rm } from 'node:fs/promises'
import { rethrowAssertion } from '../../base/assert.ts'
import { systemClock } from '../../base/clock.ts'
import { silentLogger } from '../../base/log.ts'
import type { Progress } from '../../base/progress-bar.ts'
import { systemRandom } from '../../base/random.ts'
import type { ServerConfig } from '../../config/server-config.ts'
import type { Device } from '../../device/device.ts'
import { openDevice } from '../../device/open-device.ts'
import { acquireVolumeLock } from '../../device/volume-lock.ts'
import { LevelIndex } from '../../index/level-index.ts'
import { continueBehind, type RebuiltIndex, rebuildIndex } from '../../store/recovery/rebuild.ts'
import type { KnownLog, Loss, LossKind } from '../../store/recovery/salvaged-log.ts'
import { summarizeIndex } from '../../store/tables/index-summary.ts'
import { MissingSuperblockError } from '../../volume/format/errors.ts'
import { type LogPosition, Volume } from '../../volume/volume.ts'
import { WorkStoppedError } from '../errors.ts'
import { checkIndexPath } from '../storage/check-storage-path.ts'
import { asideOf, replaceIndex } from '../storage/index-folder.ts'
import { capacityOf, indexPathMissing } from '../storage/storage.ts'
import { indexPathOf, openIndexCopy } from './offline-volume.ts'

export interface LossDocument {
  readonly segment: number
  readonly generation: number
  readonly offset: number
  readonly end: number
  /** Null where not even that is known: then it is all that stood from `offset` to `end`. */
  readonly kind: LossKind | null
  readonly seq: number | null
  readonly bucket: string | null
  /** Of a remote, its name. */
  readonly key: string | null
  readonly outcome: Loss['outcome']
  readonly mismatch: string
}

export interface RebuildDocument {
  /** False when something would be lost, and nobody has said that it may be: then nothing was changed. */
  readonly in_place: boolean
  readonly index_path: string
  /** Where the index is that was replaced; null when there was none. */
  readonly old_index_path: string | null
  readonly records: number
  readonly objects: number
  readonly object_bytes: number
  readonly feed_head: number
  readonly index_bytes: number
  /** Places in which the log is damaged. */
  readonly damaged_places: number
  /** Records lost there that nothing needs. */
  readonly harmless: number
  readonly lost: readonly LossDocument[]
  /** How many there are. */
  readonly lost_count: number
}

export interface RebuildOptions {
  readonly onProgress: (progress: Progress) => void
  /** Ends it between two records; the old index stays. */
  readonly signal: AbortSignal
  /** Goes on without what is lost. */
  readonly skipDamaged: boolean
}

const listedMax = 10_000

/** @throws VolumeInUseError, CorruptLogError, LostLogError, WorkStoppedError */
export async function rebuildVolumeIndex(
  config: ServerConfig,
  options: RebuildOptions,
): Promise<RebuildDocument> {
  const indexPath = await indexPathOf(config)
  if (indexPath === undefined) throw indexPathMissing(config.server.storagePath)
  await checkIndexPath(indexPath)
  const { volume, device } = await openExisting(config)
  try {
    const fresh = `${indexPath}.rebuild`
    await rm(fresh, { recursive: true, force: true })
    const known = await knownByIndex({ indexPath, copy: fresh }, volume)
    const { built, bytes, isComplete } = await buildAt(fresh, { volume, known }, options)
    const { losses, places, harmless, unlisted } = built.damage
    const hadOld = isComplete ? await replaceIndex(indexPath, fresh) : false
    return {
      in_place: isComplete,
      index_path: indexPath,
      old_index_path: hadOld ? asideOf(indexPath) : null,
      records: built.records,
      objects: built.objects,
      object_bytes: built.bytes,
      feed_head: built.head,
      index_bytes: bytes,
      damaged_places: places,
      harmless,
      lost: losses.slice(0, listedMax).map(lossDocument),
      lost_count: losses.length + unlisted,
    }
  } finally {
    await volume.close()
    await device.close()
  }
}

/** Never makes one: where there is none, there is nothing to rebuild an index from. */
async function openExisting({
  server,
}: ServerConfig): Promise<{ readonly volume: Volume; readonly device: Device }> {
  const { storagePath: path, storageType: type, storageSize: size } = server
  const { device: looked } = await openDevice(path)
  const isThere = (await looked.readSuperblock()) !== undefined
  const slots = await looked.list()
  await looked.close()
  if (!isThere) throw new MissingSuperblockError(path, slots.length)
  const surroundings = { random: systemRandom, clock: systemClock, logger: silentLogger }
  const { device, capacityBytes } = await openDevice(path, { type, size, ...surroundings })
  try {
    const volume = await Volume.open({
      ...surroundings,
      device,
      capacityBytes: capacityOf(capacityBytes, size),
      format: { siteId: server.siteId },
      salvage: true,
      lock: (volumeId) => acquireVolumeLock({ volumeId, clock: systemClock }),
    })
    return { volume, device }
  } catch (thrown) {
    await device.close()
    throw thrown
  }
}

/** How far the log went, as the old index has it: its end may be lost as if it had never been. */
async function knownByIndex(
  place: { readonly indexPath: string; readonly copy: string },
  { identity }: Volume,
): Promise<KnownLog | undefined> {
  try {
    const view = await openIndexCopy(place, identity)
    if (view.state !== 'sound') return undefined
    try {
      return await summarizeIndex(view.index)
    } catch (thrown) {
      // It is damaged, which may be why there is to be a new one.
      rethrowAssertion(thrown)
      return undefined
    } finally {
      await view.index.close()
    }
  } finally {
    await rm(place.copy, { recursive: true, force: true })
  }
}

async function buildAt(
  path: string,
  { volume, known }: { readonly volume: Volume; readonly known: KnownLog | undefined },
  { onProgress, signal, skipDamaged }: RebuildOptions,
): Promise<{ readonly built: RebuiltIndex; readonly bytes: number; readonly isComplete: boolean }> {
  const index = await LevelIndex.open({ path })
  let isComplete = false
  try {
    const built = await rebuildIndex(index, {
      ...{ volume, known, clock: systemClock, random: systemRandom, logger: silentLogger },
      onRecord: progressOf(volume, (progress) => {
        if (signal.aborted) throw new WorkStoppedError()
        onProgress(progress)
      }),
    })
    const bytes = await index.size()
    if (built.damage.losses.length > 0 && !skipDamaged) return { built, bytes, isComplete }
    if (built.damage.places > 0) await continueBehind(index, volume)
    isComplete = true
    return { built, bytes, isComplete }
  } finally {
    await index.close()
    // Half of an index is of no use to anybody.
    if (!isComplete) await rm(path, { recursive: true, force: true })
  }
}

function lossDocument({ kind, seq, bucket, key, ...loss }: Loss): LossDocument {
  const { segment, generation, offset, end, outcome, mismatch } = loss
  const named = { kind: kind ?? null, seq: seq ?? null, bucket: bucket ?? null, key: key ?? null }
  return { segment, generation, offset, end, ...named, outcome, mismatch }
}

/** By the bytes of the log's segments that are behind. */
function progressOf(
  volume: Volume,
  onProgress: (progress: Progress) => void,
): (at: LogPosition) => void {
  const startedAt = systemClock.monotonic()
  const segments = volume.segments().filter(({ stream }) => stream === 'log')
  const total = segments.reduce((sum, { bytes }) => sum + bytes, 0)
  const before = new Map<number, number>()
  let behind = 0
  for (const { generation, bytes } of segments) {
    before.set(generation, behind)
    behind += bytes
  }
  let records = 0
  return ({ generation, offset }) => {
    records++
    const done = (before.get(generation) ?? 0) + offset
    const elapsedMs = systemClock.monotonic() - startedAt
    const share = total === 0 ? 100 : Math.floor((100 * done) / total)
    const figures = [`${share}%`, `${records} records`]
    onProgress({ phase: 'log', done, total, elapsedMs, figures })
  }
}
