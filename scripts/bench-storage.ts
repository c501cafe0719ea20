/**
 * `npm run bench:storage`: what it costs a site to hold very many objects. Two sites in turns, one with
 * few and one with many: 4 KiB PUTs, listing one level, memory, and how long a start takes, after a
 * clean stop and after `kill -9` in the middle of writes; and what the store alone, without HTTP,
 * makes durable, against `dd` on the same filesystem. Medians over the rounds, after one that warms up.
 *
 *     npm run bench:storage -- --objects 5000000 --few 10000 --seconds 5 --rounds 5 --connections 64
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { benchArguments, count, positive } from './bench/arguments.ts'
import { bucketOfFill, fillVolume, foldersOfFill } from './bench/fill-volume.ts'
import {
  type Finding,
  machineFacts,
  median,
  progress,
  tableOf,
} from './bench/replication-report.ts'
import { type BenchSite, makeBenchFolder, removeBenchFolder, startSite } from './bench/site.ts'
import { measureStoreAlone } from './bench/store-alone.ts'
import { runWrk, type WrkResult } from './bench/wrk.ts'

const values = benchArguments('What it costs a site to hold very many objects.', {
  objects: count('5000000', 'in the one site'),
  few: count('10000', 'in the other'),
  seconds: positive('5', 'how long each measurement takes'),
  rounds: count('5', 'medians are taken over so many'),
  connections: count('64', 'of the load'),
})
const objects = values.objects
const few = values.few
const seconds = values.seconds
const rounds = values.rounds
const connections = values.connections

const rateBar = 0.8
const memoryBarMib = 400
const cleanStartBarMs = 2000
const crashedStartBarMs = 10_000
/** How long a site rests after its start before it is looked at. */
const restMs = 5000

const folder = await makeBenchFolder()
const fewPath = join(folder, 'few')
const manyPath = join(folder, 'many')
try {
  console.info(`${machineFacts()}, ${rounds} rounds, ${connections} connections`)
  const findings = [...(await measureStoreAlone({ folder, rounds, seconds }))]
  await fillVolume(fewPath, few)
  await fillVolume(manyPath, objects)
  findings.push(...(await measureServing()))
  findings.push(...(await measureStarts()))
  console.info(tableOf(`${objects} objects`, findings))
} finally {
  await removeBenchFolder(folder)
}

async function measureServing(): Promise<readonly Finding[]> {
  const idleMib = await idleMemory()
  const sites = { few: await startSite(fewPath), many: await startSite(manyPath) }
  try {
    const results: Record<keyof typeof sites, WrkResult[]> = { few: [], many: [] }
    let peakMib = 0
    for (let round = 0; round <= rounds; round++) {
      for (const which of ['few', 'many'] as const) {
        const result = await put(sites[which])
        progress(`${which}: ${result.perSecond.toFixed(0)} PUT/s, p99 ${result.p99Ms} ms`)
        if (round > 0) results[which].push(result)
      }
      peakMib = Math.max(peakMib, await memoryOf(sites.many))
    }
    const listed = { few: await listLevel(sites.few), many: await listLevel(sites.many) }
    peakMib = Math.max(peakMib, await memoryOf(sites.many))
    const rate = (which: keyof typeof sites): number =>
      median(results[which].map(({ perSecond }) => perSecond))
    const ratio = rate('many') / rate('few')
    return [
      {
        what: 'PUT of 4 KiB',
        figure: `${rate('many').toFixed(0)}/s, ${ratio.toFixed(2)} of the ${rate('few').toFixed(0)}/s with ${few}`,
        bar: `${rateBar}`,
        met: ratio >= rateBar,
      },
      {
        what: 'memory then, above an idle empty site',
        figure: `${(peakMib - idleMib).toFixed(0)} MiB, ${peakMib.toFixed(0)} in all`,
        bar: `${memoryBarMib} MiB`,
        met: peakMib - idleMib < memoryBarMib,
      },
      {
        what: `listing ${foldersOfFill} folders by delimiter`,
        figure: `${listed.many.toFixed(1)} ms, ${listed.few.toFixed(1)} ms with ${few}`,
      },
    ]
  } finally {
    await sites.few.stop()
    await sites.many.stop()
  }
}

async function measureStarts(): Promise<readonly Finding[]> {
  const clean: number[] = []
  const crashed: number[] = []
  for (let round = 0; round < rounds; round++) {
    const afterStop = await timedStart(manyPath)
    clean.push(afterStop.ms)
    await killWhileWriting(afterStop.site)
    const afterKill = await timedStart(manyPath)
    crashed.push(afterKill.ms)
    progress(`start: ${afterStop.ms.toFixed(0)} ms, after kill -9 ${afterKill.ms.toFixed(0)} ms`)
    await afterKill.site.stop()
  }
  const started = (what: string, took: readonly number[], barMs: number): Finding => ({
    what,
    figure: `${median(took).toFixed(0)} ms, at most ${Math.max(...took).toFixed(0)}`,
    bar: `${barMs} ms`,
    met: Math.max(...took) < barMs,
  })
  return [
    started('start after a clean stop', clean, cleanStartBarMs),
    started('start after kill -9 under writes', crashed, crashedStartBarMs),
  ]
}

async function killWhileWriting(site: BenchSite): Promise<void> {
  const load = put(site).then(
    () => false,
    () => true,
  )
  await delay((seconds * 1000) / 2)
  await site.kill()
  if (!(await load)) throw new Error('the writes ended before the site was killed')
}

async function timedStart(
  path: string,
): Promise<{ readonly site: BenchSite; readonly ms: number }> {
  const began = performance.now()
  const site = await startSite(path)
  return { site, ms: performance.now() - began }
}

async function idleMemory(): Promise<number> {
  const site = await startSite(join(folder, 'empty'))
  try {
    await delay(restMs)
    return await memoryOf(site)
  } finally {
    await site.stop()
  }
}

async function put({ url }: BenchSite): Promise<WrkResult> {
  const order = { url, path: '/bench/o-', method: 'PUT', bytes: 4096, keys: 1 } as const
  return await runWrk({ ...order, connections, seconds, folder })
}

/** The median time, ms, of one answer that lists the folders. */
async function listLevel({ url }: BenchSite): Promise<number> {
  const took: number[] = []
  for (let i = 0; i < 21; i++) {
    const began = performance.now()
    const answer = await fetch(`${url}/${bucketOfFill}?list-type=2&delimiter=/`)
    const text = await answer.text()
    took.push(performance.now() - began)
    const found = text.match(/<CommonPrefixes>/g)?.length
    if (found !== foldersOfFill) throw new Error(`${found} folders were listed: ${text}`)
  }
  return median(took)
}

/** MiB that the process holds and cannot give back. */
async function memoryOf({ pid }: BenchSite): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1]) / 1024
}
