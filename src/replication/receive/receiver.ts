/**
 * The receiving end, without HTTP: greets senders, applies their batches, and tells what became of
 * the large objects that it pulls. Everything that must survive a restart is the store's; what is
 * kept here (who greeted, which pulls run) is asked for anew by the senders.
 */
import { assert } from '../../base/assert.ts'
import { MalformedBytesError } from '../../base/byte-reader.ts'
import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import { type Holdings, joinHoldings } from '../../store/model/holdings.ts'
import { decodeMutation, type Mutation } from '../../store/model/mutation.ts'
import type {
  ApplyOutcome,
  ChangeSink,
  IncomingChange,
  PeerMark,
} from '../../store/model/object-store.ts'
import type { VolumeIdentity } from '../../volume/volume.ts'
import { parseRemoteUrl } from '../http/remote-url.ts'
import { ResultTally } from '../tally.ts'
import type { Responder } from '../verify/responder.ts'
import { encodeAnswer } from '../wire/answer-codec.ts'
import { type BatchHeader, decodeBatch } from '../wire/batch-codec.ts'
import {
  HandshakeRequiredError,
  LinkEndedError,
  ProtocolMismatchError,
  SelfReplicationError,
  SiteIdTakenError,
} from '../wire/errors.ts'
import { incomingOf } from '../wire/incoming.ts'
import type { PassingBatch, ReceivedBatch, ReceivedFrame } from '../wire/passing-batch.ts'
import type {
  AppliedMark,
  ChangeOutcome,
  CompletionsAnswer,
  CompletionsQuery,
  Farewell,
  Hello,
  Inquiry,
} from '../wire/protocol.ts'
import {
  acceptedParts,
  completionsWaitMsMax,
  type HelloAnswer,
  protocolVersion,
} from '../wire/protocol.ts'
import type { Roles } from '../wire/standing.ts'
import type { BlobTransport, PushedRange } from '../wire/transport.ts'
import { PullOutcomes } from './pull-outcomes.ts'
import { Puller } from './puller.ts'

export interface ReceiverOptions {
  readonly sink: ChangeSink
  readonly identity: VolumeIdentity
  /** The highest seq of this site's own feed. */
  readonly head: () => number
  /** Undefined where there are no roles. */
  readonly roles?: Roles | undefined
  /** Changes that are still to be shipped to this volume; undefined when nothing is shipped there. */
  readonly owedTo?: (volumeId: string) => number | undefined
  readonly blobTransport: BlobTransport
  /** Large objects are fetched in ranges of this size. */
  readonly rangeBytes: number
  /** What a sender has begun and does not ask for any more for so long is given up. */
  readonly abandonedAfterMs: number
  /** Takes compressed batches and ranges. */
  readonly takesCompressed: boolean
  /** Answers sites that compare. */
  readonly responder: Responder
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/** Senders that are remembered; the longest silent one has to greet again. */
const sendersMax = 1024

interface KnownSender {
  readonly incarnation: string
  readonly epoch: number
  readonly origin: string
  /** The highest low-water mark of this sender in this life of it. */
  through: number
  /** What of it is stored, and since when. */
  storedThrough: number | undefined
  storedAt: number
  /** What it says that this site has all of, as far as that is not stored. */
  holdings: Holdings | undefined
}

/** A low-water mark is stored at most this often: until then the sender would only send again. */
const markEveryMs = 1000

export class Receiver {
  readonly #options: ReceiverOptions
  readonly #session: string
  readonly #senders = new Map<string, KnownSender>()
  readonly #outcomes: PullOutcomes
  readonly #puller: Puller
  /** For the metrics: what became of all that was received. */
  readonly tally = new ResultTally()

  constructor(options: ReceiverOptions) {
    this.#options = options
    this.#session = Buffer.from(options.random.bytes(8)).toString('hex')
    this.#outcomes = new PullOutcomes(options.clock)
    const { sink, blobTransport, rangeBytes, abandonedAfterMs, clock, random, logger } = options
    this.#puller = new Puller({
      sink,
      transport: blobTransport,
      rangeBytes,
      abandonedAfterMs,
      clock,
      random,
      logger,
      onOutcome: ({ volumeId, seq, mutation }, outcome) => {
        this.tally.add(mutation.kind, outcome.result, mutation.meta.size)
        this.#outcomes.add(volumeId, seq, outcome)
      },
    })
  }

  /** @throws ProtocolMismatchError, SelfReplicationError, SiteIdTakenError, BadRemoteUrlError, LinkEndedError */
  handshake(hello: Hello): HelloAnswer {
    const { identity, sink, clock, head, takesCompressed, roles, owedTo } = this.#options
    refuseWrongSender(identity, hello)
    const origin = parseRemoteUrl(hello.advertiseUrl, 'the address that the sender announces').base
    const stored = sink.peerMark(hello.volumeId)
    if (stored !== undefined) refuseEndedLink(stored, hello)
    // Of an earlier link nothing is remembered: the new one begins from the start.
    const applied =
      stored?.epoch !== hello.epoch
        ? null
        : { incarnation: stored.incarnation, through: stored.through }
    if (hello.asksOnly !== true) this.#remember(hello, origin, applied)
    const { siteId, standing } = hello
    if (standing !== undefined) roles?.heard({ siteId, url: origin, standing })
    return {
      protocol: protocolVersion,
      volumeId: identity.volumeId,
      incarnation: identity.incarnation,
      incarnationSince: identity.incarnationSince,
      siteId: identity.siteId,
      wallTime: Math.max(0, Math.floor(clock.now())),
      head: head(),
      session: this.#sessionOf(hello),
      applied,
      accepts: [
        acceptedParts.push,
        acceptedParts.holdings,
        ...(takesCompressed ? [acceptedParts.zstd] : []),
      ],
      standing: roles?.standing(),
      owes: owedTo?.(hello.volumeId),
    }
  }

  /** From now on this is the one link of the sender. */
  #remember(hello: Hello, origin: string, applied: AppliedMark | null): void {
    const { clock, logger } = this.#options
    this.#puller.heard(hello.volumeId)
    const isSameLife = applied?.incarnation === hello.incarnation
    this.#senders.delete(hello.volumeId)
    this.#senders.set(hello.volumeId, {
      incarnation: hello.incarnation,
      epoch: hello.epoch,
      origin,
      through: isSameLife ? applied.through : 0,
      storedThrough: isSameLife ? applied.through : undefined,
      storedAt: clock.monotonic(),
      holdings: undefined,
    })
    for (const oldest of this.#senders.keys()) {
      if (this.#senders.size <= sendersMax) break
      this.#senders.delete(oldest)
    }
    logger.info({ sender: hello.siteId, senderVolume: hello.volumeId }, 'A sender has connected')
  }

  /**
   * Applies a batch and resolves with the encoded answer, after this site's own commit.
   *
   * @throws MalformedBytesError, HandshakeRequiredError; whatever the store fails with
   */
  async batch(bytes: Uint8Array): Promise<Buffer> {
    return await this.#batch(decodeBatch(bytes))
  }

  /** The same of a batch whose memory is given back then. */
  async passingBatch(batch: PassingBatch): Promise<Buffer> {
    const answer = await this.#batch(batch.decode())
    // Not where it failed: some of the changes may be on their way still.
    batch.giveBack()
    return answer
  }

  async #batch({ header, frames, holdings }: ReceivedBatch): Promise<Buffer> {
    const sender = this.#senderOf(header)
    sender.through = Math.max(sender.through, header.through)
    sender.holdings = joinHoldings(sender.holdings, holdings)
    const outcomes = new Array<ChangeOutcome | undefined>(frames.length)
    const changes: IncomingChange[] = []
    const positions: number[] = []
    for (const [position, frame] of frames.entries()) {
      const checked = checkFrame(frame)
      if ('refused' in checked) {
        outcomes[position] = { result: 'refused', ...checked.refused }
        if (frame.kind !== undefined) this.tally.add(frame.kind, 'refused', 0)
        continue
      }
      changes.push(checked)
      positions.push(position)
      if (checked.body.kind === 'offered' && checked.mutation.kind === 'put')
        this.#puller.wanted(checked.mutation)
    }
    const mark = this.#markFor(header, sender, { atOnce: frames.length === 0 })
    const applied = await this.#options.sink.apply(changes, mark)
    if (mark !== undefined) noteStored(sender, mark)
    assert(applied.length === changes.length, 'an outcome for each change')
    for (const [i, position] of positions.entries()) {
      const frame = frames[position] as ReceivedFrame
      const change = changes[i] as IncomingChange
      outcomes[position] = this.#answerFor(header, frame, {
        mutation: change.mutation,
        outcome: applied[i] as ApplyOutcome,
      })
      const { result } = outcomes[position]
      this.#count(change.mutation, result)
      if (!this.#puller.isBusy) continue
      if (result === 'later' || result === 'refused') continue
      const isAwaited = result === 'pulling' || result === 'need'
      await this.#puller.noticed(change.mutation, isAwaited ? header.volumeId : undefined)
    }
    const through = sender.storedThrough ?? 0
    const head = this.#options.head()
    return encodeAnswer({ through, head, outcomes: outcomes as ChangeOutcome[] })
  }

  /** Resolves as soon as there is news of a sender's pulls, or with none when its wait is over. */
  async completions(query: CompletionsQuery, signal: AbortSignal): Promise<CompletionsAnswer> {
    this.#senderOf(query)
    const { volumeId } = query
    this.#outcomes.forget(volumeId, query.forget)
    for (const seq of query.seqs) {
      if (this.#outcomes.has(volumeId, seq) || this.#puller.isPulling(volumeId, seq)) continue
      this.#outcomes.add(volumeId, seq, { result: 'again', reason: 'the pull is not known here' })
    }
    const waitMs = Math.min(query.waitMs, completionsWaitMsMax)
    return { completions: await this.#outcomes.wait(volumeId, { waitMs, signal }) }
  }

  /** Durable when resolved: nothing comes, or is fetched, from this sender under this epoch any more. */
  async farewell(farewell: Farewell): Promise<void> {
    const { volumeId, epoch } = farewell
    // One that comes late must not end the link that was made since.
    const isOver = (this.#senders.get(volumeId)?.epoch ?? epoch) <= epoch
    if (isOver) this.#senders.delete(volumeId)
    await this.#options.sink.endLink(farewell)
    if (isOver) {
      await this.#puller.takeBack(volumeId)
      this.#outcomes.drop(volumeId)
    }
    this.#options.logger.info({ senderVolume: volumeId }, 'A sender has ended its link')
  }

  /**
   * Takes in bytes of an object that its sender pushes; resolves with how many of it are held then.
   *
   * @throws TicketGoneError, BadRangeError, PushBusyError; what `bytes` and the store fail with
   */
  push(range: PushedRange, bytes: AsyncIterable<Uint8Array>): Promise<number> {
    return this.#puller.push(range, bytes)
  }

  /** @throws MalformedBytesError, ComparisonBusyError; whatever the store fails with */
  inquire(what: Inquiry, question: string): Promise<Buffer> {
    return this.#options.responder.answer(what, question)
  }

  /** Whether anything is held of large objects that are not complete. */
  get isReceiving(): boolean {
    return this.#puller.isBusy
  }

  /** Ends all pulls; what was fetched is kept. */
  async close(): Promise<void> {
    this.#outcomes.close()
    await this.#puller.close()
    await this.#options.blobTransport.close()
  }

  #count(mutation: Mutation, result: ChangeOutcome['result']): void {
    this.tally.add(mutation.kind, result, mutation.kind === 'put' ? mutation.meta.size : 0)
  }

  #senderOf(header: Pick<BatchHeader, 'session' | 'volumeId' | 'incarnation'>): KnownSender {
    const sender = this.#senders.get(header.volumeId)
    const isKnown =
      sender?.incarnation === header.incarnation && header.session === this.#sessionOf(sender)
    if (!isKnown) {
      throw new HandshakeRequiredError('this sender is not known here (any more): handshake first')
    }
    this.#puller.heard(header.volumeId)
    return sender
  }

  /** Of this run and of one link: what an earlier link still sends does not pass for the new one's. */
  #sessionOf({ epoch }: { readonly epoch: number }): string {
    return `${this.#session}-${epoch.toString(36)}`
  }

  /**
   * The mark to store with this batch: now and then only, since each costs a durable write, but at
   * once with an empty batch, which is sent for its sake.
   */
  #markFor(
    header: BatchHeader,
    sender: KnownSender,
    { atOnce }: { readonly atOnce: boolean },
  ): PeerMark | undefined {
    const now = this.#options.clock.monotonic()
    const isDue =
      atOnce || sender.storedThrough === undefined || now - sender.storedAt >= markEveryMs
    const { through, epoch, holdings } = sender
    if (!isDue || (through === sender.storedThrough && holdings === undefined)) return undefined
    sender.storedAt = now
    const { volumeId, incarnation } = header
    return { volumeId, incarnation, through, epoch, ended: false, holdings }
  }

  #answerFor(
    header: BatchHeader,
    frame: ReceivedFrame,
    applied: { readonly mutation: Mutation; readonly outcome: ApplyOutcome },
  ): ChangeOutcome {
    const { mutation, outcome } = applied
    const { body } = frame
    if (outcome.result !== 'need' || (body.kind !== 'offer' && body.kind !== 'push')) return outcome
    assert(mutation.kind === 'put', 'only puts are offered')
    const { volumeId } = header
    const sender = this.#senders.get(volumeId)
    if (sender === undefined)
      return { result: 'later', reason: 'the sender was forgotten meanwhile' }
    this.#outcomes.forget(volumeId, [frame.seq])
    this.#puller.accept({
      volumeId,
      seq: frame.seq,
      mutation: detached(frame, mutation),
      origin: sender.origin,
      ticket: body.ticket.toString('hex'),
      pushed: body.kind === 'push',
    })
    return { result: 'pulling' }
  }
}

function noteStored(sender: KnownSender, { through, holdings }: PeerMark): void {
  sender.storedThrough = Math.max(sender.storedThrough ?? 0, through)
  if (sender.holdings === holdings) sender.holdings = undefined
}

function refuseWrongSender(identity: VolumeIdentity, hello: Hello): void {
  if (hello.protocol !== protocolVersion) {
    throw new ProtocolMismatchError(
      `the sender speaks replication protocol ${hello.protocol}, this site ${protocolVersion}`,
      { hint: 'Run the same version of ComIO at both sites.' },
    )
  }
  if (hello.volumeId === identity.volumeId) {
    throw new SelfReplicationError('the sender is this very site: it has the same volume id', {
      hint: 'Point replication.remote_url at the other site.',
    })
  }
  if (hello.siteId === identity.siteId) {
    throw new SiteIdTakenError(`the sender has this site's id, ${hello.siteId}`, {
      hint: 'Give one of the two another --site-id.',
    })
  }
}

function refuseEndedLink(stored: PeerMark, { epoch, siteId }: Hello): void {
  if (stored.epoch < epoch || (stored.epoch === epoch && !stored.ended)) return
  const what = stored.ended ? 'was ended' : 'was made anew since'
  throw new LinkEndedError(`the link of site ${siteId} to this one ${what}: this one is of old`, {
    facts: { epoch, known: stored.epoch },
    hint: 'Remove the remote at the sending site and add it again.',
  })
}

function checkFrame(
  frame: ReceivedFrame,
): IncomingChange | { readonly refused: { readonly code: string; readonly message: string } } {
  try {
    return incomingOf(frame)
  } catch (error) {
    if (!(error instanceof MalformedBytesError)) throw error
    return { refused: { code: error.code, message: error.message } }
  }
}

/** A pull outlives its batch: its mutation must not keep the batch's bytes in memory. */
function detached(frame: ReceivedFrame, mutation: Mutation & { kind: 'put' }): typeof mutation {
  const head = Buffer.from(frame.head)
  const copy = decodeMutation({ kind: mutation.kind, label: frame.label, head })
  assert(copy.kind === 'put', 'the same bytes decode to the same kind')
  return copy
}
