/**
 * Open segments, at most `limit` of them: the least recently used one that nobody is reading makes
 * room for another. When all are being read, the next one waits for the first to be released.
 */
import { assert } from '../../base/assert.ts'
import type { Device, DeviceSegment } from '../../device/device.ts'

const openSegmentsMax = 128

interface CachedHandle {
  readonly opened: Promise<DeviceSegment>
  /** Set once opened. */
  handle: DeviceSegment | undefined
  users: number
}

export class HandleCache {
  readonly #device: Device
  readonly #limit: number
  /** In order of use, the least recent first. */
  readonly #cached = new Map<number, CachedHandle>()
  readonly #waiting: (() => void)[] = []
  /** Told, while all are being closed, when one is not in use any more. */
  #onIdle = (): void => undefined

  constructor(device: Device, limit = openSegmentsMax) {
    this.#device = device
    this.#limit = limit
  }

  get size(): number {
    return this.#cached.size
  }

  /** The handle if it is open already; must be released like an acquired one. */
  tryAcquire(slot: number): DeviceSegment | undefined {
    const cached = this.#cached.get(slot)
    if (cached?.handle === undefined) return undefined
    this.#use(slot, cached)
    return cached.handle
  }

  async acquire(slot: number): Promise<DeviceSegment> {
    let cached = this.#cached.get(slot)
    while (cached === undefined && this.#cached.size >= this.#limit) {
      await this.#makeRoom()
      cached = this.#cached.get(slot)
    }
    cached ??= this.#open(slot)
    this.#use(slot, cached)
    // When opening fails, `#open` has taken the entry away and nobody has anything to release.
    return await cached.opened
  }

  /** Takes over a handle that was just created, as acquired. */
  adopt(slot: number, handle: DeviceSegment): void {
    assert(!this.#cached.has(slot), 'a new segment has no handle yet')
    this.#cached.set(slot, { opened: Promise.resolve(handle), handle, users: 1 })
  }

  release(slot: number): void {
    const cached = this.#cached.get(slot)
    assert(cached !== undefined && cached.users > 0, 'a handle is released that was acquired')
    cached.users--
    if (cached.users > 0) return
    this.#waiting.shift()?.()
    this.#onIdle()
  }

  /** Closes the handle of a segment that is about to go. */
  async evict(slot: number): Promise<void> {
    const cached = this.#cached.get(slot)
    if (cached === undefined) return
    assert(cached.users === 0, 'a segment that goes is not in use')
    await this.#close(slot, cached)
  }

  /** Closes all, each when it is not in use any more: a read ahead outlives the reader that was cut off. */
  async close(): Promise<void> {
    for (const [slot, cached] of [...this.#cached]) {
      while (cached.users > 0) {
        await new Promise<void>((resolve) => {
          this.#onIdle = resolve
        })
      }
      await this.#close(slot, cached)
    }
  }

  #use(slot: number, cached: CachedHandle): void {
    cached.users++
    this.#cached.delete(slot)
    this.#cached.set(slot, cached)
  }

  #open(slot: number): CachedHandle {
    const opened = this.#device.open(slot)
    const cached: CachedHandle = { opened, handle: undefined, users: 0 }
    opened.then(
      (handle) => {
        cached.handle = handle
      },
      () => {
        this.#cached.delete(slot)
        this.#waiting.shift()?.()
      },
    )
    return cached
  }

  async #makeRoom(): Promise<void> {
    for (const [slot, cached] of this.#cached) {
      if (cached.users === 0) return await this.#close(slot, cached)
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  async #close(slot: number, cached: CachedHandle): Promise<void> {
    this.#cached.delete(slot)
    const handle = await cached.opened
    await handle.close()
  }
}
