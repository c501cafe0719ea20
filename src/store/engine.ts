/**
 * The store of one machine: the volume's log is the truth, the index is a view of it, and this is
 * where they meet. Opening replays the log into the index; closing lets everything under way settle.
 *
 * It promises what {@link ObjectStore}, {@link ChangeFeed} and {@link ChangeSink} promise. It must
 * never know HTTP, configuration or how changes travel.
 */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { OrderedIndex } from '../index/ordered-index.ts'
import type { Volume } from '../volume/volume.ts'
import { findMovedChunks } from './bodies/chunk-places.ts'
import { infoOf, openStored } from './bodies/stored-object.ts'
import { ConflictDesk } from './conflicts/conflict-desk.ts'
import { Losers } from './conflicts/losers.ts'
import { type EngineHealth, healthOf } from './engine-health.ts'
import { IndexedChangeFeed } from './feed/change-feed.ts'
import { HoldingsBook } from './feed/holdings-book.ts'
import { LaunchedPlaces } from './feed/launched-places.ts'
import { Peers } from './feed/peers.ts'
import { RemoteLinks } from './feed/remote-links.ts'
import { Incoming } from './intake/incoming.ts'
import { ObjectWriter } from './intake/object-writer.ts'
import type { Uploads } from './intake/uploads.ts'
import type { Hashing } from './model/body-hasher.ts'
import type { ConflictPolicy } from './model/bucket-register.ts'
import type { ObjectMender } from './model/elsewhere.ts'
import { NoSuchBucketError } from './model/errors.ts'
import { encodeLabel, type PutMutation } from './model/mutation.ts'
import { checkBucketName } from './model/names.ts'
import type {
  ApplyOutcome,
  BucketInfo,
  ChangeFeed,
  ChangeSink,
  ConflictStore,
  DeleteInput,
  IncomingChange,
  ListInput,
  ListPage,
  ObjectInfo,
  ObjectName,
  ObjectStore,
  OpenObject,
  PeerMark,
  PurgePreview,
  PutInput,
  RemoteLedger,
  RemoteRegistry,
  StagedUpload,
  StoreHoldings,
  UploadName,
} from './model/object-store.ts'
import { SiteCensus } from './model/site-census.ts'
import type { Survey } from './model/survey.ts'
import { timeOf } from './model/version.ts'
import { countAboveFloor } from './read/count-above-floor.ts'
import { IndexedSurvey } from './read/indexed-survey.ts'
import { listObjects } from './read/listing.ts'
import { openIndexFor } from './recovery/index-identity.ts'
import { recordsReferredTo } from './recovery/index-references.ts'
import { type RecoveredParts, recoverParts } from './recovery/recovered-parts.ts'
import { Mender } from './scrub/mender.ts'
import { TraceCheck } from './scrub/trace-check.ts'
import type { Cleaner, ReclaimFigures } from './space/cleaner.ts'
import { LiveRecords } from './space/live-records.ts'
import { openCleaner } from './space/open-cleaner.ts'
import { defaultReclaimOptions, type ReclaimOptions } from './space/reclaim-options.ts'
import { SegmentFreer } from './space/segment-freer.ts'
import { Sweeper } from './space/sweeper.ts'
import type { Accounts } from './tables/accounts.ts'
import { isMade } from './tables/bucket-entry.ts'
import type { EffectContext } from './tables/effects.ts'
import type { IndexBatch } from './tables/index-batch.ts'
import { objectKey } from './tables/keys.ts'
import { decodeLiveEntry, type LiveEntry } from './tables/slot-entry.ts'
import type { Admission } from './write/admission.ts'
import { CommitPipeline } from './write/commit-pipeline.ts'
import { ReservedRoom } from './write/reserved-room.ts'
import { runDecision } from './write/run-decision.ts'
import { Sequencer } from './write/sequencer.ts'

export interface EngineOptions {
  /** Open, and not yet replayed. */
  readonly volume: Volume
  /** Opens the index; with `fresh`, what is there is moved aside first. */
  readonly openIndex: (options: { readonly fresh: boolean }) => Promise<OrderedIndex>
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Changes further ahead of this site's clock are answered `later`. */
  readonly maxClockSkewMs: number
  /** For buckets without a policy of their own; last-write-wins unless told. */
  readonly conflictPolicy?: ConflictPolicy
  /** How space is given back. */
  readonly reclaim?: ReclaimOptions
  /** Resolves at the end of a turn of the event loop; a turn is as long as a microtask unless told. */
  readonly endOfTurn?: () => Promise<void>
  /** Called when a purge is in the index; whoever waits for that hears of it a microtask later. */
  readonly onFloorRaised?: (() => void) | undefined
  /** Hashes large bodies; on this thread unless told. */
  readonly hashing?: Hashing
}

interface Parts extends RecoveredParts {
  readonly options: EngineOptions
}

export async function openEngine(options: EngineOptions): Promise<Engine> {
  const { volume } = options
  const index = await openIndexFor(volume.identity, options)
  try {
    const parts = await recoverParts(index, options)
    await volume.activate((use) => recordsReferredTo(index, use))
    const onFound = (context: EffectContext): void => parts.uploads.giveUpAll(context)
    await findMovedChunks({ volume, ...parts, onFound })
    return await Engine.start({ options, ...parts })
  } catch (thrown) {
    await index.close()
    throw thrown
  }
}

export class Engine implements ObjectStore, ChangeSink {
  readonly feed: ChangeFeed
  readonly conflicts: ConflictStore
  readonly holdings: StoreHoldings
  /** For comparing what this site holds with another. */
  readonly survey: Survey
  /** Replaces damaged bytes. */
  readonly mender: ObjectMender
  /** Finds damage where no read looks. */
  readonly traces: TraceCheck
  /** Records brought into the index at opening. */
  readonly replayed: number
  readonly #volume: Volume
  readonly #index: OrderedIndex
  readonly #accounts: Accounts
  readonly #clock: Clock
  readonly #uploads: Uploads
  readonly #pipeline: CommitPipeline
  readonly #sequencer: Sequencer
  readonly #incoming: Incoming
  readonly #objects: ObjectWriter
  readonly #sweeper: Sweeper
  readonly #freer: SegmentFreer
  readonly #cleaner: Cleaner
  readonly #admission: Admission
  readonly #reserved: ReservedRoom
  readonly #peers: Peers
  readonly #launched = new LaunchedPlaces()
  readonly #links: RemoteLinks

  private constructor(parts: Parts, peers: Peers) {
    const { options, index, accounts, versions, uploads, writers, admission } = parts
    const { conflicts, openWriter, hashing } = parts
    const { volume, clock, logger, endOfTurn, reclaim = defaultReclaimOptions } = options
    this.replayed = parts.replayed
    this.#volume = volume
    this.#index = index
    this.#accounts = accounts
    this.#clock = clock
    this.#uploads = uploads
    this.#peers = peers
    const feed = new IndexedChangeFeed({ index, accounts, reader: volume })
    this.feed = feed
    this.survey = new IndexedSurvey({ index, accounts })
    this.#freer = new SegmentFreer({ volume, accounts, writers, logger })
    // A broken-off upload leaves no batch: on a full volume nothing else would free its segments. But
    // while a batch is being written the accounts are ahead of the index: its end brings the look.
    writers.onClosed(() => {
      if (!this.#pipeline.isIndexing) this.#freer.look()
    })
    writers.closeAfter(() => this.#pipeline.settled)
    const onIndexed = ({ feedMoves, raisesFloor }: IndexBatch): void => {
      if (raisesFloor) options.onFloorRaised?.()
      for (const part of [this.#freer, this.#cleaner]) part.look()
      feed.advanced(feedMoves)
    }
    const pipeline = new CommitPipeline({
      ...{ log: volume, index, accounts, clock, logger, onIndexed, endOfTurn },
    })
    this.#pipeline = pipeline
    const sequencer = new Sequencer({
      ...{ clock, versions, index, accounts, pipeline, launched: this.#launched },
      heldOf: (bucket, version, seen) => holdings.ofPurge(bucket, version, seen),
      onEffect: (effect) => {
        uploads.overtaken(effect)
        conflicts.deleted(effect)
      },
    })
    const holdings = new HoldingsBook({ versions, accounts, peers, sequencer })
    this.holdings = holdings
    this.#sequencer = sequencer
    const waitsIn = (bucket: string): boolean => this.#sweeper.waitsIn(bucket)
    const records = new LiveRecords({ ...parts, sequencer, reader: volume, waitsIn })
    const freed = (): Promise<void> => pipeline.indexed().then(() => this.#freer.idle())
    const base = { volume, index, accounts, admission, writers, pipeline, sequencer, freed }
    this.#cleaner = openCleaner({ ...base, records, clock, logger, reclaim })
    this.traces = new TraceCheck({ ...base, records, clock, rate: reclaim.rate })
    this.#admission = admission
    this.#reserved = new ReservedRoom({ admission, makeRoom: () => this.#cleaner.makeRoom() })
    this.#links = this.#createLinks(parts, sequencer)
    const losers = this.#createLosers(parts, sequencer)
    this.conflicts = this.#createDesk(parts, { losers, sequencer })
    this.#objects = new ObjectWriter({
      ...{ volume, sequencer, losers, pipeline, admission, clock, openWriter, hashing },
    })
    this.#sweeper = new Sweeper({
      ...{ index, accounts, pipeline, sequencer, losers, clock, logger, reserved: this.#reserved },
    })
    const room = (): Promise<void> => pipeline.room()
    this.mender = new Mender({ sequencer, admission, openWriter, hashing, room })
    this.#incoming = new Incoming({
      ...{ sequencer, versions, admission, losers, openWriter, hashing, room },
      sites: new SiteCensus((bucket) => accounts.bucket(bucket).seen),
      maxClockSkewMs: options.maxClockSkewMs,
      reserved: this.#reserved,
      missingBytesOf: (mutation) => uploads.missingBytesOf(mutation),
      answered: (done, late) => pipeline.answered(done, late),
      inlineBytesMax: volume.limits.inlineBytesMax,
    })
  }

  static async start(parts: Parts): Promise<Engine> {
    const engine = new Engine(parts, await Peers.load(parts.index))
    // Everything in the log is indexed: this batch frees what was left, and what earlier starts left empty.
    const { volume } = parts.options
    await engine.#pipeline.runTask(() => parts.accounts.checkpointAt(volume.logPosition()))
    const swept: string[] = []
    for (const [name, bucket] of await parts.accounts.allBuckets()) {
      if (!bucket.sweeping) continue
      engine.#sweeper.start(name)
      if (!isMade(bucket)) swept.push(name)
    }
    await engine.#links.open()
    // In an index that was built anew the objects of a deleted bucket wait for the sweep, and show it.
    for (const name of swept) await engine.#sweeper.finished(name)
    return engine
  }

  // --- objects

  putObject(input: PutInput): Promise<ObjectInfo> {
    return this.#objects.put(input)
  }

  async deleteObject({ seen: given, ...input }: DeleteInput): Promise<boolean> {
    const seen = given !== undefined && this.#incoming.isNear(given) ? given : undefined
    if (seen !== undefined) await this.#swept(input.bucket)
    return runDecision(this.#pipeline, {
      decide: () => this.#sequencer.delete({ ...input, seen }),
      answer: (decision) => decision !== undefined,
      essential: true,
      room: () => (seen ?? this.#sequencer.current(input).live) && this.#reserved.forDelete(),
    })
  }

  headObject(name: ObjectName): ObjectInfo | undefined {
    const entry = this.#visible(name)
    return entry === undefined ? undefined : infoOf(name, entry)
  }

  openObject(name: ObjectName): OpenObject | undefined {
    const from = { reader: this.#volume, index: this.#index }
    return openStored(name, () => this.#visible(name), from)
  }

  async listObjects(input: ListInput): Promise<ListPage> {
    if (!this.#exists(input.bucket)) throw new NoSuchBucketError(input.bucket)
    return listObjects(this.#index, input, this.#accounts.bucket(input.bucket).floor)
  }

  // --- buckets

  async bucketExists(bucket: string): Promise<boolean> {
    return this.#exists(bucket)
  }

  async createBucket(bucket: string): Promise<boolean> {
    checkBucketName(bucket)
    return runDecision(this.#pipeline, {
      decide: () => this.#sequencer.createBucket(bucket),
      answer: (decision) => decision !== undefined,
      room: () => (this.#exists(bucket) ? undefined : this.#admission.admit(0)),
    })
  }

  async deleteBucket(bucket: string): Promise<void> {
    await this.#swept(bucket)
    await runDecision(this.#pipeline, {
      decide: () => this.#sequencer.deleteBucket(bucket),
      answer: () => undefined,
      essential: true,
      room: () => this.#reserved.forPurge(),
    })
  }

  async listBuckets(): Promise<readonly BucketInfo[]> {
    const buckets: BucketInfo[] = []
    for (const [name, entry] of await this.#accounts.allBuckets()) {
      if (!this.#exists(name)) continue
      const { created, seen } = entry
      const since = created ?? seen[0]
      buckets.push({ name, createdAt: since === undefined ? 0 : timeOf(since) })
    }
    return buckets
  }

  async previewPurge(bucket: string): Promise<PurgePreview> {
    if (!this.#exists(bucket)) throw new NoSuchBucketError(bucket)
    const entry = this.#accounts.bucket(bucket)
    if (!entry.sweeping) return { count: entry.objectCount, bytes: entry.objectBytes }
    return countAboveFloor(this.#index, bucket, entry.floor)
  }

  async purgeBucket(bucket: string): Promise<PurgePreview> {
    await this.#swept(bucket)
    let purged: PurgePreview = { count: 0, bytes: 0 }
    const count = (): void => {
      const { objectCount, objectBytes } = this.#accounts.bucket(bucket)
      purged = { count: objectCount, bytes: objectBytes }
    }
    await runDecision(this.#pipeline, {
      decide: () => this.#sequencer.purge(bucket, count),
      answer: () => undefined,
      essential: true,
      room: () => this.#reserved.forPurge(),
    })
    this.#sweeper.start(bucket)
    return purged
  }

  // --- replication

  async apply(
    changes: readonly IncomingChange[],
    mark: PeerMark | undefined,
  ): Promise<readonly ApplyOutcome[]> {
    const outcomes = await this.#applyAll(changes)
    for (const { mutation } of changes) {
      if (mutation.kind === 'purge') this.#sweeper.start(mutation.slot.bucket)
    }
    if (mark !== undefined && this.#peers.isNews(mark)) {
      await this.#pipeline.runTask((batch) => this.#peers.write(batch, mark))
      this.#peers.written(mark)
    }
    return outcomes
  }

  async #applyAll(changes: readonly IncomingChange[]): Promise<readonly ApplyOutcome[]> {
    try {
      return await Promise.all(changes.map((change) => this.#incoming.apply(change)))
    } finally {
      for (const { body } of changes) if (body.kind === 'staged') await body.upload.close()
    }
  }

  peerMark(volumeId: string): PeerMark | undefined {
    return this.#peers.get(volumeId)
  }

  senders(): readonly string[] {
    return this.#peers.linked()
  }

  async endLink(link: Omit<PeerMark, 'ended' | 'through'>): Promise<void> {
    const through = this.#peers.get(link.volumeId)?.through ?? 0
    const mark = { ...link, through, ended: true }
    if (!this.#peers.isNews(mark)) return
    await this.#pipeline.runTask((batch) => this.#peers.write(batch, mark))
    this.#peers.written(mark)
  }

  stageUpload(mutation: PutMutation): Promise<StagedUpload> {
    return this.#uploads.stage(mutation, this.#sequencer)
  }

  get isFull(): boolean {
    return this.#index.isShort || !this.#volume.isRoomFor(1, { essential: false })
  }

  restingUploads(): readonly UploadName[] {
    return this.#uploads.resting()
  }

  giveUpUpload({ slot, version }: UploadName): Promise<void> {
    return this.#uploads.giveUp(encodeLabel(slot, version), this.#sequencer)
  }

  /** The remote's ledger, linked at its first mention: then everything in the feed is pending. */
  ledger(remote: string): Promise<RemoteLedger> {
    return this.#links.ledger(remote)
  }

  /** Every ledger the volume has, also of remotes that are not configured now. */
  ledgers(): readonly RemoteLedger[] {
    return this.#links.ledgers()
  }

  /** Where this site ships to. */
  get remotes(): RemoteRegistry {
    return this.#links
  }

  // --- the whole

  health(): EngineHealth {
    const { skewed } = this.#incoming
    const now = this.#clock.now()
    const { refusal } = this.#pipeline
    const isIndexShort = this.#index.isShort
    const canAdmit = (bytes: number): boolean => this.#admission.canAdmit(bytes)
    const { waiting } = this.#sweeper
    const parts = { volume: this.#volume, refusal, isIndexShort, canAdmit, skewed, now, waiting }
    return healthOf(parts)
  }

  /** Changes that were put off for the difference of clocks, since the start. */
  get skewedChanges(): number {
    return this.#incoming.skewed.count
  }

  /** Objects and bytes of every bucket, what a running sweep has still to take out included. */
  totals(): Promise<PurgePreview> {
    return this.#accounts.totals()
  }

  /** What cleaning has moved since the store was opened. */
  get reclaimed(): ReclaimFigures & { readonly freedSegments: number } {
    return { ...this.#cleaner.figures, freedSegments: this.#freer.freedCount }
  }

  /** Writes under way are finished; the caller closes the volume afterwards. */
  async close(): Promise<void> {
    this.#pipeline.stopWaiting()
    await this.#cleaner.stop()
    await this.#sweeper.stop()
    await this.#pipeline.drained()
    await this.#freer.stop()
    await this.#index.close()
  }

  // --- inner parts

  /** What readers see: durable, indexed, above the floor. */
  #visible(name: ObjectName): LiveEntry | undefined {
    const value = this.#index.get(objectKey(name.bucket, name.key))
    if (value === undefined) return undefined
    const entry = decodeLiveEntry(value)
    const { floor } = this.#accounts.bucket(name.bucket)
    return floor !== undefined && entry.version <= floor ? undefined : entry
  }

  #swept(bucket: string): Promise<void> {
    return this.#pipeline.answered(this.#sweeper.finished(bucket))
  }

  #exists(bucket: string): boolean {
    const entry = this.#accounts.bucket(bucket)
    return isMade(entry) || entry.objectCount > 0
  }

  #createLinks({ options, index, accounts }: Parts, sequencer: Sequencer): RemoteLinks {
    const { clock, volume } = options
    const { headBytesMax } = volume.limits
    const own = { feed: this.feed, pipeline: this.#pipeline, launched: this.#launched }
    return new RemoteLinks({ accounts, index, sequencer, clock, headBytesMax, ...own })
  }

  #createDesk(
    { conflicts, versions }: Parts,
    on: { readonly losers: Losers; readonly sequencer: Sequencer },
  ): ConflictDesk {
    const pipeline = this.#pipeline
    const reserved = this.#reserved
    return new ConflictDesk({ conflicts, versions, pipeline, reserved, store: this, ...on })
  }

  #createLosers(parts: Parts, sequencer: Sequencer): Losers {
    const { options, index, accounts, conflicts, admission, openWriter } = parts
    const { volume, logger } = options
    return new Losers({
      siteId: volume.identity.siteId,
      sequencer,
      accounts,
      conflicts,
      index,
      reader: volume,
      admission,
      inlineBytesMax: volume.limits.inlineBytesMax,
      openWriter,
      defaultPolicy: options.conflictPolicy ?? 'last-write-wins',
      applyCopy: (mutation, body) => this.#incoming.applyCopy(mutation, body),
      logger,
    })
  }
}
