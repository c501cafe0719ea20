/**
 * Overwrites objects at random on a volume that is 85% live, for ten times its size of writes, and
 * prints what that cost: whether a write was refused, how much was moved for each byte written, and
 * whether it is as fast in the end as it was in the beginning.
 *
 *     node scripts/bench-reclaim.ts [--size 2GiB] [--live 85] [--times 10] [--largest 4MiB] [--clients 16] [--storage DIR]
 *
 * A run of which `--minutes N` have passed ends with the tenth under way; `--keep DIR` leaves the volume there, and another run
 * with the same DIR goes on with it.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Engine } from '../src/store/engine.ts'
import { StorageFullError } from '../src/store/model/errors.ts'
import type { Volume } from '../src/volume/volume.ts'
import {
  benchArguments,
  byteSize,
  count,
  inPercent,
  optional,
  path,
  positive,
} from './bench/arguments.ts'
import { openBareStore } from './bench/bare-store.ts'
import { makeBenchFolder, removeBenchFolder } from './bench/site.ts'

const values = benchArguments(
  'What it costs to overwrite a volume that is nearly full again and again.',
  {
    size: byteSize('2GiB', 'of the volume'),
    live: inPercent('85', 'of the volume that is live, in percent'),
    times: positive('10', 'how many times its size is written'),
    largest: byteSize('4MiB', 'object'),
    clients: count('16', 'that write at once'),
    minutes: optional(positive('1', 'end with the tenth under way after so many')),
    keep: optional(path(undefined, 'leave the volume in this folder, or go on with the one there')),
    storage: path(tmpdir(), 'folder in which the volume is made'),
  },
)

const kib = 1024
const mib = 1024 * kib
const capacityBytes = values.size
const liveBytes = Math.floor((capacityBytes * values.live) / 100)
const toWrite = capacityBytes * values.times
const clients = values.clients
const parts = 10

const largest = values.largest

/** From 4 KiB to the largest, each doubling as likely as any other. */
const sizeOf = (): number => Math.round(4 * kib * (largest / (4 * kib)) ** Math.random())
const content = randomBytes(8 * mib)

interface Tally {
  bytes: number
  puts: number
  refused: number
}

const folder = values.keep ?? (await makeBenchFolder(values.storage))
await mkdir(folder, { recursive: true })
try {
  await run(folder)
} finally {
  if (values.keep === undefined) await removeBenchFolder(folder)
}

async function run(path: string): Promise<void> {
  const { volume, engine, close } = await openBareStore({
    storage: join(path, 'volume'),
    index: join(path, 'index'),
    format: { siteId: 'bench' },
    capacityBytes,
  })
  try {
    await measure(volume, engine)
  } finally {
    await close()
  }
}

async function measure(volume: Volume, engine: Engine): Promise<void> {
  const sizes = await objectsIn(engine)
  const stored = sizes.reduce((sum, size) => sum + size, 0)
  say(
    `volume ${inMib(capacityBytes)}, segments ${inMib(volume.limits.segmentBytes)}, ${sizes.length} objects, ${inMib(stored)} live (${percent(stored / capacityBytes)})`,
  )
  const before = { written: volume.writtenBytes, ...engine.reclaimed }
  const rates: number[] = []
  const total: Tally = { bytes: 0, puts: 0, refused: 0 }
  const deadline = performance.now() + (values.minutes ?? Number.POSITIVE_INFINITY) * 60_000
  for (let part = 0; part < parts && performance.now() < deadline; part++) {
    const began = performance.now()
    const { movedBytes } = engine.reclaimed
    const tally = await overwrite(engine, sizes, toWrite / parts)
    const seconds = (performance.now() - began) / 1000
    rates.push(tally.puts / seconds)
    total.bytes += tally.bytes
    total.puts += tally.puts
    total.refused += tally.refused
    const moved = engine.reclaimed.movedBytes - movedBytes
    say(
      `  ${part + 1}/${parts}: ${Math.round(tally.puts / seconds)} PUT/s, ${inMib(tally.bytes / seconds)}/s, moved ${(moved / tally.bytes).toFixed(2)} for each byte, refused ${tally.refused}`,
    )
  }
  const written = volume.writtenBytes - before.written
  const moved = engine.reclaimed.movedBytes - before.movedBytes
  const cleaned = engine.reclaimed.cleanedSegments - before.cleanedSegments
  say(`refused: ${total.refused} of ${total.puts + total.refused} writes`)
  say(
    `write amplification: ${(written / total.bytes).toFixed(2)} (${inMib(total.bytes)} by clients, ${inMib(moved)} moved, ${cleaned} segments cleaned)`,
  )
  const [first = 0, last = 0] = [rates[0], rates.at(-1)]
  say(
    `PUT/s: ${Math.round(first)} in the first tenth, ${Math.round(last)} in the last (${(last / first).toFixed(2)})`,
  )
}

/** Their sizes: those of an earlier run, or new ones that are written first. */
async function objectsIn(engine: Engine): Promise<readonly number[]> {
  const path = join(folder, 'sizes.json')
  const earlier = await readFile(path, 'utf8').catch(() => undefined)
  if (earlier !== undefined) return JSON.parse(earlier) as readonly number[]
  const sizes = await fill(engine)
  await writeFile(path, JSON.stringify(sizes))
  return sizes
}

async function fill(engine: Engine): Promise<readonly number[]> {
  const sizes: number[] = []
  for (let left = liveBytes; left > 0; ) {
    const size = Math.min(sizeOf(), left)
    sizes.push(size)
    left -= size
  }
  const next = sizes.entries()
  const work = async (): Promise<void> => {
    for (const [at, size] of next) await put(engine, at, size)
  }
  await together(work)
  return sizes
}

async function overwrite(engine: Engine, sizes: readonly number[], bytes: number): Promise<Tally> {
  const tally: Tally = { bytes: 0, puts: 0, refused: 0 }
  const work = async (): Promise<void> => {
    while (tally.bytes < bytes) {
      const at = Math.floor(Math.random() * sizes.length)
      const size = sizes[at] ?? 0
      tally.bytes += size
      try {
        await put(engine, at, size)
        tally.puts++
      } catch (thrown) {
        if (!(thrown instanceof StorageFullError)) throw thrown
        tally.refused++
      }
    }
  }
  await together(work)
  return tally
}

/** Also when one fails: nothing may be under way when the store is closed. */
async function together(work: () => Promise<void>): Promise<void> {
  const done = await Promise.allSettled(Array.from({ length: clients }, work))
  for (const result of done) if (result.status === 'rejected') throw result.reason
}

async function put(engine: Engine, at: number, size: number): Promise<void> {
  const from = Math.floor(Math.random() * (content.length - size))
  await engine.putObject({
    bucket: 'bench',
    key: `object-${at}`,
    body: content.subarray(from, from + size),
    contentLength: size,
    headers: {},
    userMetadata: {},
    createBucket: true,
  })
}

function inMib(bytes: number): string {
  return `${Math.round(bytes / mib)} MiB`
}

function percent(share: number): string {
  return `${Math.round(share * 100)}%`
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
