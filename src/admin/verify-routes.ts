/** The endpoint that compares this site with its remotes. */

import type { ControlRoute } from './control-route.ts'
import type { ControlPlaneOptions } from './ports.ts'
import { noQuerySchema, verifyRequestSchema, verifySchema } from './schemas.ts'
import type { VerifyRequestDocument } from './verify-protocol.ts'

const url = '/admin/replication/verify'
const answers = { response: { 200: verifySchema } }

export function verifyRoutes({ verify }: ControlPlaneOptions): readonly ControlRoute[] {
  return [
    {
      method: 'GET',
      url,
      config: { access: 'read', operation: 'AdminVerifyStatus' },
      schema: { querystring: noQuerySchema, ...answers },
      handler: async () => verify.current(),
    },
    {
      method: 'POST',
      url,
      config: { access: 'admin', operation: 'AdminVerify' },
      schema: { querystring: noQuerySchema, body: verifyRequestSchema, ...answers },
      handler: async (request) => {
        const {
          remote,
          bucket,
          deep = false,
          repair = false,
        } = request.body as VerifyRequestDocument
        return verify.begin({ remote, order: { bucket, deep, repair } })
      },
    },
    {
      method: 'DELETE',
      url,
      config: { access: 'admin', operation: 'AdminVerifyStop' },
      schema: { querystring: noQuerySchema, ...answers },
      handler: () => verify.stop(),
    },
  ]
}
