/**
 * What the engine's thread and the HTTP threads say to each other. All of it is plain data, in messages that
 * come in the order in which they were sent; what must hold in the very moment is in the shared words.
 */
import type { AcceptedToken, AuthToken } from '../../config/tokens.ts'
import type { SegmentPlace } from '../../device/device.ts'
import type { S3ErrorCode } from '../../s3/errors.ts'
import type { PutInput } from '../../store/model/object-store.ts'
import type { SegmentUse } from '../../volume/volume.ts'
import type { AccessOptions } from '../credentials/access.ts'
import type { ListenAddress, ListenerLimits } from '../listener/listener.ts'
import type { ListenerTls, TlsMaterial } from '../listener/tls-listener.ts'
import type { OperationFigures } from '../metrics/request-tally.ts'

/** What a thread begins with. */
export interface ThreadStart {
  readonly listen: {
    readonly address: ListenAddress
    readonly limits: Pick<ListenerLimits, 'connectionsMax'>
    readonly tls: ListenerTls | undefined
  }
  /** The socket on which the engine's thread answers what is passed on. */
  readonly engineSocket: string
  /** See {@link words}. */
  readonly words: SharedArrayBuffer
  readonly indexPath: string
  readonly volumeId: string
  readonly rules: Pick<AccessOptions, 'allowAnonymous' | 'loopback' | 'scheme'>
  readonly credentials: CredentialsState
  readonly autoCreateBuckets: boolean
  /** Of small bodies on their way, in memory at one time. */
  readonly budgetBytes: number
  /** False where every request is to be seen by the engine's thread, which logs it. */
  readonly answers: boolean
}

/**
 * Places in an `Int32Array` that all threads share. The engine's thread raises a number before it tells anybody
 * of what it stands for, and who has not heard of the new one yet lets the engine's thread answer.
 */
export const words = {
  /** Who may do what has changed. */
  credentials: 0,
  /** A purge has raised a floor. */
  floors: 1,
} as const
export const wordsBytes = 2 * Int32Array.BYTES_PER_ELEMENT

/** Who may do what, as of an epoch. */
export interface CredentialsState {
  readonly epoch: number
  readonly tokens: readonly AuthToken[]
  readonly acceptTokens: readonly AcceptedToken[]
  /** SHA-256 in hex, each. */
  readonly revoked: readonly string[]
}

/** One small PUT; its digests and its body lie one after the other in the message's bytes. */
export interface PutOrder
  extends Pick<
    PutInput,
    'bucket' | 'conditions' | 'contentLength' | 'createBucket' | 'headers' | 'key' | 'userMetadata'
  > {
  /** From Content-MD5. */
  readonly expectedMd5?: Uint8Array
  readonly id: number
  /** Where its MD5 begins. */
  readonly at: number
}

export interface Refusal {
  readonly id: number
  readonly s3Code: S3ErrorCode
  readonly message: string
  readonly headers: readonly string[]
  /** For the log, where the request's id is known. */
  readonly cause: {
    readonly code: string | undefined
    readonly message: string
    readonly facts: Readonly<Record<string, unknown>> | undefined
    readonly stack: string | undefined
  }
}

/** What a thread has counted since it was last asked. */
export interface ThreadFigures {
  readonly operations: readonly OperationFigures[]
  /** Body bytes that it holds now. */
  readonly heldBytes: number
  /** When each token was last used, by its SHA-256. */
  readonly lastUsed: ReadonlyMap<string, number>
}

export type ToThread =
  | { readonly kind: 'credentials'; readonly state: CredentialsState }
  | { readonly kind: 'certificates'; readonly material: TlsMaterial }
  | { readonly kind: 'place'; readonly use: SegmentUse; readonly place: SegmentPlace | undefined }
  | { readonly kind: 'freed'; readonly segment: number }
  | { readonly kind: 'leave index' | 'enter index' | 'report' | 'serve' }
  | {
      readonly kind: 'put'
      readonly stored: readonly number[]
      readonly refused: readonly Refusal[]
    }
  | { readonly kind: 'close'; readonly graceMs: number }

export type LogLevel = 'debug' | 'error' | 'info' | 'warn'

export type FromThread =
  | { readonly kind: 'closed' | 'left index' | 'listening' }
  /** Or could not, for that reason. */
  | { readonly kind: 'entered index'; readonly failure: string | undefined }
  | { readonly kind: 'ask place'; readonly use: SegmentUse }
  | { readonly kind: 'put'; readonly orders: readonly PutOrder[]; readonly bytes: ArrayBuffer }
  | { readonly kind: 'report'; readonly figures: ThreadFigures }
  | {
      readonly kind: 'log'
      readonly level: LogLevel
      readonly fields: Readonly<Record<string, unknown>>
      readonly message: string
    }
