/** A ComIO site as a process of its own, for benchmarks: what is measured is what people run. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startChild } from './child.ts'
import { forget, removeWithThis } from './endings.ts'

const binPath = fileURLToPath(new URL('../../bin/comio', import.meta.url))

export interface BenchSite {
  readonly url: string
  readonly pid: number
  stop(): Promise<void>
  kill(): Promise<void>
}

/** A folder for the volumes of one run, on the disk that TMPDIR names unless told; it goes with this process. */
export async function makeBenchFolder(parent = tmpdir()): Promise<string> {
  const folder = await mkdtemp(join(parent, 'comio-bench-'))
  removeWithThis(folder)
  return folder
}

export async function removeBenchFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  forget(folder)
}

/** @param options `port` 0 picks a free one; `args` are further ones of `comio server` */
export async function startSite(
  storage: string,
  options: { readonly port?: number; readonly args?: readonly string[] } = {},
): Promise<BenchSite> {
  const { port = 0, args = [] } = options
  const { found, pid, stop, kill } = await startChild(
    [
      ...([process.execPath, binPath, 'server', '--storage', storage] as const),
      ...['--port', String(port), '--log-format', 'json', ...args],
    ],
    urlOf,
  )
  return { url: found, pid, stop, kill }
}

function urlOf(line: string): string | undefined {
  const record: unknown = JSON.parse(line)
  if (typeof record !== 'object' || record === null || !('msg' in record)) return undefined
  if (record.msg !== 'listening' || !('url' in record)) return undefined
  return String(record.url)
}
