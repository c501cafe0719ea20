/**
 * Against what one would script otherwise: `rclone sync` in a loop between the same two sites. It
 * talks S3 without signatures, which sites on loopback without tokens answer.
 */
import { join } from 'node:path'
import { run } from './child.ts'
import { Pair } from './pair.ts'
import { putMany } from './put-load.ts'
import { type BenchInputs, type Finding, median, progress } from './replication-report.ts'

const objects = 5000
const bytes = 4096
/** One new object for each. */
const passes = 5

export async function measureRclone(inputs: BenchInputs): Promise<readonly Finding[]> {
  const why = await missing()
  if (why !== undefined) return [{ what: 'rclone sync in a loop', figure: `left out: ${why}` }]
  const pair = await Pair.make({ folder: join(inputs.folder, 'rclone') })
  try {
    await pair.start('a')
    const order = { url: pair.site('a').url, bytes, connections: 16 }
    await putMany({ ...order, path: '/source/o-', count: objects })
    await pair.start('b')
    const own = await seconds(() => pair.settled('a'))
    // Where rclone writes, B is the only one to know of.
    const first = await seconds(() => sync(pair))
    progress(`rclone: ${objects} objects in ${first.toFixed(1)} s, ComIO in ${own.toFixed(1)} s`)
    const fresh: number[] = []
    const lags: number[] = []
    for (let pass = 0; pass < passes; pass++) {
      await putMany({ ...order, path: `/source/new-${pass}-`, count: 1 })
      lags.push(await seconds(() => pair.settled('a')))
      fresh.push(await seconds(() => sync(pair)))
    }
    return [
      ratesOf(own, first),
      {
        what: `one new object among ${objects}: until it is at B`,
        figure: `ComIO ${(median(lags) * 1000).toFixed(0)} ms or less, a pass of rclone ${(median(fresh) * 1000).toFixed(0)} ms`,
      },
    ]
  } finally {
    await pair.stop('a', 'b')
  }
}

function ratesOf(own: number, rclone: number): Finding {
  return {
    what: `${objects} objects of 4 KiB from a backlog`,
    figure: `ComIO ${(objects / own).toFixed(0)}/s, rclone ${(objects / rclone).toFixed(0)}/s: ${(rclone / own).toFixed(1)} x`,
  }
}

/** As a careful user would: many at a time, and compared by ETag so that no object is asked for alone. */
async function sync(pair: Pair): Promise<void> {
  const place = (side: 'a' | 'b', bucket: string): string =>
    `:s3,provider=Other,env_auth=false,no_check_bucket=true,endpoint='${pair.site(side).url}':${bucket}`
  await run([
    ...withoutBundle,
    ...(['rclone', 'sync', '--config', '/dev/null', '--checksum', '--fast-list'] as const),
    ...['--transfers', '16', '--checkers', '16', place('a', 'source'), place('b', 'target')],
  ])
}

/** A bundle of certificates in the environment keeps some versions of rclone from starting. */
const withoutBundle = ['env', '-u', 'AWS_CA_BUNDLE'] as const

async function missing(): Promise<string | undefined> {
  try {
    await run(['rclone', 'version'])
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1000
}
