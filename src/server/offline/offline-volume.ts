/**
 * A volume that no site is running on, opened for looking at it: device, lock, and a view of the index
 * that changes nothing of it. Everything is given back when the work is done, however it ends.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { rethrowAssertion } from '../../base/assert.ts'
import { systemClock } from '../../base/clock.ts'
import { messageOf, systemCodeOf } from '../../base/errors.ts'
import type { ServerConfig } from '../../config/server-config.ts'
import type { Device } from '../../device/device.ts'
import { VolumeInUseError } from '../../device/errors.ts'
import { defaultIndexPath, openDevice, storageKindAt } from '../../device/open-device.ts'
import { acquireVolumeLock, type VolumeLock } from '../../device/volume-lock.ts'
import { copyIndexFiles } from '../../index/index-copy.ts'
import { LevelIndex } from '../../index/level-index.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import { ownerOf } from '../../store/recovery/index-identity.ts'
import type { VolumeIdentity } from '../../volume/format/volume-status.ts'
import { VolumeInspection } from '../../volume/inspection/volume-inspection.ts'
import { NoPlaceForCopyError } from '../errors.ts'

export interface OfflineVolume {
  readonly inspection: VolumeInspection
  readonly storagePath: string
  /** Undefined where it could be anywhere: on a block device, unless the configuration says. */
  readonly indexPath: string | undefined
  /** Undefined when no site runs on it. */
  readonly inUse: VolumeInUseError | undefined
}

/** Where its index is looked for; a block device has none unless the configuration names it. */
export async function indexPathOf({ server }: ServerConfig): Promise<string | undefined> {
  const { storagePath, indexPath } = server
  if (indexPath !== undefined) return indexPath
  return defaultIndexPath(storagePath, (await storageKindAt(storagePath)) ?? server.storageType)
}

/**
 * How to go about a volume that a site may be running on. Its bytes can be read all the same, though what
 * is just being written may look torn; its index cannot.
 *
 * - `hold`: refuse, and let no site begin meanwhile.
 * - `look`: let no site begin meanwhile, but look at what one that runs allows.
 * - `pass`: only find out whether one is running; it may come and go.
 */
export type LockConduct = 'hold' | 'look' | 'pass'

/** @throws VolumeInUseError */
export async function withOfflineVolume<T>(
  config: ServerConfig,
  conduct: LockConduct,
  work: (volume: OfflineVolume) => Promise<T>,
): Promise<T> {
  const { storagePath } = config.server
  const { device } = await openDevice(storagePath)
  try {
    const lock = await lockFor(await volumeIdOf(device), conduct)
    const inUse = lock instanceof VolumeInUseError ? lock : undefined
    try {
      const inspection = await VolumeInspection.open(device)
      try {
        const indexPath = await indexPathOf(config)
        return await work({ inspection, storagePath, indexPath, inUse })
      } finally {
        await inspection.close()
      }
    } finally {
      if (!(lock instanceof VolumeInUseError) && conduct !== 'pass') await lock.release()
    }
  } finally {
    await device.close()
  }
}

async function lockFor(
  volumeId: string,
  conduct: LockConduct,
): Promise<VolumeLock | VolumeInUseError> {
  try {
    const lock = await acquireVolumeLock({ volumeId, clock: systemClock })
    if (conduct === 'pass') await lock.release()
    return lock
  } catch (thrown) {
    if (conduct !== 'hold' && thrown instanceof VolumeInUseError) return thrown
    throw thrown
  }
}

/** What is read before the volume is locked only says what there is to lock. */
async function volumeIdOf(device: Device): Promise<string> {
  const inspection = await VolumeInspection.open(device)
  await inspection.close()
  return inspection.volumeId
}

/** Why there is no index to look at, or the index. */
export type IndexView =
  | { readonly state: 'sound'; readonly index: OrderedIndex }
  | { readonly state: 'absent' | 'foreign' | 'unreadable' | 'in use'; readonly reason: string }

/** Hands `work` the index as it is on the disk. */
export async function withIndexView<T>(
  { inspection, indexPath, inUse }: OfflineVolume,
  work: (view: IndexView) => Promise<T>,
): Promise<T> {
  if (inUse !== undefined) return await work({ state: 'in use', reason: inUse.message })
  if (indexPath === undefined) {
    const reason =
      'where the index of a block device lies is not known: name it as server.index_path'
    return await work({ state: 'absent', reason })
  }
  const folder = await mkdtemp(join(tmpdir(), 'comio-index-')).catch((thrown: unknown) => {
    throw new NoPlaceForCopyError(tmpdir(), thrown)
  })
  try {
    const view = await openIndexCopy(
      { indexPath, copy: join(folder, 'index') },
      inspection.superblock?.identity,
    )
    if (view.state !== 'sound') return await work(view)
    try {
      return await work(view)
    } finally {
      await view.index.close()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** @param identity undefined where the superblock does not say: then any index is taken */
export async function openIndexCopy(
  { indexPath, copy }: { readonly indexPath: string; readonly copy: string },
  identity: VolumeIdentity | undefined,
): Promise<IndexView> {
  let index: OrderedIndex
  try {
    if (!(await copyIndexFiles(indexPath, copy))) {
      return { state: 'absent', reason: `there is no index at ${indexPath}` }
    }
    index = await LevelIndex.open({ path: copy })
  } catch (thrown) {
    rethrowAssertion(thrown)
    if (systemCodeOf(thrown) === 'ENOSPC') throw new NoPlaceForCopyError(dirname(copy), thrown)
    return {
      state: 'unreadable',
      reason: `the index at ${indexPath} does not open: ${messageOf(thrown)}`,
    }
  }
  const owner = identity === undefined ? 'this volume' : ownerOf(index, identity)
  if (owner === 'this volume') return { state: 'sound', index }
  await index.close()
  const reason =
    owner === 'nobody' ? 'the index belongs to no volume' : 'the index belongs to another volume'
  return { state: 'foreign', reason }
}
