/**
 * Turns shipments into the bytes of one batch: loads each change as it is now, reads small bodies,
 * issues tickets for large ones, withholds those that the remote may have from elsewhere.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import { messageOf } from '../../base/errors.ts'
import type { ChangeFeed, EncodedChange, OpenObject } from '../../store/model/object-store.ts'
import { type SiteId, siteOf } from '../../store/model/version.ts'
import { encodeFrame, type FrameBody } from '../wire/batch-codec.ts'
import type { LinkTraffic } from '../wire/link-traffic.ts'
import type { TicketBook } from '../wire/tickets.ts'
import type { Shipment } from './shipment.ts'

const nothing: readonly Uint8Array[] = []

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
  | {
      readonly kind: 'frame'
      readonly shipment: Shipment
      readonly pieces: Uint8Array[]
      /** Of the pieces, those that were read for this and are nobody else's. */
      readonly own: readonly Uint8Array[]
    }
  /** A newer mutation or a purge has taken its place. */
  | { readonly kind: 'outdated'; readonly shipment: Shipment }
  | { readonly kind: 'no-ticket'; readonly shipment: Shipment }
  /** It cannot be read here. */
  | { readonly kind: 'unreadable'; readonly shipment: Shipment; readonly reason: string }

/** At once where nothing has to be read: most changes of a sender that keeps up. */
export function loadShipment(
  options: AssemblyOptions,
  shipment: Shipment,
): Loaded | Promise<Loaded> {
  try {
    const change = options.feed.loadEncoded(shipment.place, options.inlineLimit)
    if (change === undefined) return { kind: 'outdated', shipment }
    shipment.kind = change.encoded.kind
    const { object, bytes } = change
    const length = object?.info.meta.size ?? bytes?.length
    if (length === undefined) return framed(shipment, change, { kind: 'none' })
    const relayed = siteOf(change.version) !== options.siteId
    if (relayed && length > relayedInlineBytes && !shipment.bytesWanted) {
      object?.close()
      return framed(shipment, change, { kind: 'withheld', length })
    }
    if (object !== undefined) return loadStored(options, shipment, { ...change, object })
    const pieces = bytes === undefined || length === 0 ? [] : [bytes]
    return framed(shipment, change, { kind: 'inline', pieces, length })
  } catch (error) {
    return unreadable(shipment, error)
  }
}

function framed(
  shipment: Shipment,
  { seq, encoded }: EncodedChange,
  body: FrameBody,
): Loaded & { readonly kind: 'frame' } {
  return { kind: 'frame', shipment, pieces: encodeFrame({ seq, encoded, body }), own: nothing }
}

/** @throws AssertionError: no fault of the change, so it must not make a dead letter of it */
function unreadable(shipment: Shipment, error: unknown): Loaded {
  rethrowAssertion(error)
  return { kind: 'unreadable', shipment, reason: messageOf(error) }
}

async function loadStored(
  options: AssemblyOptions,
  shipment: Shipment,
  change: EncodedChange & { readonly object: OpenObject },
): Promise<Loaded> {
  try {
    const body = await loadBody(options, shipment, change.object)
    if (body === undefined) return { kind: 'no-ticket', shipment }
    const loaded = framed(shipment, change, body)
    // Small ones share what was read in one call.
    const isOwn = body.kind === 'inline' && body.length > wholeBytes
    return isOwn ? { ...loaded, own: body.pieces } : loaded
  } catch (error) {
    return unreadable(shipment, error)
  }
}

/** Undefined when there is no ticket to be had. Whatever happens, the object is closed or leased. */
async function loadBody(
  options: AssemblyOptions,
  shipment: Shipment,
  object: OpenObject,
): Promise<FrameBody | undefined> {
  const length = object.info.meta.size
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
