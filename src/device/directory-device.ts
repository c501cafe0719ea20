/**
 * A device in a folder: PATH/superblock, and PATH/segments/ with one file per segment, named by the
 * slot in eight hex digits. Every name that this class makes, moves or removes is synced into its
 * folder before the call resolves; whole files appear by rename, so that a crash leaves either
 * nothing or everything, and a leftover temporary file that the next opening's first change removes.
 */
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '../base/assert.ts'
import { systemCodeOf } from '../base/errors.ts'
import type { Device, DeviceSegment, SegmentPlace } from './device.ts'
import { DirectorySegment } from './directory-segment.ts'
import { ShortWriteError } from './errors.ts'
import {
  closeFile,
  diskReads,
  openFile,
  setSize,
  syncAll,
  syncData,
  syncFolder,
  withFile,
  writeAt,
} from './file-calls.ts'
import { findStorageFolder, makeStorageFolder } from './storage-folder.ts'

/** In the folder of the volume. */
export const segmentsFolder = 'segments'
const fileMode = 0o600
const superblockBytesMax = 4096
const temporarySuffix = '.tmp'
const temporaryPattern = /^([0-9a-f]{8}\.seg|superblock)\.tmp$/
const segmentPattern = /^([0-9a-f]{8})\.seg$/
const zeros = Buffer.alloc(2 ** 20)
const keptFreeShare = 0.05
const keptFreeMin = 32 * 2 ** 20
const keptFreeMax = 2 ** 30

export class DirectoryDevice implements Device {
  readonly name: string
  readonly #segments: string
  /** Leftovers are removed before the first change and not before: they may be another process's. */
  #tidied: Promise<void> | undefined
  /** Made without their space. */
  readonly #growing = new Set<DirectorySegment>()
  readonly #readOnly: boolean
  #closed = false

  private constructor(
    path: string,
    { segments, readOnly }: { readonly segments: string; readonly readOnly: boolean },
  ) {
    this.name = path
    this.#segments = segments
    this.#readOnly = readOnly
  }

  /**
   * Opens the folder `path`, making it when it does not exist.
   * @throws StoragePathError
   */
  static async open(path: string): Promise<DirectoryDevice> {
    const segments = join(path, segmentsFolder)
    await makeStorageFolder(path)
    await makeStorageFolder(segments)
    // A process that was killed may have left names that are seen, but not durable yet.
    await syncFolder(segments)
    await syncFolder(path)
    return new DirectoryDevice(path, { segments, readOnly: false })
  }

  /**
   * For looking at a volume: nothing is made, synced or tidied up, and no file is opened for writing,
   * so that it works on a file system that is mounted read-only.
   * @throws StoragePathError when there is no volume
   */
  static async openReadOnly(path: string): Promise<DirectoryDevice> {
    const segments = join(path, segmentsFolder)
    await findStorageFolder(path)
    await findStorageFolder(segments)
    return new DirectoryDevice(path, { segments, readOnly: true })
  }

  async readSuperblock(): Promise<Uint8Array | undefined> {
    try {
      return await fs.readFile(this.#superblockPath)
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return undefined
      throw error
    }
  }

  async writeSuperblock(bytes: Uint8Array): Promise<void> {
    await this.#beforeChange()
    assert(bytes.length <= superblockBytesMax, 'a superblock beyond 4 KiB')
    const temporary = this.#superblockPath + temporarySuffix
    await withFile(openFile(temporary, 'w', fileMode), async (fd) => {
      await writeWhole(fd, bytes, { path: temporary, position: 0 })
      await syncAll(fd)
    })
    await fs.rename(temporary, this.#superblockPath)
    await syncFolder(this.name)
  }

  async list(): Promise<readonly number[]> {
    const slots: number[] = []
    for (const name of await fs.readdir(this.#segments)) {
      const digits = segmentPattern.exec(name)?.[1]
      if (digits !== undefined) slots.push(Number.parseInt(digits, 16))
    }
    return slots.sort((a, b) => a - b)
  }

  async create(
    slot: number,
    size: number,
    { ahead }: { readonly ahead: boolean } = { ahead: true },
  ): Promise<DeviceSegment> {
    await this.#beforeChange()
    const path = this.#segmentPath(slot)
    assert(!(await exists(path)), `slot ${slot} is not empty`)
    const temporary = path + temporarySuffix
    const fd = await openFile(temporary, 'w+', fileMode)
    try {
      if (ahead) await writeZeros(fd, size, temporary)
      else await setSize(fd, size)
      await fs.rename(temporary, path)
      await syncFolder(this.#segments)
    } catch (error) {
      await closeFile(fd)
      await fs.rm(temporary, { force: true })
      await fs.rm(path, { force: true })
      throw error
    }
    const segment = new DirectorySegment({ path, fd, size, written: ahead ? size : 0 })
    if (!ahead) this.#growing.add(segment)
    return segment
  }

  async open(slot: number): Promise<DeviceSegment> {
    this.#assertOpen()
    const path = this.#segmentPath(slot)
    const fd = await openFile(path, this.#readOnly ? 'r' : 'r+')
    try {
      const { size } = await fs.stat(path)
      return new DirectorySegment({ path, fd, size, written: size })
    } catch (error) {
      await closeFile(fd)
      throw error
    }
  }

  async remove(slot: number): Promise<void> {
    await this.#beforeChange()
    await fs.rm(this.#segmentPath(slot), { force: true })
    await syncFolder(this.#segments)
  }

  async freeBytes(): Promise<number> {
    const { bavail, blocks, bsize } = await fs.statfs(this.#segments)
    return Math.max(0, bavail * bsize - bytesKeptFree(blocks * bsize) - this.#promisedBytes())
  }

  placeOf(slot: number): SegmentPlace {
    return { path: this.#segmentPath(slot), at: 0 }
  }

  diskReads(): number {
    return diskReads()
  }

  /** What was given to segments and not written yet. */
  #promisedBytes(): number {
    let bytes = 0
    for (const segment of this.#growing) {
      if (segment.unwritten === 0) this.#growing.delete(segment)
      bytes += segment.unwritten
    }
    return bytes
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  get #superblockPath(): string {
    return join(this.name, 'superblock')
  }

  #segmentPath(slot: number): string {
    assert(Number.isInteger(slot) && slot >= 0 && slot < 2 ** 32, 'a slot number out of range')
    return join(this.#segments, `${slot.toString(16).padStart(8, '0')}.seg`)
  }

  #assertOpen(): void {
    assert(!this.#closed, 'a device is used after it was closed')
  }

  /** Whoever changes the device has locked the volume by then. */
  async #beforeChange(): Promise<void> {
    this.#assertOpen()
    assert(!this.#readOnly, 'a device that was opened for reading is not changed')
    this.#tidied ??= removeTemporaries([this.name, this.#segments])
    await this.#tidied
  }
}

/**
 * The disk is not for segments alone: the index beside them needs room to be written and even to be
 * opened. Taken to the last byte, the site would not start again.
 */
export function bytesKeptFree(diskBytes: number): number {
  return Math.min(keptFreeMax, Math.max(keptFreeMin, diskBytes * keptFreeShare))
}

/**
 * Synced piece by piece: one sync of a whole segment holds up the log's own syncs meanwhile (measured:
 * p99 of a group 11 ms, 6.5 ms in pieces).
 */
async function writeZeros(fd: number, size: number, path: string): Promise<void> {
  for (let position = 0; position < size; position += zeros.length) {
    const piece = zeros.subarray(0, Math.min(zeros.length, size - position))
    await writeWhole(fd, piece, { path, position })
    await syncData(fd)
  }
  await syncAll(fd)
}

/** A disk that becomes full takes a part first; only the attempt at the rest gets the system's error. */
async function writeWhole(
  fd: number,
  bytes: Uint8Array,
  place: { readonly path: string; readonly position: number },
): Promise<void> {
  const { path: device, position } = place
  let written = 0
  while (written < bytes.length) {
    const some = await writeAt(fd, [bytes.subarray(written)], position + written)
    if (some === 0) throw new ShortWriteError({ device, position, wanted: bytes.length, written })
    written += some
  }
}

async function removeTemporaries(folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    for (const name of await fs.readdir(folder)) {
      if (temporaryPattern.test(name)) await fs.rm(join(folder, name), { force: true })
    }
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await fs.stat(path)
    return true
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return false
    throw error
  }
}
