/**
 * Frees segments. The order makes a crash harmless: first a superblock whose census leaves the segment
 * out and names it as the one being freed, then the segment goes. Pinned segments go when the last pin
 * is released; one whose header alone says where its predecessor ends goes after that one.
 */
import { assert } from '../../base/assert.ts'
import type { SegmentUse } from '../format/record.ts'
import type { SegmentEntry } from '../segments/segment-table.ts'
import type { VolumeContext } from '../segments/volume-context.ts'
import type { SegmentRegister } from './segment-register.ts'
import type { Space } from './space.ts'

export class SegmentReclaimer {
  readonly #context: VolumeContext
  readonly #space: Space
  readonly #register: SegmentRegister
  /** Freed by the superblock, but still on the device: goes before anything else is freed. */
  #unremoved: SegmentEntry | undefined

  constructor(context: VolumeContext, space: Space, register: SegmentRegister) {
    this.#context = context
    this.#space = space
    this.#register = register
  }

  /** Keeps the segment until the returned function is called; calling it again does nothing. */
  pin(entry: SegmentEntry): () => void {
    entry.pins++
    let held = true
    return () => {
      if (!held) return
      held = false
      this.unpin(entry)
    }
  }

  /** Gives back one pin that was counted on the entry itself. */
  unpin(entry: SegmentEntry): void {
    assert(entry.pins > 0, 'a pin is released that was taken')
    entry.pins--
    if (entry.pins > 0 || !entry.freeing) return
    this.#context.inBackground('a segment could not be freed', () => this.#removeIfIdle(entry))
  }

  /**
   * Frees a sealed segment, now or when nothing needs it any more. One that is gone stays gone.
   * @throws VolumeReadOnlyError, or the device's error; then the segment is still there
   */
  async free(use: SegmentUse): Promise<void> {
    this.#context.assertWritable()
    const entry = this.#context.table.find(use)
    if (entry === undefined) return
    assert(entry.state === 'sealed', 'only a sealed segment is freed')
    entry.freeing = true
    await this.#removeIfIdle(entry)
  }

  async #removeIfIdle(entry: SegmentEntry): Promise<void> {
    const { table, naming } = this.#context
    await naming.run(async () => {
      const isIdle = (): boolean => entry.freeing && entry.pins === 0 && table.find(entry) === entry
      if (isIdle() && !(await this.#isOnlyWitness(entry)) && isIdle()) await this.#remove(entry)
    })
    const successor = table.find(entry) === undefined ? table.successorOf(entry) : undefined
    if (successor?.freeing) await this.#removeIfIdle(successor)
  }

  /** Whether after a loss of power this header alone may say where the segment before it ends. */
  async #isOnlyWitness(entry: SegmentEntry): Promise<boolean> {
    if (entry.previous === undefined) return false
    const before = this.#context.table.find(entry.previous)
    if (before === undefined) return false
    if (before.hasFooter) before.footerLasts ??= await this.#secureFooter(before)
    return before.footerLasts !== true
  }

  /**
   * A footer that was found at the opening may be in the system's memory only: the process before was
   * killed before it had synced it, or the disk failed then. And a footer is looked for at the end of
   * its segment: a trim that is not durable is undone by a loss of power, and hides it. Only in a step
   * of `naming`, in which nothing removes the segment.
   */
  async #secureFooter(entry: SegmentEntry): Promise<boolean> {
    const { handles, logger } = this.#context
    const { segment } = entry
    try {
      const handle = await handles.acquire(segment)
      try {
        await handle.sync()
        return true
      } finally {
        handles.release(segment)
      }
    } catch (error) {
      // Another sync of the same file would prove nothing.
      logger.warn({ segment, error }, 'the footer of a segment could not be made durable')
      return false
    }
  }

  async #remove(entry: SegmentEntry): Promise<void> {
    const { table } = this.#context
    this.#context.assertWritable()
    if (this.#unremoved !== undefined) await this.#removeFromDevice(this.#unremoved)
    // From here on a look-up finds it stale, and its slot is nobody's.
    table.remove(entry)
    this.#space.claim(entry.segment)
    try {
      await this.#register.storeFreed(entry)
    } catch (error) {
      entry.freeing = false
      table.add(entry)
      this.#space.release(entry.segment)
      throw error
    }
    this.#unremoved = entry
    await this.#removeFromDevice(entry)
  }

  async #removeFromDevice(entry: SegmentEntry): Promise<void> {
    const { device, handles, onFreed } = this.#context
    onFreed?.(entry.segment)
    await handles.evict(entry.segment)
    await device.remove(entry.segment)
    this.#unremoved = undefined
    this.#register.removed()
    this.#space.release(entry.segment)
    await this.#space.refresh()
  }
}
