import { setTimeout as sleep } from 'node:timers/promises'
import type { S3Client } from '../s3/client.ts'
import type { PlannedPut } from './demo-plan.ts'
import { DemoFailedError } from './errors.ts'
import type { Writer } from './writer.ts'

/** A class of sizes and what the documentation of the original, the Go program that ComIO replaces, estimates for it. */
export interface LagClass {
  readonly name: string
  readonly estimate: string
  /** The estimate's upper end. */
  readonly estimateMsMax: number
  readonly sizes: readonly number[]
}

export interface LagSamples extends LagClass {
  /** Milliseconds from the answered PUT until the object can be read at the other site, ascending. */
  readonly samples: readonly number[]
}

export interface LagProbeOptions {
  readonly writer: Writer
  readonly remote: S3Client
  readonly signal: AbortSignal | undefined
  readonly onSample: (name: string, ms: number) => void
}

const kib = 2 ** 10
const mib = 2 ** 20
/** Looking costs B something: at a large object a look per millisecond and MiB is fine enough. */
const bytesPerLookMs = mib
const lookMsMax = 20
const patienceMs = 60_000
const warmUpSizes = [1, 2, 4, 8, 16, 32, 64, 2048].map((size) => size * kib)

export const lagClasses: readonly LagClass[] = [
  {
    ...{ name: 'below 1 MB', estimate: '10-50 ms', estimateMsMax: 50 },
    sizes: Array.from({ length: 60 }, (_, i) => [1, 4, 16, 64, 256, 900][i % 6] as number).map(
      (size) => size * kib,
    ),
  },
  {
    ...{ name: '1-10 MB', estimate: '100-500 ms', estimateMsMax: 500 },
    sizes: [1, 2, 3, 4, 5, 6, 7, 8, 9].map((size) => size * mib),
  },
  {
    ...{ name: '10-100 MB', estimate: '1-5 s', estimateMsMax: 5000 },
    sizes: [10, 16, 24, 64].map((size) => size * mib),
  },
]

/** The same without the sizes that take seconds each, and with a third of the others. */
export const quickLagClasses: readonly LagClass[] = lagClasses
  .slice(0, 2)
  .map((lagClass) => ({ ...lagClass, sizes: lagClass.sizes.filter((_, i) => i % 3 === 0) }))

/** A few writes that nobody measures: the first ones make the bucket and wake code and disks. */
export async function warmUp(options: LagProbeOptions): Promise<void> {
  for (const [i, size] of warmUpSizes.entries()) {
    await probeOnce({ key: `warm-up/${i}.bin`, size }, options)
  }
}

/** Writes one object after the other and looks at the other site until it is there. */
export async function probeLag(lagClass: LagClass, options: LagProbeOptions): Promise<LagSamples> {
  const samples: number[] = []
  for (const [i, size] of lagClass.sizes.entries()) {
    const key = `${lagClass.name.replaceAll(' ', '-')}/${i}.bin`
    const ms = await probeOnce({ key, size }, options)
    samples.push(ms)
    options.onSample(lagClass.name, ms)
  }
  return { ...lagClass, samples: samples.toSorted((a, b) => a - b) }
}

/** The smallest sample that `fraction` of all do not exceed. */
export function quantileOf(sorted: readonly number[], fraction: number): number {
  const rank = Math.max(1, Math.ceil(fraction * sorted.length))
  return sorted[rank - 1] ?? Number.NaN
}

async function probeOnce(
  { key, size }: { readonly key: string; readonly size: number },
  { writer, remote, signal }: LagProbeOptions,
): Promise<number> {
  const headers = { 'content-type': 'application/octet-stream' }
  const put: PlannedPut = { kind: 'put', bucket: 'probes', key, size, round: 1, headers }
  await writer.write(put)
  const answeredAt = performance.now()
  for (;;) {
    const head = await remote.headObject({
      ...{ bucket: put.bucket, key },
      ...(signal === undefined ? {} : { signal }),
    })
    const waitedMs = performance.now() - answeredAt
    if (head !== undefined) return waitedMs
    if (waitedMs > patienceMs) {
      throw new DemoFailedError(`${key} did not arrive at B within ${patienceMs / 1000} s`)
    }
    await sleep(Math.min(lookMsMax, Math.max(1, size / bytesPerLookMs)))
  }
}
