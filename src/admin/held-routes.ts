/** The endpoints that decide about what is held back from remotes. */
import type { ControlRoute } from './control-route.ts'
import type { ControlPlaneOptions } from './ports.ts'
import type { HeldRequestDocument } from './protocol.ts'
import { heldRequestSchema, heldSchema, noQuerySchema } from './schemas.ts'

export function heldRoutes({ replication }: ControlPlaneOptions): readonly ControlRoute[] {
  return (['release', 'discard'] as const).map((verb) => ({
    method: 'POST',
    url: `/admin/replication/held/${verb}`,
    config: {
      access: 'admin',
      operation: verb === 'release' ? 'AdminReplicationRelease' : 'AdminReplicationDiscard',
    },
    schema: {
      querystring: noQuerySchema,
      body: heldRequestSchema,
      response: { 200: heldSchema },
    },
    handler: (request) => replication.decide(verb, (request.body as HeldRequestDocument).remote),
  }))
}
