/**
 * What the control plane needs from the site it controls. The composition root supplies these; the
 * handlers see nothing else of the engine, the replicator or the configuration.
 */
import type { IncomingMessage } from 'node:http'
import type { ConflictStore, ObjectStore } from '../store/model/object-store.ts'
import type {
  FailedDetailsDocument,
  FailedDocument,
  HealthDocument,
  HeldDocument,
  LettersDocument,
  RemoteChangeDocument,
  RemoteDocument,
  RemovedDocument,
  ReplayDocument,
  ReplicationStatusDocument,
  RevokedTokenDocument,
  RoleDocument,
  RoleRequestDocument,
  TokenDescription,
} from './protocol.ts'
import type { ScrubDocument } from './scrub-protocol.ts'
import type { VerifyDocument } from './verify-protocol.ts'

/** What an endpoint asks of its caller: nothing at all, or a role. */
export type ControlAccess = 'open' | 'read' | 'admin'

/** Why a request is refused, in the words that its answer carries. */
export interface AccessDenial {
  /** 401: nobody we know. 403: not allowed. */
  readonly status: 401 | 403
  readonly code: string
  readonly message: string
  readonly hint: string
}

export interface HealthReport {
  /** False only when the site can answer neither reads nor writes: the answer is 503. */
  readonly serving: boolean
  readonly document: HealthDocument
}

export interface ReplayOrder {
  readonly what: /** The dead letters. */
    | 'failed'
    /** Every change from this seq on, inclusive. */
    | { readonly from: number }
    | { readonly bucket: string; readonly prefix: string | undefined }
    /** Made then or later: wall ms, or so long ago by the site's own clock. */
    | { readonly since: { readonly at: number } | { readonly agoMs: number } }
  /** Undefined for all remotes there are. */
  readonly remote: string | undefined
  readonly dryRun: boolean
}

export interface LettersOrder {
  readonly seqs: readonly number[] | 'all'
  /** Undefined for all remotes there are. */
  readonly remote: string | undefined
}

export interface ReplicationControl {
  status(): Promise<ReplicationStatusDocument>
  /** The dead letters of all remotes, bounded. */
  failed(): Promise<FailedDocument>
  /** Everything about the dead letters at one place. @throws NoSuchRemoteError, NoSuchLetterError */
  failedAt(seq: number, remote: string | undefined): Promise<FailedDetailsDocument>
  /** Sends dead letters again. @throws NoSuchRemoteError, NoSuchLetterError */
  retry(order: LettersOrder): Promise<LettersDocument>
  /** Closes dead letters for good. @throws NoSuchRemoteError, NoSuchLetterError */
  discard(order: LettersOrder): Promise<LettersDocument>
  /** @throws NoSuchRemoteError */
  replay(order: ReplayOrder): Promise<ReplayDocument>
  /** What is held back goes out, or is given up. @throws NoSuchRemoteError */
  decide(verb: 'release' | 'discard', remote: string | undefined): Promise<HeldDocument>
  /** Promotes or demotes this site, if nothing speaks against it. */
  changeRole(order: RoleRequestDocument): Promise<RoleDocument>
}

/** Every change is durable when resolved, and takes effect at once. */
export interface RemotesControl {
  list(): readonly RemoteDocument[]
  /** @throws RemoteSettingsError, RemoteConflictError */
  add(document: RemoteChangeDocument): Promise<RemoteDocument>
  /** @throws RemoteSettingsError, RemoteConflictError, NoSuchRemoteError */
  set(name: string, change: RemoteChangeDocument): Promise<RemoteDocument>
  /** Works while the remote is away. @throws NoSuchRemoteError */
  remove(name: string): Promise<RemovedDocument>
  /** @throws NoSuchRemoteError */
  pause(name: string): Promise<RemoteDocument>
  /** @throws NoSuchRemoteError */
  resume(name: string): Promise<RemoteDocument>
}

export interface TokenControl {
  list(): readonly TokenDescription[]
  /** Refused from now on, whatever the configuration says. @throws NoSuchTokenError */
  revoke(name: string): Promise<RevokedTokenDocument>
}

export interface VerifyOrder {
  /** Undefined for all remotes there are. */
  readonly remote: string | undefined
  readonly order: {
    readonly bucket: string | undefined
    readonly deep: boolean
    readonly repair: boolean
  }
}

export interface VerifyControl {
  /** The comparison that is running, or the last one. */
  current(): VerifyDocument
  /** @throws VerifyRunningError, NoSuchRemoteError */
  begin(order: VerifyOrder): VerifyDocument
  /** Resolves once nothing is running. */
  stop(): Promise<VerifyDocument>
}

export interface ScrubControl {
  /** The pass that is running, and the last one. */
  current(): Promise<ScrubDocument>
  /** @throws ScrubRunningError */
  begin(): Promise<ScrubDocument>
  /** Resolves once nothing is running. */
  stop(): Promise<ScrubDocument>
}

/** One answered request, for the metrics. */
export interface ControlObservation {
  readonly operation: string
  readonly status: number
  readonly durationMs: number
}

export interface ControlPlaneOptions {
  readonly store: Pick<ObjectStore, 'previewPurge' | 'purgeBucket' | 'headObject'>
  readonly conflicts: ConflictStore
  readonly replication: ReplicationControl
  readonly remotes: RemotesControl
  readonly tokens: TokenControl
  readonly verify: VerifyControl
  readonly scrub: ScrubControl
  readonly health: () => Promise<HealthReport>
  /** Prometheus text, and its content type. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>
  readonly authorize: (request: IncomingMessage, access: ControlAccess) => AccessDenial | undefined
  readonly observe: (observation: ControlObservation) => void
}
