import { mkdtemp, rm } from 'node:fs/promises'
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ReplicationStatusDocument } from '../../src/admin/protocol.ts'
import { type RemoteConfig, toRemoteConfig } from '../../src/config/remote-entry.ts'
import { type ServerConfig, toServerConfig } from '../../src/config/server-config.ts'
import { type RunningServer, startServer } from '../../src/server/start-server.ts'

/** The values of a `ServerConfig`, section by section; what is left out is the default. */
export interface ConfigChanges {
  readonly server?: Partial<ServerConfig['server']>
  readonly logging?: Partial<ServerConfig['logging']>
  readonly auth?: Partial<ServerConfig['auth']>
  readonly storage?: Partial<ServerConfig['storage']>
  readonly replication?: Partial<ServerConfig['replication']>
}

/** A volume of 64 MiB at `storage`, on loopback, at a free port, with a log as JSON. */
export function testConfig(storage: string, changes: ConfigChanges = {}): ServerConfig {
  const config = toServerConfig({}, { absolute: (path) => path, terminal: false })
  const defaults = { port: 0, threads: 1, storagePath: storage, storageSize: 64 * 2 ** 20 }
  return {
    server: { ...config.server, ...defaults, ...changes.server },
    logging: { ...config.logging, ...changes.logging },
    auth: { ...config.auth, ...changes.auth },
    storage: { ...config.storage, ...changes.storage },
    replication: { ...config.replication, ...changes.replication },
  }
}

/** A remote as the short form of the configuration makes it. */
export function remoteAt(url: string, token?: string): RemoteConfig {
  return toRemoteConfig({ name: 'default', url: [url], token }, (path) => path)
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export interface SendOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

/** What of a status moves while replication does, and stands still when it is stuck. */
export function standingOf({ remotes }: ReplicationStatusDocument): unknown {
  return remotes.map(({ state, pending_events, last_error }) => [state, pending_events, last_error])
}

/** A composed site in this process, over a temporary folder. */
export class TestSite {
  readonly folder: string
  readonly log: string[] = []
  #server: RunningServer | undefined

  private constructor(folder: string) {
    this.folder = folder
  }

  static async make(): Promise<TestSite> {
    return new TestSite(await mkdtemp(join(tmpdir(), 'comio-site-')))
  }

  get storage(): string {
    return join(this.folder, 'data')
  }

  get server(): RunningServer {
    if (this.#server === undefined) throw new Error('the site is not running')
    return this.#server
  }

  get url(): string {
    return this.server.url
  }

  records(): readonly Record<string, unknown>[] {
    return this.log.map((line) => JSON.parse(line))
  }

  async start(
    changes: ConfigChanges = {},
    options: {
      readonly signal?: AbortSignal
      readonly graceMs?: number
      readonly load?: () => Promise<ServerConfig>
    } = {},
  ): Promise<this> {
    this.#server = await startServer(testConfig(this.storage, changes), {
      signal: options.signal ?? new AbortController().signal,
      writeLog: (line) => this.log.push(line),
      ...(options.graceMs === undefined ? {} : { graceMs: options.graceMs }),
      ...(options.load === undefined ? {} : { load: options.load }),
    })
    return this
  }

  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    await server?.close()
  }

  async remove(): Promise<void> {
    await this.stop()
    await rm(this.folder, { recursive: true, force: true })
  }

  send(method: string, path: string, options: SendOptions = {}): Promise<Answer> {
    const { body = '' } = options
    const headers: Record<string, string | number> = { ...options.headers }
    headers['content-length'] ??= Buffer.byteLength(body)
    return new Promise((resolve, reject) => {
      const target = new URL(this.url)
      const { hostname, port } = target
      const request = httpRequest({ host: hostname, port, method, path, headers, agent: false })
      request.on('response', (response) => {
        response.toArray().then(
          (chunks) =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: Buffer.concat(chunks),
            }),
          reject,
        )
      })
      request.on('error', reject)
      request.end(body)
    })
  }

  async json(method: string, path: string, options: SendOptions = {}) {
    return JSON.parse((await this.send(method, path, options)).body.toString())
  }
}
