import type { FeedPlace } from '../../store/model/object-store.ts'
import { slotText } from '../../store/model/slot.ts'
import type { ChangeKind } from '../tally.ts'
import type { Lease } from '../wire/tickets.ts'

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
  /** Whose it is until it is done; undefined until a worker has taken it. */
  worker: number | undefined
  /** An earlier change of the slot that was not done when this one came. */
  behind: Shipment | undefined
  state: ShipmentState
  /** The ledger was told that it is on the wire. */
  launched: boolean
  /** Known once it was loaded. */
  kind: ChangeKind | undefined
  /** In a batch before: the next time is another attempt. */
  sent: boolean
  /** The remote has asked for bytes that were withheld. */
  bytesWanted: boolean
  /** It was deferred before: its success ends the deferral of the others. */
  probe: boolean
  /** Times that it failed alone while others passed. */
  attempts: number
  /** Times that its pull ended without the bytes. */
  offersFailed: number
  lease: Lease | undefined
  /** It was offered to be pushed: what its bytes are asked for with, as 64 hex digits. */
  pushTicket: string | undefined
}

export function makeShipment(place: FeedPlace): Shipment {
  return {
    place,
    slotKey: slotText(place.slot),
    worker: undefined,
    behind: undefined,
    state: 'new',
    launched: false,
    kind: undefined,
    sent: false,
    bytesWanted: false,
    probe: false,
    attempts: 0,
    offersFailed: 0,
    lease: undefined,
    pushTicket: undefined,
  }
}
