/**
 * Where what lies on a slot device, and its label, which says so. In front are the label, twice, and
 * two areas of the same shape for the two copies of everything else; behind them the slots.
 */
import { assert } from '../base/assert.ts'
import { formatByteSize } from '../base/byte-size.ts'
import { CorruptDeviceError, StoragePathError } from './errors.ts'
import { blockBytes, type FramePlace, frameHeaderBytes } from './slot-frame.ts'

const kib = 1024
const mib = 2 ** 20

export const deviceIdBytes = 16
const labelBytes = blockBytes
const labelCopies = [0, 64 * kib] as const
const areasAt = 128 * kib
const superblockFrameBytes = 2 * blockBytes
export const tableEntryBytes = 8
export const tableEntriesPerPage = (blockBytes - frameHeaderBytes) / tableEntryBytes
/** As flash likes it, and every file system. */
const slotAlignment = mib
const filesBytesMin = 16 * kib
const filesBytesMax = 4 * mib
const slotBytesMin = mib
const slotBytesMax = 64 * mib
/** What a volume needs at least, and a few to start it again and again. */
const slotCountMin = 8
const labelPayloadBytes = 48

export interface SlotLayout {
  readonly deviceId: Uint8Array
  /** What the device is made for; it may be longer, never shorter. */
  readonly deviceBytes: number
  readonly slotBytes: number
  readonly slotCount: number
  /** One copy of the small files. */
  readonly filesBytes: number
}

export interface SlotLabel {
  readonly layout: SlotLayout
  /** False while it is being made: what lies there is nothing yet. */
  readonly ready: boolean
}

export const labelPlace: FramePlace = {
  kind: 'label',
  index: 0,
  bytes: labelBytes,
  copies: labelCopies,
}
/** The label is read before the device's id is known. */
export const labelSeed = new Uint8Array(deviceIdBytes)

/**
 * Divides `deviceBytes` into slots: of a 128th part each, a power of two from 1 to 64 MiB, unless told.
 * @throws StoragePathError when there is no room for a volume
 */
export function planLayout(
  device: { readonly name: string; readonly bytes: number },
  options: { readonly deviceId: Uint8Array; readonly slotBytes?: number | undefined },
): SlotLayout {
  const { deviceId } = options
  const deviceBytes = device.bytes - (device.bytes % blockBytes)
  const slotBytes =
    options.slotBytes ?? powerOfTwoWithin(deviceBytes / 128, [slotBytesMin, slotBytesMax])
  const filesBytes = powerOfTwoWithin(deviceBytes / 256, [filesBytesMin, filesBytesMax])
  const layout = { deviceId, deviceBytes, slotBytes, filesBytes }
  let slotCount = Math.floor(deviceBytes / slotBytes)
  while (slotCount > 0 && endOf({ ...layout, slotCount }) > deviceBytes) slotCount--
  if (slotCount >= slotCountMin) return { ...layout, slotCount }
  const needed = endOf({ ...layout, slotBytes: slotBytesMin, slotCount: slotCountMin })
  throw new StoragePathError(
    `${device.name}: ${formatByteSize(device.bytes)} is too small for a volume`,
    {
      hint: `Give it at least ${Math.ceil(needed / mib)}MiB.`,
      facts: { path: device.name, bytes: device.bytes, needed },
    },
  )
}

/** Never taken by ordinary growth: each start after a crash needs one before it can free any. */
function slotsForStarting({ slotCount }: SlotLayout): number {
  return Math.min(8, Math.max(1, Math.floor(slotCount / 32)))
}

/** What a volume may fill. */
export function capacityOf(layout: SlotLayout): number {
  return (layout.slotCount - slotsForStarting(layout)) * layout.slotBytes
}

export function superblockPlace(layout: SlotLayout): FramePlace {
  return placeIn(layout, { kind: 'superblock', index: 0, bytes: superblockFrameBytes, at: 0 })
}

export function tablePageCount({ slotCount }: Pick<SlotLayout, 'slotCount'>): number {
  return Math.ceil(slotCount / tableEntriesPerPage)
}

export function tablePlace(layout: SlotLayout, index: number): FramePlace {
  const at = superblockFrameBytes + index * blockBytes
  return placeIn(layout, { kind: 'table', index, bytes: blockBytes, at })
}

export function filesPlace(layout: SlotLayout): FramePlace {
  const at = superblockFrameBytes + tablePageCount(layout) * blockBytes
  return placeIn(layout, { kind: 'files', index: 0, bytes: layout.filesBytes, at })
}

export function slotAt(layout: SlotLayout, slot: number): number {
  assert(slot >= 0 && slot < layout.slotCount, 'a slot of the device')
  return firstSlotAt(layout) + slot * layout.slotBytes
}

export function firstSlotAt(layout: Omit<SlotLayout, 'deviceId'>): number {
  return Math.ceil((areasAt + 2 * areaBytes(layout)) / slotAlignment) * slotAlignment
}

function endOf(layout: SlotLayout): number {
  return firstSlotAt(layout) + layout.slotCount * layout.slotBytes
}

function areaBytes(layout: Omit<SlotLayout, 'deviceId'>): number {
  return superblockFrameBytes + tablePageCount(layout) * blockBytes + layout.filesBytes
}

function placeIn(
  layout: SlotLayout,
  frame: Omit<FramePlace, 'copies'> & { readonly at: number },
): FramePlace {
  const { kind, index, bytes, at } = frame
  return { kind, index, bytes, copies: [areasAt + at, areasAt + areaBytes(layout) + at] }
}

export function encodeLabel({ layout, ready }: SlotLabel): Buffer {
  const bytes = Buffer.alloc(labelPayloadBytes)
  bytes.set(layout.deviceId)
  bytes.writeUIntLE(layout.deviceBytes, 16, 6)
  bytes.writeUInt32LE(layout.slotBytes, 24)
  bytes.writeUInt32LE(layout.slotCount, 28)
  bytes.writeUInt32LE(layout.filesBytes, 32)
  bytes[36] = ready ? 1 : 0
  return bytes
}

/** @throws CorruptDeviceError */
export function decodeLabel(bytes: Buffer, name: string): SlotLabel {
  if (bytes.length < labelPayloadBytes) throw new CorruptDeviceError(name, 'its label is too short')
  const layout = {
    deviceId: Uint8Array.from(bytes.subarray(0, deviceIdBytes)),
    deviceBytes: bytes.readUIntLE(16, 6),
    slotBytes: bytes.readUInt32LE(24),
    slotCount: bytes.readUInt32LE(28),
    filesBytes: bytes.readUInt32LE(32),
  }
  const { slotBytes, filesBytes } = layout
  const areWhole = slotBytes % blockBytes === 0 && filesBytes % blockBytes === 0
  if (!areWhole || slotBytes === 0 || filesBytes === 0 || endOf(layout) > layout.deviceBytes) {
    throw new CorruptDeviceError(name, 'its label contradicts itself')
  }
  return { layout, ready: bytes[36] === 1 }
}

function powerOfTwoWithin(bytes: number, [low, high]: readonly [number, number]): number {
  return Math.min(high, Math.max(low, 2 ** Math.floor(Math.log2(Math.max(1, bytes)))))
}
