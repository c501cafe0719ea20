/**
 * A program that writes to a real volume with a real index, in a folder of its own, and says on its
 * standard output what it begins and what was answered, each with one system call: traced, these stand
 * among its writes to the disk in the order in which they happened.
 *
 *     node write-much.ts FOLDER SEED
 */
import { writeSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../../src/base/clock.ts'
import { silentLogger } from '../../../src/base/log.ts'
import { randomBelow, seededRandom, systemRandom } from '../../../src/base/random.ts'
import { DirectoryDevice } from '../../../src/device/directory-device.ts'
import { IndexOpenError } from '../../../src/index/errors.ts'
import { LevelIndex } from '../../../src/index/level-index.ts'
import { type Engine, openEngine } from '../../../src/store/engine.ts'
import { Volume } from '../../../src/volume/volume.ts'
import { bytesOf } from '../../e2e/content.ts'
import { keysEach, segmentBytes, sizeOf, writers } from './written.ts'

const livesMax = 4
const writesEach = 5

const [folder = '', seedText = ''] = process.argv.slice(2)
const seed = Number(seedText)
const random = seededRandom(seed)
/** Contents are numbered, across the runs over one folder. */
let content = seed * 10_000

function say(line: string): void {
  writeSync(1, `${line}\n`)
}

async function write(engine: Engine, key: string): Promise<void> {
  const name = { bucket: 'load', key }
  if (randomBelow(random, 5) === 0) {
    say(`begun ${key} 0`)
    await engine.deleteObject(name)
    say(`answered ${key} 0`)
    return
  }
  const number = ++content
  const body = bytesOf(number, sizeOf(number))
  say(`begun ${key} ${number}`)
  await engine.putObject({
    ...{ ...name, body, contentLength: body.length, headers: {}, userMetadata: {} },
    createBucket: true,
  })
  say(`answered ${key} ${number}`)
}

/** As the server does it: one that does not open is built anew. */
async function openIndex(): Promise<LevelIndex> {
  const path = join(folder, 'index')
  try {
    return await LevelIndex.open({ path })
  } catch (error) {
    if (!(error instanceof IndexOpenError)) throw error
    await rm(path, { recursive: true })
    return await LevelIndex.open({ path })
  }
}

async function live(): Promise<void> {
  const volume = await Volume.open({
    ...{ random: systemRandom, clock: systemClock, logger: silentLogger },
    device: await DirectoryDevice.open(join(folder, 'volume')),
    format: { siteId: 'here', segmentBytes },
  })
  const engine = await openEngine({
    ...{ volume, random: systemRandom, clock: systemClock, logger: silentLogger },
    openIndex,
    maxClockSkewMs: 300_000,
  })
  await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      for (let left = writesEach; left > 0; left--) {
        await write(engine, `${writer}/${randomBelow(random, keysEach)}`)
      }
    }),
  )
  await engine.close()
  await volume.close()
}

for (let life = 0; life < livesMax; life++) await live()
