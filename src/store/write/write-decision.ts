/** What becomes of a write that is brought to the sequencer. */
import type { ComioError } from '../../base/errors.ts'
import type { Version } from '../model/version.ts'
import type { PlacedBlob } from '../tables/records.ts'

/** A body that is ready to be recorded: its bytes, or where they lie. */
export type ReadyBody = { readonly bytes: Uint8Array } | { readonly blobs: readonly PlacedBlob[] }

export type WriteDecision =
  | {
      readonly kind: 'sequenced'
      readonly seq: number
      readonly version: Version
      readonly done: Promise<void>
    }
  /** `after`: the refusal rests on a pending write; ask again if that fails. */
  | {
      readonly kind: 'refused'
      readonly error: ComioError
      readonly after: Promise<void> | undefined
    }
  /** What it rests on is about to change: decide again then. */
  | { readonly kind: 'wait'; readonly until: Promise<void> }
  | { readonly kind: 'nothing-to-do'; readonly after: Promise<void> | undefined }
