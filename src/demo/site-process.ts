import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from '../base/assert.ts'
import type { DemoFolder, SiteName } from './demo-folder.ts'
import { DemoFailedError } from './errors.ts'
import type { Reaper } from './reaper.ts'

export interface SiteProcessOptions {
  readonly site: SiteName
  readonly binPath: string
  readonly folder: DemoFolder
  readonly reaper: Reaper
}

const startMsMax = 30_000
const stopMsMax = 15_000
const lookMs = 20

/**
 * `comio server` as a process of its own. Its output goes to a file and not to a pipe, and it has
 * a session of its own, so that it can go on when the demo is over.
 */
export class SiteProcess {
  readonly #options: SiteProcessOptions
  #child: ChildProcess | undefined
  #url: string | undefined

  constructor(options: SiteProcessOptions) {
    this.#options = options
  }

  get url(): string {
    assert(this.#url !== undefined, 'a site has an address once it has started')
    return this.#url
  }

  get port(): number {
    return Number(new URL(this.url).port)
  }

  get pid(): number {
    const pid = this.#child?.pid
    assert(pid !== undefined, 'a site has a process once it has started')
    return pid
  }

  /** Resolves when the site says that it listens. @throws DemoFailedError with its last words */
  async start(signal?: AbortSignal): Promise<void> {
    const { site, folder, binPath, reaper } = this.#options
    const log = await open(folder.logFile(site), 'a')
    try {
      const { size } = await log.stat()
      const args = [binPath, 'server', '--config', folder.configFile(site)]
      this.#child = spawn(process.execPath, args, {
        cwd: folder.path,
        detached: true,
        env: ownEnvironment(),
        stdio: ['ignore', log.fd, log.fd],
      })
      await once(this.#child, 'spawn')
      reaper.watch(this.pid)
      this.#url = await this.#untilListening(size, signal)
    } finally {
      await log.close()
    }
  }

  /** Kills the process without a word to it, as a power cut would. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Asks the process to finish; it has a while for that. */
  async stop(): Promise<void> {
    const gaveUp = setTimeout(() => this.#child?.kill('SIGKILL'), stopMsMax)
    await this.#end('SIGTERM').finally(() => clearTimeout(gaveUp))
  }

  /** The last lines of what the site wrote. */
  async lastWords(lines: number): Promise<readonly string[]> {
    const { folder, site } = this.#options
    const log = await readFile(folder.logFile(site), 'utf8').catch(() => '')
    return log.trim().split('\n').slice(-lines)
  }

  /** Lets the process go on without the demo. */
  release(): void {
    this.#child?.unref()
    this.#child = undefined
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child?.pid === undefined) return
    if (isRunning(child)) {
      const exit = once(child, 'exit')
      child.kill(signal)
      await exit
    }
    this.#options.reaper.forget(child.pid)
    this.#child = undefined
  }

  async #untilListening(logOffset: number, signal: AbortSignal | undefined): Promise<string> {
    const giveUpAt = performance.now() + startMsMax
    for (;;) {
      signal?.throwIfAborted()
      const isOver = !this.#child || !isRunning(this.#child) || performance.now() > giveUpAt
      // Looked at after the process: its last words are in the file by then.
      const log = (await readFile(this.#options.folder.logFile(this.#options.site)))
        .subarray(logOffset)
        .toString('utf8')
      const url = findListening(log)
      if (url !== undefined && !isOver) return url
      if (isOver) {
        const last = log.trim().split('\n').slice(-3).join('\n')
        throw new DemoFailedError(`site ${this.#options.site} did not start: ${last}`)
      }
      await sleep(lookMs)
    }
  }
}

/** The `url` of the last record that says `listening`. */
function findListening(log: string): string | undefined {
  for (const line of log.split('\n').toReversed()) {
    if (!line.includes('"listening"') || !line.endsWith('}')) continue
    const record: unknown = JSON.parse(line)
    if (typeof record === 'object' && record !== null && 'url' in record) return String(record.url)
  }
  return undefined
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

/** Settings from the surroundings would go before those of the demo's files. */
function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^COMIO_/.test(name)))
}
