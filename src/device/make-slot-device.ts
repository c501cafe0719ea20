/**
 * Makes a slot device: wipes both ends, writes the space of a file ahead, and stores the label last.
 * A label that says "being made" comes first, so that one that was cut off is made again without
 * anybody having to look into it.
 */
import { MakingStoppedError } from './errors.ts'
import type { BackingHandle } from './slot-backing.ts'
import { TwinFrame } from './slot-frame.ts'
import { encodeLabel, firstSlotAt, labelPlace, labelSeed, type SlotLayout } from './slot-layout.ts'
import { SlotTable } from './slot-table.ts'

const zeros = Buffer.alloc(4 * 2 ** 20)
/** Where other systems have the second copies of what they have in front. */
const wipedAtEnd = 2 ** 20

export interface MakeSlotOptions {
  /** For messages. */
  readonly name: string
  readonly layout: SlotLayout
  /** Of what it lies on: less than a block more than the layout has. */
  readonly size: number
  /** Whether all of it is written: a file has no space before. */
  readonly ahead: boolean
  readonly onProgress?: (writtenBytes: number) => void
  readonly signal?: AbortSignal | undefined
}

/** @throws MakingStoppedError, or the system's error */
export async function makeSlotDevice(
  handle: BackingHandle,
  options: MakeSlotOptions,
): Promise<void> {
  const { name, layout, size, ahead } = options
  const label = new TwinFrame(handle, { name, id: labelSeed }, labelPlace)
  const storeLabel = async (ready: boolean): Promise<void> => {
    // Both copies say the same: damage to one of them must not make it look unmade.
    for (const _ of labelPlace.copies) await label.replace(() => encodeLabel({ layout, ready }))
  }
  await storeLabel(false)
  const front = firstSlotAt(layout)
  const [first, second] = labelPlace.copies
  await writeZeros(handle, [first + labelPlace.bytes, second], options)
  await writeZeros(handle, [second + labelPlace.bytes, front], options)
  const rest = ahead ? front : Math.max(front, layout.deviceBytes - wipedAtEnd)
  await writeZeros(handle, [rest, size], options)
  await SlotTable.make(handle, name, layout)
  await storeLabel(true)
}

async function writeZeros(
  handle: BackingHandle,
  [from, to]: readonly [number, number],
  { name, onProgress, signal }: MakeSlotOptions,
): Promise<void> {
  for (let at = from; at < to; at += zeros.length) {
    if (signal?.aborted) throw new MakingStoppedError(name)
    const piece = zeros.subarray(0, Math.min(zeros.length, to - at))
    await handle.write([piece], at)
    onProgress?.(at + piece.length)
  }
}
