/**
 * `npm run bench:verify`: how long it takes to prove two sites equal, and how many bytes that
 * exchanges, while both are being written. Two stores on this machine, in this one process, ship to
 * each other over HTTP; both hold the same small objects from a third site.
 *
 *     npm run bench:verify -- --objects 1000000 --writes 200
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { systemClock } from '../src/base/clock.ts'
import { silentLogger } from '../src/base/log.ts'
import { systemRandom } from '../src/base/random.ts'
import { createHttpBlobTransport } from '../src/replication/http/http-blob-transport.ts'
import { createHttpTransport } from '../src/replication/http/http-transport.ts'
import { defaultReplicationOptions } from '../src/replication/options.ts'
import { createHttpReceiver } from '../src/replication/receive/http-receiver.ts'
import { createReplicator, type Replicator } from '../src/replication/replicator.ts'
import { LinkTraffic } from '../src/replication/wire/link-traffic.ts'
import type { PutMutation } from '../src/store/model/mutation.ts'
import type { IncomingChange } from '../src/store/model/object-store.ts'
import { wantsEverything } from '../src/store/model/place-filter.ts'
import { objectSlot } from '../src/store/model/slot.ts'
import { makeVersion } from '../src/store/model/version.ts'
import { benchArguments, count } from './bench/arguments.ts'
import { type BareStore, openBareStore } from './bench/bare-store.ts'
import { makeBenchFolder, removeBenchFolder } from './bench/site.ts'

const values = benchArguments(
  'How long it takes to prove two sites equal while both are written.',
  {
    objects: count('1000000', 'at each site'),
    writes: count('200', 'at each site, per second'),
    rounds: count('3', 'medians are taken over so many'),
  },
)
const objects = values.objects
const writes = values.writes
const rounds = values.rounds
const token = 'bench'
const options = defaultReplicationOptions

interface Site extends BareStore {
  readonly server: Server
  readonly url: string
}

const folder = await makeBenchFolder()
const sites = [await openSite('site-a'), await openSite('site-b')] as const
const links: Replicator[] = []
try {
  await fill()
  links.push(await connect(sites[0], sites[1]), await connect(sites[1], sites[0]))
  await untilShipped()
  console.info(`${objects} objects at each of two sites, ${writes} writes a second at each`)
  let writing = true
  const writers = sites.map((site, at) => keepWriting(site, { at, goesOn: () => writing }))
  for (let round = 0; round < rounds; round++) await measure(links[0] as Replicator)
  writing = false
  await Promise.all(writers)
} finally {
  for (const link of links) await link.close()
  for (const { close, server } of sites) {
    server.closeAllConnections()
    server.close()
    await close()
  }
  await removeBenchFolder(folder)
}

async function openSite(siteId: string): Promise<Site> {
  const store = await openBareStore({
    storage: `${folder}/${siteId}/volume`,
    index: `${folder}/${siteId}/index`,
    format: { siteId, segmentBytes: 64 * 2 ** 20 },
  })
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { ...store, server, url: `http://127.0.0.1:${port}` }
}

/** The same at both: as if a third site had shipped it to them. */
async function fill(): Promise<void> {
  const atOnce = 2000
  for (let from = 0; from < objects; from += atOnce) {
    const changes = Array.from({ length: Math.min(atOnce, objects - from) }, (_, at) =>
      changeOf(from + at),
    )
    await Promise.all(sites.map(({ engine }) => engine.apply(changes, undefined)))
    if (from % 100_000 === 0) console.info(`${from} of ${objects} objects written`)
  }
  for (const { engine } of sites) {
    const ledger = await engine.ledger('default')
    for (;;) {
      const places = await ledger.take(10_000)
      if (places.length === 0) break
      await ledger.settle(places.map((place) => ({ place, result: 'replicated' as const })))
    }
  }
}

function changeOf(number: number): IncomingChange {
  const bytes = Buffer.from(`object ${number}`)
  const mutation: PutMutation = {
    kind: 'put',
    slot: objectSlot('bench', keyOf(number)) as PutMutation['slot'],
    version: makeVersion(1_700_000_000_000 + number, 0, 'site-c'),
    context: [],
    meta: {
      size: bytes.length,
      etag: createHash('md5').update(bytes).digest('hex'),
      contentHash: { algorithm: 'sha256', digest: createHash('sha256').update(bytes).digest() },
      lastModified: 1_700_000_000_000,
      headers: { 'content-type': 'text/plain' },
      userMetadata: { number: String(number) },
    },
  }
  return { mutation, body: { kind: 'inline', bytes } }
}

function keyOf(number: number): string {
  return `folder-${number % 100}/object-${number}`
}

async function connect(from: Site, to: Site): Promise<Replicator> {
  const { engine, volume, server } = from
  const traffic = new LinkTraffic({ clock: systemClock, compression: 'auto', bandwidthLimit: 0 })
  const replicator = createReplicator({
    feed: engine.feed,
    holdings: engine.holdings,
    sink: engine,
    site: engine,
    identity: volume.identity,
    remotes: [
      {
        name: 'default',
        url: to.url,
        transport: createHttpTransport({
          ...{ url: to.url, token, workers: 5, allowPlaintext: false },
          ...{ traffic, clock: systemClock },
        }),
        traffic,
        ledger: await engine.ledger('default'),
        epoch: 1,
        filter: wantsEverything,
      },
    ],
    advertiseUrl: from.url,
    blobTransport: createHttpBlobTransport({ compression: 'auto' }),
    options,
    takesCompressed: true,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
  })
  const handle = createHttpReceiver({
    receiver: replicator.receiver,
    tickets: replicator.tickets,
    batchSize: options.batchSize,
    batchBytes: options.batchBytes,
    authorize: () => undefined,
    clock: systemClock,
    logger: silentLogger,
  })
  server.on('request', (request, response) => handle(request, response, request.url ?? ''))
  replicator.start()
  return replicator
}

/** A first meeting sends everything again, since the other site may have lost it. */
async function untilShipped(): Promise<void> {
  for (;;) {
    const left = await Promise.all(sites.map(({ engine }) => engine.ledger('default')))
    const pending = left.reduce((sum, ledger) => sum + ledger.counters().pending, 0)
    if (pending === 0) return
    console.info(`${pending} changes are still to be shipped`)
    await new Promise((resolve) => setTimeout(resolve, 5000))
  }
}

async function keepWriting(
  { engine }: Site,
  { at, goesOn }: { readonly at: number; readonly goesOn: () => boolean },
): Promise<void> {
  for (let count = at; goesOn(); count++) {
    const body = Buffer.from(`written ${count}`)
    const key = keyOf((count * 7919 * 131 + at) % objects)
    const input = { bucket: 'bench', key, contentLength: body.length, body, createBucket: true }
    await engine.putObject({ ...input, headers: {}, userMetadata: {} })
    await new Promise((resolve) => setTimeout(resolve, 1000 / writes))
  }
}

async function measure(replicator: Replicator): Promise<void> {
  const { verifier } = replicator
  const order = { bucket: undefined, deep: false, repair: false }
  const before = process.cpuUsage()
  verifier.begin(order, replicator.verifiedRemotes())
  while (verifier.run?.running !== undefined)
    await new Promise((resolve) => setTimeout(resolve, 20))
  const { user, system } = process.cpuUsage(before)
  const cpu = ((user + system) / 1e6).toFixed(1)
  const [result] = verifier.run?.results ?? []
  if (result === undefined) throw new Error('the comparison has no result')
  const { verdict, startedAt, finishedAt, bytesExchanged, compared, reason } = result.report
  const seconds = ((finishedAt - startedAt) / 1000).toFixed(1)
  const kib = Math.round(bytesExchanged / 1024)
  console.info(
    `${verdict}: ${compared} entries in ${seconds} s (CPU of both sites and their writers: ${cpu} s), ${kib} KiB exchanged ${reason ?? ''}`,
  )
}
