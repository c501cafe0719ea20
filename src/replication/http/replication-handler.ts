/** What an endpoint of replication is to whoever routes requests to it, and says who may come. */
import type { IncomingMessage, ServerResponse } from 'node:http'

export interface Denial {
  readonly status: 401 | 403
  readonly code: string
  readonly message: string
  readonly hint?: string
}

/** Handles a request of replication's; false when `path` (without the query) is none of its. */
export type ReplicationHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
) => boolean
