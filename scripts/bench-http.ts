/**
 * `npm run bench:http`: how fast one site answers, as a ratio to an idle `node:http` server that is
 * measured in the same run, in turns with it. Medians over the rounds, after a round that warms up.
 *
 *     npm run bench:http -- --seconds 5 --rounds 5 --connections 64
 */
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { startChild } from './bench/child.ts'
import { makeBenchFolder, removeBenchFolder, startSite } from './bench/site.ts'
import { runWrk, type WrkResult } from './bench/wrk.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '64' },
  },
})
const seconds = Number(values.seconds)
const rounds = Number(values.rounds)
const connections = Number(values.connections)

interface Case {
  readonly name: string
  readonly method: 'GET' | 'PUT'
  readonly bytes: number
  /** Objects written before, for GET. */
  readonly keys: number
}

const kib = 1024
const mib = 1024 * kib
const cases: readonly Case[] = [
  { name: 'PUT 4 KiB', method: 'PUT', bytes: 4 * kib, keys: 1 },
  { name: 'GET 4 KiB', method: 'GET', bytes: 4 * kib, keys: 10_000 },
  { name: 'PUT 1 MiB', method: 'PUT', bytes: mib, keys: 1 },
  { name: 'GET 1 MiB', method: 'GET', bytes: mib, keys: 200 },
]

const folder = await makeBenchFolder()
const idle = await startIdle()
const site = await startSite(`${folder}/volume`)
try {
  const table = new Table({
    head: [`${connections} connections`, 'idle/s', 'comio/s', 'ratio', 'p50 ms', 'p99 ms'],
    style: { head: [], border: [] },
  })
  for (const one of cases) table.push(await measure(one))
  console.info(`${availableParallelism()} cores, Node ${process.version}, ${rounds} rounds`)
  console.info(table.toString())
} finally {
  await site.stop()
  await idle.stop()
  await removeBenchFolder(folder)
}

async function startIdle(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const script = fileURLToPath(new URL('./bench/idle-server.ts', import.meta.url))
  const { found, stop } = await startChild([process.execPath, script], (line) => line)
  return { url: `http://127.0.0.1:${found}`, stop }
}

async function measure(one: Case): Promise<string[]> {
  if (one.method === 'GET') await fill(one)
  const own: WrkResult[] = []
  const idles: WrkResult[] = []
  for (let round = 0; round <= rounds; round++) {
    const reference = await wrk(one, { url: idle.url, path: `/${one.bytes}/o-` })
    const result = await wrk(one, { url: site.url, path: `/bench/${one.bytes}-` })
    if (round === 0) continue
    idles.push(reference)
    own.push(result)
    process.stderr.write(
      `${one.name}: idle ${reference.perSecond}, comio ${result.perSecond}, p50 ${result.p50Ms} ms, p99 ${result.p99Ms} ms\n`,
    )
  }
  const rate = median(own.map(({ perSecond }) => perSecond))
  const idleRate = median(idles.map(({ perSecond }) => perSecond))
  return [
    one.name,
    idleRate.toFixed(0),
    rate.toFixed(0),
    (rate / idleRate).toFixed(2),
    median(own.map(({ p50Ms }) => p50Ms)).toFixed(1),
    median(own.map(({ p99Ms }) => p99Ms)).toFixed(1),
  ]
}

function wrk(one: Case, at: { readonly url: string; readonly path: string }): Promise<WrkResult> {
  const { method, bytes, keys } = one
  return runWrk({ method, bytes, keys, connections, seconds, folder, ...at })
}

async function fill({ bytes, keys }: Case): Promise<void> {
  const body = Buffer.alloc(bytes, 'comio')
  let next = 0
  const writer = async (): Promise<void> => {
    while (next < keys) {
      const url = `${site.url}/bench/${bytes}-${next++}`
      const { ok, status } = await fetch(url, { method: 'PUT', body })
      if (!ok) throw new Error(`PUT ${url} was answered with ${status}`)
    }
  }
  await Promise.all(Array.from({ length: 16 }, writer))
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
