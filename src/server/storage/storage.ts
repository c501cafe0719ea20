/**
 * Opens what a site keeps: device, lock, volume, index and engine, in this order.
 *
 * Each is in the teardown as soon as it stands, so that a failure on the way leaves nothing open. It must never
 * know who writes or reads: clients, remotes and the control plane come later.
 */
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { rethrowAssertion } from '../../base/assert.ts'
import { type Clock, endOfTurn, systemClock } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { missingFolders, removeEmptyFolders } from '../../base/make-folders.ts'
import { systemRandom } from '../../base/random.ts'
import type { Teardown } from '../../base/teardown.ts'
import type { ServerConfig } from '../../config/server-config.ts'
import { segmentsFolder } from '../../device/directory-device.ts'
import { StoragePathError } from '../../device/errors.ts'
import {
  defaultIndexPath,
  openDevice,
  type StorageKind,
  storageKindAt,
} from '../../device/open-device.ts'
import type { SmallFiles } from '../../device/small-files.ts'
import { acquireVolumeLock } from '../../device/volume-lock.ts'
import { IndexOpenError } from '../../index/errors.ts'
import { type IndexReaders, LevelIndex } from '../../index/level-index.ts'
import { type Engine, openEngine } from '../../store/engine.ts'
import { Volume } from '../../volume/volume.ts'
import { checkIndexPath, checkStoragePath } from './check-storage-path.ts'
import { HashThreads } from './hash-threads.ts'
import { moveAside, moveBack } from './index-folder.ts'

const hashThreadsMax = 4

export interface Storage {
  readonly volume: Volume
  /** What the volume keeps beside log and index. */
  readonly files: SmallFiles
  readonly engine: Engine
  readonly indexPath: string
}

/** Other threads, which read what is stored beside the engine's. */
export interface StorageReaders extends IndexReaders {
  /** A purge is in the index. */
  floorRaised(): void
  /** A segment goes. */
  freed(segment: number): void
}

interface Surroundings {
  readonly clock: Clock
  readonly logger: Logger
  readonly teardown: Teardown
  /** Ends the making of a large file. */
  readonly signal: AbortSignal
  /** Overwrites what else is there. */
  readonly forceFormat: boolean | undefined
  /** Undefined where no other thread reads. */
  readonly readers: StorageReaders | undefined
}

/** Each step is logged with what it took, and added to the teardown as soon as it stands. */
export async function openStorage(
  config: ServerConfig,
  given: Omit<Surroundings, 'clock'>,
): Promise<Storage> {
  const { server } = config
  const surroundings = { clock: systemClock, ...given }
  const kind = (await storageKindAt(server.storagePath)) ?? server.storageType
  const indexPath = server.indexPath ?? defaultIndexPath(server.storagePath, kind)
  if (indexPath === undefined) throw indexPathMissing(server.storagePath)
  if (kind === 'directory') await checkStoragePath(server.storagePath, indexPath)
  await checkIndexPath(indexPath)
  const { volume, files } = await openOrUndo(folderOf(server.storagePath, kind), () =>
    openVolume(config, surroundings),
  )
  const engine = await recoverEngine({ config, volume, indexPath }, surroundings)
  return { volume, files, engine, indexPath }
}

export function indexPathMissing(path: string): StoragePathError {
  return new StoragePathError(`the index of a volume on the block device ${path} needs a place`, {
    hint: 'Name a directory on another disk with server.index_path.',
    facts: { path },
  })
}

/** The deepest folder that is made for a volume. */
function folderOf(path: string, kind: StorageKind): string {
  return kind === 'directory' ? join(path, segmentsFolder) : dirname(path)
}

/** A volume that could not be made leaves no folders that were made for it. */
async function openOrUndo<T>(folder: string, open: () => Promise<T>): Promise<T> {
  // Where it cannot be told, whoever makes them says why.
  const missing = await missingFolders(folder).catch(() => [])
  try {
    return await open()
  } catch (error) {
    await removeEmptyFolders(missing)
    throw error
  }
}

async function openVolume(
  { server }: ServerConfig,
  { clock, logger, teardown, signal, forceFormat, readers }: Surroundings,
): Promise<{ readonly volume: Volume; readonly files: SmallFiles }> {
  const startedAt = clock.monotonic()
  const { storagePath, storageType: type, storageSize: size } = server
  const make = { type, size, forceFormat, random: systemRandom, clock, logger, signal }
  const opened = await openDevice(storagePath, make)
  const { device, files, kind, segmentBytes } = opened
  teardown.add('device', () => device.close())
  const volume = await Volume.open({
    device,
    random: systemRandom,
    clock,
    logger: logger.child({ component: 'volume' }),
    capacityBytes: capacityOf(opened.capacityBytes, size),
    format: { siteId: server.siteId, segmentBytes },
    onFreed: readers && ((segment) => readers.freed(segment)),
    lock: (volumeId) => acquireVolumeLock({ volumeId, clock }),
  })
  teardown.add('volume', () => volume.close())
  logger.info(
    {
      storage: storagePath,
      storage_type: kind,
      volume_id: volume.identity.volumeId,
      site_id: volume.identity.siteId,
      capacity_bytes: volume.usage().capacityBytes,
      used_bytes: volume.usage().usedBytes,
      duration_ms: elapsed(clock, startedAt),
    },
    'Volume opened',
  )
  return { volume, files }
}

/** The smaller one of what there is room for and what was asked for. */
export function capacityOf(
  room: number | undefined,
  asked: number | undefined,
): number | undefined {
  return room === undefined || asked === undefined ? (room ?? asked) : Math.min(room, asked)
}

async function recoverEngine(
  inputs: {
    readonly config: ServerConfig
    readonly volume: Volume
    readonly indexPath: string
  },
  { clock, logger, teardown, readers }: Surroundings,
): Promise<Engine> {
  const { config, volume, indexPath } = inputs
  const startedAt = clock.monotonic()
  const hashing = new HashThreads({ count: hashThreadCount(), logger })
  teardown.add('hashing', () => hashing.close())
  const engine = await openEngine({
    volume,
    openIndex: ({ fresh }) => openIndex(indexPath, { fresh, readers, logger, clock }),
    onFloorRaised: readers && (() => readers.floorRaised()),
    clock,
    random: systemRandom,
    logger: logger.child({ component: 'store' }),
    maxClockSkewMs: config.replication.maxClockSkewMs,
    conflictPolicy: config.replication.conflictPolicy,
    reclaim: config.storage.reclaim,
    endOfTurn,
    hashing,
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
  {
    fresh,
    readers,
    logger,
    clock,
  }: Pick<Surroundings, 'clock' | 'logger' | 'readers'> & { readonly fresh: boolean },
): Promise<LevelIndex> {
  const options = {
    path,
    readers,
    logger: logger.child({ component: 'index' }),
    lasting: { clock, random: systemRandom },
  }
  if (fresh) {
    await moveAside(path).catch((thrown: unknown) => {
      throw new IndexOpenError(path, thrown)
    })
    return LevelIndex.open(options)
  }
  try {
    return await LevelIndex.open(options)
  } catch (error) {
    // One that is merely in use is another error, and stays where it is.
    if (!(error instanceof IndexOpenError)) throw error
    await moveAside(path).catch((failure: unknown) => {
      // A folder that cannot be moved cannot be written: what kept the index from opening says so.
      rethrowAssertion(failure)
      throw error
    })
    const index = await LevelIndex.open(options).catch((failure: unknown) => {
      rethrowAssertion(failure)
      return moveBack(path)
    })
    if (index === undefined) throw error
    logger.warn({ index: path, error }, 'The index did not open: it is built anew from the log')
    return index
  }
}

/** One body needs two at a time; all bodies together leave some cores to everything else. */
function hashThreadCount(): number {
  return Math.min(hashThreadsMax, Math.max(2, availableParallelism() - 1))
}

function elapsed(clock: Clock, startedAt: number): number {
  return Math.round(clock.monotonic() - startedAt)
}
