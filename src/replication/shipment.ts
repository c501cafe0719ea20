import type { FeedPlace } from '../store/object-store.ts'
import { slotText } from '../store/slot.ts'
import type { Lease } from './tickets.ts'

/** Where a shipment is; exactly one at a time. */
export type ShipmentState =
  | 'new'
  /** In its worker's queue, or in a group that goes next. */
  | 'queued'
  | 'sending'
  /** Offered; the remote is fetching the bytes. */
  | 'pulling'
  /** Answered; the ledger is being told. */
  | 'settling'
  /** Failed alone: waits for its next attempt. */
  | 'parked'
  /** The remote wants it later. */
  | 'deferred'
  /** Waits for a free ticket. */
  | 'starved'
  /** Settled, buried, or superseded: no longer this window's. */
  | 'gone'

/** One place of the feed on its way to one remote. */
export interface Shipment {
  readonly place: FeedPlace
  readonly slotKey: string
  /** Which worker's: equal slots have equal workers. */
  readonly worker: number
  state: ShipmentState
  /** The ledger was told that it is on the wire. */
  launched: boolean
  /** The remote has asked for bytes that were withheld. */
  bytesWanted: boolean
  /** It was deferred before: its success ends the deferral of the others. */
  probe: boolean
  /** Times that it failed alone while others passed. */
  attempts: number
  /** Times that its pull ended without the bytes. */
  offersFailed: number
  lease: Lease | undefined
}

export function makeShipment(place: FeedPlace, workers: number): Shipment {
  const slotKey = slotText(place.slot)
  return {
    place,
    slotKey,
    worker: hashText(slotKey) % workers,
    state: 'new',
    launched: false,
    bytesWanted: false,
    probe: false,
    attempts: 0,
    offersFailed: 0,
    lease: undefined,
  }
}

/** FNV-1a over UTF-16 units: spreads slots over workers, nothing more. */
function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  }
  return hash >>> 0
}
