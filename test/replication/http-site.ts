import { cp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import { systemRandom } from '../../src/base/random.ts'
import { createHttpBlobTransport } from '../../src/replication/http/http-blob-transport.ts'
import { createHttpSiteReader } from '../../src/replication/http/http-site-reader.ts'
import { createHttpTransport } from '../../src/replication/http/http-transport.ts'
import type { Denial } from '../../src/replication/http/replication-handler.ts'
import {
  defaultReplicationOptions,
  type ReplicationOptions,
} from '../../src/replication/options.ts'
import { createReadHandler } from '../../src/replication/reads/http-read-handler.ts'
import { ReadResponder } from '../../src/replication/reads/read-responder.ts'
import { createHttpReceiver } from '../../src/replication/receive/http-receiver.ts'
import { createReplicator, type Replicator } from '../../src/replication/replicator.ts'
import type { LinkStatus } from '../../src/replication/send/link.ts'
import type { VerifyOrder, VerifyReport } from '../../src/replication/verify/verification.ts'
import type { CompressionMode } from '../../src/replication/wire/compression.ts'
import { LinkTraffic } from '../../src/replication/wire/link-traffic.ts'
import type { RemoteLedger } from '../../src/store/model/object-store.ts'
import { TestStore } from '../store/open-store.ts'
import { collectingLogger, type LogLine } from './memory-pair.ts'

export interface HttpSiteOptions {
  readonly siteId: string
  readonly capacityBytes?: number
  readonly segmentBytes?: number
  readonly acceptToken?: string
  readonly options?: Partial<ReplicationOptions>
  readonly compression?: CompressionMode
  readonly bandwidthLimit?: number
  /** Time passes so many times as fast for replication, so that its deadlines can be met in a test. */
  readonly hurry?: number
}

interface RemoteOptions {
  readonly url: string
  readonly token?: string
  readonly advertiseUrl?: string
}

export const goodToken = 'good-token-0123456789-0123456789-01'

/** A site with a real store and real sockets: what the server puts together, without the rest of it. */
export class HttpSite {
  readonly store: TestStore
  readonly lines: LogLine[] = []
  /** To its remote, since it was last started. */
  traffic: LinkTraffic | undefined
  readonly #copies: string[] = []
  readonly #options: HttpSiteOptions
  #server: Server | undefined
  #port = 0
  #remote: RemoteOptions | undefined
  #replicator: Replicator | undefined
  #ledger: RemoteLedger | undefined

  private constructor(store: TestStore, options: HttpSiteOptions) {
    this.store = store
    this.#options = options
  }

  static async open(options: HttpSiteOptions): Promise<HttpSite> {
    const { siteId, segmentBytes = 16 * 2 ** 20, capacityBytes } = options
    const store = await TestStore.open({
      siteId,
      segmentBytes,
      ...(capacityBytes === undefined ? {} : { capacityBytes }),
    })
    const site = new HttpSite(store, options)
    await site.#start()
    return site
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  get ledger(): RemoteLedger {
    if (this.#ledger === undefined) throw new Error('this site has no remote')
    return this.#ledger
  }

  async connectTo(remote: RemoteOptions): Promise<void> {
    this.#remote = remote
    await this.#stop()
    await this.#start()
  }

  /** Stops without a word and starts again on the same port, from what is on disk. */
  async restart(): Promise<void> {
    await this.#stop()
    await this.store.reopen()
    await this.#start()
  }

  /** A copy of the folder as it is now; goes on as after a restart. Ends with the site. */
  async snapshot(): Promise<string> {
    await this.#stop()
    await this.store.close()
    const copy = `${this.store.folder}.copy${this.#copies.length}`
    this.#copies.push(copy)
    await cp(this.store.folder, copy, { recursive: true })
    await this.restart()
    return copy
  }

  /** Sets the site back to a copy. */
  async restore(copy: string): Promise<void> {
    await this.#stop()
    await this.store.remove()
    await cp(copy, this.store.folder, { recursive: true })
    await this.restart()
  }

  async stop(): Promise<void> {
    await this.#stop()
  }

  async status(): Promise<LinkStatus> {
    const [status] = (await this.#replicator?.status()) ?? []
    if (status === undefined) throw new Error('this site has no remote')
    return status
  }

  /** Compares with the remote, to the end. */
  async verify(
    order: Partial<VerifyOrder> = {},
    { stopped }: { readonly stopped: boolean } = { stopped: false },
  ): Promise<VerifyReport> {
    const replicator = this.#replicator
    if (replicator === undefined) throw new Error('this site is stopped')
    const { verifier } = replicator
    const whole = { bucket: undefined, deep: false, repair: false, ...order }
    const id = verifier.begin(whole, replicator.verifiedRemotes())?.id
    if (stopped) await verifier.cancel()
    await eventually(() => verifier.run?.running === undefined, 'the comparison ends')
    const [result] = verifier.run?.results ?? []
    if (verifier.run?.id !== id || result === undefined) throw new Error('no result')
    return result.report
  }

  /** What its status says of the comparisons with its remote. */
  lastVerified(): VerifyReport | undefined {
    const [remote] = this.#replicator?.verifiedRemotes() ?? []
    return remote && this.#replicator?.verifier.lastOf(remote.name)
  }

  async close(): Promise<void> {
    await this.#stop()
    await this.store.remove()
    for (const copy of this.#copies) await rm(copy, { recursive: true, force: true })
  }

  async #start(): Promise<void> {
    const options = { ...defaultReplicationOptions, retryDelayMs: 500, ...this.#options.options }
    const { engine, volume } = this.store
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (server.address() as AddressInfo).port
    const remote = this.#remote
    this.#ledger = remote === undefined ? undefined : await engine.ledger('default')
    const logger = collectingLogger(this.lines)
    const replicator = createReplicator({
      feed: engine.feed,
      holdings: engine.holdings,
      sink: engine,
      site: engine,
      identity: volume.identity,
      remotes: remote === undefined ? [] : [this.#remoteDefinition(remote, options)],
      advertiseUrl: remote?.advertiseUrl ?? this.url,
      blobTransport: createHttpBlobTransport({
        compression: this.#compression,
        progressMs: this.#progressMs,
      }),
      options,
      takesCompressed: this.#compression !== 'off',
      clock: this.#clock,
      random: systemRandom,
      logger,
    })
    const authorize = ({ headers }: IncomingMessage): Denial | undefined =>
      headers.authorization === `Bearer ${this.#options.acceptToken ?? goodToken}`
        ? undefined
        : { status: 401, code: 'UNAUTHORIZED', message: 'the token is not known here' }
    const handle = createHttpReceiver({
      receiver: replicator.receiver,
      tickets: replicator.tickets,
      batchSize: options.batchSize,
      batchBytes: options.batchBytes,
      authorize,
      clock: this.#clock,
      logger,
    })
    const { identity } = volume
    const handleRead = createReadHandler({
      responder: new ReadResponder({ site: engine, identity }),
      authorize,
      clock: this.#clock,
      logger,
    })
    server.on('request', (request, response) => {
      const path = request.url ?? ''
      if (handle(request, response, path) || handleRead(request, response, path)) return
      response.writeHead(404).end()
    })
    this.#server = server
    this.#replicator = replicator
    replicator.start()
  }

  get #clock(): Clock {
    const { hurry = 1 } = this.#options
    return hurry === 1 ? systemClock : hurriedClock(hurry)
  }

  get #progressMs(): number {
    return 30_000 / (this.#options.hurry ?? 1)
  }

  get #compression(): CompressionMode {
    return this.#options.compression ?? 'auto'
  }

  #remoteDefinition(remote: RemoteOptions, options: ReplicationOptions) {
    const compression = this.#compression
    const { bandwidthLimit = 0 } = this.#options
    const traffic = new LinkTraffic({ clock: this.#clock, compression, bandwidthLimit })
    this.traffic = traffic
    const transport = createHttpTransport({
      url: remote.url,
      token: remote.token ?? goodToken,
      workers: options.workers,
      allowPlaintext: false,
      traffic,
      progressMs: this.#progressMs,
      clock: this.#clock,
    })
    const reader = createHttpSiteReader({
      urls: [remote.url],
      token: remote.token ?? goodToken,
      allowPlaintext: false,
    })
    const linked = this.store.engine.remotes.list().find(({ name }) => name === 'default')
    if (linked === undefined) throw new Error('the remote is not linked')
    const { name, ledger, epoch, filter } = linked
    return { name, url: remote.url, transport, reader, traffic, ledger, epoch, filter }
  }

  async #stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    server?.closeAllConnections()
    await this.#replicator?.close()
    this.#replicator = undefined
    if (server === undefined) return
    const closed = new Promise((resolve) => server.close(resolve))
    // Whoever has come since, and waits for news, would be waited for.
    server.closeAllConnections()
    await closed
  }
}

/** Its timers and its monotonic time run fast; wall time, which sites compare, does not. */
function hurriedClock(times: number): Clock {
  return {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic() * times,
    after: (ms, callback) => systemClock.after(ms / times, callback),
  }
}

/** Looks again and again, for at most 60 s. */
export async function eventually(
  holds: () => boolean | Promise<boolean>,
  what: string,
): Promise<void> {
  const end = performance.now() + 60_000
  while (performance.now() < end) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error(`it never came true: ${what}`)
}
