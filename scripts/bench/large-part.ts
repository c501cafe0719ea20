/** Larger objects from a backlog, against the rate at which the same bytes are PUT straight to the remote. */
import { join } from 'node:path'
import { Pair } from './pair.ts'
import { putMany } from './put-load.ts'
import { type BenchInputs, type Finding, median, progress } from './replication-report.ts'

const mib = 2 ** 20
const bar = 0.7
const cases = [
  { name: '1 MiB', bytes: mib, count: 200, connections: 5 },
  { name: '64 MiB', bytes: 64 * mib, count: 6, connections: 2 },
]

type Case = (typeof cases)[number]

export async function measureLarge(inputs: BenchInputs): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  for (const one of cases) {
    const ratios: number[] = []
    const rates: number[] = []
    for (let round = 1; round <= inputs.rounds; round++) {
      const { straight, shipped } = await oneRound(inputs, one, round)
      ratios.push(straight / shipped)
      rates.push((one.count * one.bytes) / mib / shipped)
      progress(
        `${one.name} ${round}: straight ${straight.toFixed(1)} s, shipped ${shipped.toFixed(1)} s`,
      )
    }
    const ratio = median(ratios)
    findings.push({
      what: `${one.count} of ${one.name}, median of ${ratios.length}`,
      figure: `${median(rates).toFixed(0)} MiB/s, ${ratio.toFixed(2)} x PUT straight to B`,
      bar: `${bar} x`,
      met: ratio >= bar,
    })
  }
  return findings
}

/** Seconds for the same bytes: PUT to the remote, and shipped to it. */
async function oneRound(
  { folder }: BenchInputs,
  one: Case,
  round: number,
): Promise<{ readonly straight: number; readonly shipped: number }> {
  const pair = await Pair.make({ folder: join(folder, `large-${one.bytes}-${round}`) })
  try {
    await pair.start('a')
    await putMany({ ...one, url: pair.site('a').url, path: '/bench/a-' })
    await pair.start('b')
    const began = performance.now()
    await pair.settled('a')
    const shipped = (performance.now() - began) / 1000
    // As new a process as the one that was shipped to: V8 compiles while either runs.
    await pair.stop('b')
    await pair.start('b')
    const straight = await putMany({ ...one, url: pair.site('b').url, path: '/bench/b-' })
    return { straight, shipped }
  } finally {
    await pair.stop('a', 'b')
  }
}
