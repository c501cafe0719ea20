/** The endpoints of the control plane: path, schemas, who may call, and what happens. */
import { conflictRoutes } from './conflict-routes.ts'
import type { ControlRoute } from './control-route.ts'
import { heldRoutes } from './held-routes.ts'
import type { ControlPlaneOptions } from './ports.ts'
import type {
  PurgeDocument,
  PurgePreviewDocument,
  RevokeTokenRequest,
  RoleRequestDocument,
} from './protocol.ts'
import { replayRoutes } from './replay-routes.ts'
import {
  bucketParamsSchema,
  healthSchema,
  noQuerySchema,
  purgePreviewSchema,
  purgeQuerySchema,
  purgeSchema,
  revokedSchema,
  revokeRequestSchema,
  roleRequestSchema,
  roleSchema,
  statusSchema,
  tokensSchema,
} from './schemas.ts'
import { scrubRoutes } from './scrub-routes.ts'
import { verifyRoutes } from './verify-routes.ts'

export function controlRoutes(options: ControlPlaneOptions): readonly ControlRoute[] {
  return [
    healthRoute(options),
    metricsRoute(options),
    purgeRoute(options),
    statusRoute(options),
    ...replayRoutes(options),
    ...heldRoutes(options),
    tokensRoute(options),
    revokeRoute(options),
    ...conflictRoutes(options),
    ...verifyRoutes(options),
    ...scrubRoutes(options),
    roleRoute(options),
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

function roleRoute({ replication }: ControlPlaneOptions): ControlRoute {
  return {
    method: 'POST',
    url: '/admin/replication/role',
    config: { access: 'admin', operation: 'AdminReplicationRole' },
    schema: { querystring: noQuerySchema, body: roleRequestSchema, response: { 200: roleSchema } },
    handler: (request) => replication.changeRole(request.body as RoleRequestDocument),
  }
}
