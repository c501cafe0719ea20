/** Opens what a site keeps: device, lock, volume, index and engine, in this order. */
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { rethrowAssertion } from '../base/assert.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import { systemCodeOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import { systemRandom } from '../base/random.ts'
import type { ServerConfig } from '../config/server-config.ts'
import { DirectoryDevice } from '../device/directory-device.ts'
import { acquireVolumeLock } from '../device/volume-lock.ts'
import { IndexOpenError } from '../index/errors.ts'
import { LevelIndex } from '../index/level-index.ts'
import { type Engine, openEngine } from '../store/engine.ts'
import { Volume } from '../volume/volume.ts'
import { checkIndexPath, checkStoragePath } from './check-storage-path.ts'
import type { Teardown } from './teardown.ts'

export interface Storage {
  readonly volume: Volume
  readonly engine: Engine
}

interface Surroundings {
  readonly clock: Clock
  readonly logger: Logger
  readonly teardown: Teardown
}

/** Each step is logged with what it took, and added to the teardown as soon as it stands. */
export async function openStorage(
  config: ServerConfig,
  { logger, teardown }: Omit<Surroundings, 'clock'>,
): Promise<Storage> {
  const surroundings = { clock: systemClock, logger, teardown }
  const indexPath = config.server.indexPath ?? join(config.server.storagePath, 'index')
  await checkStoragePath(config.server.storagePath, indexPath)
  await checkIndexPath(indexPath)
  const volume = await openVolume(config, surroundings)
  const engine = await recoverEngine({ config, volume, indexPath }, surroundings)
  return { volume, engine }
}

async function openVolume(
  { server }: ServerConfig,
  { clock, logger, teardown }: Surroundings,
): Promise<Volume> {
  const startedAt = clock.monotonic()
  const device = await DirectoryDevice.open(server.storagePath)
  teardown.add('device', () => device.close())
  const volume = await Volume.open({
    device,
    random: systemRandom,
    clock,
    logger: logger.child({ component: 'volume' }),
    capacityBytes: server.storageSize,
    format: { siteId: server.siteId },
    lock: (volumeId) => acquireVolumeLock({ volumeId, clock }),
  })
  teardown.add('volume', () => volume.close())
  logger.info(
    {
      storage: server.storagePath,
      volume_id: volume.identity.volumeId,
      site_id: volume.identity.siteId,
      capacity_bytes: volume.usage().capacityBytes,
      used_bytes: volume.usage().usedBytes,
      duration_ms: elapsed(clock, startedAt),
    },
    'Volume opened',
  )
  return volume
}

async function recoverEngine(
  inputs: {
    readonly config: ServerConfig
    readonly volume: Volume
    readonly indexPath: string
  },
  { clock, logger, teardown }: Surroundings,
): Promise<Engine> {
  const { config, volume, indexPath } = inputs
  const startedAt = clock.monotonic()
  const engine = await openEngine({
    volume,
    openIndex: ({ fresh }) => openIndex(indexPath, { fresh, logger }),
    clock,
    random: systemRandom,
    logger: logger.child({ component: 'store' }),
    maxClockSkewMs: config.replication.maxClockSkewMs,
    conflictPolicy: config.replication.conflictPolicy,
  })
  teardown.add('store', () => engine.close())
  logger.info(
    {
      index: indexPath,
      replayed_records: engine.replayed,
      head: engine.feed.head(),
      duration_ms: elapsed(clock, startedAt),
    },
    'Index brought up to the log',
  )
  return engine
}

/**
 * An index that does not open, or that the engine has no use for, goes aside: it is a view of the
 * log, and built anew. The last one put aside is kept for whoever wants to know why.
 */
async function openIndex(
  path: string,
  { fresh, logger }: { readonly fresh: boolean; readonly logger: Logger },
): Promise<LevelIndex> {
  const options = { path, logger: logger.child({ component: 'index' }) }
  if (fresh) {
    await moveAside(path)
    return LevelIndex.open(options)
  }
  try {
    return await LevelIndex.open(options)
  } catch (error) {
    // One that is merely in use is another error, and stays where it is.
    if (!(error instanceof IndexOpenError)) throw error
    await moveAside(path)
    const index = await LevelIndex.open(options).catch((failure: unknown) => {
      rethrowAssertion(failure)
      return moveBack(path)
    })
    if (index === undefined) throw error
    logger.warn({ index: path, error }, 'The index did not open: it is built anew from the log')
    return index
  }
}

const asideOf = (path: string): string => `${path}.aside`

async function moveAside(path: string): Promise<void> {
  await rm(asideOf(path), { recursive: true, force: true })
  await renameIfThere(path, asideOf(path))
}

/** A new one does not open either: the fault is not in the old one. */
async function moveBack(path: string): Promise<undefined> {
  await rm(path, { recursive: true, force: true })
  await renameIfThere(asideOf(path), path)
  return undefined
}

async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error
  }
}

function elapsed(clock: Clock, startedAt: number): number {
  return Math.round(clock.monotonic() - startedAt)
}
