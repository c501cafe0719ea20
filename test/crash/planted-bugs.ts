/** Bugs that ComIO does not have, for the crash suite to find. */
import type { Device, DeviceSegment } from '../../src/device/device.ts'
import type { IndexOperation, OrderedIndex } from '../../src/index/ordered-index.ts'
import type { ReplayedRecord, Volume } from '../../src/volume/volume.ts'
import { withReplaced } from '../sim/planted-bugs.ts'

/** A disk that brings each write behind the sync that follows it. */
export function reordersWrites(device: Device): Device {
  return withReplaced(device, {
    create: async (slot, size) => new LateSegment(await device.create(slot, size)),
    open: async (slot) => new LateSegment(await device.open(slot)),
  })
}

class LateSegment implements DeviceSegment {
  readonly #segment: DeviceSegment
  #late: { readonly bytes: Buffer; readonly position: number } | undefined
  #catchingUp: Promise<void> | undefined

  constructor(segment: DeviceSegment) {
    this.#segment = segment
  }

  get size(): number {
    return this.#segment.size
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    await this.#catchUp()
    this.#late = { bytes: Buffer.concat(buffers), position }
  }

  async writeSynced(buffers: readonly Uint8Array[], position: number): Promise<void> {
    await this.write(buffers, position)
    await this.sync()
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    await this.#catchUp()
    return await this.#segment.read(target, position)
  }

  async sync(): Promise<void> {
    await this.#segment.sync()
    await this.#catchUp()
  }

  async trim(size: number): Promise<void> {
    await this.#catchUp()
    await this.#segment.trim(size)
  }

  async close(): Promise<void> {
    await this.#catchUp()
    await this.#segment.close()
  }

  async #catchUp(): Promise<void> {
    const late = this.#late
    this.#late = undefined
    if (late !== undefined) this.#catchingUp = this.#segment.write([late.bytes], late.position)
    // Also of whoever comes while it is being written.
    await this.#catchingUp
  }
}

const deleteKind = 2

/** A recovery that leaves out what was deleted. */
export function replaysNoDeletes(volume: Volume): Volume {
  async function* replayed(records: AsyncIterable<ReplayedRecord>): AsyncGenerator<ReplayedRecord> {
    for await (const record of records) if (record.kind !== deleteKind) yield record
  }
  return withReplaced(volume, { replay: (from) => replayed(volume.replay(from)) })
}

/** An index in which what is taken out of the feed stays. */
export function keepsOldPlaces(index: OrderedIndex): OrderedIndex {
  const changes = 'c'.charCodeAt(0)
  const kept = new WeakMap<readonly IndexOperation[], readonly IndexOperation[]>()
  return withReplaced(index, {
    write(operations: readonly IndexOperation[]) {
      const written =
        kept.get(operations) ??
        operations.filter(({ type, key }) => type !== 'del' || key[0] !== changes)
      kept.set(operations, written)
      return index.write(written)
    },
  })
}
