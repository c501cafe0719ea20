/**
 * `npm run bench:http`: how fast one site answers, as ratios to an idle `node:http` server and to nginx
 * (whose PUT syncs nothing), which are measured in the same run, in turns with it, with one thread that takes
 * connections and with several; bodies of 64 MiB also against `dd conv=fdatasync`; and what four large uploads
 * cost small PUTs. Medians over the rounds, after a round that warms up.
 *
 *     npm run bench:http -- --seconds 5 --rounds 5 --connections 64
 *     npm run bench:http -- --only large,mixed
 *     npm run bench:http -- --only small --threads 4
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { benchArguments, count, positive, some } from './bench/arguments.ts'
import { startChild } from './bench/child.ts'
import { measureLargeBodies } from './bench/large-bodies.ts'
import { measureMixedLoad } from './bench/mixed-load.ts'
import { type Nginx, reasonWithoutNginx, startNginx } from './bench/nginx.ts'
import {
  type Finding,
  machineFacts,
  median,
  progress,
  tableOf,
} from './bench/replication-report.ts'
import { type BenchSite, makeBenchFolder, removeBenchFolder, startSite } from './bench/site.ts'
import { runWrk, type WrkResult } from './bench/wrk.ts'

const values = benchArguments(
  'How fast one site answers, against an idle node:http server, nginx and dd.',
  {
    only: some(['small', 'large', 'mixed'], 'which parts'),
    seconds: positive('5', 'how long each measurement takes'),
    rounds: count('5', 'medians are taken over so many'),
    connections: count('64', 'of the load'),
    threads: count('2', 'that take connections, beside a site with one'),
  },
)
const seconds = values.seconds
const rounds = values.rounds
const connections = values.connections
const parts = values.only

interface Case {
  readonly name: string
  readonly method: 'GET' | 'PUT'
  readonly bytes: number
  /** Objects written before, for GET. */
  readonly keys: number
  /** What the ratios should be at least. */
  readonly bars?: { readonly idle?: number; readonly nginx: number }
}

const kib = 1024
const mib = 1024 * kib
const cases: readonly Case[] = [
  { name: 'PUT 4 KiB', method: 'PUT', bytes: 4 * kib, keys: 1, bars: { idle: 0.2, nginx: 1.2 } },
  { name: 'GET 4 KiB', method: 'GET', bytes: 4 * kib, keys: 10_000, bars: { nginx: 0.35 } },
  { name: 'PUT 1 MiB', method: 'PUT', bytes: mib, keys: 1 },
  { name: 'GET 1 MiB', method: 'GET', bytes: mib, keys: 200 },
]
/** The 99th percentile should be below so many times the median, where there are bars. */
const tailBar = 5

const folder = await makeBenchFolder()
const nginxFolder = join(folder, 'nginx')
const idle = await startIdle()
const nginx = await startReference()
const sites = [
  { words: '', site: await startThreads(1) },
  { words: `, ${values.threads} threads`, site: await startThreads(values.threads) },
] as const
try {
  console.info(`${machineFacts()}, ${rounds} rounds, ${connections} connections`)
  const findings: Finding[] = []
  const siteUrl = sites[0].site.url
  if (parts.includes('small')) for (const one of cases) findings.push(...(await measure(one)))
  if (parts.includes('large')) {
    findings.push(...(await measureLargeBodies({ folder, rounds, siteUrl, nginxUrl: nginx?.url })))
  }
  if (parts.includes('mixed')) {
    findings.push(...(await measureMixedLoad({ folder, rounds, seconds, connections, siteUrl })))
  }
  console.info(tableOf('http', findings))
} finally {
  for (const { site } of sites) await site.stop()
  await idle.stop()
  await nginx?.stop()
  await removeBenchFolder(folder)
}

function startThreads(threads: number): Promise<BenchSite> {
  const args = ['--threads', String(threads)]
  return startSite(join(folder, `volume-${threads}-threads`), { args })
}

async function startIdle(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const script = fileURLToPath(new URL('./bench/idle-server.ts', import.meta.url))
  const { found, stop } = await startChild([process.execPath, script], (line) => line)
  return { url: `http://127.0.0.1:${found}`, stop }
}

async function startReference(): Promise<Nginx | undefined> {
  const reason = reasonWithoutNginx()
  if (reason !== undefined) {
    progress(`Not measured against nginx: ${reason}`)
    return undefined
  }
  await mkdir(nginxFolder, { recursive: true })
  return await startNginx(nginxFolder)
}

async function measure(one: Case): Promise<readonly Finding[]> {
  if (one.method === 'GET') {
    for (const { site } of sites) await fill(one, `${site.url}/bench/`)
    if (nginx !== undefined) await fill(one, `${nginx.url}/`)
  }
  const idles: WrkResult[] = []
  const nginxs: WrkResult[] = []
  const owns = sites.map(({ words, site }) => ({ words, site, results: [] as WrkResult[] }))
  for (let round = 0; round <= rounds; round++) {
    const measuredIdle = await wrk(one, { url: idle.url, path: `/${one.bytes}/o-` })
    const measuredNginx = nginx && (await wrk(one, { url: nginx.url, path: `/${one.bytes}-` }))
    if (round > 0) idles.push(measuredIdle)
    if (round > 0 && measuredNginx !== undefined) nginxs.push(measuredNginx)
    const others = `idle ${measuredIdle.perSecond}, nginx ${measuredNginx?.perSecond ?? 'none'}`
    for (const { words, site, results } of owns) {
      const own = await wrk(one, { url: site.url, path: `/bench/${one.bytes}-` })
      if (round === 0) continue
      results.push(own)
      const { perSecond, p50Ms, p99Ms } = own
      progress(`${one.name}${words}: ${others}, comio ${perSecond}, p50 ${p50Ms}, p99 ${p99Ms} ms`)
    }
  }
  return owns.flatMap(({ words, results }) => {
    const named = { ...one, name: `${one.name}${words}` }
    return findingsOf(named, { idle: idles, nginx: nginxs, own: results })
  })
}

function findingsOf(
  { name, bars }: Case,
  { idle: idles, nginx: nginxs, own }: Readonly<Record<'idle' | 'nginx' | 'own', WrkResult[]>>,
): readonly Finding[] {
  const rateOf = (results: readonly WrkResult[]): number =>
    median(results.map(({ perSecond }) => perSecond))
  const rate = rateOf(own)
  const against = (
    what: string,
    results: readonly WrkResult[],
    bar: number | undefined,
  ): Finding => {
    const ratio = rate / rateOf(results)
    const figure = `${ratio.toFixed(2)}: ${rate.toFixed(0)}/s, ${rateOf(results).toFixed(0)}/s`
    const finding = { what: `${name} against ${what}`, figure }
    return bar === undefined ? finding : { ...finding, bar: `${bar}`, met: ratio >= bar }
  }
  const p50 = median(own.map(({ p50Ms }) => p50Ms))
  const p99 = median(own.map(({ p99Ms }) => p99Ms))
  const tail = {
    what: `${name}, p50 and p99`,
    figure: `${p50.toFixed(1)} ms, ${p99.toFixed(1)} ms`,
  }
  return [
    against('the idle server', idles, bars?.idle),
    ...(nginxs.length === 0 ? [] : [against('nginx', nginxs, bars?.nginx)]),
    bars === undefined ? tail : { ...tail, bar: `${tailBar} times`, met: p99 < tailBar * p50 },
  ]
}

function wrk(one: Case, at: { readonly url: string; readonly path: string }): Promise<WrkResult> {
  const { method, bytes, keys } = one
  return runWrk({ method, bytes, keys, connections, seconds, folder, ...at })
}

async function fill({ bytes, keys }: Case, below: string): Promise<void> {
  const body = Buffer.alloc(bytes, 'comio')
  let next = 0
  const writer = async (): Promise<void> => {
    while (next < keys) {
      const url = `${below}${bytes}-${next++}`
      const { ok, status } = await fetch(url, { method: 'PUT', body })
      if (!ok) throw new Error(`PUT ${url} was answered with ${status}`)
    }
  }
  await Promise.all(Array.from({ length: 16 }, writer))
}
