/**
 * Which slots hold a segment, how long it is, and how far it was written. What lies behind that is what
 * an earlier segment left there, and reads as zeros: so neither making nor reusing a slot has to write
 * its length in zeros. Pages of the table are twin frames; a change is one write of one page.
 */
import { assert } from '../base/assert.ts'
import { CorruptDeviceError } from './errors.ts'
import type { BackingHandle } from './slot-backing.ts'
import { blockBytes, TwinFrame } from './slot-frame.ts'
import {
  type SlotLayout,
  tableEntriesPerPage,
  tableEntryBytes,
  tablePageCount,
  tablePlace,
} from './slot-layout.ts'

export interface SlotEntry {
  /** Of the segment. */
  readonly size: number
  /** Nothing durable lies at or behind this. */
  readonly written: number
}

type Change = (entry: SlotEntry | undefined) => SlotEntry | undefined

export class SlotTable {
  readonly #pages: readonly TwinFrame[]
  readonly #slotCount: number
  /** As stored. */
  readonly #entries = new Map<number, SlotEntry>()

  private constructor(pages: readonly TwinFrame[], slotCount: number) {
    this.#pages = pages
    this.#slotCount = slotCount
  }

  /** Stores an empty table. */
  static async make(handle: BackingHandle, name: string, layout: SlotLayout): Promise<void> {
    for (const page of pagesOf(handle, name, layout)) {
      await page.replace(() => Buffer.alloc(tableEntriesPerPage * tableEntryBytes))
    }
  }

  /** @throws CorruptDeviceError */
  static async load(handle: BackingHandle, name: string, layout: SlotLayout): Promise<SlotTable> {
    const pages = pagesOf(handle, name, layout)
    const table = new SlotTable(pages, layout.slotCount)
    for (const [index, page] of pages.entries()) {
      await page.load()
      if (page.payload === undefined) {
        throw new CorruptDeviceError(name, `page ${index} of its slot table is missing`)
      }
      table.#take(index, page.payload)
    }
    return table
  }

  get(slot: number): SlotEntry | undefined {
    return this.#entries.get(slot)
  }

  /** Ascending. */
  slots(): readonly number[] {
    return [...this.#entries.keys()].sort((a, b) => a - b)
  }

  /** Durable when resolved. Changes of one page are made in turn, each on what the last one left. */
  async update(slot: number, change: Change): Promise<void> {
    assert(slot >= 0 && slot < this.#slotCount, 'a slot of the device')
    const index = Math.floor(slot / tableEntriesPerPage)
    const page = this.#pages[index]
    assert(page !== undefined, 'a page for every slot')
    let next: SlotEntry | undefined
    const make = (): Buffer => {
      next = change(this.#entries.get(slot))
      return this.#encode(index, { slot, entry: next })
    }
    await page.replace(make, () => {
      if (next === undefined) this.#entries.delete(slot)
      else this.#entries.set(slot, next)
    })
  }

  #encode(
    page: number,
    changed: { readonly slot: number; readonly entry: SlotEntry | undefined },
  ): Buffer {
    const bytes = Buffer.alloc(tableEntriesPerPage * tableEntryBytes)
    const first = page * tableEntriesPerPage
    for (let at = 0; at < tableEntriesPerPage; at++) {
      const slot = first + at
      const entry = slot === changed.slot ? changed.entry : this.#entries.get(slot)
      if (entry === undefined) continue
      bytes.writeUInt32LE(blocksOf(entry.size), at * tableEntryBytes)
      bytes.writeUInt32LE(blocksOf(entry.written), at * tableEntryBytes + 4)
    }
    return bytes
  }

  #take(page: number, payload: Buffer): void {
    const first = page * tableEntriesPerPage
    const count = Math.min(tableEntriesPerPage, this.#slotCount - first)
    for (let at = 0; at < count; at++) {
      const size = payload.readUInt32LE(at * tableEntryBytes) * blockBytes
      const written = payload.readUInt32LE(at * tableEntryBytes + 4) * blockBytes
      if (size > 0) this.#entries.set(first + at, { size, written })
    }
  }
}

function pagesOf(handle: BackingHandle, name: string, layout: SlotLayout): readonly TwinFrame[] {
  const device = { name, id: layout.deviceId }
  return Array.from({ length: tablePageCount(layout) }, (_, index) => {
    return new TwinFrame(handle, device, tablePlace(layout, index))
  })
}

function blocksOf(bytes: number): number {
  assert(bytes % blockBytes === 0, 'whole blocks')
  return bytes / blockBytes
}
