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
import { type BackingHandle, SystemBacking } from './slot-backing.ts'
import { readLabel, SlotDevice } from './slot-device.ts'
import { FolderFiles, type SmallFiles } from './small-files.ts'
import { type MakeDeviceOptions, openOrMakeSlotDevice, type StorageKind } from './storage-file.ts'
import { explainStoragePath } from './storage-folder.ts'

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
    if (code === 'ENOENT') await refuseEmptyLink(path)
    // Whoever makes it is told what is in the way.
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return undefined
    throw error
  }
  throw new StoragePathError(`${path} is neither a directory nor a file nor a block device`, {
    facts: { path },
  })
}

/** What a link names is not made by its name: it may be a disk that is not there at the moment. */
async function refuseEmptyLink(path: string): Promise<void> {
  const target = await targetOf(path)
  if (target === undefined) return
  throw new StoragePathError(`${path} is a link to ${target}, where nothing is`, {
    hint: 'Mount the disk that it leads to, or make a folder there, or name another storage path.',
    facts: { path, target },
  })
}

/** Undefined where there is no link. */
async function targetOf(path: string): Promise<string | undefined> {
  try {
    return await fs.readlink(path)
  } catch (error) {
    const code = systemCodeOf(error)
    if (code === 'EINVAL' || code === 'ENOENT') return undefined
    throw error
  }
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

/** To be looked at: nothing is opened for writing. */
async function openMade(path: string, kind: StorageKind): Promise<SlotDevice> {
  const backing = await openToRead(path, kind)
  try {
    const handle = await backing.open()
    await assertMade(handle, path).finally(() => handle.close())
  } catch (error) {
    await backing.close()
    throw error
  }
  return await SlotDevice.open(backing)
}

async function openToRead(path: string, kind: StorageKind): Promise<SystemBacking> {
  let fd: number | undefined
  try {
    fd = await openFile(path, constants.O_RDONLY)
    const size = kind === 'file' ? (await fs.stat(path)).size : await deviceSize(fd)
    return new SystemBacking({
      name: path,
      size,
      fd,
      readOnly: true,
      onClosed: async () => undefined,
    })
  } catch (error) {
    if (fd !== undefined) await closeFile(fd)
    throw explainStoragePath(path, error)
  }
}

/** Of what was never a volume nobody is told that it is damaged, or to be wiped. */
async function assertMade(handle: BackingHandle, path: string): Promise<void> {
  const label = await readLabel(handle, path)
  if (label?.ready === true) return
  const facts = { path }
  if (label === undefined) {
    throw new StoragePathError(`there is no volume at ${path}: it does not begin as one`, {
      hint: 'Name the file or the block device of the volume with --storage.',
      facts,
    })
  }
  throw new StoragePathError(`the volume at ${path} is not made to its end`, {
    hint: 'A site is making it now, or the next start of one makes it anew. Nothing is in it yet.',
    facts,
  })
}
