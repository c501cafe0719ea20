/**
 * Replication: ships this site's change feed to other sites, and applies theirs here. It promises
 * that every change of the feed reaches every remote in its newest state, whatever crashes, hangs or
 * is cut off, and that a change leaves `pending` only after the remote's durable acknowledgement, as
 * a dead letter with its reason, or superseded.
 *
 *     ledger.take -> window -> worker queues -> batch -> remote -> outcomes -> ledger.settle
 *                      ^  by slot, ordered        |                   |
 *                      '--- failed, later --------'     offers: pulled by the remote, later
 *
 * It must never know segments or index keys (it sees the store's interfaces), configuration, or
 * HTTP servers (`http-receiver.ts` has handlers), nor time and network but through Clock and
 * transport.
 */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { ChangeFeed, ChangeSink, RemoteLedger } from '../store/object-store.ts'
import type { VolumeIdentity } from '../volume/volume.ts'
import { Link, type LinkStatus } from './link.ts'
import type { ReplicationOptions } from './options.ts'
import { Receiver } from './receiver.ts'
import { TicketBook } from './tickets.ts'
import type { BlobTransport, RemoteTransport } from './transport.ts'

export interface RemoteDefinition {
  /** The ledger's name; a single remote is called `default`. */
  readonly name: string
  /** For people: what the remote is shown as. Carries no credentials. */
  readonly url: string
  readonly transport: RemoteTransport
  readonly ledger: RemoteLedger
}

export interface ReplicatorOptions {
  readonly feed: ChangeFeed
  readonly sink: ChangeSink
  readonly identity: VolumeIdentity
  /** None at a site that only receives. */
  readonly remotes: readonly RemoteDefinition[]
  /** Where remotes fetch large objects from. */
  readonly advertiseUrl: string
  readonly blobTransport: BlobTransport
  readonly options: ReplicationOptions
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface Replicator {
  /** For `createHttpReceiver`, or a simulated network. */
  readonly receiver: Receiver
  readonly tickets: TicketBook
  /** Begins to ship. A remote that is away delays nothing. */
  start(): void
  /** One for each remote, in the order given. */
  status(): Promise<readonly LinkStatus[]>
  /** Ends promptly. What was not acknowledged stays pending, what was fetched is kept. */
  close(): Promise<void>
}

export function createReplicator(options: ReplicatorOptions): Replicator {
  const { feed, sink, identity, blobTransport, clock, random } = options
  const logger = options.logger.child({ component: 'replication' })
  const tickets = new TicketBook({ clock, random })
  const receiver = new Receiver({
    sink,
    identity,
    head: () => feed.head(),
    blobTransport,
    clock,
    random,
    logger,
  })
  const links = options.remotes.map(
    ({ name, url, transport, ledger }) =>
      new Link({
        name,
        url,
        transport,
        ledger,
        feed,
        tickets,
        identity,
        advertiseUrl: options.advertiseUrl,
        options: options.options,
        clock,
        random,
        logger: logger.child({ remote: name }),
      }),
  )
  return {
    receiver,
    tickets,
    start() {
      for (const link of links) link.start()
    },
    status: () => Promise.all(links.map((link) => link.status())),
    async close() {
      await Promise.all([...links.map((link) => link.close()), receiver.close()])
      tickets.close()
    },
  }
}
