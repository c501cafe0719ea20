/** The endpoint that reads everything that is stored, and heals what is damaged. */
import type { ControlRoute } from './control-route.ts'
import type { ControlPlaneOptions } from './ports.ts'
import { exactly, noQuerySchema } from './schemas.ts'

const url = '/admin/volume/scrub'
const text = { type: 'string' } as const
const maybeText = { type: ['string', 'null'] } as const
const count = { type: 'integer' } as const
const counts = {
  started_at: text,
  objects: count,
  bytes: count,
  records: count,
  damaged: count,
  healed: count,
  gone: count,
} as const

const finding = exactly({
  what: text,
  bucket: maybeText,
  key: maybeText,
  result: text,
  problem: maybeText,
})

const scrubSchema = exactly({
  running: {
    anyOf: [{ type: 'null' }, exactly({ ...counts, objects_total: count, bytes_total: count })],
  },
  last: {
    anyOf: [
      { type: 'null' },
      exactly({
        ...counts,
        finished_at: text,
        reason: maybeText,
        listed: { type: 'array', items: finding },
      }),
    ],
  },
  next_at: maybeText,
  rate: count,
})

const schema = { querystring: noQuerySchema, response: { 200: scrubSchema } }

export function scrubRoutes({ scrub }: ControlPlaneOptions): readonly ControlRoute[] {
  return [
    {
      method: 'GET',
      url,
      config: { access: 'read', operation: 'AdminScrubStatus' },
      schema,
      handler: () => scrub.current(),
    },
    {
      method: 'POST',
      url,
      config: { access: 'admin', operation: 'AdminScrub' },
      schema,
      handler: () => scrub.begin(),
    },
    {
      method: 'DELETE',
      url,
      config: { access: 'admin', operation: 'AdminScrubStop' },
      schema,
      handler: () => scrub.stop(),
    },
  ]
}
