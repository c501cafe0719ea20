import type { Clock } from '../../src/base/clock.ts'
import type { LogFields, Logger } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import {
  defaultReplicationOptions,
  type ReplicationOptions,
} from '../../src/replication/options.ts'
import { createReplicator, type Replicator } from '../../src/replication/replicator.ts'
import type { LinkStatus } from '../../src/replication/send/link.ts'
import { LinkTraffic } from '../../src/replication/wire/link-traffic.ts'
import { wantsEverything } from '../../src/store/model/place-filter.ts'
import type { VolumeIdentity } from '../../src/volume/volume.ts'
import { emptySite, noHoldings } from './empty-site.ts'
import { ManualClock, runUntil } from './manual-clock.ts'
import { MemoryBlobTransport, MemoryTransport } from './memory-network.ts'
import { MemorySink } from './memory-sink.ts'
import { identityOf, MemoryFeed, MemoryLedger } from './memory-site.ts'

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly fields: LogFields
}

export function collectingLogger(lines: LogLine[], bound: LogFields = {}): Logger {
  const at =
    (level: LogLine['level']) =>
    (fields: LogFields, message: string): void => {
      lines.push({ level, message, fields: { ...bound, ...fields } })
    }
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => collectingLogger(lines, { ...bound, ...fields }),
  }
}

export function unlimitedTraffic(clock: Clock): LinkTraffic {
  return new LinkTraffic({ clock, compression: 'off', bandwidthLimit: 0 })
}

export interface PairOptions {
  readonly seed?: number
  readonly options?: Partial<ReplicationOptions>
  readonly own?: Partial<VolumeIdentity>
  readonly peer?: Partial<VolumeIdentity>
}

/** Site A with a feed, ledger and sender, site B with a sink and receiver, time in between by hand. */
export class MemoryPair {
  readonly clock = new ManualClock()
  readonly lines: LogLine[] = []
  readonly feed = new MemoryFeed({ clock: this.clock, siteId: 'site-a' })
  readonly ledger = new MemoryLedger(this.feed, this.clock)
  readonly sink = new MemorySink()
  readonly blobs = new MemoryBlobTransport()
  readonly transport: MemoryTransport
  readonly #options: PairOptions
  peer: VolumeIdentity
  sender: Replicator
  remote: Replicator
  #starts = 0

  constructor(options: PairOptions = {}) {
    this.#options = options
    this.peer = identityOf('site-b', options.peer)
    this.remote = this.#makeRemote()
    this.transport = new MemoryTransport(() => this.remote.receiver)
    this.sender = this.makeSender()
    this.blobs.tickets = this.sender.tickets
  }

  makeSender(): Replicator {
    return createReplicator({
      feed: this.feed,
      holdings: noHoldings,
      site: emptySite(this.feed),
      sink: new MemorySink(),
      identity: identityOf('site-a', this.#options.own),
      remotes: [
        {
          name: 'default',
          url: 'http://127.0.0.1:1',
          transport: this.transport,
          traffic: unlimitedTraffic(this.clock),
          ledger: this.ledger,
          epoch: 1,
          filter: wantsEverything,
        },
      ],
      advertiseUrl: 'http://127.0.0.1:2',
      blobTransport: new MemoryBlobTransport(),
      options: { ...defaultReplicationOptions, ...this.#options.options },
      takesCompressed: false,
      clock: this.clock,
      random: seededRandom((this.#options.seed ?? 1) + ++this.#starts),
      logger: collectingLogger(this.lines),
    })
  }

  /** Site B is killed and started again: what it holds in memory is gone. */
  async restartRemote(identity: Partial<VolumeIdentity> = {}): Promise<void> {
    await this.remote.close()
    this.peer = { ...this.peer, ...identity }
    this.remote = this.#makeRemote()
  }

  async restartSender(): Promise<void> {
    await this.sender.close()
    this.ledger.reopen()
    this.sender = this.makeSender()
    this.blobs.tickets = this.sender.tickets
    this.sender.start()
  }

  async status(): Promise<LinkStatus> {
    const [status] = await this.sender.status()
    if (status === undefined) throw new Error('there is one remote')
    return status
  }

  settled(limitMs?: number): Promise<void> {
    const options = { what: 'nothing is pending', ...(limitMs === undefined ? {} : { limitMs }) }
    return runUntil(this.clock, () => this.ledger.counters().pending === 0, options)
  }

  /** Keys whose newest state is not at B. */
  missing(): readonly string[] {
    return this.feed
      .entries()
      .filter(({ mutation }) => {
        const { slot } = mutation
        const held = slot.kind === 'object' ? this.sink.slots.get(`o/box/${slot.key}`) : undefined
        return held?.mutation.version !== mutation.version
      })
      .map(({ mutation }) => (mutation.slot.kind === 'object' ? mutation.slot.key : ''))
  }

  async close(): Promise<void> {
    await Promise.all([this.sender.close(), this.remote.close()])
  }

  #makeRemote(): Replicator {
    const feed = new MemoryFeed({ clock: this.clock, siteId: 'site-b' })
    return createReplicator({
      feed,
      holdings: noHoldings,
      site: emptySite(feed),
      sink: this.sink,
      identity: this.peer,
      remotes: [],
      advertiseUrl: 'http://127.0.0.1:1',
      blobTransport: this.blobs,
      options: { ...defaultReplicationOptions, ...this.#options.options },
      takesCompressed: false,
      clock: this.clock,
      random: seededRandom(1000 + ++this.#starts),
      logger: collectingLogger(this.lines),
    })
  }
}
