/** 4 KiB objects while they are written: as fast as the site takes them, and at half of that. */
import { join } from 'node:path'
import { referencePerSecond } from './backlog-part.ts'
import { Pair } from './pair.ts'
import { putSteadily } from './put-load.ts'
import { type BenchInputs, type Finding, progress } from './replication-report.ts'
import { runWrk } from './wrk.ts'

const bar = 10
const lagP50Bar = 20
const lagP99Bar = 200

export async function measureLive(inputs: BenchInputs): Promise<readonly Finding[]> {
  const pair = await Pair.make({ folder: join(inputs.folder, 'live') })
  try {
    const full = await saturated(pair, inputs)
    progress(`live: PUT ${full.puts.toFixed(0)}/s, acknowledged ${full.rate.toFixed(0)}/s`)
    return [...full.findings, ...(await half(pair, inputs, full.rate / 2))]
  } finally {
    await pair.stop('a', 'b')
  }
}

async function saturated(
  pair: Pair,
  { folder, seconds, connections }: BenchInputs,
): Promise<{
  readonly rate: number
  readonly puts: number
  readonly findings: readonly Finding[]
}> {
  await pair.start('b', 'a')
  const order = {
    url: pair.site('a').url,
    path: '/bench/l-',
    method: 'PUT',
    bytes: 4096,
    keys: 1,
  } as const
  // Warm, and connected.
  await runWrk({ ...order, connections, seconds: 2, folder })
  await pair.settled('a')
  const before = await pair.status('a')
  const began = performance.now()
  const { perSecond } = await runWrk({ ...order, connections, seconds, folder })
  const after = await pair.status('a')
  const elapsed = (performance.now() - began) / 1000
  const rate = (after.events_replicated - before.events_replicated) / elapsed
  const times = rate / referencePerSecond
  return {
    rate,
    puts: perSecond,
    findings: [
      {
        what: `4 KiB live, PUT by ${connections} connections at the full rate`,
        figure: `${rate.toFixed(0)} events/s, ${times.toFixed(1)} x ${referencePerSecond}`,
        bar: `${bar} x`,
        met: times >= bar,
      },
      {
        what: 'beside the PUTs of that time',
        figure: `${(rate / perSecond).toFixed(2)} x ${perSecond.toFixed(0)} PUT/s, ${after.pending} behind at the end`,
      },
    ],
  }
}

/** At half the rate that was acknowledged; the site's own meter, begun anew, says the lag. */
async function half(
  pair: Pair,
  { connections, seconds }: BenchInputs,
  perSecond: number,
): Promise<readonly Finding[]> {
  await pair.settled('a')
  await pair.stop('a')
  await pair.start('a')
  const order = { url: pair.site('a').url, path: '/bench/h-', bytes: 4096, connections }
  const latencies = await putSteadily({ ...order, perSecond, seconds: seconds * 2 })
  const [remote] = (await pair.status('a')).remotes
  await pair.settled('a')
  const p50 = remote?.lag_p50_ms ?? Number.NaN
  const p99 = remote?.lag_p99_ms ?? Number.NaN
  const at = (share: number): string => (latencies.quantile(share) ?? Number.NaN).toFixed(1)
  return [
    {
      what: `lag p50 at ${perSecond.toFixed(0)} PUT/s, half of that`,
      figure: `${p50} ms`,
      bar: `< ${lagP50Bar} ms`,
      met: p50 < lagP50Bar,
    },
    { what: 'lag p99', figure: `${p99} ms`, bar: `< ${lagP99Bar} ms`, met: p99 < lagP99Bar },
    {
      what: 'the PUTs themselves, from when each was due',
      figure: `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`,
    },
  ]
}
