/**
 * The control plane from the outside: one method per endpoint. It promises typed errors, an end to
 * every wait, bounded answers, and that the fields its callers count on are there. It follows no
 * redirect, so that a token reaches nobody but the site it was meant for.
 */
import { Agent, type Dispatcher } from 'undici'
import { assert } from '../base/assert.ts'
import { type ComioError, systemCodeOf } from '../base/errors.ts'
import { AdminRequestError, SiteUnreachableError, UnexpectedAnswerError } from './client-errors.ts'
import {
  conflictShape,
  conflictsShape,
  failedDetailShape,
  failedShape,
  isOfShape,
  lettersShape,
  linkedShape,
  policyShape,
  remoteShape,
  roleShape,
  type Shape,
  scrubProgressShape,
  scrubResultShape,
  scrubShape,
  sideShape,
  statusShape,
  tokenShape,
  verifyShape,
} from './client-shapes.ts'
import { accessHint, parseError, parseReason, reasonOf, roleHint } from './client-words.ts'
import type {
  ConflictDocument,
  ConflictPolicyName,
  ConflictsDocument,
  PolicyDocument,
  ResolvedDocument,
} from './conflict-protocol.ts'
import type {
  FailedDetailsDocument,
  FailedDocument,
  HealthDocument,
  HeldDocument,
  LettersDocument,
  LettersRequestDocument,
  PurgeDocument,
  PurgePreviewDocument,
  RemoteChangeDocument,
  RemoteDocument,
  RemotesDocument,
  RemovedDocument,
  ReplayDocument,
  ReplayRequestDocument,
  ReplicationStatusDocument,
  RevokedTokenDocument,
  RoleDocument,
  RoleRequestDocument,
  TokensDocument,
} from './protocol.ts'
import type { ScrubDocument } from './scrub-protocol.ts'
import type { VerifyDocument, VerifyRequestDocument } from './verify-protocol.ts'

export interface AdminClientOptions {
  /** The site's origin, such as `http://127.0.0.1:8080`. */
  readonly url: string
  readonly token?: string | undefined
  /** PEM each: whom to trust, and what to show, where the site speaks https. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string }
  /** For questions; 10 seconds by default. */
  readonly timeoutMs?: number
  /** For what may walk through the whole feed: replay, purge; 10 minutes by default. */
  readonly workTimeoutMs?: number
  /** Longest answer that is read; 64 MiB by default, for many dead letters. */
  readonly answerBytesMax?: number
}

interface Call {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly body?: unknown
  readonly timeoutMs?: number
  /** Statuses besides 200 whose body is a result. */
  readonly alsoAccept?: readonly number[]
}

export class AdminClient {
  readonly #options: Required<Omit<AdminClientOptions, 'token' | 'tls'>>
  readonly #token: string | undefined
  readonly #hasCertificate: boolean
  readonly #agent: Agent

  constructor(options: AdminClientOptions) {
    const { token, tls = {}, ...rest } = options
    this.#token = token
    this.#hasCertificate = tls.cert !== undefined
    this.#options = {
      timeoutMs: 10_000,
      workTimeoutMs: 600_000,
      answerBytesMax: 64 * 2 ** 20,
      ...rest,
      url: new URL(options.url).origin,
    }
    this.#agent = new Agent({
      connect: { timeout: this.#options.timeoutMs, ...tls },
      pipelining: 1,
    })
  }

  /** Also when the site says that it cannot serve. Needs no token. */
  async health(): Promise<HealthDocument> {
    const text = await this.#call({ method: 'GET', path: '/admin/health', alsoAccept: [503] })
    return this.#parse<HealthDocument>(text, { status: 'string', reasons: 'array' })
  }

  async status(): Promise<ReplicationStatusDocument> {
    return this.#parseStatus(await this.statusText())
  }

  /** The document as the site wrote it, checked. */
  async statusText(): Promise<string> {
    const text = await this.#call({ method: 'GET', path: '/admin/replication/status' })
    this.#parseStatus(text)
    return text
  }

  async replay(request: ReplayRequestDocument): Promise<ReplayDocument> {
    const text = await this.#call({
      method: 'POST',
      path: '/admin/replication/replay',
      body: request,
      timeoutMs: this.#options.workTimeoutMs,
    })
    return this.#parse<ReplayDocument>(text, { ...lettersShape, through: 'number' })
  }

  /** Promotes or demotes the site; the answer says whether it was done. */
  async changeRole(request: RoleRequestDocument): Promise<RoleDocument> {
    const text = await this.#call({
      method: 'POST',
      path: '/admin/replication/role',
      body: request,
      timeoutMs: this.#options.workTimeoutMs,
    })
    return this.#parse<RoleDocument>(text, roleShape)
  }

  /** The dead letters of all remotes. */
  async failed(): Promise<FailedDocument> {
    const text = await this.#call({ method: 'GET', path: '/admin/replication/failed' })
    const document = this.#parse<FailedDocument>(text, { failed: 'array' })
    for (const change of document.failed) this.#require(change, failedShape)
    return document
  }

  /** Where the site ships to. */
  async remotes(): Promise<RemotesDocument> {
    const text = await this.#call({ method: 'GET', path: remotesPath })
    const document = this.#parse<RemotesDocument>(text, { remotes: 'array' })
    for (const remote of document.remotes) this.#require(remote, linkedShape)
    return document
  }

  async addRemote(body: RemoteChangeDocument): Promise<RemoteDocument> {
    return this.#changeRemote({ method: 'POST', path: remotesPath, body })
  }

  async setRemote(name: string, body: RemoteChangeDocument): Promise<RemoteDocument> {
    return this.#changeRemote({ method: 'POST', path: pathOfRemote(name), body })
  }

  async switchRemote(name: string, verb: 'pause' | 'resume'): Promise<RemoteDocument> {
    return this.#changeRemote({ method: 'POST', path: `${pathOfRemote(name)}/${verb}` })
  }

  async removeRemote(name: string): Promise<RemovedDocument> {
    const timeoutMs = this.#options.workTimeoutMs
    const text = await this.#call({ method: 'DELETE', path: pathOfRemote(name), timeoutMs })
    return this.#parse<RemovedDocument>(text, { name: 'string', told: 'boolean', reason: 'text?' })
  }

  /** The newest conflicts. */
  async conflicts(limit: number): Promise<ConflictsDocument> {
    const text = await this.#call({
      method: 'GET',
      path: `/admin/replication/conflicts?limit=${limit}`,
    })
    const document = this.#parse<ConflictsDocument>(text, conflictsShape)
    for (const conflict of document.conflicts) this.#requireConflict(conflict)
    return document
  }

  async conflict(id: number): Promise<ConflictDocument> {
    const text = await this.#call({ method: 'GET', path: `/admin/replication/conflicts/${id}` })
    const conflict = this.#parse<ConflictDocument>(text, conflictShape)
    this.#requireConflict(conflict)
    return conflict
  }

  async resolveConflict(id: number, keep: 'winner' | 'loser'): Promise<ResolvedDocument> {
    const text = await this.#call({
      method: 'POST',
      path: `/admin/replication/conflicts/${id}/resolve`,
      body: { keep },
      timeoutMs: this.#options.workTimeoutMs,
    })
    return this.#parse<ResolvedDocument>(text, { resolved: 'number', keep: 'string' })
  }

  async conflictPolicy(bucket: string): Promise<PolicyDocument> {
    const path = `/admin/${encodeURIComponent(bucket)}/conflict-policy`
    return this.#parse<PolicyDocument>(await this.#call({ method: 'GET', path }), policyShape)
  }

  /** Null for what each site is configured with. */
  async setConflictPolicy(
    bucket: string,
    policy: ConflictPolicyName | null,
  ): Promise<PolicyDocument> {
    const path = `/admin/${encodeURIComponent(bucket)}/conflict-policy`
    const text = await this.#call({ method: 'POST', path, body: { policy } })
    return this.#parse<PolicyDocument>(text, policyShape)
  }

  /** Begins a comparison: {@link verifyStatus} tells how it goes. */
  verify(request: VerifyRequestDocument): Promise<VerifyDocument> {
    return this.#verify('POST', request)
  }

  verifyStatus(): Promise<VerifyDocument> {
    return this.#verify('GET')
  }

  stopVerify(): Promise<VerifyDocument> {
    return this.#verify('DELETE')
  }

  /** Begins to read everything that the site stores: {@link scrubStatus} tells how it goes. */
  scrub(): Promise<ScrubDocument> {
    return this.#scrub('POST')
  }

  scrubStatus(): Promise<ScrubDocument> {
    return this.#scrub('GET')
  }

  stopScrub(): Promise<ScrubDocument> {
    return this.#scrub('DELETE')
  }

  /** Everything about the dead letters at one place. */
  async failedAt(seq: number, remote?: string): Promise<FailedDetailsDocument> {
    const query = remote === undefined ? '' : `?remote=${encodeURIComponent(remote)}`
    const path = `/admin/replication/failed/${seq}${query}`
    const text = await this.#call({ method: 'GET', path })
    const document = this.#parse<FailedDetailsDocument>(text, { failed: 'array' })
    for (const detail of document.failed) this.#require(detail, failedDetailShape)
    return document
  }

  retryFailed(request: LettersRequestDocument): Promise<LettersDocument> {
    return this.#orderLetters('retry', request)
  }

  discardFailed(request: LettersRequestDocument): Promise<LettersDocument> {
    return this.#orderLetters('discard', request)
  }

  /** Decides about what is held back from a remote, or from all. */
  async decideHeld(verb: 'release' | 'discard', remote?: string): Promise<HeldDocument> {
    const text = await this.#call({
      method: 'POST',
      path: `/admin/replication/held/${verb}`,
      body: remote === undefined ? {} : { remote },
      timeoutMs: this.#options.workTimeoutMs,
    })
    return this.#parse<HeldDocument>(text, {
      deletes: 'number',
      objects: 'number',
      delayed: 'number',
    })
  }

  /** What {@link purge} would remove now. */
  async previewPurge(bucket: string): Promise<PurgePreviewDocument> {
    const path = `/admin/${encodeURIComponent(bucket)}/objects`
    const text = await this.#call({ method: 'DELETE', path })
    return this.#parse<PurgePreviewDocument>(text, { count: 'number', total_size: 'number' })
  }

  async purge(bucket: string): Promise<PurgeDocument> {
    const text = await this.#call({
      method: 'DELETE',
      path: `/admin/${encodeURIComponent(bucket)}/objects?confirm=true`,
      timeoutMs: this.#options.workTimeoutMs,
    })
    return this.#parse<PurgeDocument>(text, { deleted_count: 'number', freed_size: 'number' })
  }

  async tokens(): Promise<TokensDocument> {
    const text = await this.#call({ method: 'GET', path: '/admin/tokens' })
    const document = this.#parse<TokensDocument>(text, { tokens: 'array' })
    for (const token of document.tokens) this.#require(token, tokenShape)
    return document
  }

  async revokeToken(name: string): Promise<RevokedTokenDocument> {
    const text = await this.#call({ method: 'POST', path: '/admin/tokens/revoke', body: { name } })
    return this.#parse<RevokedTokenDocument>(text, {
      name: 'string',
      revoked_at: 'string',
      admin_tokens_left: 'number',
    })
  }

  /** Prometheus text. */
  async metrics(): Promise<string> {
    return this.#call({ method: 'GET', path: '/admin/metrics' })
  }

  /** Ends what is still running and gives its connections back. */
  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  /** A link that begins, or wants something else, walks over the feed. */
  async #changeRemote(call: Call): Promise<RemoteDocument> {
    const text = await this.#call({ ...call, timeoutMs: this.#options.workTimeoutMs })
    return this.#parse<RemoteDocument>(text, linkedShape)
  }

  async #verify(method: Call['method'], body?: VerifyRequestDocument): Promise<VerifyDocument> {
    const text = await this.#call({ method, path: '/admin/replication/verify', body })
    const document = this.#parse<VerifyDocument>(text, { id: 'number', results: 'array' })
    for (const result of document.results) this.#require(result, verifyShape)
    return document
  }

  async #scrub(method: Call['method']): Promise<ScrubDocument> {
    const text = await this.#call({ method, path: '/admin/volume/scrub' })
    const document = this.#parse<ScrubDocument>(text, scrubShape)
    if (document.running) this.#require(document.running, scrubProgressShape)
    if (document.last) this.#require(document.last, scrubResultShape)
    return document
  }

  async #orderLetters(what: string, body: LettersRequestDocument): Promise<LettersDocument> {
    const path = `/admin/replication/failed/${what}`
    const { workTimeoutMs: timeoutMs } = this.#options
    const text = await this.#call({ method: 'POST', path, body, timeoutMs })
    return this.#parse<LettersDocument>(text, lettersShape)
  }

  #parseStatus(text: string): ReplicationStatusDocument {
    const document = this.#parse<ReplicationStatusDocument>(text, statusShape)
    for (const remote of document.remotes) this.#require(remote, remoteShape)
    return document
  }

  #requireConflict(conflict: ConflictDocument): void {
    this.#require(conflict, conflictShape)
    this.#require(conflict.winner, sideShape)
    this.#require(conflict.loser, sideShape)
  }

  async #call(call: Call): Promise<string> {
    const timeoutMs = call.timeoutMs ?? this.#options.timeoutMs
    const signal = AbortSignal.timeout(timeoutMs)
    try {
      const response = await this.#agent.request({
        origin: this.#options.url,
        path: call.path,
        method: call.method,
        headers: this.#headers(call),
        body: call.body === undefined ? null : JSON.stringify(call.body),
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        signal,
      })
      const text = await this.#readBody(response.body)
      if (response.statusCode === 200 || call.alsoAccept?.includes(response.statusCode)) return text
      throw this.#refusal(response.statusCode, text)
    } catch (error) {
      if (error instanceof AdminRequestError || error instanceof UnexpectedAnswerError) throw error
      throw this.#unreachable(error, signal.aborted ? timeoutMs : undefined)
    }
  }

  /** A site that wants a client certificate breaks the connection, and no more is heard of it. */
  #reasonOf(error: unknown): string {
    const { url } = this.#options
    const wanted = systemCodeOf(error) === 'UND_ERR_SOCKET' && url.startsWith('https:')
    if (!wanted || this.#hasCertificate) return reasonOf(error)
    return 'the connection broke: if it wants a client certificate, name one with --cert and --key'
  }

  #headers(call: Call): Record<string, string> {
    return {
      accept: 'application/json, text/plain',
      ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
      ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
    }
  }

  async #readBody(body: Dispatcher.ResponseData['body']): Promise<string> {
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of body) {
      assert(Buffer.isBuffer(chunk), 'an answer arrives as bytes')
      bytes += chunk.length
      if (bytes > this.#options.answerBytesMax) {
        throw this.#unexpected(`its answer is longer than ${this.#options.answerBytesMax} bytes`)
      }
      chunks.push(chunk)
    }
    return Buffer.concat(chunks).toString('utf8')
  }

  #parse<T extends object>(text: string, shape: Shape): T {
    let document: unknown
    try {
      document = JSON.parse(text)
    } catch (error) {
      throw this.#unexpected('its answer is not JSON', error)
    }
    this.#require(document, shape)
    return document as T
  }

  #require(document: unknown, shape: Shape): void {
    if (typeof document !== 'object' || document === null) {
      throw this.#unexpected('its answer is not an object')
    }
    const fields: Readonly<Record<string, unknown>> = { ...document }
    for (const [name, wanted] of Object.entries(shape)) {
      if (!isOfShape(fields[name], wanted)) {
        throw this.#unexpected(`its answer has no usable field "${name}"`)
      }
    }
  }

  #unexpected(what: string, cause?: unknown): UnexpectedAnswerError {
    return new UnexpectedAnswerError(`${this.#options.url} does not answer as a site: ${what}`, {
      hint: 'Is this the address of a ComIO site, and of the same version?',
      facts: { url: this.#options.url },
      cause,
    })
  }

  /** A site that starts answers every path with its health. */
  #unavailable(reason: string): SiteUnreachableError {
    return new SiteUnreachableError(`${this.#options.url} cannot answer yet: ${reason}`, {
      hint: 'Try again in a moment; a large index that is brought up to the log takes longer.',
      facts: { url: this.#options.url },
    })
  }

  #refusal(status: number, text: string): ComioError {
    const answer = parseError(text)
    if (answer === undefined) {
      const starting = status === 503 ? parseReason(text) : undefined
      if (starting !== undefined) return this.#unavailable(starting)
      return this.#unexpected(`HTTP status ${status} without a reason`)
    }
    const hint =
      accessHint(status, answer.code, this.#token !== undefined) ?? answer.hint ?? roleHint(status)
    return new AdminRequestError(`${this.#options.url} refuses: ${answer.message}`, {
      status,
      code: answer.code,
      facts: { url: this.#options.url, status },
      ...(hint === undefined ? {} : { hint }),
    })
  }

  #unreachable(error: unknown, timeoutMs: number | undefined): SiteUnreachableError {
    const why =
      timeoutMs === undefined ? this.#reasonOf(error) : `no answer within ${timeoutMs / 1000} s`
    return new SiteUnreachableError(`cannot reach a site at ${this.#options.url}: ${why}`, {
      hint: 'Start it with comio server, or name another address with --url or COMIO_URL.',
      facts: { url: this.#options.url },
      cause: error,
    })
  }
}

const remotesPath = '/admin/replication/remotes'

function pathOfRemote(name: string): string {
  return `${remotesPath}/${encodeURIComponent(name)}`
}
