/**
 * Whether HTTP threads in front of one engine thread would pay, on a prototype that stores nothing: node:http
 * in worker threads that share a port (`reusePort`), parse, hash and move 4 KiB bodies, and ask the engine's
 * thread by messages or through shared memory, or look into the index themselves for a GET; against the same in a single thread. All in turns, in one run.
 *
 *     node scripts/bench-threads.ts --seconds 2 --rounds 5 --connections 64
 */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { benchArguments, count, positive } from './bench/arguments.ts'
import { type Child, startChild } from './bench/child.ts'
import { machineFacts, median } from './bench/replication-report.ts'
import { makeBenchFolder, removeBenchFolder } from './bench/site.ts'
import { objectBytes } from './bench/threads/engine-work.ts'
import { runWrk } from './bench/wrk.ts'

const values = benchArguments('Whether HTTP threads in front of one engine thread would pay.', {
  seconds: positive('2', 'how long each measurement takes'),
  rounds: count('5', 'medians are taken over so many'),
  connections: count('64', 'of the load'),
})
const seconds = values.seconds
const rounds = values.rounds
const connections = values.connections

/** Linux counts processor time in hundredths of a second. */
const usPerTick = 10_000

const shapes = ['single', 'messages 1', 'messages 2', 'ring 1', 'ring 2', 'views 2'] as const
type Shape = (typeof shapes)[number]

interface Run {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Of all threads, for each request. */
  readonly cpuUs: number
}

const folder = await makeBenchFolder()
const servers = new Map<Shape, Child & { readonly found: string }>()
try {
  for (const shape of shapes) servers.set(shape, await startServer(shape))
  console.info(`${machineFacts()}, ${rounds} rounds of ${seconds} s, ${connections} connections`)
  for (const method of ['PUT', 'GET'] as const) console.info(await measure(method))
} finally {
  for (const server of servers.values()) await server.stop()
  await removeBenchFolder(folder)
}

function startServer(shape: Shape): Promise<Child & { readonly found: string }> {
  const script = fileURLToPath(new URL('./bench/threads/start.ts', import.meta.url))
  return startChild([process.execPath, script, ...shape.split(' ')], (line) => line)
}

async function measure(method: 'GET' | 'PUT'): Promise<string> {
  const runs = new Map<Shape, Run[]>(shapes.map((shape) => [shape, []]))
  // The first round warms up.
  for (let round = 0; round <= rounds; round++) {
    for (const [shape, list] of runs) {
      const run = await load(shape, method)
      if (round > 0) list.push(run)
    }
  }
  const single = runs.get('single') ?? []
  const lines = [...runs].map(([shape, list]) => {
    const of = (pick: (run: Run) => number): number => median(list.map(pick))
    const ratios = list.map(({ perSecond }, at) => perSecond / (single[at]?.perSecond ?? 0))
    return [
      `${method} ${shape}`.padEnd(16),
      `${of((run) => run.perSecond).toFixed(0)}/s`.padStart(9),
      `${median(ratios).toFixed(2)} of single`,
      `p50 ${of((run) => run.p50Ms).toFixed(1)} ms, p99 ${of((run) => run.p99Ms).toFixed(1)} ms`,
      `${of((run) => run.cpuUs).toFixed(1)} us of processor time`,
    ].join('  ')
  })
  return lines.join('\n')
}

async function load(shape: Shape, method: 'GET' | 'PUT'): Promise<Run> {
  const server = servers.get(shape)
  if (server === undefined) throw new Error(`${shape} does not run`)
  const before = await ticksOf(server.pid)
  const result = await runWrk({
    ...{ method, connections, seconds, folder },
    ...{ url: `http://127.0.0.1:${server.found}`, path: '/o-', bytes: objectBytes, keys: 10_000 },
  })
  const ticks = (await ticksOf(server.pid)) - before
  return { ...result, cpuUs: (ticks * usPerTick) / (result.perSecond * seconds) }
}

/** Processor time of all threads of a process, in user and kernel mode. */
async function ticksOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}
