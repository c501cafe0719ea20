/**
 * A volume that no site is running on, opened for looking at it: device, lock, and a view of the index
 * that changes nothing of it. Everything is given back when the work is done, however it ends.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rethrowAssertion } from '../base/assert.ts'
import { systemClock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { ServerConfig } from '../config/server-config.ts'
import type { Device } from '../device/device.ts'
import { DirectoryDevice } from '../device/directory-device.ts'
import { VolumeInUseError } from '../device/errors.ts'
import { acquireVolumeLock, type VolumeLock } from '../device/volume-lock.ts'
import { copyIndexFiles } from '../index/index-copy.ts'
import { LevelIndex } from '../index/level-index.ts'
import type { OrderedIndex } from '../index/ordered-index.ts'
import { ownerOf } from '../store/index-identity.ts'
import { VolumeInspection } from '../volume/volume-inspection.ts'

export interface OfflineVolume {
  readonly inspection: VolumeInspection
  readonly storagePath: string
  readonly indexPath: string
  /** Undefined while the lock is ours. */
  readonly inUse: VolumeInUseError | undefined
}

function indexPathOf({ server }: ServerConfig): string {
  return server.indexPath ?? join(server.storagePath, 'index')
}

/**
 * @param whenInUse what to do when a site is running on the volume: its bytes can be read all the same,
 *   though what it is just writing may look torn; its index cannot
 * @throws VolumeInUseError
 */
export async function withOfflineVolume<T>(
  config: ServerConfig,
  whenInUse: 'refuse' | 'look',
  work: (volume: OfflineVolume) => Promise<T>,
): Promise<T> {
  const { storagePath } = config.server
  const device = await DirectoryDevice.openReadOnly(storagePath)
  try {
    const lock = await lockFor(await volumeIdOf(device), whenInUse)
    const inUse = lock instanceof VolumeInUseError ? lock : undefined
    try {
      const inspection = await VolumeInspection.open(device)
      try {
        return await work({ inspection, storagePath, indexPath: indexPathOf(config), inUse })
      } finally {
        await inspection.close()
      }
    } finally {
      if (!(lock instanceof VolumeInUseError)) await lock.release()
    }
  } finally {
    await device.close()
  }
}

async function lockFor(
  volumeId: string,
  whenInUse: 'refuse' | 'look',
): Promise<VolumeLock | VolumeInUseError> {
  try {
    return await acquireVolumeLock({ volumeId, clock: systemClock })
  } catch (thrown) {
    if (whenInUse === 'look' && thrown instanceof VolumeInUseError) return thrown
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
  const folder = await mkdtemp(join(tmpdir(), 'comio-index-'))
  try {
    const view = await openView({ indexPath, copy: join(folder, 'index') }, inspection)
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

async function openView(
  { indexPath, copy }: { readonly indexPath: string; readonly copy: string },
  { superblock }: VolumeInspection,
): Promise<IndexView> {
  let index: OrderedIndex
  try {
    if (!(await copyIndexFiles(indexPath, copy))) {
      return { state: 'absent', reason: `there is no index at ${indexPath}` }
    }
    index = await LevelIndex.open({ path: copy })
  } catch (thrown) {
    rethrowAssertion(thrown)
    return {
      state: 'unreadable',
      reason: `the index at ${indexPath} does not open: ${messageOf(thrown)}`,
    }
  }
  const identity = superblock?.identity
  const owner = identity === undefined ? 'this volume' : ownerOf(index, identity)
  if (owner === 'this volume') return { state: 'sound', index }
  await index.close()
  const reason =
    owner === 'nobody' ? 'the index belongs to no volume' : 'the index belongs to another volume'
  return { state: 'foreign', reason }
}
