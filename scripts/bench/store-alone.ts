/**
 * What the store makes durable without HTTP: 4 KiB puts of many writers, MD5 and SHA-256 included,
 * against `dd` that syncs each of its blocks, where a block is as large as a group of theirs.
 */
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { endOfTurn } from '../../src/base/clock.ts'
import type { Engine } from '../../src/store/engine.ts'
import { openBareStore } from './bare-store.ts'
import { run } from './child.ts'
import { type Finding, median, progress } from './replication-report.ts'

const writers = 64
const objectBytes = 4096
const ddBlocks = 200

export async function measureStoreAlone(inputs: {
  readonly folder: string
  readonly rounds: number
  readonly seconds: number
}): Promise<readonly Finding[]> {
  const storage = join(inputs.folder, 'alone')
  const index = join(storage, 'index')
  const { engine, close } = await openBareStore({ storage, index, endOfTurn })
  const own: number[] = []
  const dd: number[] = []
  try {
    for (let round = 0; round <= inputs.rounds; round++) {
      const rates = {
        own: await putFor(engine, inputs.seconds),
        dd: await syncedWrites(inputs.folder),
      }
      progress(`store alone: ${rates.own.toFixed(0)} puts/s, dd ${rates.dd.toFixed(0)} blocks/s`)
      if (round === 0) continue
      own.push(rates.own)
      dd.push(rates.dd)
    }
  } finally {
    await close()
  }
  const ratio = median(own) / (median(dd) * writers)
  return [
    {
      what: `the store alone, 4 KiB of ${writers} writers`,
      figure: `${median(own).toFixed(0)}/s, ${ratio.toFixed(2)} of dd's synced blocks of ${(writers * objectBytes) / 1024} KiB`,
    },
  ]
}

async function putFor(engine: Engine, seconds: number): Promise<number> {
  const body = randomBytes(objectBytes)
  const began = performance.now()
  const end = began + seconds * 1000
  let puts = 0
  const write = async (): Promise<void> => {
    while (performance.now() < end) {
      const key = `o-${began}-${puts++}`
      const input = { bucket: 'bench', key, body, contentLength: objectBytes, createBucket: true }
      await engine.putObject({ ...input, headers: {}, userMetadata: {} })
    }
  }
  await Promise.all(Array.from({ length: writers }, write))
  return (puts * 1000) / (performance.now() - began)
}

/** Blocks a second. */
async function syncedWrites(folder: string): Promise<number> {
  const file = join(folder, 'dd')
  const began = performance.now()
  await run([
    ...(['dd', 'if=/dev/zero', `of=${file}`, `bs=${writers * objectBytes}`] as const),
    ...[`count=${ddBlocks}`, 'oflag=dsync', 'status=none'],
  ])
  const seconds = (performance.now() - began) / 1000
  await rm(file)
  return ddBlocks / seconds
}
