/**
 * A device in one file, or on a block device: in front a label, the superblock, a table of slots and
 * a few small files, behind them slots of one size, each with one segment or none. All space is there
 * from the beginning, so making and removing a segment is one write to the table. What is trimmed off
 * a segment stays with its slot.
 */
import { assert } from '../base/assert.ts'
import type { Device, DeviceSegment, SegmentPlace } from './device.ts'
import { CorruptDeviceError, DeviceShrunkError } from './errors.ts'
import { diskReads } from './file-calls.ts'
import type { BackingHandle, SlotBacking } from './slot-backing.ts'
import { SlotFiles } from './slot-files.ts'
import { blockBytes, startsAsFrame, TwinFrame } from './slot-frame.ts'
import {
  capacityOf,
  decodeLabel,
  filesPlace,
  labelPlace,
  labelSeed,
  type SlotLabel,
  type SlotLayout,
  slotAt,
  superblockPlace,
} from './slot-layout.ts'
import { SlotSegment, SlotUse } from './slot-segment.ts'
import { SlotTable } from './slot-table.ts'
import type { SmallFiles } from './small-files.ts'

const zeroBlock = Buffer.alloc(blockBytes)

interface SlotDeviceParts {
  readonly backing: SlotBacking
  readonly handle: BackingHandle
  readonly layout: SlotLayout
  readonly superblock: TwinFrame
  readonly table: SlotTable
  readonly files: SmallFiles
}

export class SlotDevice implements Device {
  readonly name: string
  readonly slotBytes: number
  /** What the device was made for. */
  readonly madeBytes: number
  /** What a volume may fill: a few slots are left for starting a full one after a crash. */
  readonly capacityBytes: number
  readonly files: SmallFiles
  readonly #parts: SlotDeviceParts
  readonly #uses = new Map<number, SlotUse>()
  #closed = false

  private constructor(parts: SlotDeviceParts) {
    const { backing, layout, table } = parts
    this.name = backing.name
    this.slotBytes = layout.slotBytes
    this.madeBytes = layout.deviceBytes
    this.capacityBytes = capacityOf(layout)
    this.files = parts.files
    this.#parts = parts
    for (const slot of table.slots()) {
      const entry = table.get(slot)
      assert(entry !== undefined, 'a slot that is listed')
      this.#uses.set(slot, new SlotUse({ slot, at: slotAt(layout, slot), ...entry }))
    }
  }

  /**
   * Opens what {@link makeSlotDevice} has made. Takes over `backing`, and closes it when it fails.
   * @throws CorruptDeviceError, DeviceTooNewError, DeviceShrunkError
   */
  static async open(backing: SlotBacking): Promise<SlotDevice> {
    let handle: BackingHandle | undefined
    try {
      handle = await backing.open()
      return await SlotDevice.#load(backing, handle)
    } catch (error) {
      await handle?.close()
      await backing.close()
      throw error
    }
  }

  static async #load(backing: SlotBacking, handle: BackingHandle): Promise<SlotDevice> {
    const { name } = backing
    const label = await readLabel(handle, name)
    if (label === undefined || !label.ready) throw new CorruptDeviceError(name, 'it has no label')
    const { layout } = label
    if (backing.size < layout.deviceBytes) {
      throw new DeviceShrunkError(name, backing.size, layout.deviceBytes)
    }
    const device = { name, id: layout.deviceId }
    const superblock = new TwinFrame(handle, device, superblockPlace(layout))
    await superblock.load()
    const place = filesPlace(layout)
    const filesFrame = new TwinFrame(handle, device, place)
    await filesFrame.load()
    const files = new SlotFiles(name, filesFrame, place.bytes)
    const table = await SlotTable.load(handle, name, layout)
    return new SlotDevice({ backing, handle, layout, superblock, table, files })
  }

  async readSuperblock(): Promise<Uint8Array | undefined> {
    const { payload } = this.#parts.superblock
    return payload && Buffer.from(payload)
  }

  async writeSuperblock(bytes: Uint8Array): Promise<void> {
    this.#assertOpen()
    assert(bytes.length <= blockBytes, 'a superblock beyond 4 KiB')
    const copy = Buffer.from(bytes)
    await this.#parts.superblock.replace(() => copy)
  }

  async list(): Promise<readonly number[]> {
    return this.#parts.table.slots()
  }

  /** The space of a slot was written when the device was made: `ahead` makes no difference. */
  async create(slot: number, size: number): Promise<DeviceSegment> {
    this.#assertOpen()
    const { layout, backing, table } = this.#parts
    assert(Number.isInteger(slot) && slot >= 0, 'a slot number out of range')
    assert(size > 0 && size % blockBytes === 0 && size <= layout.slotBytes, 'a segment of a slot')
    assert(!this.#uses.has(slot), `slot ${slot} is not empty`)
    if (slot >= layout.slotCount) throw noSpace(slot, layout.slotCount)
    const use = new SlotUse({ slot, at: slotAt(layout, slot), size, written: 0 })
    this.#uses.set(slot, use)
    let handle: BackingHandle | undefined
    try {
      handle = await backing.open()
      // The header of the slot's last segment must not be found again: it has a checksum of its own.
      await handle.write([zeroBlock], use.at)
      await table.update(slot, () => ({ size, written: 0 }))
    } catch (error) {
      this.#uses.delete(slot)
      await handle?.close()
      throw error
    }
    return new SlotSegment(use, handle, table)
  }

  async open(slot: number): Promise<DeviceSegment> {
    this.#assertOpen()
    const use = this.#uses.get(slot)
    if (use === undefined) throw systemError('ENOENT', `slot ${slot} of ${this.name} is empty`)
    return new SlotSegment(use, await this.#parts.backing.open(), this.#parts.table)
  }

  async remove(slot: number): Promise<void> {
    this.#assertOpen()
    const use = this.#uses.get(slot)
    if (use === undefined) return
    await this.#parts.table.update(slot, () => undefined)
    use.removed = true
    this.#uses.delete(slot)
  }

  async freeBytes(): Promise<number> {
    const { slotCount, slotBytes } = this.#parts.layout
    return (slotCount - this.#uses.size) * slotBytes
  }

  placeOf(slot: number): SegmentPlace {
    return { path: this.name, at: slotAt(this.#parts.layout, slot) }
  }

  diskReads(): number {
    return diskReads()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#parts.handle.close()
    await this.#parts.backing.close()
  }

  #assertOpen(): void {
    assert(!this.#closed, 'a device is used after it was closed')
  }
}

/** Undefined where there is none, and none was begun. @throws CorruptDeviceError, DeviceTooNewError */
export async function readLabel(
  handle: BackingHandle,
  name: string,
): Promise<SlotLabel | undefined> {
  if (!(await beginsAsLabel(handle))) return undefined
  const frame = new TwinFrame(handle, { name, id: labelSeed }, labelPlace)
  await frame.load()
  if (frame.payload === undefined) throw new CorruptDeviceError(name, 'its label is damaged')
  return decodeLabel(frame.payload, name)
}

async function beginsAsLabel(handle: BackingHandle): Promise<boolean> {
  for (const at of labelPlace.copies) {
    const bytes = Buffer.alloc(blockBytes)
    await handle.read(bytes, at)
    if (startsAsFrame(bytes)) return true
  }
  return false
}

function noSpace(slot: number, slotCount: number): Error {
  return systemError('ENOSPC', `slot ${slot} of ${slotCount}`)
}

/** What a folder would have the system say. */
function systemError(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code })
}
