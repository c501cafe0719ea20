/**
 * `comio server` as real processes over temporary folders. Whatever a test does, nothing is left: a
 * test's bed kills its sites and removes its folder, and when the test's own process dies first, a
 * reaper does.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { Agent, type Dispatcher } from 'undici'
import type { ReplicationStatusDocument } from '../../src/admin/protocol.ts'
import { Reaper } from '../../src/demo/reaper.ts'
import { binPath, plainEnvironment } from './run-program.ts'
import { NotYet, until } from './until.ts'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

export interface SendOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer | Iterable<Buffer>
}

export interface SiteSettings {
  /** The configuration file; without it the site has none. JSON is YAML, too. */
  readonly config?: string | object
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** A folder with sites in it. */
export class TestBed {
  readonly folder: string
  readonly #reaper: Reaper
  readonly #sites: SiteProcess[] = []

  private constructor(folder: string) {
    this.folder = folder
    this.#reaper = Reaper.start(folder)
  }

  static async make(): Promise<TestBed> {
    return new TestBed(await mkdtemp(join(tmpdir(), 'comio-e2e-')))
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  site(name: string, settings: SiteSettings = {}): SiteProcess {
    const site = new SiteProcess({ name, folder: this.folder, reaper: this.#reaper, settings })
    this.#sites.push(site)
    return site
  }

  /** Ends `child`, which the test itself started and ends, if this process dies first. */
  watch(child: ChildProcess): void {
    if (child.pid !== undefined) this.#reaper.watch(child.pid)
  }

  async remove(): Promise<void> {
    await Promise.all(this.#sites.map((site) => site.kill()))
    await this.#reaper.dismiss()
    await rm(this.folder, { recursive: true, force: true })
  }
}

interface SiteOptions {
  readonly name: string
  readonly folder: string
  readonly reaper: Reaper
  readonly settings: SiteSettings
}

export class SiteProcess {
  readonly #options: SiteOptions
  #settings: SiteSettings
  #child: ChildProcess | undefined
  #agent = new Agent()
  #url = ''
  #port = 0

  constructor(options: SiteOptions) {
    this.#options = options
    this.#settings = options.settings
  }

  get url(): string {
    if (this.#url === '') throw new Error(`site ${this.#options.name} was never started`)
    return this.#url
  }

  get pid(): number {
    const pid = this.#child?.pid
    if (pid === undefined) throw new Error(`site ${this.#options.name} does not run`)
    return pid
  }

  get storage(): string {
    return join(this.#options.folder, `data-${this.#options.name}`)
  }

  get logFile(): string {
    return join(this.#options.folder, `${this.#options.name}.log`)
  }

  get configFile(): string {
    return join(this.#options.folder, `${this.#options.name}.yaml`)
  }

  /**
   * Resolves when the site says that it listens. A later start takes the same folder and port, and
   * the same settings unless there are new ones.
   */
  async start(settings: SiteSettings = this.#settings): Promise<this> {
    this.#settings = settings
    const line = await this.#launch('"msg":"listening"')
    this.#url = (JSON.parse(line) as { readonly url: string }).url
    this.#port = Number(new URL(this.#url).port)
    this.#agent = new Agent({ connections: 64, bodyTimeout: 120_000, headersTimeout: 120_000 })
    return this
  }

  /** Starts, and kills the process as soon as its log has a line with `words`. */
  async killInStart(words: string): Promise<void> {
    await this.#launch(words)
    await this.kill()
  }

  /** Ends the process without a word to it, as a power cut would. */
  async kill(): Promise<void> {
    await this.signal('SIGKILL')
  }

  /** Asks the process to finish. Its exit code, null when a signal ended it. */
  async stop(): Promise<number | null> {
    return this.signal('SIGTERM')
  }

  /** Sends a signal that ends the process, and waits for that. */
  async signal(name: NodeJS.Signals): Promise<number | null> {
    const child = this.#child
    if (child?.pid === undefined) return null
    if (isRunning(child)) {
      const exit = once(child, 'exit')
      child.kill(name)
      await exit
    }
    this.#options.reaper.forget(child.pid)
    this.#child = undefined
    await this.#agent.destroy()
    return child.exitCode
  }

  async send(method: string, path: string, options: SendOptions = {}): Promise<Answer> {
    const { statusCode, headers, body } = await this.open(method, path, options)
    return { status: statusCode, headers, body: Buffer.from(await body.arrayBuffer()) }
  }

  /** As {@link send}, with a body that is still to be read. */
  open(method: string, path: string, options: SendOptions = {}): Promise<Dispatcher.ResponseData> {
    return this.#agent.request({
      origin: this.url,
      path,
      method: method as Dispatcher.HttpMethod,
      headers: { ...options.headers },
      body: bodyOf(options.body),
    })
  }

  /** Stores an object. @throws Error unless it was answered with 200 */
  async put(path: string, body: string | Buffer): Promise<void> {
    const answer = await this.send('PUT', path, { body })
    if (answer.status !== 200) {
      throw new Error(`PUT ${path}: ${answer.status} ${answer.body.toString()}`)
    }
  }

  async json<T>(method: string, path: string, document?: object): Promise<T> {
    const answer = await this.send(method, path, {
      ...(document === undefined ? {} : { body: JSON.stringify(document) }),
      ...(document === undefined ? {} : { headers: { 'content-type': 'application/json' } }),
    })
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.body}`)
    return JSON.parse(answer.body.toString()) as T
  }

  /** The status document. @throws Error when its books do not balance */
  async status(): Promise<ReplicationStatusDocument> {
    const status = await this.json<ReplicationStatusDocument>('GET', '/admin/replication/status')
    for (const books of [status, ...status.remotes]) assertBalanced(books)
    return status
  }

  /** The status once it is as wanted; while it changes, there is no end to the wait. */
  statusWhen(
    wanted: string,
    isWanted: (status: ReplicationStatusDocument) => boolean,
  ): Promise<ReplicationStatusDocument> {
    return until(wanted, async () => {
      const status = await this.status()
      return isWanted(status) ? status : new NotYet(withoutClock(status))
    })
  }

  /** Waits until the remote has confirmed everything. */
  shipped(): Promise<ReplicationStatusDocument> {
    return this.statusWhen('everything is shipped', ({ pending }) => pending === 0)
  }

  log(): Promise<string> {
    return readFile(this.logFile, 'utf8')
  }

  /** Starts the process; resolves to the first line of its log that has `words` in it. */
  async #launch(words: string): Promise<string> {
    const log = await open(this.logFile, 'a')
    try {
      const { size } = await log.stat()
      const child = spawn(process.execPath, [binPath, 'server', ...(await this.#arguments())], {
        cwd: this.#options.folder,
        env: { ...plainEnvironment(), COMIO_SERVER_THREADS: '2', ...this.#settings.env },
        stdio: ['ignore', log.fd, log.fd],
      })
      this.#child = child
      await once(child, 'spawn')
      this.#options.reaper.watch(this.pid)
      return await until(`site ${this.#options.name} says ${words}`, async () => {
        // Looked at before the log: the last words of a process that has ended are in it.
        const running = isRunning(child)
        const said = (await readFile(this.logFile)).subarray(size).toString()
        const line = said.split('\n').find((text) => text.includes(words) && text.endsWith('}'))
        if (line !== undefined) return line
        if (!running) throw new Error(`site ${this.#options.name} did not start: ${said}`)
        return new NotYet(said)
      })
    } finally {
      await log.close()
    }
  }

  async #arguments(): Promise<readonly string[]> {
    const { config, args = [] } = this.#settings
    const own = ['--port', String(this.#port), '--storage', this.storage, ...args]
    if (config === undefined) return own
    const content = typeof config === 'string' ? config : JSON.stringify(config)
    await writeFile(this.configFile, content, { mode: 0o600 })
    return ['--config', this.configFile, ...own]
  }
}

function bodyOf(body: SendOptions['body']): string | Buffer | Readable | null {
  if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) return body ?? null
  return Readable.from(body)
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

interface Books {
  readonly events_queued: number
  readonly events_replicated: number
  readonly events_failed: number
  readonly events_superseded: number
  readonly pending?: number
  readonly pending_events?: number
}

function assertBalanced(books: Books): void {
  const pending = books.pending ?? books.pending_events ?? Number.NaN
  const sum = books.events_replicated + books.events_failed + books.events_superseded + pending
  if (books.events_queued !== sum) throw new Error(`out of balance: ${JSON.stringify(books)}`)
}

/** What changes although nothing moves. */
function withoutClock({ lag_seconds: _, ...status }: ReplicationStatusDocument): object {
  const remotes = status.remotes.map(({ last_error_at: _error, rate: _rate, ...remote }) => remote)
  return { ...status, remotes }
}
