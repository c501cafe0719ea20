/**
 * Turns shipments into the bytes of one batch: loads each change as it is now, reads small bodies,
 * issues tickets for large ones, withholds those that the remote may have from elsewhere.
 */
import { rethrowAssertion } from '../base/assert.ts'
import { messageOf } from '../base/errors.ts'
import { encodeMutation } from '../store/mutation.ts'
import type { ChangeFeed, OpenObject, OutgoingChange } from '../store/object-store.ts'
import { type SiteId, siteOf } from '../store/version.ts'
import { encodeFrame, type FrameBody } from './batch-codec.ts'
import type { LinkTraffic } from './link-traffic.ts'
import type { Shipment } from './shipment.ts'
import type { TicketBook } from './tickets.ts'

/** Relayed bodies above this are withheld until the remote asks for them. */
const relayedInlineBytes = 4096

export interface AssemblyOptions {
  readonly feed: ChangeFeed
  readonly tickets: TicketBook
  readonly siteId: SiteId
  readonly inlineLimit: number
  readonly traffic: LinkTraffic
  /** Whether large objects are to be pushed instead of pulled. */
  readonly pushes: () => boolean
  /** Bytes of an offered object were fetched. */
  readonly onFetched: () => void
}

/** What became of one shipment on its way into a batch. */
export type Loaded =
  | { readonly kind: 'frame'; readonly shipment: Shipment; readonly pieces: Uint8Array[] }
  /** A newer mutation or a purge has taken its place. */
  | { readonly kind: 'outdated'; readonly shipment: Shipment }
  | { readonly kind: 'no-ticket'; readonly shipment: Shipment }
  /** It cannot be read here. */
  | { readonly kind: 'unreadable'; readonly shipment: Shipment; readonly reason: string }

export async function loadShipment(options: AssemblyOptions, shipment: Shipment): Promise<Loaded> {
  let change: OutgoingChange | undefined
  try {
    change = options.feed.loadChange(shipment.place)
    if (change === undefined) return { kind: 'outdated', shipment }
    shipment.kind = change.mutation.kind
    const body = await loadBody(options, shipment, change)
    if (body === undefined) return { kind: 'no-ticket', shipment }
    const encoded = encodeMutation(change.mutation)
    return { kind: 'frame', shipment, pieces: encodeFrame({ seq: change.seq, encoded, body }) }
  } catch (error) {
    // A broken invariant here is no fault of the change: it must not make a dead letter of it.
    rethrowAssertion(error)
    return { kind: 'unreadable', shipment, reason: messageOf(error) }
  }
}

/** Undefined when there is no ticket to be had. Whatever happens, the object is closed or leased. */
async function loadBody(
  options: AssemblyOptions,
  shipment: Shipment,
  change: OutgoingChange,
): Promise<FrameBody | undefined> {
  const { object } = change
  if (object === undefined) return { kind: 'none' }
  const length = object.info.meta.size
  const relayed = siteOf(object.info.version) !== options.siteId
  if (relayed && length > relayedInlineBytes && !shipment.bytesWanted) {
    object.close()
    return { kind: 'withheld', length }
  }
  if (length > options.inlineLimit) return offer(options, shipment, object)
  try {
    return { kind: 'inline', pieces: await readPieces(object), length }
  } finally {
    object.close()
  }
}

function offer(
  options: AssemblyOptions,
  shipment: Shipment,
  object: OpenObject,
): FrameBody | undefined {
  shipment.lease?.end('expired')
  shipment.lease = undefined
  shipment.pushTicket = undefined
  const issued = options.tickets.issue(object, options.traffic, options.onFetched)
  if (issued === undefined) {
    object.close()
    return undefined
  }
  shipment.lease = issued.lease
  const { ticket } = issued
  const length = object.info.meta.size
  if (!options.pushes()) return { kind: 'offer', ticket, length }
  shipment.pushTicket = Buffer.from(ticket).toString('hex')
  return { kind: 'push', ticket, length }
}

/** Objects up to this size are read in one call. */
const wholeBytes = 64 * 1024

async function readPieces(object: OpenObject): Promise<readonly Uint8Array[]> {
  const { size } = object.info.meta
  if (size === 0) return []
  if (size <= wholeBytes) return [await object.readWhole()]
  const pieces: Uint8Array[] = []
  for await (const piece of object.read()) pieces.push(piece)
  return pieces
}
