/** JSON schemas of the documents in `conflict-protocol.ts`. */
import { exactly } from './schemas.ts'

const text = { type: 'string' } as const
const count = { type: 'integer' } as const
const maybeText = { type: ['string', 'null'] } as const
/** A whole number, as text: that is what paths and queries hold. */
const number = { type: 'string', pattern: '^[1-9][0-9]{0,14}$' } as const
const choice = { type: 'string', enum: ['winner', 'loser'] } as const

const sideSchema = exactly({
  site: text,
  time: text,
  version: text,
  kind: text,
  size: { type: ['integer', 'null'] },
  etag: maybeText,
})

export const conflictSchema = exactly({
  id: count,
  bucket: text,
  key: text,
  noticed_at: text,
  winner: sideSchema,
  loser: sideSchema,
  kept_as: maybeText,
  kept_now: { type: 'boolean' },
})

export const conflictsSchema = exactly({
  conflicts: { type: 'array', items: conflictSchema },
  open: count,
  noticed: count,
  kept: count,
  dropped: count,
})

export const conflictParamsSchema = exactly({ id: number })

export const conflictsQuerySchema = {
  type: 'object',
  additionalProperties: false,
  properties: { limit: number, before: number },
} as const

export const resolveRequestSchema = exactly({ keep: choice })

export const resolvedSchema = exactly({ resolved: count, keep: text })

export const policyRequestSchema = exactly({
  policy: { enum: ['last-write-wins', 'keep-both', null] },
})

export const policySchema = exactly({ bucket: text, policy: text, own: { type: 'boolean' } })
