/**
 * PUTs of 4 KiB alone, and while four bodies of 1 GiB are uploaded: what large uploads cost those who
 * write little. In turns, medians. The uploads are cut when the small ones have been measured.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { endWithThis } from './endings.ts'
import { type Finding, median, progress } from './replication-report.ts'
import { runWrk, type WrkResult } from './wrk.ts'

export interface MixedInputs {
  readonly folder: string
  readonly rounds: number
  readonly seconds: number
  readonly connections: number
  readonly siteUrl: string
}

const mib = 2 ** 20
const uploads = 4
const uploadMiB = 1024
/** The 99th percentile beside uploads may be so many times that without. */
const bar = 3

export async function measureMixedLoad(inputs: MixedInputs): Promise<readonly Finding[]> {
  const body = join(inputs.folder, 'upload')
  await writeBody(body)
  const alone: WrkResult[] = []
  const beside: WrkResult[] = []
  const rates: number[] = []
  for (let round = 0; round <= inputs.rounds; round++) {
    const first = await putSmall(inputs)
    const uploading = new Uploads(body, inputs.siteUrl)
    await uploading.begun()
    const second = await putSmall(inputs)
    const rate = await uploading.stop()
    if (round === 0) continue
    alone.push(first)
    beside.push(second)
    rates.push(rate)
    progress(`mixed: ${JSON.stringify({ alone: first, beside: second, uploadMiBs: rate })}`)
  }
  await rm(body)
  return findingsOf({ alone, beside, rates })
}

function findingsOf(of: {
  readonly alone: readonly WrkResult[]
  readonly beside: readonly WrkResult[]
  readonly rates: readonly number[]
}): readonly Finding[] {
  const [alone, beside] = [of.alone, of.beside].map((results) => ({
    perSecond: median(results.map(({ perSecond }) => perSecond)),
    p50Ms: median(results.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(results.map(({ p99Ms }) => p99Ms)),
  })) as [WrkResult, WrkResult]
  const times = (key: 'p50Ms' | 'p99Ms'): string =>
    `${alone[key].toFixed(1)} ms, ${beside[key].toFixed(1)} ms`
  const ratio = beside.p99Ms / alone.p99Ms
  return [
    {
      what: 'PUT 4 KiB alone and beside four uploads of 1 GiB, p99',
      figure: `${ratio.toFixed(2)} times: ${times('p99Ms')}`,
      bar: `${bar} times`,
      met: ratio <= bar,
    },
    { what: 'the same, p50', figure: times('p50Ms') },
    {
      what: 'the same, a second',
      figure: `${alone.perSecond.toFixed(0)}/s, ${beside.perSecond.toFixed(0)}/s beside ${median(of.rates).toFixed(0)} MiB/s of uploads`,
    },
  ]
}

function putSmall(inputs: MixedInputs): Promise<WrkResult> {
  const { connections, seconds, folder, siteUrl: url } = inputs
  const load = { method: 'PUT', bytes: 4096, keys: 1, path: '/bench/mixed-' } as const
  return runWrk({ ...load, url, connections, seconds, folder })
}

async function writeBody(path: string): Promise<void> {
  const part = randomBytes(64 * mib)
  const file = await open(path, 'w')
  for (let at = 0; at < uploadMiB; at += 64) await file.write(part)
  await file.close()
}

/** Four clients, each of which begins anew when it has ended. */
class Uploads {
  readonly #body: string
  readonly #url: string
  readonly #running = new Map<number, ChildProcess>()
  readonly #startedAt = performance.now()
  #stopped = false
  #endedBytes = 0

  constructor(body: string, url: string) {
    this.#body = body
    this.#url = url
    for (let index = 0; index < uploads; index++) this.#start(index)
  }

  /** Resolves when each has sent a part. */
  async begun(): Promise<void> {
    for (;;) {
      const sent = await Promise.all([...this.#running.values()].map(sentBytes))
      if (sent.length === uploads && sent.every((bytes) => bytes > 16 * mib)) return
      await pause(50)
    }
  }

  /** MiB a second, of all together. */
  async stop(): Promise<number> {
    this.#stopped = true
    const children = [...this.#running.values()]
    const sent = await Promise.all(children.map(sentBytes))
    const seconds = (performance.now() - this.#startedAt) / 1000
    for (const child of children) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    return (sent.reduce((sum, bytes) => sum + bytes, this.#endedBytes) / seconds / mib) | 0
  }

  #start(index: number): void {
    const url = `${this.#url}/bench/upload-${index}`
    const child = spawn('curl', ['-sf', '-o', '/dev/null', '-T', this.#body, url], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    this.#running.set(index, endWithThis(child))
    child.once('exit', (code) => {
      if (this.#stopped) return
      if (code !== 0) throw new Error(`an upload ended with ${code}`)
      this.#endedBytes += uploadMiB * mib
      this.#start(index)
    })
  }
}

/** What a client has read of its file, which is what it has sent, but for a buffer. */
async function sentBytes({ pid }: ChildProcess): Promise<number> {
  const text = await readFile(`/proc/${pid}/io`, 'utf8').catch(() => '')
  return Number(/rchar: (\d+)/.exec(text)?.[1] ?? 0)
}
