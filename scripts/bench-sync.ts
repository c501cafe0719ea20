/**
 * `npm run bench:sync`: how fast a site takes writes in mode sync, as a ratio to mode async, with a
 * remote behind a line of 20 ms there and back. Two sites, the proxy and the load share this machine.
 *
 *     npm run bench:sync -- --seconds 5 --rounds 3 --connections 64 --delay 20
 */
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'
import { benchArguments, count, positive } from './bench/arguments.ts'
import { type Child, startChild } from './bench/child.ts'
import { makeBenchFolder, removeBenchFolder, startSite } from './bench/site.ts'
import { runWrk, type WrkResult } from './bench/wrk.ts'

const values = benchArguments(
  'How fast a site takes writes in mode sync, as a ratio to mode async.',
  {
    seconds: positive('5', 'how long each measurement takes'),
    rounds: count('3', 'medians are taken over so many'),
    connections: count('64', 'of the load'),
    delay: positive('20', 'of the line there and back, in ms'),
  },
)
const seconds = values.seconds
const rounds = values.rounds
const connections = values.connections
const delayMs = values.delay

const token = 'bench-token-0123456789abcdef0123456789abcdef'
const modes = ['async', 'sync'] as const
type Mode = (typeof modes)[number]

const results: Record<Mode, WrkResult[]> = { async: [], sync: [] }
/** What the line adds to a question and its answer, as measured, ms. */
const lineMs: number[] = []
for (let round = 0; round <= rounds; round++) {
  for (const mode of modes) {
    const result = await measure(mode)
    process.stderr.write(`${mode}: ${result.perSecond}/s, p50 ${result.p50Ms} ms\n`)
    // The first round warms the disk up.
    if (round > 0) results[mode].push(result)
  }
}
const table = new Table({
  head: [`PUT 4 KiB, ${connections} connections`, 'per second', 'p50 ms', 'p99 ms'],
  style: { head: [], border: [] },
})
for (const mode of modes) {
  const median = (of: (result: WrkResult) => number): number =>
    results[mode].map(of).sort((a, b) => a - b)[Math.floor(rounds / 2)] ?? Number.NaN
  table.push([
    mode,
    median((result) => result.perSecond).toFixed(0),
    median((result) => result.p50Ms).toFixed(1),
    median((result) => result.p99Ms).toFixed(1),
  ])
}
const total = (mode: Mode): number =>
  results[mode].reduce((sum, { perSecond }) => sum + perSecond, 0)
lineMs.sort((a, b) => a - b)
const measuredMs = lineMs[Math.floor(lineMs.length / 2)]?.toFixed(1)
console.info(`${availableParallelism()} cores, ${rounds} rounds`)
console.info(`${delayMs} ms there and back, ${measuredMs} as measured while all is idle`)
console.info(table.toString())
console.info(`sync / async: ${(total('sync') / total('async')).toFixed(2)}`)

async function measure(mode: Mode): Promise<WrkResult> {
  const folder = await makeBenchFolder()
  const b = await startSite(`${folder}/b`, { args: ['--replication-accept-token', token] })
  const proxy = await startLine(b.url)
  process.env.COMIO_REPLICATION_MODE = mode
  const remote = `http://127.0.0.1:${proxy.found}`
  const a = await startSite(`${folder}/a`, {
    args: ['--replication-enabled', '--replication-remote', remote, '--replication-token', token],
  })
  try {
    lineMs.push((await answerMs(remote)) - (await answerMs(b.url)))
    return await runWrk({
      ...{ url: a.url, method: 'PUT', bytes: 4096, keys: 1, path: '/bench/o-' },
      ...{ connections, seconds, folder },
    })
  } finally {
    await a.stop()
    await proxy.stop()
    await b.stop()
    await removeBenchFolder(folder)
  }
}

/** Adds as much as it is told to: the way through the proxy itself takes time, and is part of the line. */
async function startLine(url: string): Promise<Child & { readonly found: string }> {
  const script = fileURLToPath(new URL('./bench/delaying-proxy.ts', import.meta.url))
  const start = (eachWayMs: number): ReturnType<typeof startLine> =>
    startChild([process.execPath, script, url, String(eachWayMs)], (line) => line)
  const probe = await start(delayMs / 2)
  const added = (await answerMs(`http://127.0.0.1:${probe.found}`)) - (await answerMs(url))
  await probe.stop()
  return await start(delayMs / 2 - Math.max(0, added - delayMs) / 2)
}

/** How long an answer takes over a connection that is open already: the median of some. */
async function answerMs(url: string): Promise<number> {
  const took: number[] = []
  for (let i = 0; i < 60; i++) {
    const began = performance.now()
    await (await fetch(`${url}/admin/health`)).arrayBuffer()
    took.push(performance.now() - began)
  }
  return took.sort((a, b) => a - b)[Math.floor(took.length / 2)] ?? Number.NaN
}
