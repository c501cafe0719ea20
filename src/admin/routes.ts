/** The endpoints of the control plane: path, schemas, who may call, and what happens. */
import { conflictRoutes } from './conflict-routes.ts'
import type { ControlRoute } from './control-route.ts'
import { InvalidRequestError } from './errors.ts'
import type { ControlPlaneOptions, ReplayOrder } from './ports.ts'
import type {
  PurgeDocument,
  PurgePreviewDocument,
  ReplayRequestDocument,
  RevokeTokenRequest,
} from './protocol.ts'
import {
  bucketParamsSchema,
  failedSchema,
  healthSchema,
  noQuerySchema,
  purgePreviewSchema,
  purgeQuerySchema,
  purgeSchema,
  replayRequestSchema,
  replaySchema,
  revokedSchema,
  revokeRequestSchema,
  statusSchema,
  tokensSchema,
} from './schemas.ts'
import { verifyRoutes } from './verify-routes.ts'

export function controlRoutes(options: ControlPlaneOptions): readonly ControlRoute[] {
  return [
    healthRoute(options),
    metricsRoute(options),
    purgeRoute(options),
    statusRoute(options),
    failedRoute(options),
    replayRoute(options),
    tokensRoute(options),
    revokeRoute(options),
    ...conflictRoutes(options),
    ...verifyRoutes(options),
  ]
}

function healthRoute({ health }: ControlPlaneOptions): ControlRoute {
  return {
    method: 'GET',
    url: '/admin/health',
    config: { access: 'open', operation: 'AdminHealth' },
    // Probes like to add a query of their own against caches, so it is not looked at.
    schema: { response: { 200: healthSchema, 503: healthSchema } },
    async handler(_request, reply) {
      const report = await health()
      return reply.code(report.serving ? 200 : 503).send(report.document)
    },
  }
}

function metricsRoute({ metrics }: ControlPlaneOptions): ControlRoute {
  return {
    method: 'GET',
    url: '/admin/metrics',
    config: { access: 'read', operation: 'AdminMetrics' },
    schema: {},
    async handler(_request, reply) {
      const { contentType, text } = await metrics()
      return reply.header('content-type', contentType).send(text)
    },
  }
}

function purgeRoute({ store }: ControlPlaneOptions): ControlRoute {
  return {
    method: 'DELETE',
    url: '/admin/:bucket/objects',
    config: { access: 'admin', operation: 'AdminPurge' },
    // A preview and a purge have different documents, and serialisation goes by status alone.
    schema: {
      params: bucketParamsSchema,
      querystring: purgeQuerySchema,
      response: { 200: { oneOf: [purgePreviewSchema, purgeSchema] } },
    },
    async handler(request): Promise<PurgePreviewDocument | PurgeDocument> {
      const { bucket } = request.params as { readonly bucket: string }
      const { confirm } = request.query as { readonly confirm?: string }
      if (confirm !== 'true') {
        const preview = await store.previewPurge(bucket)
        return { count: preview.count, total_size: preview.bytes }
      }
      const removed = await store.purgeBucket(bucket)
      return { deleted_count: removed.count, freed_size: removed.bytes }
    },
  }
}

function statusRoute({ replication }: ControlPlaneOptions): ControlRoute {
  return {
    method: 'GET',
    url: '/admin/replication/status',
    config: { access: 'read', operation: 'AdminReplicationStatus' },
    schema: { querystring: noQuerySchema, response: { 200: statusSchema } },
    handler: () => replication.status(),
  }
}

function failedRoute({ replication }: ControlPlaneOptions): ControlRoute {
  return {
    method: 'GET',
    url: '/admin/replication/failed',
    config: { access: 'read', operation: 'AdminReplicationFailed' },
    schema: { querystring: noQuerySchema, response: { 200: failedSchema } },
    handler: () => replication.failed(),
  }
}

function replayRoute({ replication }: ControlPlaneOptions): ControlRoute {
  return {
    method: 'POST',
    url: '/admin/replication/replay',
    config: { access: 'admin', operation: 'AdminReplicationReplay' },
    schema: {
      querystring: noQuerySchema,
      body: replayRequestSchema,
      response: { 200: replaySchema },
    },
    handler: (request) => replication.replay(replayOrder(request.body as ReplayRequestDocument)),
  }
}

function tokensRoute({ tokens }: ControlPlaneOptions): ControlRoute {
  return {
    method: 'GET',
    url: '/admin/tokens',
    config: { access: 'admin', operation: 'AdminTokens' },
    schema: { querystring: noQuerySchema, response: { 200: tokensSchema } },
    handler: async () => ({ tokens: tokens.list() }),
  }
}

function revokeRoute({ tokens }: ControlPlaneOptions): ControlRoute {
  return {
    method: 'POST',
    url: '/admin/tokens/revoke',
    config: { access: 'admin', operation: 'AdminTokenRevoke' },
    schema: {
      querystring: noQuerySchema,
      body: revokeRequestSchema,
      response: { 200: revokedSchema },
    },
    handler: (request) => tokens.revoke((request.body as RevokeTokenRequest).name),
  }
}

/** @throws InvalidRequestError unless exactly one of failed, from and all is asked for */
function replayOrder(request: ReplayRequestDocument): ReplayOrder {
  const rest = { remote: request.remote, dryRun: request.dry_run ?? false }
  const asked = [request.failed === true, request.from !== undefined, request.all === true]
  if (asked.filter(Boolean).length !== 1) {
    throw new InvalidRequestError('a replay names exactly one of failed, from and all', {
      hint: 'Send for example {"failed":true} or {"from":1200,"dry_run":true}.',
    })
  }
  if (request.failed === true) return { what: 'failed', ...rest }
  return { what: { from: request.from ?? 0 }, ...rest }
}
