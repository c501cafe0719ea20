/**
 * One body of 64 MiB at a time: PUT against `dd conv=fdatasync` of the same size on the same disk, GET
 * against nginx's sendfile. In turns, medians.
 */
import { randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './child.ts'
import { type Finding, median, progress } from './replication-report.ts'

export interface LargeInputs {
  readonly folder: string
  readonly rounds: number
  readonly siteUrl: string
  /** Undefined without it. */
  readonly nginxUrl: string | undefined
}

const bodyMiB = 64

export async function measureLargeBodies(inputs: LargeInputs): Promise<readonly Finding[]> {
  const { folder, siteUrl, nginxUrl } = inputs
  const body = join(folder, 'body')
  await writeFile(body, randomBytes(bodyMiB * 2 ** 20))
  const put: number[] = []
  const dd: number[] = []
  const get: number[] = []
  const sent: number[] = []
  if (nginxUrl !== undefined) await putWithCurl(body, `${nginxUrl}/large`)
  for (let round = 0; round <= inputs.rounds; round++) {
    const url = `${siteUrl}/bench/large-${round}`
    const times = {
      dd: await syncedCopy(body, join(folder, 'copy')),
      put: await putWithCurl(body, url),
      get: await getWithCurl(url),
      nginx: nginxUrl === undefined ? Number.NaN : await getWithCurl(`${nginxUrl}/large`),
    }
    if (round === 0) continue
    put.push(times.put)
    dd.push(times.dd)
    get.push(times.get)
    sent.push(times.nginx)
    progress(`64 MiB: ${JSON.stringify(times)}`)
  }
  await rm(body)
  return [
    finding('PUT', { own: median(put), reference: median(dd), name: 'dd', bar: 0.8 }),
    finding('GET', { own: median(get), reference: median(sent), name: 'nginx', bar: 0.5 }),
  ]
}

function finding(
  method: string,
  of: {
    readonly own: number
    readonly reference: number
    readonly name: string
    readonly bar: number
  },
): Finding {
  const rate = (seconds: number): string => `${(bodyMiB / seconds).toFixed(0)} MiB/s`
  const ratio = of.reference / of.own
  return {
    what: `${method} of 64 MiB, one at a time`,
    figure: `${ratio.toFixed(2)} of ${of.name}: ${rate(of.own)}, ${rate(of.reference)}`,
    bar: `${of.bar} of ${of.name}`,
    ...(Number.isNaN(ratio) ? {} : { met: ratio >= of.bar }),
  }
}

/** Seconds. */
async function syncedCopy(from: string, to: string): Promise<number> {
  await rm(to, { force: true })
  const startedAt = performance.now()
  await run(['dd', `if=${from}`, `of=${to}`, 'bs=1M', 'conv=fdatasync', 'status=none'])
  return (performance.now() - startedAt) / 1000
}

async function putWithCurl(file: string, url: string): Promise<number> {
  return await timeOf(['-T', file, url])
}

async function getWithCurl(url: string): Promise<number> {
  return await timeOf([url])
}

async function timeOf(args: readonly string[]): Promise<number> {
  const printed = await run(['curl', '-sf', '-o', '/dev/null', '-w', '%{time_total}', ...args])
  return Number(printed)
}
