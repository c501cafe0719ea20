import type { IncomingMessage } from 'node:http'

export type Access = 'read' | 'write'

/**
 * Whether a request may do what it asks for. 401 for missing or unknown credentials, 403 for known
 * ones that do not suffice, or for an origin that is not let in.
 */
export type AccessDecision =
  | { readonly allowed: true }
  | {
      readonly allowed: false
      readonly status: 401 | 403
      /** For the client, a sentence; it must hold no secret. */
      readonly message: string
    }

/**
 * The seam for authentication: asked with nothing but the request's head, before anything else is
 * looked at. Bearer tokens are decided here now; Signature V4 and presigned URLs, whose signature
 * covers only what the head says too, take the same place.
 */
export type Authorize = (request: IncomingMessage, access: Access) => AccessDecision
