/** What a backlog costs in memory, at either side, and how long the sender takes to start with it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Pair, type Side } from './pair.ts'
import { type BenchInputs, type Finding, progress } from './replication-report.ts'
import { runWrk } from './wrk.ts'

const barMib = 100
/** How long a site rests after its start before it is looked at. */
const restMs = 5000
const burstSeconds = 10
/** Draining is watched for this long, or until all has gone. */
const drainMs = 30_000
const lookEveryMs = 200

interface Peak {
  readonly a: number
  readonly b: number
}

export async function measureMemory(inputs: BenchInputs): Promise<readonly Finding[]> {
  const none = await restAndDrain(inputs, 0)
  const many = await restAndDrain(inputs, inputs.pending)
  const live = await restAndDrain(inputs, 0, drainMs / 1000)
  const grown = (name: string, before: number, after: number): Finding => ({
    what: name,
    figure: `${after.toFixed(0)} MiB, ${(after - before).toFixed(0)} above the ${before.toFixed(0)} with none`,
    bar: `${barMib} MiB above`,
    met: after - before < barMib,
  })
  return [
    grown(`A with ${many.pending} changes pending, B away`, none.rest, many.rest),
    grown('A while they drain, at most', none.peak.a, many.peak.a),
    grown('B while they drain, at most', none.peak.b, many.peak.b),
    {
      what: `A and B with none, ${drainMs / 1000} s of writes as they come, at most`,
      figure: `${live.peak.a.toFixed(0)} and ${live.peak.b.toFixed(0)} MiB`,
    },
    {
      what: 'A starts with them',
      figure: `${many.startMs.toFixed(0)} ms, ${none.startMs.toFixed(0)} ms with none`,
    },
  ]
}

/** MiB at rest with the remote away, and at most while it catches up, or while changes come for a while. */
async function restAndDrain(
  inputs: BenchInputs,
  wanted: number,
  seconds = burstSeconds,
): Promise<{
  readonly rest: number
  readonly peak: Peak
  readonly startMs: number
  readonly pending: number
}> {
  const pair = await Pair.make({ folder: join(inputs.folder, `memory-${wanted}-${seconds}`) })
  try {
    await pair.start('a')
    const pending = await pile(pair, inputs, wanted)
    await pair.stop('a')
    const began = performance.now()
    await pair.start('a')
    const startMs = performance.now() - began
    await delay(restMs)
    const rest = await memoryOf(pair, 'a')
    await pair.start('b')
    // With none pending, what is written meanwhile takes the same paths.
    const work = wanted === 0 ? burst(pair, inputs, seconds) : drained(pair)
    return { rest, peak: await peakDuring(pair, work), startMs, pending }
  } finally {
    await pair.stop('a', 'b')
  }
}

async function pile(pair: Pair, inputs: BenchInputs, wanted: number): Promise<number> {
  let pending = 0
  while (pending < wanted) {
    await burst(pair, inputs, burstSeconds)
    pending = (await pair.status('a')).pending
    progress(`memory: ${pending} of ${wanted} pending`)
  }
  return pending
}

async function burst(
  pair: Pair,
  { folder, connections }: BenchInputs,
  seconds: number,
): Promise<void> {
  const url = pair.site('a').url
  const order = { url, path: '/bench/m-', method: 'PUT', bytes: 100, keys: 1 } as const
  await runWrk({ ...order, connections, seconds, folder })
}

/** Until none is pending, or it has been watched for long enough. */
async function drained(pair: Pair): Promise<void> {
  const end = performance.now() + drainMs
  while (performance.now() < end && (await pair.status('a')).pending > 0) await delay(lookEveryMs)
}

async function peakDuring(pair: Pair, work: Promise<void>): Promise<Peak> {
  const peak = { a: 0, b: 0 }
  let isOver = false
  const over = work.finally(() => {
    isOver = true
  })
  while (!isOver) {
    for (const side of ['a', 'b'] as const) {
      peak[side] = Math.max(peak[side], await memoryOf(pair, side))
    }
    await delay(lookEveryMs)
  }
  await over
  return peak
}

/**
 * MiB that the process holds and cannot give back. The index's files are mapped into memory as well:
 * the system drops those pages as it likes, and they are the disk's cache under another name.
 */
async function memoryOf(pair: Pair, side: Side): Promise<number> {
  const status = await readFile(`/proc/${pair.site(side).pid}/status`, 'utf8')
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1]) / 1024
}
