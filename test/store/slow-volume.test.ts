import { expect, it } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { MemoryIndex, MemoryIndexDisk } from '../../src/index/memory-index.ts'
import { Chance } from '../../src/sim/chance.ts'
import { EventQueue } from '../../src/sim/event-queue.ts'
import { HardwareClock, SimClock } from '../../src/sim/sim-clock.ts'
import { SimDevice } from '../../src/sim/sim-device.ts'
import { noDiskFaults, SimDisk } from '../../src/sim/sim-disk.ts'
import { openEngine } from '../../src/store/engine.ts'
import { StorageFullError } from '../../src/store/model/errors.ts'
import { Volume } from '../../src/volume/volume.ts'

const segmentBytes = 512 * 1024
const clients = 32
const livePercent = 80

interface Shape {
  readonly seed: number
  readonly segments: number
  /** Of what a segment is, the smallest object is this part; the largest is all of it. */
  readonly smallest: number
}

interface SlowStore {
  readonly chance: Chance
  readonly queue: EventQueue
  put(at: number, bytes: number): Promise<void>
}

async function openSlowStore({ seed, segments }: Shape): Promise<SlowStore> {
  const capacityBytes = segments * segmentBytes
  const chance = new Chance(seed)
  const queue = new EventQueue(chance.fork('ties'))
  const clock = new SimClock(new HardwareClock({ queue, skewMs: 0, drift: 0 }))
  const latency = { readMs: 2, writeMs: 100, syncMs: 200 }
  const disk = new SimDisk({
    ...{ name: 'slow', queue, chance: chance.fork('disk'), latency, faults: noDiskFaults },
    capacityBytes: 2 * capacityBytes,
  })
  const random = chance.fork('life')
  const surroundings = { clock, random, logger: silentLogger }
  const content = Buffer.from(random.bytes(2 * segmentBytes + 100))
  const opening = (async (): Promise<SlowStore> => {
    const volume = await Volume.open({
      ...{ ...surroundings, device: new SimDevice(disk), capacityBytes },
      format: { siteId: 'here', segmentBytes },
    })
    const settle = (): Promise<void> => queue.pause(chance.around(5))
    const engine = await openEngine({
      ...{ ...surroundings, volume, maxClockSkewMs: 300_000 },
      openIndex: () => MemoryIndex.open({ disk: new MemoryIndexDisk(), settle }),
    })
    const put = async (at: number, bytes: number): Promise<void> => {
      await engine.putObject({
        ...{ bucket: 'photos', key: `k${at}`, contentLength: bytes },
        ...{ body: content.subarray(0, bytes), headers: {}, userMetadata: {}, createBucket: true },
      })
    }
    return { chance: chance.fork('client'), queue, put }
  })()
  return await drive(queue, opening)
}

/** Lets virtual time pass until it is done. */
async function drive<T>(queue: EventQueue, work: Promise<T>): Promise<T> {
  let isDone = false
  const done = (): void => {
    isDone = true
  }
  work.then(done, done)
  for (;;) {
    await new Promise(setImmediate)
    if (isDone) return await work
    expect(queue.runNext()).toBe(true)
  }
}

/** Fills the volume; resolves to the sizes of the objects, each doubling as likely as any other. */
async function fill({ chance, put }: SlowStore, shape: Shape): Promise<readonly number[]> {
  const sizes: number[] = []
  for (let left = Math.floor((shape.segments * segmentBytes * livePercent) / 100); left > 0; ) {
    const size = Math.round((segmentBytes / shape.smallest) * shape.smallest ** chance.fraction())
    sizes.push(Math.min(size, left))
    left -= size
  }
  const next = sizes.entries()
  await together(async () => {
    for (const [at, size] of next) await put(at, size)
  })
  return sizes
}

async function together(work: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: clients }, work))
}

it.each([
  { seed: 2, segments: 64, smallest: 64 },
  { seed: 3, segments: 64, smallest: 64 },
  { seed: 1, segments: 48, smallest: 16 },
])(
  'a volume of $segments segments that is nearly full, and as slow as a bad disk, refuses none of many writers that overwrite it (seed $seed)',
  async (shape) => {
    const store = await openSlowStore(shape)
    const sizes = await drive(store.queue, fill(store, shape))
    const refused: number[] = []
    let written = 0
    const overwrite = async (): Promise<void> => {
      while (written < shape.segments * segmentBytes) {
        const at = store.chance.below(sizes.length)
        const size = sizes[at] ?? 0
        written += size
        await store.put(at, size).catch((thrown: unknown) => {
          expect(thrown).toBeInstanceOf(StorageFullError)
          refused.push(size)
        })
      }
    }
    await drive(store.queue, together(overwrite))
    expect(refused).toEqual([])
  },
)
