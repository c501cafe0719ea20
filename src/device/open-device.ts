/**
 * Picks the device for a storage path: a folder, a file or a block device, whichever is there; where
 * nothing is yet, a folder unless told otherwise. Whoever opens a volume, server or tool, does it here.
 */
import { constants } from 'node:fs'
import * as fs from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { systemCodeOf } from '../base/errors.ts'
import { deviceSize } from './block-device.ts'
import type { Device } from './device.ts'
import { DirectoryDevice } from './directory-device.ts'
import { StoragePathError } from './errors.ts'
import { closeFile, openFile } from './file-calls.ts'
import { SystemBacking } from './slot-backing.ts'
import { SlotDevice } from './slot-device.ts'
import { FolderFiles, type SmallFiles } from './small-files.ts'
import { type MakeDeviceOptions, openOrMakeSlotDevice, type StorageKind } from './storage-file.ts'

export type { MakeDeviceOptions, StorageKind } from './storage-file.ts'

export interface OpenedDevice {
  readonly kind: StorageKind
  readonly device: Device
  /** The small files of the volume. */
  readonly files: SmallFiles
  /** What a new volume has to go by; undefined in a folder, where it may choose. */
  readonly segmentBytes: number | undefined
  /** What there is room for; undefined in a folder, where it is what the disk has. */
  readonly capacityBytes: number | undefined
}

/** What is at `path`; undefined where nothing is. @throws StoragePathError for what cannot be used */
export async function storageKindAt(path: string): Promise<StorageKind | undefined> {
  try {
    const found = await fs.stat(path)
    if (found.isDirectory()) return 'directory'
    if (found.isFile()) return 'file'
    if (found.isBlockDevice()) return 'block device'
  } catch (error) {
    const code = systemCodeOf(error)
    // Whoever makes it is told what is in the way.
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return undefined
    throw error
  }
  throw new StoragePathError(`${path} is neither a directory nor a file nor a block device`, {
    facts: { path },
  })
}

/** Where the index goes unless told; undefined for a block device, beside which nothing can be. */
export function defaultIndexPath(path: string, kind: StorageKind): string | undefined {
  if (kind === 'block device') return undefined
  return kind === 'directory' ? join(path, 'index') : `${resolve(path)}.index`
}

/**
 * Opens the device at `path`. With `make` it is made where there is none, and it is locked against other
 * processes from here on; without, only what is a volume already is opened, to be looked at.
 * @throws StoragePathError, ForeignContentError, VolumeInUseError, CorruptDeviceError,
 *   DeviceTooNewError, DeviceShrunkError, MakingStoppedError
 */
export async function openDevice(path: string, make?: MakeDeviceOptions): Promise<OpenedDevice> {
  const there = await storageKindAt(path)
  const kind = there ?? make?.type ?? 'directory'
  if (kind === 'directory') {
    const device =
      make === undefined
        ? await DirectoryDevice.openReadOnly(path)
        : await DirectoryDevice.open(path)
    const files = new FolderFiles(path)
    return { kind, device, files, segmentBytes: undefined, capacityBytes: undefined }
  }
  const device =
    make === undefined
      ? await openMade(path, kind)
      : await openOrMakeSlotDevice(path, { ...make, kind, isNew: there === undefined })
  const { files, slotBytes, capacityBytes } = device
  return { kind, device, files, segmentBytes: slotBytes, capacityBytes }
}

async function openMade(path: string, kind: StorageKind): Promise<SlotDevice> {
  const fd = await openFile(path, constants.O_RDWR)
  let backing: SystemBacking
  try {
    const size = kind === 'file' ? (await fs.stat(path)).size : await deviceSize(fd)
    backing = new SystemBacking({ name: path, size, fd, onClosed: async () => undefined })
    await backing.sync()
  } catch (error) {
    await closeFile(fd)
    throw error
  }
  return await SlotDevice.open(backing)
}
