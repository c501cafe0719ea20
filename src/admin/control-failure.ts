/** From whatever was thrown, or refused, to the answer that says so. */
import type { IncomingMessage } from 'node:http'
import type { FastifyError } from 'fastify'
import { ComioError } from '../base/errors.ts'
import {
  ReplicaReadOnlyError,
  RoleChangingError,
  SyncUnconfirmedError,
} from '../replication/wire/errors.ts'
import {
  IndexFullError,
  InvalidNameError,
  LoserNotKeptError,
  NoSuchBucketError,
  NoSuchConflictError,
  RemoteTooLargeError,
  StorageFullError,
  StoreUnavailableError,
  TooManyDecisionsError,
  TooManyReplaysError,
} from '../store/model/errors.ts'
import { GroupWriteError, VolumeFullError, VolumeReadOnlyError } from '../volume/format/errors.ts'
import {
  ControlError,
  InvalidRequestError,
  MethodNotAllowedError,
  NoSuchEndpointError,
} from './errors.ts'
import type { AccessDenial } from './ports.ts'
import type { ErrorDocument } from './protocol.ts'
import { schemaWords } from './schema-words.ts'
import type { WholeAnswer } from './unread-body.ts'

export interface ControlFailure {
  readonly status: number
  readonly code: string
  readonly answer: WholeAnswer
}

/** Unknown errors become an internal one: their message may name what is none of the caller's business. */
export function describeFailure(thrown: unknown): ControlFailure {
  if (isDenial(thrown)) return denialFailure(thrown)
  const error = translate(thrown)
  if (error instanceof MethodNotAllowedError) {
    return failure({ status: error.status, error, headers: { allow: error.allow } })
  }
  if (error instanceof ControlError) return failure({ status: error.status, error })
  if (error instanceof NoSuchBucketError) return failure({ status: 404, error })
  if (error instanceof NoSuchConflictError) return failure({ status: 404, error })
  if (error instanceof LoserNotKeptError) return failure({ status: 409, error })
  if (error instanceof InvalidNameError) return failure({ status: 400, error })
  if (error instanceof RemoteTooLargeError) return failure({ status: 400, error })
  if (error instanceof TooManyDecisionsError) return failure({ status: 409, error })
  if (error instanceof TooManyReplaysError) return failure({ status: 409, error })
  if (isFull(error)) return failure({ status: 507, error })
  if (isUnable(error)) return failure({ status: 503, error })
  if (error instanceof ReplicaReadOnlyError) return failure({ status: 403, error })
  const internal = {
    code: 'INTERNAL_ERROR',
    message: 'the request failed inside the site; nothing is known about its effect',
    hint: "The site's log has the reason.",
  }
  return failure({ status: 500, error: internal })
}

export function denialFailure(denial: AccessDenial): ControlFailure {
  const headers: Record<string, string> =
    denial.status === 401 ? { 'www-authenticate': 'Bearer realm="comio"' } : {}
  return failure({ status: denial.status, error: denial, headers })
}

const isFull = (error: unknown): error is StorageFullError | VolumeFullError | IndexFullError =>
  error instanceof StorageFullError ||
  error instanceof VolumeFullError ||
  error instanceof IndexFullError

/** It takes no writes for the moment, which is another thing than being full. */
const isUnable = (
  error: unknown,
): error is
  | StoreUnavailableError
  | VolumeReadOnlyError
  | GroupWriteError
  | SyncUnconfirmedError
  | RoleChangingError =>
  error instanceof SyncUnconfirmedError ||
  error instanceof RoleChangingError ||
  error instanceof StoreUnavailableError ||
  error instanceof VolumeReadOnlyError ||
  error instanceof GroupWriteError

/** 405 where the path exists for another method, else 404. */
export function noSuchEndpoint(
  request: IncomingMessage,
  routes: readonly { readonly method: string; readonly url: string }[],
): ControlError {
  const path = (request.url ?? '').split('?', 1)[0] ?? ''
  const allowed = routes.filter(({ url }) => patternOf(url).test(path)).map(({ method }) => method)
  if (allowed.includes('GET')) allowed.push('HEAD')
  if (allowed.length > 0) {
    const message = `${path} does not answer ${request.method ?? 'that method'}`
    return new MethodNotAllowedError(message, allowed)
  }
  return new NoSuchEndpointError(`there is nothing at ${path}`, {
    hint: 'The endpoints are listed in comio-server(1).',
  })
}

function patternOf(url: string): RegExp {
  return new RegExp(`^${url.replace(/:\w+/g, '[^/]+')}$`)
}

function isDenial(thrown: unknown): thrown is AccessDenial {
  return typeof thrown === 'object' && thrown !== null && !(thrown instanceof Error)
}

/** Fastify's own refusals in our words: bad JSON, a schema not met, a body too large. */
function translate(thrown: unknown): unknown {
  if (thrown instanceof ComioError || !(thrown instanceof Error)) return thrown
  const status = 'statusCode' in thrown ? thrown.statusCode : undefined
  if (typeof status !== 'number' || status < 400 || status >= 500) return thrown
  if (status === 413) {
    return new InvalidRequestError('the request body is too large for this endpoint', { status })
  }
  if (status === 415) {
    const hint = 'Send JSON with the header Content-Type: application/json.'
    return new InvalidRequestError('the request body is not declared as JSON', { status, hint })
  }
  const { validation = [] } = thrown as Partial<FastifyError>
  const words = schemaWords(validation)
  return new InvalidRequestError(words ?? thrown.message.slice(0, 300))
}

function failure(input: {
  readonly status: number
  readonly error: {
    readonly code: string
    readonly message: string
    readonly hint?: string | undefined
  }
  readonly headers?: Readonly<Record<string, string>>
}): ControlFailure {
  const { code, message, hint } = input.error
  const document: ErrorDocument = {
    error: hint === undefined ? { code, message } : { code, message, hint },
  }
  return {
    status: input.status,
    code,
    answer: {
      status: input.status,
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'cache-control': 'no-store',
        ...input.headers,
      },
      body: `${JSON.stringify(document)}\n`,
    },
  }
}
