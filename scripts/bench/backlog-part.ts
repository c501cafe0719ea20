/** 4 KiB objects that were written while the remote was away, from its start until none is pending. */
import { join } from 'node:path'
import { Pair } from './pair.ts'
import { type BenchInputs, type Finding, median, progress } from './replication-report.ts'
import { runWrk } from './wrk.ts'

/** What the system that ComIO follows names as its theoretical throughput, events a second. */
export const referencePerSecond = 500
const bar = 20

export async function measureBacklog(inputs: BenchInputs): Promise<readonly Finding[]> {
  const rates: number[] = []
  const puts: number[] = []
  for (let round = 1; round <= inputs.rounds; round++) {
    const { rate, perSecond } = await oneRound(inputs, round)
    rates.push(rate)
    puts.push(perSecond)
    progress(
      `backlog ${round}: written at ${perSecond.toFixed(0)}/s, caught up at ${rate.toFixed(0)}/s`,
    )
  }
  const rate = median(rates)
  const times = rate / referencePerSecond
  return [
    {
      what: `4 KiB from a backlog, median of ${rates.length}`,
      figure: `${rate.toFixed(0)} events/s, ${times.toFixed(1)} x ${referencePerSecond}`,
      bar: `${bar} x`,
      met: times >= bar,
    },
    {
      what: 'beside the PUTs that made the backlog',
      figure: `${(rate / median(puts)).toFixed(2)} x ${median(puts).toFixed(0)} PUT/s`,
    },
  ]
}

async function oneRound(
  { folder, seconds, connections }: BenchInputs,
  round: number,
): Promise<{ readonly rate: number; readonly perSecond: number }> {
  const pair = await Pair.make({ folder: join(folder, `backlog-${round}`) })
  try {
    await pair.start('a')
    const { perSecond } = await runWrk({
      ...{ url: pair.site('a').url, path: '/bench/o-', method: 'PUT', bytes: 4096, keys: 1 },
      ...{ connections, seconds, folder },
    })
    const { pending } = await pair.status('a')
    await pair.start('b')
    const began = performance.now()
    await pair.settled('a')
    return { rate: pending / ((performance.now() - began) / 1000), perSecond }
  } finally {
    await pair.stop('a', 'b')
  }
}
