/**
 * What an object store means, as the layers above see it: S3 handlers, replication and the control
 * plane depend on these interfaces, never on a segment or an index key, so that a second engine can
 * stand behind them. The engine of one machine is `engine.ts`.
 *
 * Promises: an answered write is durable; reads, lists and the feed see only what is durable and
 * indexed, and see it at once; nothing becomes visible in halves.
 */

import type { BodyDigests } from './body-hasher.ts'
import type { ConflictPolicy } from './bucket-register.ts'
import type { FeedPlace } from './feed-place.ts'
import type { Holdings } from './holdings.ts'
import type { EncodedMutation, Mutation, PutMutation } from './mutation.ts'
import type { ObjectInfo, ObjectName, OpenObject } from './open-object.ts'
import type { PlaceFilter } from './place-filter.ts'
import type { Slot } from './slot.ts'
import type { TakeGuard } from './take-guard.ts'
import type { Context, Version } from './version.ts'

export type { FeedPlace } from './feed-place.ts'
export type { ByteRange, ObjectInfo, ObjectName, OpenObject, ReadOptions } from './open-object.ts'

/** Entity tags without quotes; `*` alone stands for any. */
export interface WriteConditions {
  readonly ifMatch?: readonly string[]
  readonly ifNoneMatch?: readonly string[]
}

export interface PutInput extends ObjectName {
  readonly contentLength: number
  /**
   * Exactly `contentLength` bytes: at once, or as a stream that ends there. A piece of the stream is
   * good until the next one is asked for; an empty one says that none may come for a while.
   */
  readonly body: Uint8Array | AsyncIterable<Uint8Array>
  readonly headers: Readonly<Record<string, string>>
  readonly userMetadata: Readonly<Record<string, string>>
  /** From Content-MD5: checked before anything becomes visible. */
  readonly expectedMd5?: Buffer
  /** Told what came before anything becomes visible; what it throws refuses the put. */
  readonly verify?: (digests: BodyDigests) => void
  readonly conditions?: WriteConditions
  /** Of a body that comes at once, where somebody else has hashed it: in another thread of this process. */
  readonly digests?: BodyDigests
  /** Make the bucket when it does not exist, in the same group. */
  readonly createBucket: boolean
  readonly signal?: AbortSignal
}

export interface DeleteInput extends ObjectName {
  readonly conditions?: WriteConditions
  /** What another site holds and this one does not yet: the delete has seen it, and holds against it when it comes. */
  readonly seen?: Version | undefined
}

export interface ListInput {
  readonly bucket: string
  readonly prefix: string
  readonly delimiter: string
  /** Strictly after this key (or common prefix); empty from the start. */
  readonly after: string
  readonly limit: number
}

export interface ListPage {
  readonly objects: readonly ObjectInfo[]
  readonly commonPrefixes: readonly string[]
  /** Pass as `after` for the next page; undefined at the end. */
  readonly next: string | undefined
}

export interface BucketInfo {
  readonly name: string
  readonly createdAt: number
}

export interface PurgePreview {
  readonly count: number
  readonly bytes: number
}

export interface ObjectStore {
  /** @throws StorageFullError, PreconditionFailedError, BadDigestError, IncompleteBodyError, NoSuchBucketError */
  putObject(input: PutInput): Promise<ObjectInfo>
  /** Whether there was something to delete. */
  deleteObject(input: DeleteInput): Promise<boolean>
  headObject(name: ObjectName): ObjectInfo | undefined
  openObject(name: ObjectName): OpenObject | undefined
  /** @throws NoSuchBucketError */
  listObjects(input: ListInput): Promise<ListPage>

  bucketExists(bucket: string): Promise<boolean>
  /** Idempotent: false when it existed. */
  createBucket(bucket: string): Promise<boolean>
  /** @throws NoSuchBucketError, BucketNotEmptyError */
  deleteBucket(bucket: string): Promise<void>
  listBuckets(): Promise<readonly BucketInfo[]>

  /** What a purge would remove; exact. @throws NoSuchBucketError */
  previewPurge(bucket: string): Promise<PurgePreview>
  /** Removes every object of the bucket at once. @throws NoSuchBucketError */
  purgeBucket(bucket: string): Promise<PurgePreview>
}

// ---------------------------------------------------------------------------------------------
// Conflicts

/** One of two writes that had not seen each other. Its version tells who wrote it, and when. */
export type ConflictSide =
  | {
      readonly kind: 'put'
      readonly version: Version
      readonly size: number
      readonly etag: string
    }
  | { readonly kind: 'delete' | 'purge'; readonly version: Version }

export interface WriteConflict extends ObjectName {
  /** This site's own number for it. */
  readonly id: number
  /** Wall ms. */
  readonly noticedAt: number
  readonly loser: ConflictSide
  readonly winner: ConflictSide
  /** The key under which the loser's object is kept, in the same bucket. */
  readonly keptAs: string | undefined
}

/** How many were noticed, how many losers kept, how many left the list to make room. */
export interface ConflictTotals {
  readonly noticed: number
  readonly kept: number
  readonly dropped: number
}

/** `winner`: the kept copy goes. `loser`: it becomes current, as a write that has seen both. */
export type ConflictChoice = 'winner' | 'loser'

export interface ConflictStore {
  /** The newest first, below the id `before`. */
  conflicts(limit: number, before?: number): readonly WriteConflict[]
  conflict(id: number): WriteConflict | undefined
  conflictTotals(): ConflictTotals & { readonly open: number }
  /** @throws NoSuchConflictError, LoserNotKeptError */
  resolveConflict(id: number, choice: ConflictChoice): Promise<void>
  /** What holds for the bucket, and whether it was set for it. @throws NoSuchBucketError */
  conflictPolicy(bucket: string): { readonly policy: ConflictPolicy; readonly isOwn: boolean }
  /** Sets it at every site; undefined for what each site is configured with. @throws NoSuchBucketError */
  setConflictPolicy(bucket: string, policy: ConflictPolicy | undefined): Promise<void>
}

// ---------------------------------------------------------------------------------------------
// Outgoing replication

/** A change as it is now: read at the moment of sending. */
export interface OutgoingChange {
  readonly seq: number
  readonly mutation: Mutation
  /** A put's bytes; must be closed. */
  readonly object: OpenObject | undefined
}

/** A change as it travels. */
export interface EncodedChange {
  readonly seq: number
  readonly version: Version
  readonly encoded: EncodedMutation
  /** A put's bytes, when they are in memory anyway. */
  readonly bytes: Uint8Array | undefined
  /** A put's bytes otherwise; must be closed. */
  readonly object: OpenObject | undefined
}

export interface ChangeFeed {
  /** The highest seq that is durable and indexed; 0 when there is none. */
  head(): number
  /** How many live places there are. */
  placeCount(): number
  /** Places after `after`, ascending. */
  readPlaces(after: number, limit: number): Promise<readonly FeedPlace[]>
  /** The change at `place`, or undefined when a newer mutation of the slot has taken its place, or a purge. */
  loadChange(place: FeedPlace): OutgoingChange | undefined
  /** The same for whoever only passes it on. Above `bytesMax` it comes as an object. */
  loadEncoded(place: FeedPlace, bytesMax: number): EncodedChange | undefined
  /** The place whose arrival says all about the slot: its own, or that of the purge which covers it. */
  placeOf(slot: Slot): Pick<FeedPlace, 'seq' | 'slot'> | undefined
  /** Called after each durable advance of the head. Returns the unsubscriber. */
  onAdvance(listener: () => void): () => void
}

export interface LedgerCounters {
  /** queued = replicated + failed + superseded + pending, at any moment and after a crash. */
  readonly queued: number
  readonly replicated: number
  readonly failed: number
  readonly superseded: number
  readonly pending: number
  readonly pendingBytes: number
  /** Wall ms of the last durable acknowledgement, null before the first. */
  readonly lastReplication: number | null
  /** Acknowledged with `superseded` or `conflict`: totals. */
  readonly remoteSuperseded: number
  readonly remoteConflicts: number
  /** Dead letters that are neither replayed, discarded nor overtaken. */
  readonly openLetters: number
  /** Selected by a replay and not queued again yet: counted when it began, 0 when it is over. */
  readonly replaying: number
  /** Pending deletes and purges that are held back, and how many objects they remove at most. */
  readonly held: number
  readonly heldObjects: number
  /** Pending and never handed out, nor held. */
  readonly ahead: number
}

/** What was decided about: deletes and purges, and the objects that they remove at most. */
export interface HeldTotal {
  readonly count: number
  readonly objects: number
}

/** What is known of the site at the other end, as last confirmed by it. */
export interface ConfirmedPeer {
  readonly volumeId: string
  readonly incarnation: string
  /** The low-water mark that it has stored, as it last said. */
  readonly through: number
  /** The highest seq of its own feed, as it last said: below it later, it was set back. */
  readonly head: number
  /** Places up to here go to it whoever made them: it may have lost what it made itself. */
  readonly sendAllUpTo: number
}

/** `replicated`: durably acknowledged. `skipped`: need not be sent (the remote made it itself). */
export interface Settlement {
  readonly place: FeedPlace
  readonly result: 'replicated' | 'skipped'
  /** What the remote said about a replicated one. */
  readonly remote?: 'applied' | 'duplicate' | 'superseded' | 'conflict'
}

export interface DeadLetter {
  readonly seq: number
  readonly slot: Slot
  readonly version: Version
  readonly bytes: number
  readonly reason: string
  readonly attempts: number
  /** Wall ms. */
  readonly time: number
}

/** What is left out selects everything. */
export interface ReplayFilter {
  readonly bucket?: string
  /** Of keys; leaves out what is about the bucket itself. */
  readonly prefix?: string
  /** Wall ms: what was made then or later. */
  readonly since?: number
}

export type ReplayScope =
  /** Places after this seq; 0 for all. Or the dead letters. */
  | { readonly from: 'failed' }
  /** What was discarded is sent after all, unless it is kept back. */
  | { readonly from: number; readonly keepDiscarded?: boolean }
  | { readonly letters: readonly number[] }
  | { readonly select: ReplayFilter }

/**
 * One remote's position in the feed and its exact, durable counters. A place is pending until it is
 * settled, buried as a dead letter, or superseded by a newer mutation of its slot.
 */
export interface RemoteLedger {
  readonly remote: string
  counters(): LedgerCounters
  /** `low`: every place at or below is done. `high`: the highest place handed out. */
  position(): { readonly low: number; readonly high: number }
  /** `since` of the oldest pending place, undefined when none is pending. */
  oldestPending(): Promise<number | undefined>
  /**
   * Further pending places, ascending, at most `limit`; each is handed out once until rewound. What
   * the guard holds is passed over, and durably held when this has resolved.
   */
  take(limit: number, guard?: TakeGuard): Promise<readonly FeedPlace[]>
  /** Whether `place` is still to be sent: false once superseded, and while it is held. */
  isPending(place: Pick<FeedPlace, 'seq'>): boolean
  /**
   * Whether `place` is leaving the feed: a newer mutation has taken it and is on its way into the
   * index, so that the feed may still show the old one. It is not pending any more, and not done.
   */
  isLeaving(place: Pick<FeedPlace, 'seq'>): boolean
  /** Whether `place` is a delete or purge that is held back: pending, until somebody decides. */
  isHeld(place: Pick<FeedPlace, 'seq' | 'slot'>): boolean
  /** Lets what is held go out, and what waits for its time. @throws TooManyDecisionsError */
  release(): Promise<HeldTotal>
  /**
   * Gives up the deletes and purges that are held, and, with `ahead`, those not handed out yet: they
   * are counted as failed, and not sent. @throws TooManyDecisionsError
   */
  discardHeld(options: { readonly ahead: boolean }): Promise<HeldTotal>
  /** Whether `place` is a dead letter, or was discarded, and was not asked for since: the remote never took it. */
  isBuried(place: Pick<FeedPlace, 'seq' | 'slot'>): boolean
  /** Tells that these are on the wire now (and `landed` that they no longer are). */
  launched(places: readonly FeedPlace[]): void
  landed(places: readonly FeedPlace[]): void
  /** Durable when resolved. Places superseded in between are passed over. */
  settle(settlements: readonly Settlement[]): Promise<void>
  /** Makes a dead letter: a synced log record, before the position passes it. */
  bury(
    place: FeedPlace,
    letter: { readonly reason: string; readonly attempts: number },
  ): Promise<void>
  /** Ascending, from those after `after` on. */
  deadLetters(limit: number, after?: number): Promise<readonly DeadLetter[]>
  deadLetter(seq: number): DeadLetter | undefined
  /**
   * Closes dead letters for good, with a synced log record each. Their places are done and stay
   * counted as failed. Resolves with what was closed: others are passed over.
   */
  discard(letters: readonly number[] | 'all'): Promise<PurgePreview>
  /**
   * Puts places back to pending and counts them as queued again: at once, or, for a selection or
   * many dead letters, in steps as they are taken. @throws TooManyReplaysError
   */
  replay(scope: ReplayScope, options: { readonly dryRun: boolean }): Promise<PurgePreview>
  /** Whether the remote is to have it, by its filter and by when its link began. */
  wants(place: Pick<FeedPlace, 'seq' | 'slot'>): boolean
  /**
   * Puts done places back to pending and counts them as queued again, whoever made them; those that
   * are pending, or left the feed, are passed over. Returns how many were put back.
   */
  requeue(seqs: readonly number[]): Promise<number>
  confirmedPeer(): ConfirmedPeer | undefined
  confirmPeer(peer: ConfirmedPeer): Promise<void>
  /** Called when a replay moved the position: whoever took places must take anew. */
  onRewind(listener: () => void): () => void
  /** Whoever takes places from now on gets those again that were handed out and are not done. */
  handOutAgain(): void
}

/** What can be said of a remote when it is linked, and changed later. */
export interface RemoteChange {
  readonly filter: PlaceFilter
  /** How it is reached, as the caller writes it; the store does not look at it. */
  readonly settings: string
  readonly state: 'linked' | 'paused'
}

/** What a site has all of at a place of its feed, and so whoever was sent everything up to there. */
export interface HoldingsMark {
  /** False while purges are swept: what falls to one unseen, and was not sent, has yet to be listed. */
  readonly isSettled: boolean
  readonly seq: number
  /** The last place that an earlier change was moved to. */
  readonly movedTo: number
  /** Without what the remote made or has said itself. */
  readonly upTo: Context
}

export interface StoreHoldings {
  /** What is true now. `scope`: what of the feed the remote is sent. */
  mark(
    scope: PlaceFilter,
    remote: { readonly volumeId: string; readonly siteId: string },
  ): HoldingsMark
  /** Called when another site has said more. Returns the unsubscriber. */
  onChange(listener: () => void): () => void
}

export interface LinkedRemote {
  readonly name: string
  /** Names this link; a later one of the same name has a higher one. */
  readonly epoch: number
  readonly filter: PlaceFilter
  readonly settings: string
  readonly isPaused: boolean
  readonly ledger: RemoteLedger
}

/** Where this site ships to. Every change is durable when resolved. */
export interface RemoteRegistry {
  list(): readonly LinkedRemote[]
  /** Whether a remote of this name was linked once and is no more. */
  wasRemoved(name: string): boolean
  /** Begins a link: everything there is becomes pending for it, but what was deleted before. */
  link(name: string, change: RemoteChange): Promise<LinkedRemote>
  /** With another filter, everything that it wants becomes pending anew. */
  change(name: string, change: Partial<RemoteChange>): Promise<LinkedRemote>
  /** Forgets position, totals and dead letters. */
  unlink(name: string): Promise<void>
}

// ---------------------------------------------------------------------------------------------
// Incoming replication

export type IncomingBody =
  /** Deletes, purges, buckets. */
  | { readonly kind: 'none' }
  | { readonly kind: 'inline'; readonly bytes: Uint8Array }
  /** Their memory is used for something else as soon as applying them has succeeded: nothing of it is kept. */
  | { readonly kind: 'passing'; readonly pieces: readonly Uint8Array[]; readonly length: number }
  /** The sender has the bytes and asks whether they are needed. */
  | { readonly kind: 'offered' }
  /** Fetched and complete. */
  | { readonly kind: 'staged'; readonly upload: StagedUpload }

export interface IncomingChange {
  readonly mutation: Mutation
  readonly body: IncomingBody
}

/** The `later` of a site that has no room: senders know it by these words. */
export const volumeFullReason = 'its volume is full'

export type ApplyOutcome =
  | { readonly result: 'applied' | 'duplicate' | 'superseded' }
  /** Neither side had seen the other's write; `won` tells whether the incoming one is current now. */
  | { readonly result: 'conflict'; readonly won: boolean }
  /** Offered, and wanted. */
  | { readonly result: 'need' }
  /** Not now, for a reason of this site's: full, clock skew, read-only. */
  | { readonly result: 'later'; readonly reason: string }
  /** Never, for the change's own sake. */
  | { readonly result: 'refused'; readonly code: string; readonly message: string }

/** Where a sender stands, stored in the batch that applied. */
export interface PeerMark {
  readonly volumeId: string
  readonly incarnation: string
  readonly through: number
  /** The sender's link: what comes under a lower one is refused. */
  readonly epoch: number
  /** The sender has ended the link: what comes under this epoch is refused too. */
  readonly ended: boolean
  /** What the sender says that this site has all of; it stays true, whatever becomes of the link. */
  readonly holdings?: Holdings | undefined
}

/** The put that it will become. */
export type UploadName = Pick<PutMutation, 'slot' | 'version'>

/** Bytes of a large object on their way in; what was made durable survives a restart. */
export interface StagedUpload {
  /** Bytes held so far, a restart's survivors included: append continues here. */
  readonly heldBytes: number
  /**
   * Aborted when a newer write takes effect on the slot, whoever made it: what was made durable is gone
   * then, and whether the rest is still wanted must be asked anew.
   */
  readonly overtaken: AbortSignal
  append(bytes: Uint8Array): Promise<void>
  /** What was appended survives a restart once resolved. */
  checkpoint(): Promise<void>
  /** Gives the bytes up. */
  abort(): Promise<void>
  /** Ends this handle; what was made durable stays for the next one. */
  close(): Promise<void>
}

export interface ChangeSink {
  /** Applies in order, in as few groups as possible; resolves after this site's own commit. */
  apply(
    changes: readonly IncomingChange[],
    mark: PeerMark | undefined,
  ): Promise<readonly ApplyOutcome[]>
  /** What this site has stored of a sender's low-water mark. */
  peerMark(volumeId: string): PeerMark | undefined
  /** The volumes of those that have sent something, and have not cut their link since. */
  senders(): readonly string[]
  /** Durably remembers that a sender has cut its link to this site. */
  endLink(mark: Omit<PeerMark, 'ended' | 'through'>): Promise<void>
  /**
   * Continues the upload of exactly this version of the slot, or begins it. It must be closed, unless
   * it was aborted; applying it closes it.
   */
  stageUpload(mutation: Mutation & { readonly kind: 'put' }): Promise<StagedUpload>
  /** Durable, and open for nobody. */
  restingUploads(): readonly UploadName[]
  /** Gives up what is durable of it, unless it is open. */
  giveUpUpload(upload: UploadName): Promise<void>
  /** There is no room for another write. */
  readonly isFull: boolean
}
