/**
 * Opens the slot device in a file or on a block device for a site, and makes it where there is none.
 * The lock comes first: what is looked at is nobody else's to change. On a block device the system
 * keeps out, besides, whoever else asks for it alone, such as a mount.
 */
import { constants } from 'node:fs'
import * as fs from 'node:fs/promises'
import { dirname } from 'node:path'
import { formatByteSize } from '../base/byte-size.ts'
import type { Clock } from '../base/clock.ts'
import { systemCodeOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { deviceSize, mountPointOf } from './block-device.ts'
import { bytesKeptFree } from './directory-device.ts'
import { ForeignContentError, StoragePathError } from './errors.ts'
import { closeFile, openFile, syncFolder } from './file-calls.ts'
import { findForeign } from './foreign-signature.ts'
import { makeSlotDevice } from './make-slot-device.ts'
import { type BackingHandle, SystemBacking } from './slot-backing.ts'
import { readLabel, SlotDevice } from './slot-device.ts'
import { blockBytes } from './slot-frame.ts'
import { deviceIdBytes, planLayout, type SlotLabel } from './slot-layout.ts'
import { explainStoragePath, makeStorageFolder } from './storage-folder.ts'
import { acquireVolumeLock, type VolumeLock } from './volume-lock.ts'

const fileMode = 0o600
/** Between two words about how far the writing ahead is. */
const progressEveryMs = 5000

type StorageType = 'directory' | 'file'
export type StorageKind = StorageType | 'block device'

export interface MakeDeviceOptions {
  /** What a path becomes where nothing is. */
  readonly type?: StorageType | undefined
  /** Bytes of a new file. */
  readonly size?: number | undefined
  /** Overwrites what else is there; never a ComIO volume. */
  readonly forceFormat?: boolean | undefined
  readonly random: Random
  readonly clock: Clock
  readonly logger: Logger
  /** Ends the making of a file, which may take long. */
  readonly signal?: AbortSignal | undefined
}

interface Making extends MakeDeviceOptions {
  readonly kind: Exclude<StorageKind, 'directory'>
  /** Nothing is at the path yet. */
  readonly isNew: boolean
}

/** As `openDevice` with `make`. */
export async function openOrMakeSlotDevice(path: string, options: Making): Promise<SlotDevice> {
  const { kind, isNew, clock } = options
  if (isNew) await createFile(path, options)
  const lock = await lockOf(path, clock)
  const backing = await openBacking(path, kind, lock)
  try {
    const unmade = await lookForLabel(backing, options)
    if (unmade !== 'ready') await makeOn(backing, unmade?.layout.deviceBytes, options)
  } catch (error) {
    // No half of it stays on the disk.
    if (isNew) await fs.rm(path, { force: true })
    await backing.close()
    throw error
  }
  const device = await SlotDevice.open(backing)
  const { size = 0, logger } = options
  if (kind === 'file' && size >= device.madeBytes + blockBytes) {
    const facts = { storage: path, asked_bytes: size, size_bytes: device.madeBytes }
    logger.warn(facts, 'The file of the volume keeps the size that it was made with')
  }
  return device
}

/** An empty file, which is a file that is to be made. */
async function createFile(path: string, options: Making): Promise<void> {
  assertSize(path, options.size)
  await makeStorageFolder(dirname(path))
  try {
    await closeFile(await openFile(path, 'wx', fileMode))
    await syncFolder(dirname(path))
  } catch (error) {
    throw explainStoragePath(path, error)
  }
}

function assertSize(path: string, size: number | undefined): asserts size is number {
  if (size !== undefined) return
  throw new StoragePathError(`${path} is to be a file, but nobody has said how large`, {
    hint: 'Give its size with --size; all of it is written ahead.',
    facts: { path },
  })
}

/** By what the system calls it, whatever name it was reached by. */
async function lockOf(path: string, clock: Clock): Promise<VolumeLock> {
  const { dev, ino, rdev } = await fs.stat(path, { bigint: true })
  const id = rdev === 0n ? `file-${dev}-${ino}` : `device-${rdev}`
  return await acquireVolumeLock({ volumeId: id, what: path, clock })
}

/** Takes over the lock. */
async function openBacking(
  path: string,
  kind: Making['kind'],
  lock: VolumeLock,
): Promise<SystemBacking> {
  const { O_RDWR, O_EXCL } = constants
  let fd: number | undefined
  try {
    // Without O_CREAT this asks for a block device for oneself alone.
    fd = await openFile(path, kind === 'file' ? O_RDWR : O_RDWR | O_EXCL)
    const size = kind === 'file' ? (await fs.stat(path)).size : await deviceSize(fd)
    const backing = new SystemBacking({ name: path, size, fd, onClosed: () => lock.release() })
    await backing.sync()
    return backing
  } catch (error) {
    if (fd !== undefined) await closeFile(fd)
    await lock.release()
    if (systemCodeOf(error) === 'EBUSY') throw await inUse(path)
    throw explainStoragePath(path, error)
  }
}

async function inUse(path: string): Promise<StoragePathError> {
  const mountPoint = await mountPointOf(path)
  const how =
    mountPoint === undefined
      ? 'by another program, or as a part of RAID, LVM or a mounted disk'
      : `as the file system at ${mountPoint}`
  return new StoragePathError(`${path} is in use ${how}`, { facts: { path, mountPoint } })
}

/**
 * Whether a volume is there; one that was not made to its end; or nothing.
 * @throws ForeignContentError for anything else, CorruptDeviceError, DeviceTooNewError
 */
async function lookForLabel(
  backing: SystemBacking,
  options: Making,
): Promise<'ready' | SlotLabel | undefined> {
  const { name, size } = backing
  const handle = await backing.open()
  try {
    // A damaged one throws: it is never overwritten, whatever was asked for.
    const label = await readLabel(handle, name)
    if (label !== undefined) return label.ready ? 'ready' : label
    const foreign = await findForeign(size, (position, length) => read(handle, position, length))
    const found =
      foreign?.found ?? (options.kind === 'file' && size > 0 ? `${size} bytes` : undefined)
    if (found === undefined) return undefined
    if (options.forceFormat !== true) throw new ForeignContentError(name, found)
    options.logger.warn({ storage: name, found }, 'What was at the storage path is overwritten')
    return undefined
  } finally {
    await handle.close()
  }
}

async function read(handle: BackingHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  return bytes.subarray(0, await handle.read(bytes, position))
}

/** @param begun what an earlier process had begun to make */
async function makeOn(
  backing: SystemBacking,
  begun: number | undefined,
  options: Making,
): Promise<void> {
  const { name } = backing
  const { kind, random } = options
  const before = backing.size === 0 ? undefined : backing.size
  const bytes = kind === 'file' ? (options.size ?? begun ?? before) : backing.size
  assertSize(name, bytes)
  const layout = planLayout({ name, bytes }, { deviceId: random.bytes(deviceIdBytes) })
  const ahead = kind === 'file'
  if (ahead) await assertFree(name, layout.deviceBytes)
  try {
    if (ahead) await backing.empty(layout.deviceBytes)
    await tellOfMaking(backing, options, async (onProgress) => {
      const { signal } = options
      const handle = await backing.open()
      const making = makeSlotDevice(handle, {
        name,
        layout,
        size: backing.size,
        ahead,
        onProgress,
        signal,
      })
      await making.finally(() => handle.close())
    })
  } catch (error) {
    if (ahead) await backing.empty(0)
    throw error
  }
}

async function tellOfMaking(
  { name, size }: SystemBacking,
  { kind, clock, logger }: Making,
  make: (onProgress: (writtenBytes: number) => void) => Promise<void>,
): Promise<void> {
  const startedAt = clock.monotonic()
  const facts = { storage: name, size_bytes: size }
  const ahead = kind === 'file' ? ': its space is written ahead' : ''
  logger.info(facts, `Making a volume on a ${kind}${ahead}`)
  let saidAt = startedAt
  await make((written) => {
    if (kind !== 'file' || clock.monotonic() - saidAt < progressEveryMs) return
    saidAt = clock.monotonic()
    const percent = Math.floor((100 * written) / size)
    logger.info(
      { ...facts, written_bytes: written, percent },
      'Writing the space of the volume ahead',
    )
  })
  const duration = Math.round(clock.monotonic() - startedAt)
  logger.info({ ...facts, duration_ms: duration }, `Made a volume on a ${kind}`)
}

/** Before anything is written: the disk is not for the volume alone. */
async function assertFree(path: string, bytes: number): Promise<void> {
  const { bavail, blocks, bsize } = await fs.statfs(dirname(path))
  const { blocks: own } = await fs.stat(path)
  const free = bavail * bsize + own * 512 - bytesKeptFree(blocks * bsize)
  if (free >= bytes) return
  const wanted = formatByteSize(bytes)
  const room = Math.max(0, free)
  throw new StoragePathError(`there is no room for a file of ${wanted} at ${path}`, {
    hint: `Give a --size of at most ${formatByteSize(room)}: some of the disk stays free for the index and for others.`,
    facts: { path, bytes, free: room },
  })
}
