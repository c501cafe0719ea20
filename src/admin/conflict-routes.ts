/** The endpoints for conflicts: the list, the choice between two writes, what a bucket does with losers. */
import { NoSuchConflictError } from '../store/model/errors.ts'
import { originOf } from '../store/model/kept-copy.ts'
import type {
  ConflictSide,
  ConflictStore,
  ObjectStore,
  WriteConflict,
} from '../store/model/object-store.ts'
import { siteOf, timeOf } from '../store/model/version.ts'
import type {
  ConflictDocument,
  ConflictSideDocument,
  ConflictsDocument,
  PolicyDocument,
  PolicyRequestDocument,
  ResolvedDocument,
  ResolveRequestDocument,
} from './conflict-protocol.ts'
import {
  conflictParamsSchema,
  conflictSchema,
  conflictsQuerySchema,
  conflictsSchema,
  policyRequestSchema,
  policySchema,
  resolvedSchema,
  resolveRequestSchema,
} from './conflict-schemas.ts'
import type { ControlRoute } from './control-route.ts'
import { bucketParamsSchema, noQuerySchema } from './schemas.ts'

export interface ConflictRoutesOptions {
  readonly conflicts: ConflictStore
  readonly store: Pick<ObjectStore, 'headObject'>
}

const listedMax = 1000

export function conflictRoutes(options: ConflictRoutesOptions): readonly ControlRoute[] {
  return [
    listRoute(options),
    showRoute(options),
    resolveRoute(options),
    policyRoute(options),
    setPolicyRoute(options),
  ]
}

function listRoute(options: ConflictRoutesOptions): ControlRoute {
  return {
    method: 'GET',
    url: '/admin/replication/conflicts',
    config: { access: 'read', operation: 'AdminConflicts' },
    schema: { querystring: conflictsQuerySchema, response: { 200: conflictsSchema } },
    handler: async (request): Promise<ConflictsDocument> => {
      const { conflicts } = options
      const { limit, before } = request.query as {
        readonly limit?: string
        readonly before?: string
      }
      const found = conflicts.conflicts(
        Math.min(listedMax, Number(limit ?? listedMax)),
        before === undefined ? undefined : Number(before),
      )
      const { open, noticed, kept, dropped } = conflicts.conflictTotals()
      const documents = found.map((conflict) => conflictDocument(options, conflict))
      return { conflicts: documents, open, noticed, kept, dropped }
    },
  }
}

function showRoute(options: ConflictRoutesOptions): ControlRoute {
  return {
    method: 'GET',
    url: '/admin/replication/conflicts/:id',
    config: { access: 'read', operation: 'AdminConflict' },
    schema: {
      params: conflictParamsSchema,
      querystring: noQuerySchema,
      response: { 200: conflictSchema },
    },
    handler: async (request): Promise<ConflictDocument> => {
      const id = idIn(request.params)
      const conflict = options.conflicts.conflict(id)
      if (conflict === undefined) throw new NoSuchConflictError(id)
      return conflictDocument(options, conflict)
    },
  }
}

function resolveRoute({ conflicts }: ConflictRoutesOptions): ControlRoute {
  return {
    method: 'POST',
    url: '/admin/replication/conflicts/:id/resolve',
    config: { access: 'admin', operation: 'AdminConflictResolve' },
    schema: {
      params: conflictParamsSchema,
      querystring: noQuerySchema,
      body: resolveRequestSchema,
      response: { 200: resolvedSchema },
    },
    handler: async (request): Promise<ResolvedDocument> => {
      const id = idIn(request.params)
      const { keep } = request.body as ResolveRequestDocument
      await conflicts.resolveConflict(id, keep)
      return { resolved: id, keep }
    },
  }
}

function policyRoute({ conflicts }: ConflictRoutesOptions): ControlRoute {
  return {
    method: 'GET',
    url: '/admin/:bucket/conflict-policy',
    config: { access: 'read', operation: 'AdminConflictPolicy' },
    schema: {
      params: bucketParamsSchema,
      querystring: noQuerySchema,
      response: { 200: policySchema },
    },
    handler: async (request) => {
      const { bucket } = request.params as { readonly bucket: string }
      return policyDocument(conflicts, bucket)
    },
  }
}

function setPolicyRoute({ conflicts }: ConflictRoutesOptions): ControlRoute {
  return {
    method: 'POST',
    url: '/admin/:bucket/conflict-policy',
    config: { access: 'admin', operation: 'AdminConflictPolicySet' },
    schema: {
      params: bucketParamsSchema,
      querystring: noQuerySchema,
      body: policyRequestSchema,
      response: { 200: policySchema },
    },
    handler: async (request) => {
      const { bucket } = request.params as { readonly bucket: string }
      const { policy } = request.body as PolicyRequestDocument
      await conflicts.setConflictPolicy(bucket, policy ?? undefined)
      return policyDocument(conflicts, bucket)
    },
  }
}

/** In a path everything is text. */
function idIn(params: unknown): number {
  return Number((params as { readonly id: string }).id)
}

function policyDocument(conflicts: ConflictStore, bucket: string): PolicyDocument {
  const { policy, isOwn } = conflicts.conflictPolicy(bucket)
  return { bucket, policy, own: isOwn }
}

function conflictDocument(
  { store }: ConflictRoutesOptions,
  conflict: WriteConflict,
): ConflictDocument {
  const { id, bucket, key, noticedAt, loser, winner, keptAs } = conflict
  const copy = keptAs === undefined ? undefined : store.headObject({ bucket, key: keptAs })
  return {
    id,
    bucket,
    key,
    noticed_at: new Date(noticedAt).toISOString(),
    winner: sideDocument(key, winner),
    loser: sideDocument(key, loser),
    kept_as: keptAs ?? null,
    kept_now: loser.kind === 'put' && copy?.meta.etag === loser.etag,
  }
}

function sideDocument(key: string, side: ConflictSide): ConflictSideDocument {
  const version = originOf(key, side.version)
  return {
    site: siteOf(version),
    time: new Date(timeOf(version)).toISOString(),
    version,
    kind: side.kind,
    size: side.kind === 'put' ? side.size : null,
    etag: side.kind === 'put' ? side.etag : null,
  }
}
