/** The endpoints that list dead letters, and send changes again. */
import { parseDuration } from '../base/duration.ts'
import type { ControlRoute } from './control-route.ts'
import { InvalidRequestError } from './errors.ts'
import type { ControlPlaneOptions, LettersOrder, ReplayOrder } from './ports.ts'
import type { LettersRequestDocument, ReplayRequestDocument } from './protocol.ts'
import {
  failedDetailsSchema,
  failedSchema,
  lettersRequestSchema,
  lettersSchema,
  noQuerySchema,
  remoteQuerySchema,
  replayRequestSchema,
  replaySchema,
  seqParamsSchema,
} from './schemas.ts'

export function replayRoutes({ replication }: ControlPlaneOptions): readonly ControlRoute[] {
  return [
    {
      method: 'GET',
      url: '/admin/replication/failed',
      config: { access: 'read', operation: 'AdminReplicationFailed' },
      schema: { querystring: noQuerySchema, response: { 200: failedSchema } },
      handler: () => replication.failed(),
    },
    {
      method: 'GET',
      url: '/admin/replication/failed/:seq',
      config: { access: 'read', operation: 'AdminReplicationFailedAt' },
      schema: {
        params: seqParamsSchema,
        querystring: remoteQuerySchema,
        response: { 200: failedDetailsSchema },
      },
      handler: (request) => {
        const { seq } = request.params as { readonly seq: string }
        const { remote } = request.query as { readonly remote?: string }
        return replication.failedAt(Number(seq), remote)
      },
    },
    lettersRoute('retry', (order) => replication.retry(order)),
    lettersRoute('discard', (order) => replication.discard(order)),
    {
      method: 'POST',
      url: '/admin/replication/replay',
      config: { access: 'admin', operation: 'AdminReplicationReplay' },
      schema: {
        querystring: noQuerySchema,
        body: replayRequestSchema,
        response: { 200: replaySchema },
      },
      handler: (request) => replication.replay(replayOrder(request.body as ReplayRequestDocument)),
    },
  ]
}

function lettersRoute(
  what: 'retry' | 'discard',
  handle: (order: LettersOrder) => Promise<object>,
): ControlRoute {
  return {
    method: 'POST',
    url: `/admin/replication/failed/${what}`,
    config: {
      access: 'admin',
      operation: what === 'retry' ? 'AdminReplicationRetry' : 'AdminReplicationDiscard',
    },
    schema: {
      querystring: noQuerySchema,
      body: lettersRequestSchema,
      response: { 200: lettersSchema },
    },
    handler: (request) => handle(lettersOrder(request.body as LettersRequestDocument)),
  }
}

/** @throws InvalidRequestError unless there are either seqs or all */
function lettersOrder({ seqs, all, remote }: LettersRequestDocument): LettersOrder {
  if ((seqs === undefined) === (all !== true)) {
    throw new InvalidRequestError('either seqs or all says which dead letters are meant', {
      hint: 'Send for example {"seqs":[1200,1207]} or {"all":true}.',
    })
  }
  return { seqs: seqs ?? 'all', remote }
}

/** @throws InvalidRequestError unless exactly one of failed, from, since, bucket and all is asked for */
function replayOrder(request: ReplayRequestDocument): ReplayOrder {
  const { failed, from, since, bucket, prefix, all } = request
  const rest = { remote: request.remote, dryRun: request.dry_run ?? false }
  const named = [from, since, bucket].filter((value) => value !== undefined).length
  if (named + Number(failed === true) + Number(all === true) !== 1) {
    throw new InvalidRequestError(
      'a replay names exactly one of failed, from, since, bucket and all',
      { hint: 'Send for example {"failed":true} or {"from":1200,"dry_run":true}.' },
    )
  }
  if (prefix !== undefined && bucket === undefined) {
    throw new InvalidRequestError('a prefix needs the bucket whose keys it is about')
  }
  if (bucket !== undefined) return { what: { bucket, prefix }, ...rest }
  if (since !== undefined) return { what: { since: sinceOf(since) }, ...rest }
  if (failed === true) return { what: 'failed', ...rest }
  return { what: { from: from ?? 0 }, ...rest }
}

const isoPattern = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?$/

/** @throws InvalidRequestError */
function sinceOf(text: string): { readonly at: number } | { readonly agoMs: number } {
  const agoMs = parseDuration(text)
  if (agoMs !== undefined) return { agoMs }
  const at = isoPattern.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(at)) return { at }
  throw new InvalidRequestError(`"${text}" is neither a time nor a duration`, {
    hint: 'Name a time such as 2026-03-01T12:00:00Z, or how long ago, such as 90m, 2h or 3d.',
  })
}
