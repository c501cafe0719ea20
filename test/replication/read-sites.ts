/** Sites that read single objects of each other: real stores, without a network in between. */
import { systemClock } from '../../src/base/clock.ts'
import type { Logger } from '../../src/base/log.ts'
import { HealingReads } from '../../src/replication/reads/healing-reads.ts'
import { ProxyReads } from '../../src/replication/reads/proxy-reads.ts'
import { ReadResponder } from '../../src/replication/reads/read-responder.ts'
import { ReadsTally } from '../../src/replication/reads/reads-tally.ts'
import { RemoteLook } from '../../src/replication/reads/remote-look.ts'
import { RemoteRefusedError, RemoteUnreachableError } from '../../src/replication/wire/errors.ts'
import {
  parseReadQuestion,
  type VersionedObject,
} from '../../src/replication/wire/read-documents.ts'
import type { ReadableRemote, SiteReader } from '../../src/replication/wire/site-reader.ts'
import { CorruptObjectError } from '../../src/store/model/errors.ts'
import { isWanted, type PlaceFilter, wantsEverything } from '../../src/store/model/place-filter.ts'
import { TestStore } from '../store/open-store.ts'
import { collectingLogger, type LogLine } from './memory-pair.ts'

/** Reads at `store` as if over the network. */
export class DirectReader implements SiteReader {
  readonly #responder: ReadResponder

  constructor(store: TestStore) {
    const { identity } = store.volume
    this.#responder = new ReadResponder({ site: store.engine, identity })
  }

  async look(question: string): Promise<Buffer> {
    const asked = parseReadQuestion(question)
    if (asked.ask !== 'object') throw new Error('another question was asked')
    return this.#responder.look(asked)
  }

  async readBytes(question: string): Promise<AsyncIterable<Buffer>> {
    const asked = parseReadQuestion(question)
    if (asked.ask !== 'bytes') throw new Error('another question was asked')
    const pieces: Buffer[] = []
    let failure: unknown
    try {
      await this.#responder.withObject(asked, async (object) => {
        for await (const piece of object.read(asked)) pieces.push(Buffer.from(piece))
      })
    } catch (error) {
      if (!(error instanceof CorruptObjectError)) throw error
      const { code: remoteCode, message } = error
      if (pieces.length === 0) throw new RemoteRefusedError({ status: 503, remoteCode, message })
      failure = new RemoteUnreachableError('the connection was cut')
    }
    return (async function* () {
      yield* pieces
      if (failure !== undefined) throw failure
    })()
  }

  async bringBytes(
    object: VersionedObject,
    body: { readonly bytes: () => AsyncIterable<Uint8Array> },
  ): Promise<void> {
    await this.#responder.mend(object, body.bytes())
  }

  async close(): Promise<void> {}
}

/** A site whose reads may go on at others. */
export class ReadingSite {
  readonly store: TestStore
  readonly tally = new ReadsTally()
  readonly lines: LogLine[] = []
  readonly proxy: ProxyReads
  readonly healing: HealingReads
  remotes: readonly ReadableRemote[] = []

  private constructor(store: TestStore, timeoutMs: number) {
    this.store = store
    const logger: Logger = collectingLogger(this.lines)
    const { engine, volume } = store
    const clock = systemClock
    const { tally } = this
    const look = new RemoteLook({
      remotes: () => this.remotes,
      survey: engine.survey,
      volumeId: volume.identity.volumeId,
      ...{ timeoutMs, clock, logger },
    })
    this.proxy = new ProxyReads({ look, tally, clock, timeoutMs })
    this.healing = new HealingReads({
      ...{ look, tally, clock, logger },
      mender: engine.mender,
      open: (name) => engine.openObject(name),
    })
  }

  static async open(
    siteId: string,
    { timeoutMs = 5000, segmentBytes = 2 ** 20 } = {},
  ): Promise<ReadingSite> {
    return new ReadingSite(await TestStore.open({ siteId, segmentBytes }), timeoutMs)
  }

  /** Adds a remote; this site ships to it what `filter` wants. */
  async readsFrom(
    name: string,
    reader: SiteReader,
    filter: PlaceFilter = wantsEverything,
  ): Promise<void> {
    const ledger = await this.store.engine.ledger(name)
    const wants = ({ slot }: Parameters<typeof ledger.wants>[0]): boolean => isWanted(filter, slot)
    const filtered = new Proxy(ledger, {
      get: (target, member) => (member === 'wants' ? wants : Reflect.get(target, member)),
    })
    this.remotes = [...this.remotes, { name, reader, ledger: filtered }]
  }

  /** The object as another site has it, as text; undefined when there is none to be shown. */
  async readElsewhere(key: string, bucket = 'box'): Promise<string | undefined> {
    const { signal } = new AbortController()
    const object = await this.proxy.open({ bucket, key }, { bytes: true, signal })
    if (object === undefined) return undefined
    try {
      return String(await object.readWhole())
    } finally {
      object.close()
    }
  }

  /** Reads an own object as clients do. */
  async readOwn(key: string): Promise<Buffer> {
    const own = this.store.engine.openObject({ bucket: 'box', key })
    if (own === undefined) throw new Error('it is not there')
    const object = this.healing.over(own)
    try {
      const pieces: Buffer[] = []
      for await (const piece of object.read()) pieces.push(piece)
      return Buffer.concat(pieces)
    } finally {
      object.close()
    }
  }

  counted(): Partial<Record<string, number>> {
    return Object.fromEntries([...this.tally.proxied].filter(([, count]) => count > 0))
  }

  async close(): Promise<void> {
    await this.healing.close()
    await this.store.remove()
  }
}

/** Ships the newest state of `key` by hand. */
export async function bring(key: string, from: TestStore, to: TestStore): Promise<void> {
  const places = await from.engine.feed.readPlaces(0, 1000)
  for (const place of places) {
    const { slot } = place
    const isAbout = key === '' ? slot.kind === 'floor' : slot.kind === 'object' && slot.key === key
    const change = isAbout ? from.engine.feed.loadChange(place) : undefined
    if (change === undefined) continue
    const { mutation, object } = change
    const bytes = await object?.readWhole()
    object?.close()
    const body =
      bytes === undefined ? { kind: 'none' as const } : { kind: 'inline' as const, bytes }
    const [outcome] = await to.engine.apply([{ mutation, body }], undefined)
    if (outcome?.result !== 'applied') throw new Error(`it was ${outcome?.result}`)
  }
}
