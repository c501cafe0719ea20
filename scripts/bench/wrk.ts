/** One run of wrk, the load generator: https://github.com/wg/wrk. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './child.ts'

export interface WrkOrder {
  readonly url: string
  readonly method: 'GET' | 'PUT'
  readonly bytes: number
  /** Keys run from 0 to here for GET; each PUT has a key of its own. */
  readonly keys: number
  /** Where the keys are, such as `/bench/o-`. */
  readonly path: string
  readonly connections: number
  readonly seconds: number
  readonly folder: string
}

export interface WrkResult {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** @throws when wrk is not there, or an answer was not 2xx */
export async function runWrk(order: WrkOrder): Promise<WrkResult> {
  const script = join(order.folder, 'wrk.lua')
  await writeFile(script, scriptOf(order))
  const { connections, seconds, url } = order
  const printed = await run([
    ...(['wrk', '--latency', '-t', '2', '-c', String(connections)] as const),
    ...['-d', `${seconds}s`, '--timeout', '30s', '-s', script, url],
  ])
  if (/Non-2xx|Socket errors/.test(printed)) throw new Error(`not all was answered:\n${printed}`)
  return {
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(printed)?.[1]),
    p50Ms: latencyOf(printed, '50%'),
    p99Ms: latencyOf(printed, '99%'),
  }
}

function scriptOf({ method, bytes, keys, path }: WrkOrder): string {
  // Every thread of every run writes keys of its own.
  const unique = `${Date.now().toString(36)}`
  return `
local threads = 0
function setup(thread) thread:set("id", threads); threads = threads + 1 end
local count = 0
local block = {}
function init(args)
  math.randomseed(id + 1)
  ${method === 'PUT' ? `for i = 1, ${bytes} do block[i] = string.char(math.random(0, 255)) end` : ''}
  body = table.concat(block)
end
function request()
  count = count + 1
  ${
    method === 'PUT'
      ? `return wrk.format("PUT", "${path}${unique}-" .. id .. "-" .. count, nil, body)`
      : `return wrk.format("GET", "${path}" .. math.random(0, ${keys - 1}))`
  }
end
`
}

const unitMs: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000 }

function latencyOf(printed: string, percentile: string): number {
  const match = new RegExp(`\\s${percentile}\\s+([\\d.]+)(us|ms|s|m)`).exec(printed)
  return Number(match?.[1]) * (unitMs[match?.[2] ?? ''] ?? Number.NaN)
}
